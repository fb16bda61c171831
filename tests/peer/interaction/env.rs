//! A scenario: its replicas, the messages between them, and the verbs that move it on.

use super::node::{ELECTION_TICKS, Node, Settings};
use super::wire::Mail;
use crate::confchange::changes;
use crate::script::{self, Command, Directive};
use eraft::ids::{Index, NodeId, Term};
use eraft::raft::{EntryKind, Membership, SnapshotMeta, Transition};

#[derive(Default)]
pub(super) struct Env {
    pub(super) nodes: Vec<Node>,
    /// On their way, oldest first.
    pub(super) messages: Vec<Mail>,
    output: String,
    /// Nothing is shown.
    pub(super) quiet: bool,
}

/// What a directive has led to.
pub(super) struct Outcome {
    pub(super) text: String,
    /// Why a command could not be carried out.
    pub(super) unsupported: Option<String>,
}

impl Env {
    pub(super) fn run(&mut self, directive: &Directive) -> Outcome {
        self.output.clear();
        let mut unsupported = None;
        let proposal = directive.command.verb == "propose-conf-change";
        let further = if proposal { &[][..] } else { &directive.input[..] };
        let further = further.iter().filter_map(|line| script::command(line));
        for command in std::iter::once(directive.command.clone()).chain(further) {
            if let Err(error) = self.command(&command, &directive.input) {
                // Errors are shown in any case.
                self.output.push_str(&error.text);
                self.output.push('\n');
                unsupported = unsupported.or(error.unsupported.then_some(error.text));
            }
        }
        let text = self.output.trim_end().to_owned();
        Outcome { text: if text.is_empty() { "ok".to_owned() } else { text }, unsupported }
    }

    fn command(&mut self, command: &Command, input: &[String]) -> Result<(), Failure> {
        let numbers = command.numbers();
        let first = || numbers.first().copied().ok_or_else(|| Failure::unsupported("no node"));
        match command.verb.as_str() {
            "_breakpoint" => {}
            "log-level" => self.set_level(command.arguments.first().map(|word| &*word.key)),
            "add-nodes" => self.add_nodes(first()?, command)?,
            "campaign" => self.change(first()?, |node| node.raft.campaign())?,
            "compact" => {
                let through = *numbers.get(1).ok_or_else(|| Failure::unsupported("no index"))?;
                let node = self.node(first()?)?;
                if !node.compact(Index(u64::from(through))) {
                    return Err(Failure::shown("requested index is unavailable"));
                }
                let log = node.storage.describe();
                self.show(&log);
            }
            "deliver-msgs" => self.deliver_msgs(command),
            "process-ready" => self.for_each(&numbers, "handling Ready", Self::process_ready)?,
            "process-append-thread" => {
                self.for_each(&numbers, "processing append thread", Self::process_append)?;
            }
            "process-apply-thread" => {
                self.for_each(&numbers, "processing apply thread", Self::process_apply)?;
            }
            "raft-log" => {
                let log = self.node(first()?)?.storage.describe();
                self.show(&log);
            }
            "raft-state" => {
                let states: Vec<String> = self.nodes.iter().map(Node::describe_state).collect();
                self.show(&states.join("\n"));
            }
            "status" => {
                let status = self.node(first()?)?.describe_status();
                self.show(&status);
            }
            "set-randomized-election-timeout" => {
                let ticks = command.value("timeout").unwrap_or(ELECTION_TICKS);
                self.change(first()?, |node| node.raft.set_election_timeout(ticks))?;
            }
            "stabilize" => self.stabilize_at(command)?,
            "tick-election" => self.tick(first()?, ELECTION_TICKS)?,
            "tick-heartbeat" => self.tick(first()?, 1)?,
            "transfer-leadership" => {
                let (from, to) = (command.value("from"), command.value("to"));
                let (Some(from), Some(to)) = (from, to) else {
                    return Err(Failure::unsupported("no nodes"));
                };
                self.node(from)?.transfer(NodeId(to));
            }
            "forget-leader" => {
                self.change(first()?, |node| _ = node.raft.forget_leader())?;
            }
            "report-unreachable" => {
                let peer = *numbers.get(1).ok_or_else(|| Failure::unsupported("no peer"))?;
                self.change(first()?, |node| node.raft.report_unreachable(NodeId(peer)))?;
            }
            "send-snapshot" => {
                let to = *numbers.get(1).ok_or_else(|| Failure::unsupported("no peer"))?;
                let from = first()?;
                let node = self.node(from)?;
                let (term, meta) = (node.raft.term().0, node.storage.state.clone());
                let mail = Mail::snapshot(from, NodeId(to), term, meta);
                self.show(&mail.to_string());
                self.messages.push(mail);
            }
            "propose" => {
                let data = command.arguments.get(1).map_or("", |word| &*word.key).to_owned();
                let result = self.node(first()?)?.propose(EntryKind::Normal, data.into());
                result.map_err(|error| Failure::shown(&error))?;
            }
            "propose-conf-change" => self.propose_change(first()?, command, input)?,
            verb => return Err(Failure::unsupported(&format!("unknown command {verb}"))),
        }
        Ok(())
    }

