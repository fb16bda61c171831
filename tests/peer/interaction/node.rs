//! One replica of a scenario: the core, and what the reference's raw node adds to its own core.
//!
//! The reference collects the outcome of everything that happened to a node until somebody asks for it
//! as one `Ready`. Our core's Readys are smaller and numbered; here one is taken after each thing that
//! happens, so that each sends its own messages, and what they hold is collected. Without asynchronous
//! storage a `Ready` is also done as soon as it is shown: written, applied, acknowledged, in that order.

use super::storage::Storage;
use super::wire::{Content, FIRST_FORM, Mail, Party};
use eraft::ids::{Index, NodeId, ReadyNumber, Term};
use eraft::raft::{
    Change, Config, Entry, EntryKind, Lease, MembershipChange, ProposeError, Raft, Restored, Role,
    SnapshotMeta, TransferError, Transition,
};
use std::collections::VecDeque;

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
pub(super) type Soft = (Option<NodeId>, Role);
pub(super) type Hard = (Term, Option<NodeId>, Index);

pub(super) struct Node {
    pub(super) id: u32,
    pub(super) raft: Raft,
    pub(super) storage: Storage,
    pub(super) asynchronous: bool,
    pub(super) soft_shown: Soft,
    pub(super) hard_shown: Hard,
    /// The term of the last candidacy seen.
    stood_in: Term,
    // The next Ready.
    pub(super) messages: Vec<Mail>,
    pub(super) after_append: Vec<Mail>,
    pub(super) entries: Vec<Entry>,
    pub(super) restart: Option<SnapshotMeta>,
    pub(super) committed: Vec<Entry>,
    /// The newest Ready of the core among what was collected so far.
    pub(super) newest: ReadyNumber,
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

    pub(super) fn soft(&self) -> Soft {
        (self.raft.leader(), self.raft.role())
    }

    pub(super) fn hard(&self) -> Hard {
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
}
