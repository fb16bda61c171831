//! A node's `Ready`: shown, and done at once or handed to the storage threads.

use super::node::{Hard, Node, Soft};
use super::node_show::state;
use super::wire::{Content, Mail, Party, describe_entry, describe_snapshot};
use eraft::raft::{Entry, EntryKind, SnapshotMeta};
use std::fmt::Write as _;

impl Node {
    /// Shows the next Ready, and does it or hands it to the storage threads. Answers its text, and
    /// what is on its way now.
    pub(super) fn process_ready(&mut self) -> (String, Vec<Mail>) {
        let (soft, hard) = (self.soft(), self.hard());
        let soft_changed = soft != self.soft_shown;
        let hard_before = std::mem::replace(&mut self.hard_shown, hard);
        self.soft_shown = soft;
        let entries = std::mem::take(&mut self.entries);
        let restart = self.restart.take();
        let mut messages = std::mem::take(&mut self.messages);
        let mut after = std::mem::take(&mut self.after_append);
        let mut committed = std::mem::take(&mut self.committed);
        let hard_changed = (hard != hard_before).then_some(hard);
        let sync = !entries.is_empty() || (hard.0, hard.1) != (hard_before.0, hard_before.1);
        if self.asynchronous {
            let append = self.storage_append(hard_changed, &entries, restart.as_ref(), after);
            if let Some(mail) = &append {
                self.append_work.push_back(mail.clone());
            }
            let apply = self.storage_apply(&committed);
            if let Some(mail) = &apply {
                self.apply_work.push_back(mail.clone());
            }
            let text = messages.len();
            messages.extend(append);
            messages.extend(apply);
            let shown = Shown { soft: soft_changed.then_some(soft), hard: hard_changed, sync }
                .describe(&entries, restart.as_ref(), &committed, &messages);
            messages.truncate(text);
            return (shown, messages);
        }
        after.retain(|mail| !mail.is_local());
        messages.extend(after);
        self.write(restart.as_ref(), &entries);
        self.apply(&committed);
        self.raft.persisted(self.newest);
        self.collect();
        // The reference shows with a Ready also what becomes fit to be applied by writing it.
        let (now, later): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut self.committed)
            .into_iter()
            .partition(|entry| entry.index <= hard.2);
        self.committed = later;
        self.apply(&now);
        committed.extend(now);
        if let Some(last) = committed.last() {
            self.raft.applied(last.index);
            self.collect();
        }
        let shown = Shown { soft: soft_changed.then_some(soft), hard: hard_changed, sync };
        (shown.describe(&entries, restart.as_ref(), &committed, &messages), messages)
    }

    fn storage_append(
        &self,
        hard: Option<Hard>,
        entries: &[Entry],
        restart: Option<&SnapshotMeta>,
        after: Vec<Mail>,
    ) -> Option<Mail> {
        if hard.is_none() && entries.is_empty() && restart.is_none() && after.is_empty() {
            return None;
        }
        let me = Party::Node(self.id);
        let (term, vote, commit) = hard.unwrap_or_default();
        let persisted = Content::Persisted(self.newest);
        let mut responses: Vec<Mail> = after
            .into_iter()
            .map(|mail| match mail.is_local() {
                true => Mail { content: persisted.clone(), ..mail },
                false => mail,
            })
            .collect();
        let unstable = self.raft.persisted_index() < self.raft.last_index();
        if unstable || restart.is_some() {
            let (last, of) = (self.raft.last_index(), self.raft.status().last_term);
            responses.push(Mail {
                index: if unstable { last.0 } else { 0 },
                log_term: if unstable { of.0 } else { 0 },
                snapshot: restart.cloned(),
                content: persisted,
                ..Mail::plain(Party::AppendThread, me, "MsgStorageAppendResp", self.raft.term().0)
            });
        }
        Some(Mail {
            commit: commit.0,
            vote: vote.map_or(0, |vote| vote.0),
            entries: entries.to_vec(),
            snapshot: restart.cloned(),
            responses,
            ..Mail::plain(me, Party::AppendThread, "MsgStorageAppend", term.0)
        })
    }

    fn storage_apply(&self, committed: &[Entry]) -> Option<Mail> {
        let last = committed.last()?.index;
        let me = Party::Node(self.id);
        let response = Mail {
            entries: committed.to_vec(),
            content: Content::Applied(last),
            ..Mail::plain(Party::ApplyThread, me, "MsgStorageApplyResp", 0)
        };
        Some(Mail {
            entries: committed.to_vec(),
            responses: vec![response],
            ..Mail::plain(me, Party::ApplyThread, "MsgStorageApply", 0)
        })
    }

    pub(super) fn write(&mut self, restart: Option<&SnapshotMeta>, entries: &[Entry]) {
        if let Some(meta) = restart {
            self.storage.restart(meta);
        }
        self.storage.append(entries);
    }

    pub(super) fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            let changed = entry.kind == EntryKind::Membership;
            if changed {
                _ = self.raft.apply_change(&entry.data);
                self.collect();
            }
            let membership = changed.then(|| self.raft.membership().clone());
            self.storage.applied(entry, membership);
        }
    }
}

/// The heads of a Ready.
struct Shown {
    soft: Option<Soft>,
    hard: Option<Hard>,
    sync: bool,
}

impl Shown {
    fn describe(
        &self,
        entries: &[Entry],
        restart: Option<&SnapshotMeta>,
        committed: &[Entry],
        messages: &[Mail],
    ) -> String {
        let mut text = String::new();
        if let Some((leader, role)) = self.soft {
            let leader = leader.map_or(0, |leader| leader.0);
            _ = writeln!(text, "Lead:{leader} State:{}", state(role));
        }
        if let Some((term, vote, commit)) = self.hard {
            let vote = vote.map_or(String::new(), |vote| format!(" Vote:{}", vote.0));
            _ = writeln!(text, "HardState Term:{}{vote} Commit:{}", term.0, commit.0);
        }
        let list = |text: &mut String, head: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                _ = writeln!(text, "{head}:\n{}", lines.join("\n"));
            }
        };
        list(&mut text, "Entries", entries.iter().map(describe_entry).collect());
        if let Some(meta) = restart {
            _ = writeln!(text, "Snapshot {}", describe_snapshot(meta));
        }
        list(&mut text, "CommittedEntries", committed.iter().map(describe_entry).collect());
        list(&mut text, "Messages", messages.iter().map(Mail::to_string).collect());
        if text.is_empty() {
            return "<empty Ready>".to_owned();
        }
        format!("Ready MustSync={}:\n{}", self.sync, text.trim_end())
    }
}
