//! What happens between the nodes of a scenario: messages are delivered or lost, Readys are handled,
//! storage threads do their work, one by one or until nothing is left to do.

use super::env::{Env, Failure};
use super::wire::{Mail, Party, indent};
use crate::script::Command;

/// Rounds after which a scenario that should come to rest is given up.
const ROUNDS_MAX: usize = 1000;

impl Env {
    /// Does something with each of the nodes, under a heading each if there are several.
    pub(super) fn for_each(
        &mut self,
        ids: &[u32],
        heading: &str,
        work: impl Fn(&mut Self, u32) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        for &id in ids {
            let text = work(self, id)?;
            match ids {
                [_] => self.show(&text),
                _ => self.show_under(&format!("> {id} {heading}"), &text),
            }
        }
        Ok(())
    }

    fn show_under(&mut self, heading: &str, text: &str) {
        self.show(heading);
        self.show(&indent(text));
    }

    pub(super) fn process_ready(&mut self, id: u32) -> Result<String, Failure> {
        let (text, messages) = self.node(id)?.process_ready();
        self.messages.extend(messages);
        Ok(text)
    }

    pub(super) fn process_append(&mut self, id: u32) -> Result<String, Failure> {
        let node = self.node(id)?;
        let Some(mail) = node.append_work.pop_front() else {
            return Ok("no append work to perform".to_owned());
        };
        node.write(mail.snapshot.as_ref(), &mail.entries);
        Ok(self.answer(mail))
    }

    pub(super) fn process_apply(&mut self, id: u32) -> Result<String, Failure> {
        let node = self.node(id)?;
        let Some(mail) = node.apply_work.pop_front() else {
            return Ok("no apply work to perform".to_owned());
        };
        node.apply(&mail.entries);
        Ok(self.answer(mail))
    }

    /// A storage thread has done its work: its answers are on their way.
    fn answer(&mut self, mut mail: Mail) -> String {
        let responses = std::mem::take(&mut mail.responses);
        let mut text = format!("Processing:\n{mail}\nResponses:");
        for response in &responses {
            text.push('\n');
            text.push_str(&response.to_string());
        }
        self.messages.extend(responses);
        text
    }

    pub(super) fn deliver_msgs(&mut self, command: &Command) {
        let kind = command.value::<String>("type");
        let mut handled = 0;
        let mut text = String::new();
        for argument in &command.arguments {
            if argument.values.is_empty() {
                let Ok(id) = argument.key.parse() else { continue };
                handled += self.deliver(id, kind.as_deref(), false, &mut text);
            } else if argument.key == "drop" {
                for id in argument.values.iter().filter_map(|id| id.parse().ok()) {
                    handled += self.deliver(id, kind.as_deref(), true, &mut text);
                }
            }
        }
        self.show(if handled == 0 { "no messages" } else { text.trim_end() });
    }

    /// Delivers what is on its way to `id`, or drops it.
    fn deliver(&mut self, id: u32, kind: Option<&str>, drop: bool, text: &mut String) -> usize {
        let (chosen, rest): (Vec<Mail>, Vec<Mail>) =
            std::mem::take(&mut self.messages).into_iter().partition(|mail| {
                mail.to == Party::Node(id)
                    && !(drop && mail.is_local())
                    && kind.is_none_or(|kind| kind == mail.kind)
            });
        self.messages = rest;
        let count = chosen.len();
        for mail in chosen {
            let dropped = if drop { "dropped: " } else { "" };
            text.push_str(&format!("{dropped}{mail}\n"));
            if !drop
                && let Ok(node) = self.node(id)
                && let Err(error) = node.receive(mail)
            {
                text.push_str(&format!("{error}\n"));
            }
        }
        count
    }

    pub(super) fn stabilize_at(&mut self, command: &Command) -> Result<(), Failure> {
        let quiet = self.quiet;
        if let Some(level) = command.value::<String>("log-level") {
            self.set_level(Some(&level));
        }
        let mut ids = command.numbers();
        if ids.is_empty() {
            ids = (1..).take(self.nodes.len()).collect();
        }
        let result = self.stabilize(&ids);
        self.quiet = quiet;
        result
    }

    /// Lets everything happen to these nodes that can, until nothing does.
    fn stabilize(&mut self, ids: &[u32]) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            let mut done = true;
            for &id in ids {
                if self.node(id)?.has_ready() {
                    done = false;
                    let text = self.process_ready(id)?;
                    self.show_under(&format!("> {id} handling Ready"), &text);
                }
            }
            for &id in ids {
                if self.messages.iter().any(|mail| mail.to == Party::Node(id)) {
                    done = false;
                    let mut text = String::new();
                    self.deliver(id, None, false, &mut text);
                    self.show_under(&format!("> {id} receiving messages"), &text);
                }
            }
            for &id in ids {
                let mut text = String::new();
                while !self.node(id)?.append_work.is_empty() {
                    text.push_str(&self.process_append(id)?);
                    text.push('\n');
                }
                if !text.is_empty() {
                    done = false;
                    self.show_under(&format!("> {id} processing append thread"), &text);
                }
            }
            for &id in ids {
                let mut text = String::new();
                while !self.node(id)?.apply_work.is_empty() {
                    text.push_str(&self.process_apply(id)?);
                    text.push('\n');
                }
                if !text.is_empty() {
                    done = false;
                    self.show_under(&format!("> {id} processing apply thread"), &text);
                }
            }
            if done {
                return Ok(());
            }
        }
        Err(Failure::unsupported("the nodes do not come to rest"))
    }
}
