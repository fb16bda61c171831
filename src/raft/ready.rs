//! What the caller has to do next, as one value.
//!
//! "Send now" and "send when durable" are two fields, so that their order cannot be mistaken.

use super::entry::{Entry, HardState, SnapshotMeta};
use super::message::{Message, MessageBody};
use super::read::{ReadContext, ReadState};
use super::replica::Raft;
use super::role::{Role, RoleState};
use crate::ids::{Index, NodeId, ReadyNumber, Term};

/// What is known about the lead; for display and routing, never for a decision that must be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftState {
    /// The replica's role.
    pub role: Role,
    /// The leader of `term`, if known.
    pub leader: Option<NodeId>,
    /// The replica's term.
    pub term: Term,
}

/// A peer that needs a snapshot of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotNeeded {
    /// The peer.
    pub to: NodeId,
    /// The snapshot must cover at least this index, or the log could not continue it.
    pub index_min: Index,
}

/// Entries to be read from the stored log; answered by `Raft::fetched(to, entries)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The peer they are for; this replica itself, if they are to be applied.
    pub to: NodeId,
    /// The first entry wanted.
    pub from_index: Index,
    /// Bytes (as in [`Entry::cost`]) to stop at; the first entry is wanted in any case.
    pub bytes_max: usize,
}

/// One step for the caller. Every field may be empty.
#[derive(Debug, Default)]
pub struct Ready {
    /// Its number: one more than the last one's.
    pub number: ReadyNumber,
    /// To be written before `entries`: a snapshot took the log's place. All stored entries are to be
    /// forgotten, the log starts after this index.
    pub restart: Option<SnapshotMeta>,
    /// To be written, if it changed.
    pub hard_state: Option<HardState>,
    /// To be appended to the stored log. If the first index is not above the last stored one, that and
    /// everything after it is to be cut off first.
    pub entries: Vec<Entry>,
    /// Whether the above must be synced before this Ready counts as durable.
    pub must_sync: bool,
    /// To be sent at once, before or while anything is written.
    pub messages: Vec<Message>,
    /// To be sent only after this Ready, and all before it, are durable: votes given and asked for,
    /// acknowledgements of appends.
    pub after_persist: Vec<Message>,
    /// To be applied in order: committed, and on this replica's own disk.
    pub committed: Vec<Entry>,
    /// Reads that may be answered once their index is applied.
    pub read_states: Vec<ReadState>,
    /// Reads of which nothing will be heard any more: ask again, or give up.
    pub reads_lost: Vec<ReadContext>,
    /// Peers to which a snapshot is to be sent.
    pub snapshots: Vec<SnapshotNeeded>,
    /// Entries to be read.
    pub fetches: Vec<Fetch>,
    /// Role, leader or term, if one of them changed.
    pub soft: Option<SoftState>,
}

impl Ready {
    /// Whether this Ready has to pass through the log, in order, and be answered by
    /// `Raft::persisted`. If not, there is nothing to write and nothing that waits.
    #[must_use]
    pub fn needs_persist(&self) -> bool {
        self.must_sync || !self.after_persist.is_empty()
    }
}

/// What has been collected for the next Ready.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) restart: Option<SnapshotMeta>,
    pub(super) messages: Vec<Message>,
    pub(super) after_persist: Vec<Message>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) reads_lost: Vec<ReadContext>,
    pub(super) snapshots: Vec<SnapshotNeeded>,
    pub(super) fetches: Vec<Fetch>,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.restart.is_none()
            && self.messages.is_empty()
            && self.after_persist.is_empty()
            && self.read_states.is_empty()
            && self.reads_lost.is_empty()
            && self.snapshots.is_empty()
            && self.fetches.is_empty()
    }

    pub(super) fn fetch(&mut self, to: NodeId, from_index: Index, bytes_max: usize) {
        self.fetches.push(Fetch { to, from_index, bytes_max });
    }

    /// An acknowledgement; it stands for earlier ones to the same leader that still wait.
    fn acknowledge(&mut self, mut message: Message) {
        if let Some(last) = self.after_persist.last_mut()
            && (last.to, last.term) == (message.to, message.term)
            && let Some((way, old)) = acknowledged(&mut last.body)
            && let Some((same, new)) = acknowledged(&mut message.body)
            && way == same
        {
            *old = (*old).max(*new);
        } else {
            self.after_persist.push(message);
        }
    }
}

