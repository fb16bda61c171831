//! Linearizable reads without the log (thesis §6.4).
//!
//! A leader notes its commit index, confirms by one round of heartbeats that it still leads, and the
//! read may be answered as soon as that index is applied. All reads that wait when a round starts share
//! it; those that come while it is under way share the next one. A follower asks its leader for the
//! index. Before the leader has committed an entry of its own term, it does not know the commit index
//! of its predecessors, so reads wait for that.

use super::leader::Leader;
use super::log::Log;
use super::message::MessageBody;
use super::progress::Progress;
use super::queue::pop_front_if;
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId};
use std::collections::VecDeque;

/// The caller's name for a read; two reads that wait at the same time must not share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadContext(pub u64);

/// A read whose index is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// The caller's name for it.
    pub context: ReadContext,
    /// It may be answered from a state that has applied at least this.
    pub index: Index,
}

/// Why a read was not taken. Nothing will be heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known.
    #[error("no leader is known")]
    NoLeader,
    /// Too many reads wait already.
    #[error("too many reads wait")]
    TooMany,
    /// The disk of this replica has forgotten what it knew.
    #[error("the disk has forgotten")]
    Forgotten,
}

/// Who waits for an index.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// This replica's caller.
    Here(ReadContext),
    /// A follower.
    There(NodeId, u64),
}

#[derive(Debug)]
struct Round {
    number: u64,
    /// The commit index when it began.
    index: Index,
    readers: Vec<Reader>,
}

/// A leader's waiting reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// The number of the newest round.
    newest: u64,
    /// Rounds under way, oldest first: one, and one more for each heartbeat without an answer.
    under_way: VecDeque<Round>,
    /// For the next round.
    waiting: Vec<Reader>,
    /// Readers in all of these.
    count: usize,
}

impl Reads {
    /// The number of the newest round.
    pub(super) fn round(&self) -> u64 {
        self.newest
    }

    /// Whether no read waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn admit(&mut self, reader: Reader, max: usize) -> bool {
        let fits = self.count < max;
        if fits {
            self.waiting.push(reader);
            self.count += 1;
        }
        fits
    }

    fn start(&mut self, index: Index) {
        self.newest += 1;
        let readers = std::mem::take(&mut self.waiting);
        self.under_way.push_back(Round { number: self.newest, index, readers });
    }

    /// All rounds up to `number` are confirmed.
    fn confirm(&mut self, number: u64) -> Vec<Round> {
        let done = self.under_way.partition_point(|round| round.number <= number);
        let rounds: Vec<Round> = self.under_way.drain(..done).collect();
        self.count -= rounds.iter().map(|round| round.readers.len()).sum::<usize>();
        rounds
    }

    fn into_readers(self) -> impl Iterator<Item = Reader> {
        self.under_way.into_iter().flat_map(|round| round.readers).chain(self.waiting)
    }
}

impl Leader {
    /// Whether reads wait that could have a round of their own now.
    pub(super) fn can_start_round(&self, log: &Log) -> bool {
        self.reads.under_way.is_empty() && self.has_readers(log)
    }

    fn has_readers(&self, log: &Log) -> bool {
        let knows_commit = log.commit() >= self.first_index;
        #[cfg(feature = "controls")]
        let knows_commit = knows_commit || active(Control::ReadBeforeFirstCommit);
        !self.reads.waiting.is_empty() && knows_commit
    }
}

/// A read that a follower has asked its leader about.
#[derive(Clone, Copy, Debug)]
struct Question {
    id: u64,
    context: ReadContext,
    asked_at: u64,
}

/// A follower's open questions, oldest first.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    questions: VecDeque<Question>,
}

impl Forwarded {
    /// Takes out the question `id`. Answers come mostly in the order of the questions.
    fn take(&mut self, id: u64) -> Option<ReadContext> {
        let at = self.questions.iter().position(|question| question.id == id)?;
        self.questions.remove(at).map(|question| question.context)
    }
}

