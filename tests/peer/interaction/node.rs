//! One replica of a scenario: the core, and what the reference's raw node adds to its own core.
//!
//! The reference collects the outcome of everything that happened to a node until somebody asks for it
//! as one `Ready`. Our core's Readys are smaller and numbered; here one is taken after each thing that
//! happens, so that each sends its own messages, and what they hold is collected. Without asynchronous
//! storage a `Ready` is also done as soon as it is shown: written, applied, acknowledged, in that order.

use super::storage::Storage;
use super::wire::{Content, FIRST_FORM, Mail, Party, describe_entry, describe_snapshot};
use eraft::ids::{Index, NodeId, ReadyNumber, Term};
use eraft::raft::{
    Change, Config, Entry, EntryKind, Lease, MembershipChange, ProgressState, ProposeError, Raft,
    Restored, Role, SnapshotMeta, TransferError, Transition,
};
use std::collections::VecDeque;
use std::fmt::Write as _;

/// How the nodes of a scenario are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) asynchronous: bool,
    pub(super) pre_vote: bool,
    pub(super) check_quorum: bool,
    pub(super) leases: bool,
    pub(super) skip_validation: bool,
    pub(super) step_down_on_removal: bool,
    pub(super) inflight: Option<usize>,
    pub(super) committed_bytes: Option<usize>,
}

pub(super) const ELECTION_TICKS: u32 = 3;

/// What was told of the lead and of the hard state.
type Soft = (Option<NodeId>, Role);
type Hard = (Term, Option<NodeId>, Index);

pub(super) struct Node {
    id: u32,
    pub(super) raft: Raft,
    pub(super) storage: Storage,
    asynchronous: bool,
    soft_shown: Soft,
    hard_shown: Hard,
    /// The term of the last candidacy seen.
    stood_in: Term,
    // The next Ready.
    messages: Vec<Mail>,
    after_append: Vec<Mail>,
    entries: Vec<Entry>,
    restart: Option<SnapshotMeta>,
    committed: Vec<Entry>,
    /// The newest Ready of the core among what was collected so far.
    newest: ReadyNumber,
    /// Work for the storage threads.
    pub(super) append_work: VecDeque<Mail>,
    pub(super) apply_work: VecDeque<Mail>,
}

impl Node {
    pub(super) fn new(id: u32, settings: &Settings, state: SnapshotMeta) -> Self {
        let mut config = Config::new(NodeId(id), u64::from(id));
        config.election_ticks = ELECTION_TICKS;
        config.heartbeat_ticks = 1;
        config.append_bytes_max = usize::MAX;
        config.inflight_messages_max = settings.inflight.unwrap_or(usize::MAX);
        config.inflight_bytes_max = usize::MAX;
        config.uncommitted_bytes_max = usize::MAX;
        config.tail_bytes_max = usize::MAX;
        config.apply_bytes_max = settings.committed_bytes.unwrap_or(usize::MAX);
        config.apply_inflight_bytes_max = config.apply_bytes_max;
        config.pre_vote = settings.pre_vote;
        config.check_quorum = settings.check_quorum;
        config.lease = settings.leases.then_some(Lease { millis: 1 });
        config.validate_changes = !settings.skip_validation;
        config.changes_await_commit = false;
        config.step_down_on_removal = settings.step_down_on_removal;
        // The reference has no notion of a peer that is silent for long.
        config.back_off = false;
        let restored = Restored {
            base: state.clone(),
            last: state.index,
            applied: state.index,
            membership: state.membership.clone(),
            ..Restored::default()
        };
        let raft = Raft::new(config, restored).expect("a snapshot is a fine start");
        Self {
            id,
            soft_shown: (None, Role::Follower),
            hard_shown: (Term(0), None, raft.commit_index()),
            raft,
            storage: Storage::after(state),
            asynchronous: settings.asynchronous,
            stood_in: Term(0),
            messages: Vec::new(),
            after_append: Vec::new(),
            entries: Vec::new(),
            restart: None,
            committed: Vec::new(),
            newest: ReadyNumber(0),
            append_work: VecDeque::new(),
            apply_work: VecDeque::new(),
        }
    }