/// What is acknowledged, and under which session if by way of a secretary.
fn acknowledged(body: &mut MessageBody) -> Option<(Option<u64>, &mut Index)> {
    match body {
        MessageBody::AppendResponse { index, reject: None } => Some((None, index)),
        MessageBody::RelayedResponse { session, index, reject: None } => {
            Some((Some(*session), index))
        }
        _ => None,
    }
}

impl Raft {
    /// Sends at once, in the current term.
    pub(super) fn send(&mut self, to: NodeId, body: MessageBody) {
        self.send_in(self.term, to, body);
    }

    /// Sends at once, in a term that may not be the current one (pre-votes).
    pub(super) fn send_in(&mut self, term: Term, to: NodeId, body: MessageBody) {
        self.outbox.messages.push(Message { from: self.config.id, to, term, body });
    }

    /// Sends what may leave only when everything before it is durable.
    pub(super) fn send_after_persist(&mut self, to: NodeId, body: MessageBody) {
        let message = Message { from: self.config.id, to, term: self.term, body };
        self.outbox.acknowledge(message);
    }

    /// Whether [`Raft::ready`] would carry anything.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.outbox.is_empty()
            || self.log.has_unhanded()
            || self.vote_changed()
            || self.has_to_mark_commit()
            || self.soft_state() != self.soft_handed
            || self.apply.has_page(&self.log, &self.config)
            || self.apply.wants_fetch(&self.log, &self.config)
            || self.has_to_send()
    }

    /// What the caller has to do next. Taking it is a promise to do it.
    pub fn ready(&mut self) -> Ready {
        self.start_round();
        self.replicate();
        self.fetch_for_apply();
        self.ready_number.0 += 1;
        let number = self.ready_number;

        let entries = self.log.hand_out();
        let vote = self.vote_changed().then_some((self.term, self.vote));
        let marks = self.has_to_mark_commit();
        self.marks_commit = false;
        let hard_state = self.hand_out_hard_state(marks || !entries.is_empty());
        let outbox = std::mem::take(&mut self.outbox);
        let must_sync = marks || !entries.is_empty() || vote.is_some() || outbox.restart.is_some();
        let (mut messages, mut after_persist) = (outbox.messages, outbox.after_persist);
        if !must_sync && self.log.is_quiet() {
            // Everything is durable already: nothing has to wait.
            messages.append(&mut after_persist);
        } else if must_sync || !after_persist.is_empty() {
            self.log.writing(number, !entries.is_empty(), vote);
        }

        let committed = self.apply.take_page(&self.log, &self.config);
        self.log.evict(self.apply.handed_index());
        let soft = Some(self.soft_state()).filter(|soft| *soft != self.soft_handed);
        self.soft_handed = self.soft_state();
        Ready {
            number,
            restart: outbox.restart,
            hard_state,
            entries,
            must_sync,
            messages,
            after_persist,
            committed,
            read_states: outbox.read_states,
            reads_lost: outbox.reads_lost,
            snapshots: outbox.snapshots,
            fetches: outbox.fetches,
            soft,
        }
    }

    pub(super) fn soft_state(&self) -> SoftState {
        SoftState { role: self.role.name(), leader: self.leader(), term: self.term }
    }

    fn vote_changed(&self) -> bool {
        (self.term, self.vote) != (self.hard_handed.term, self.hard_handed.vote)
    }

    /// Whether a change of the membership has come into force that would be forgotten by a start.
    fn has_to_mark_commit(&self) -> bool {
        self.marks_commit && self.log.appliable() > self.hard_handed.commit
    }

    /// The hard state, if term or vote changed, or if something is written anyway and the commit
    /// index moved. The hint never passes what was durable before, so that a torn write cannot leave
    /// a commit index over entries that it does not speak of.
    fn hand_out_hard_state(&mut self, writes: bool) -> Option<HardState> {
        let commit = self.log.appliable().max(self.hard_handed.commit);
        let hard = HardState { term: self.term, vote: self.vote, commit };
        let wanted = self.vote_changed() || (writes && hard != self.hard_handed);
        wanted.then(|| {
            self.hard_handed = hard;
            hard
        })
    }

    /// Whether a leader has something to send that is not in the outbox yet.
    fn has_to_send(&self) -> bool {
        let RoleState::Leader(leader) = &self.role else {
            return false;
        };
        let news = leader.news(&self.log, &self.config);
        leader.can_start_round(&self.log)
            || leader.peers.iter().any(|peer| peer.step(&self.log, &self.config, news).is_some())
    }
}