impl Raft {
    /// Asks from which index on a linearizable read may be answered: a [`ReadState`] in some later
    /// Ready, or its context in `reads_lost` if the lead changed or the leader did not answer.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn read_index(&mut self, context: ReadContext) -> Result<(), ReadError> {
        let max = self.config.reads_max;
        if self.config.forgotten {
            return Err(ReadError::Forgotten);
        }
        self.wake();
        if let RoleState::Leader(leader) = &mut self.role {
            let taken = leader.reads.admit(Reader::Here(context), max);
            return if taken { Ok(()) } else { Err(ReadError::TooMany) };
        }
        let leader = self.leader().filter(|_| !self.observes_nobody());
        let leader = leader.ok_or(ReadError::NoLeader)?;
        if self.forwarded.questions.len() >= max {
            return Err(ReadError::TooMany);
        }
        // The id is random, so that an answer to a question of an earlier life is never taken for
        // the answer to one of this life.
        let id = self.random.next();
        self.forwarded.questions.push_back(Question { id, context, asked_at: self.ticks });
        self.send(leader, MessageBody::ReadIndex { id });
        Ok(())
    }

    /// A follower asks for an index.
    pub(super) fn handle_read_index(&mut self, from: NodeId, id: u64) -> Result<(), StepError> {
        let max = self.config.reads_max;
        let taken = match &mut self.role {
            RoleState::Leader(leader) => {
                let peer = leader.peer_mut(from).ok_or(StepError::NotMember(from))?;
                peer.heard();
                leader.reads.admit(Reader::There(from, id), max)
            }
            _ => false,
        };
        if !taken {
            self.send(from, MessageBody::ReadIndexResponse { id, index: None });
        }
        Ok(())
    }

    /// The leader has answered a question.
    pub(super) fn handle_read_index_response(
        &mut self,
        from: NodeId,
        id: u64,
        index: Option<Index>,
    ) -> Result<(), StepError> {
        // Questions live only as long as the leader they were put to.
        if self.leader() != Some(from) {
            return Ok(());
        }
        match (self.forwarded.take(id), index) {
            (Some(context), Some(index)) => {
                self.outbox.read_states.push(ReadState { context, index });
            }
            (Some(context), None) => self.outbox.reads_lost.push(context),
            (None, _) => {}
        }
        Ok(())
    }

    /// Starts a round for all reads that wait, unless one is under way.
    pub(super) fn start_round(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.can_start_round(&self.log) {
            leader.reads.start(self.log.commit());
            self.begin_lease();
            self.send_heartbeats(true);
            self.confirm_reads();
        }
    }

    /// Starts a round for all reads that wait, even if an earlier one is under way: its heartbeats
    /// may be lost. The caller sends the heartbeats.
    pub(super) fn start_another_round(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let renews = self.config.lease.is_some() && self.log.commit() >= leader.first_index;
        if renews || leader.has_readers(&self.log) {
            leader.reads.start(self.log.commit());
            self.begin_lease();
            self.confirm_reads();
        }
    }

    fn begin_lease(&mut self) {
        let clock = self.clock;
        if let Some(lease) = self.config.lease
            && let Some(leader) = self.leader_mut()
        {
            leader.lease.begin(leader.reads.round(), clock, lease.millis);
        }
    }

    /// Whether nothing was asked that is not answered.
    pub(super) fn has_no_questions(&self) -> bool {
        self.forwarded.questions.is_empty()
    }

    /// Answers the reads of every round that a quorum has confirmed.
    pub(super) fn confirm_reads(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let own = (self.config.id, leader.reads.newest);
        let number = leader.reached(&self.membership, own, |peer: &Progress| peer.round);
        #[cfg(feature = "controls")]
        let number = if active(Control::ReadWithoutQuorum) { own.1 } else { number };
        if let Some(lease) = self.config.lease {
            // Whoever is not bound may help another into the lead at any time.
            let bound = leader.reached(&self.membership, own, |peer| peer.bound_round);
            let millis = lease.millis;
            #[cfg(feature = "controls")]
            let millis = match active(Control::LeaseWithoutMargin) {
                true => {
                    u64::from(self.config.election_ticks) * crate::limits::TICK.as_millis() as u64
                }
                false => millis,
            };
            leader.lease.confirm(bound, millis);
        }
        for round in leader.reads.confirm(number) {
            for reader in round.readers {
                self.answer_reader(reader, round.index);
            }
        }
    }

    fn answer_reader(&mut self, reader: Reader, index: Index) {
        match reader {
            Reader::Here(context) => self.outbox.read_states.push(ReadState { context, index }),
            Reader::There(to, id) => {
                self.send(to, MessageBody::ReadIndexResponse { id, index: Some(index) });
                // It would hear only with the next heartbeat that this is committed.
                let commit = self.log.commit();
                if let Some(peer) = self.leader_mut().and_then(|leader| leader.peer_mut(to)) {
                    peer.due |= peer.lacks_commit(commit);
                }
            }
        }
    }

    /// The lead is lost: nobody will confirm what waits.
    pub(super) fn lose_reads(&mut self, leader: Leader) {
        for reader in leader.reads.into_readers() {
            match reader {
                Reader::Here(context) => self.outbox.reads_lost.push(context),
                Reader::There(to, id) => {
                    self.send(to, MessageBody::ReadIndexResponse { id, index: None });
                }
            }
        }
    }

    /// The leader is lost: nobody will answer what was asked.
    pub(super) fn lose_forwarded(&mut self) {
        let questions = self.forwarded.questions.drain(..);
        self.outbox.reads_lost.extend(questions.map(|question| question.context));
    }

    /// Gives up questions that were not answered within an election time-out.
    pub(super) fn expire_forwarded(&mut self) {
        let old = self.ticks.saturating_sub(u64::from(self.config.election_ticks));
        while let Some(question) = pop_front_if(&mut self.forwarded.questions, |q| q.asked_at < old)
        {
            self.outbox.reads_lost.push(question.context);
        }
    }
}