    pub(super) fn node(&mut self, id: u32) -> Result<&mut Node, Failure> {
        let at = (id as usize).wrapping_sub(1);
        self.nodes.get_mut(at).ok_or_else(|| Failure::unsupported("no such node"))
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Node)) -> Result<(), Failure> {
        let node = self.node(id)?;
        change(node);
        node.collect();
        Ok(())
    }

    pub(super) fn show(&mut self, text: &str) {
        if !self.quiet && !text.is_empty() {
            self.output.push_str(text);
            self.output.push('\n');
        }
    }

    pub(super) fn set_level(&mut self, level: Option<&str>) {
        self.quiet = level.is_some_and(|level| level.eq_ignore_ascii_case("none"));
    }

    fn tick(&mut self, id: u32, ticks: u32) -> Result<(), Failure> {
        for _ in 0..ticks {
            self.change(id, |node| node.raft.tick())?;
        }
        Ok(())
    }

    fn add_nodes(&mut self, count: u32, command: &Command) -> Result<(), Failure> {
        let flag = |key| command.value(key).unwrap_or(false);
        let settings = Settings {
            asynchronous: flag("async-storage-writes"),
            pre_vote: flag("prevote"),
            check_quorum: flag("checkquorum"),
            leases: command.value::<String>("read-only").as_deref() == Some("lease-based"),
            skip_validation: flag("disable-conf-change-validation"),
            step_down_on_removal: flag("step-down-on-removal"),
            inflight: command.value("inflight"),
            committed_bytes: command.value("max-committed-size-per-ready"),
        };
        let ids = |key| -> Vec<NodeId> {
            let ids = command.values(key).into_iter();
            ids.filter_map(|id| id.parse().ok().map(NodeId)).collect()
        };
        let membership = Membership {
            learners: Membership::of_voters(ids("learners")).voters,
            ..Membership::of_voters(ids("voters"))
        };
        let index = command.value("index").unwrap_or(0);
        let content = !command.values("content").is_empty();
        let empty = index == 0 && membership == Membership::default() && !content;
        if !empty && index <= 1 {
            return Err(Failure::shown("index must be specified as > 1 due to bootstrap"));
        }
        let term = Term(u64::from(!empty));
        for _ in 0..count {
            let id = u32::try_from(self.nodes.len()).expect("few nodes") + 1;
            let (index, membership) = (Index(index), membership.clone());
            self.nodes.push(Node::new(id, &settings, SnapshotMeta { index, term, membership }));
        }
        Ok(())
    }

    fn propose_change(
        &mut self,
        id: u32,
        command: &Command,
        input: &[String],
    ) -> Result<(), Failure> {
        let transition = match command.value::<String>("transition").as_deref() {
            None | Some("auto") => Transition::Auto,
            Some("implicit") => Transition::Implicit,
            Some("explicit") => Transition::Explicit,
            Some(other) => return Err(Failure::shown(&format!("unknown transition {other}"))),
        };
        let list = changes(&input.join(" ")).map_err(|error| Failure::shown(&error))?;
        let first_form = command.value("v1").unwrap_or(false);
        let result = self.node(id)?.propose_change(transition, list, first_form);
        result.map_err(|error| Failure::shown(&error))
    }
}

/// Why a command was not carried out.
pub(super) struct Failure {
    text: String,
    /// Because nobody here knows how.
    unsupported: bool,
}

impl Failure {
    pub(super) fn shown(text: &str) -> Self {
        Self { text: text.to_owned(), unsupported: false }
    }

    pub(super) fn unsupported(text: &str) -> Self {
        Self { text: text.to_owned(), unsupported: true }
    }
}