    fn soft(&self) -> Soft {
        (self.raft.leader(), self.raft.role())
    }

    fn hard(&self) -> Hard {
        (self.raft.term(), self.raft.status().vote, self.raft.commit_index())
    }

    /// Collects what the last thing that happened has led to.
    pub(super) fn collect(&mut self) {
        let me = Party::Node(self.id);
        let term = self.raft.term();
        let (role, pre) = (self.raft.role(), Term(term.0 + 1));
        if role == Role::Candidate && self.stood_in != term {
            self.stood_in = term;
            self.after_append.push(Mail::plain(me, me, "MsgVoteResp", term.0));
        } else if role == Role::PreCandidate && self.soft_shown.1 != role && self.stood_in != pre {
            self.stood_in = pre;
            self.after_append.push(Mail::plain(me, me, "MsgPreVoteResp", pre.0));
        }
        while self.raft.has_ready() {
            let ready = self.raft.ready();
            self.newest = ready.number;
            if let Some(meta) = ready.restart {
                self.entries.clear();
                self.restart = Some(meta);
            }
            if let Some(first) = ready.entries.first() {
                self.entries.retain(|entry| entry.index < first.index);
            }
            let own = ready
                .entries
                .last()
                .filter(|entry| self.raft.is_leader() && entry.term == self.raft.term());
            if let Some(last) = own {
                let mail = Mail::plain(me, me, "MsgAppResp", term.0);
                self.after_append.push(Mail { index: last.index.0, ..mail });
            }
            self.entries.extend(ready.entries);
            self.committed.extend(ready.committed);
            for message in ready.messages.into_iter().chain(ready.after_persist) {
                let Some(mail) = Mail::of(message) else { continue };
                let waits = mail.waits_for_storage();
                let list = if waits { &mut self.after_append } else { &mut self.messages };
                list.push(mail);
            }
            for needed in ready.snapshots {
                let meta = self.storage.state.clone();
                self.messages.push(Mail::snapshot(self.id, needed.to, term.0, meta));
            }
            for fetch in ready.fetches {
                self.raft.fetched(fetch.to, Vec::new());
            }
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        self.soft() != self.soft_shown
            || self.hard() != self.hard_shown
            || self.restart.is_some()
            || !self.messages.is_empty()
            || !self.after_append.is_empty()
            || !self.entries.is_empty()
            || !self.committed.is_empty()
    }

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
            let shown =
                Shown { soft: soft_changed.then_some(soft), hard: hard_changed, sync: false }
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
        let sync = !entries.is_empty() || (hard.0, hard.1) != (hard_before.0, hard_before.1);
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

    /// Proposes, or forwards to the leader.
    pub(super) fn propose(&mut self, kind: EntryKind, data: bytes::Bytes) -> Result<(), String> {
        let result = match kind {
            EntryKind::Normal => self.raft.propose(data.clone()).map(|_| ()),
            EntryKind::Membership => {
                let change = MembershipChange::decode(&data).map_err(|error| error.to_string())?;
                match self.raft.propose_change(&change) {
                    // The reference puts an empty entry in the place of a change that it refuses.
                    Err(ProposeError::ChangeInFlight { .. } | ProposeError::Change(_)) => {
                        self.raft.propose(bytes::Bytes::new()).map(|_| ())
                    }
                    result => result.map(|_| ()),
                }
            }
        };
        match result {
            Err(ProposeError::NotLeader { leader: Some(leader) }) => {
                let entry = Entry { index: Index(0), term: Term(0), kind, data: data.clone() };
                let (me, to) = (Party::Node(self.id), Party::Node(leader.0));
                self.messages.push(Mail {
                    entries: vec![entry],
                    content: Content::Proposal(kind, data),
                    ..Mail::plain(me, to, "MsgProp", 0)
                });
            }
            Err(_) => return Err("raft proposal dropped".to_owned()),
            Ok(()) => {}
        }
        self.collect();
        Ok(())
    }

    pub(super) fn propose_change(
        &mut self,
        transition: Transition,
        changes: Vec<Change>,
        first_form: bool,
    ) -> Result<(), String> {
        let context = if first_form { FIRST_FORM } else { b"" };
        let change = MembershipChange { transition, changes, context: context.into() };
        self.propose(EntryKind::Membership, change.encode())
    }

    /// Takes what has arrived.
    pub(super) fn receive(&mut self, mail: Mail) -> Result<(), String> {
        match mail.content {
            Content::Message(message) => {
                self.raft.step(message).map_err(|error| error.to_string())?;
            }
            Content::Snapshot(meta) => {
                let Party::Node(from) = mail.from else { return Ok(()) };
                let offered = self.raft.snapshot_offered(NodeId(from), Term(mail.term), &meta);
                if offered.map_err(|error| error.to_string())? {
                    self.raft.snapshot_installed(meta).map_err(|error| error.to_string())?;
                }
            }
            Content::Persisted(number) => self.raft.persisted(number),
            Content::Applied(index) => self.raft.applied(index),
            Content::Proposal(kind, data) => self.propose(kind, data)?,
            Content::Nothing => {}
        }
        self.collect();
        Ok(())
    }

    pub(super) fn transfer(&mut self, to: NodeId) {
        if let Err(TransferError::InProgress { .. }) = self.raft.transfer_leader(to) {
            self.raft.abort_transfer();
            _ = self.raft.transfer_leader(to);
        }
        self.collect();
    }

    pub(super) fn compact(&mut self, through: Index) -> bool {
        let done = through <= self.raft.applied_index() && self.storage.compact(through);
        if done {
            self.raft.compact(through);
            self.collect();
        }
        done
    }

    /// What a leader knows about everybody, as the scenarios write it.
    pub(super) fn describe_status(&self) -> String {
        let status = self.raft.status();
        if status.role != Role::Leader {
            return String::new();
        }
        let mut lines: Vec<(NodeId, String)> = Vec::new();
        if status.membership.contains(status.id) {
            let (matched, next) = (status.persisted, status.persisted.next());
            let line = format!("StateReplicate match={} next={}", matched.0, next.0);
            lines.push((status.id, line));
        }
        for peer in status.peers {
            let mut line = match peer.state {
                ProgressState::Probe => "StateProbe".to_owned(),
                ProgressState::Replicate => "StateReplicate".to_owned(),
                ProgressState::Snapshot(_) => "StateSnapshot".to_owned(),
            };
            _ = write!(line, " match={} next={}", peer.matched.0, peer.next.0);
            line.push_str(if peer.learner { " learner" } else { "" });
            line.push_str(if peer.paused { " paused" } else { "" });
            if let ProgressState::Snapshot(index) = peer.state {
                _ = write!(line, " pendingSnap={}", index.0);
            }
            line.push_str(if peer.active { "" } else { " inactive" });
            if peer.inflight > 0 {
                _ = write!(line, " inflight={}", peer.inflight);
                line.push_str(if peer.window_full { "[full]" } else { "" });
            }
            lines.push((peer.id, line));
        }
        lines.sort();
        let lines: Vec<String> =
            lines.into_iter().map(|(id, line)| format!("{}: {line}", id.0)).collect();
        lines.join("\n")
    }

    pub(super) fn describe_state(&self) -> String {
        let status = self.raft.status();
        let votes = status.membership.is_voter(status.id);
        format!(
            "{}: {} ({}) Term:{} Lead:{}",
            status.id.0,
            state(status.role),
            if votes { "Voter" } else { "Non-Voter" },
            status.term.0,
            status.leader.map_or(0, |leader| leader.0)
        )
    }
}

fn state(role: Role) -> &'static str {
    match role {
        Role::Follower => "StateFollower",
        Role::PreCandidate => "StatePreCandidate",
        Role::Candidate => "StateCandidate",
        Role::Leader => "StateLeader",
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
