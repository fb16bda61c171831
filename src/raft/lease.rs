//! Reads on the word of a quorum that has not expired (thesis §6.4.1). Opt-in.
//!
//! Who answers a heartbeat promises to help nobody else into the lead for an election time-out. So from
//! the moment at which a heartbeat was sent that a quorum has answered, a leader may serve reads for
//! somewhat less than that time without asking again. The core has no clock: the caller tells it the
//! time, in milliseconds of a clock that never goes back and counts the time during which the machine
//! sleeps. Times that are told too late only make leases shorter.
//!
//! What the promise needs:
//! - a voter says with each answer whether it gives it, and only such answers count: leases may be on in
//!   one place and off in another;
//! - a voter keeps it whatever else it hears, and through a restart: it is bound from its start on,
//!   because it may have promised just before;
//! - only the leader itself can release it, by `TimeoutNow`; after that it serves no read by lease for
//!   the rest of its term;
//! - the leader checks again when the answer is ready: between check and answer it may have slept;
//! - a lease ends with the membership under which it was given, and when the group falls asleep.

use super::leader::Leader;
use super::queue::pop_front_if;
use super::replica::Raft;
use super::role::RoleState;
use crate::ids::{Index, NodeId, Term};
use std::collections::VecDeque;

/// A read that may be prepared, and answered if [`Raft::lease_holds`] still says so then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRead {
    /// It may be answered from a state that has applied at least this.
    pub index: Index,
    /// The term in which the reader led.
    term: Term,
    until: u64,
}

impl LeaseRead {
    /// The answer may be given if a clock that is read after it was prepared shows less than this,
    /// milliseconds. As good as [`Raft::lease_holds`], for whoever prepares answers away from the core; it
    /// only does not know of a lease that was renewed meanwhile.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.until
    }
}

/// Why a read cannot be served by lease now; by asking a quorum it may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Leases are off.
    #[error("leases are off")]
    Off,
    /// This replica does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// This leader has not committed anything of its term: it does not know what is committed.
    #[error("nothing of this term is committed yet")]
    NotYet,
    /// This leader has released its voters, to hand over the lead.
    #[error("the lead was offered to another")]
    Released,
    /// No quorum has answered lately.
    #[error("the lease has expired")]
    Expired,
}

/// A leader's lease.
#[derive(Debug, Default)]
pub(super) struct LeaseState {
    /// Rounds of heartbeats not yet answered by a quorum, and when each began.
    pub(super) begun: VecDeque<(u64, u64)>,
    /// The lease ends before this.
    until: u64,
    /// The lead was offered to another.
    pub(super) released: bool,
}

impl LeaseState {
    /// Round `number` begins at `now`, or later. Rounds that could give no lease any more are forgotten.
    pub(super) fn begin(&mut self, number: u64, now: u64, millis: u64) {
        let over = |round: &(u64, u64)| round.1.saturating_add(millis) <= now;
        while pop_front_if(&mut self.begun, over).is_some() {}
        self.begun.push_back((number, now));
    }

    /// Nothing that was said so far is relied on any more.
    pub(super) fn forget(&mut self) {
        self.begun.clear();
        self.until = 0;
    }

    /// A quorum has answered all rounds up to `number`.
    pub(super) fn confirm(&mut self, number: u64, millis: u64) {
        let done = self.begun.partition_point(|round| round.0 <= number);
        if let Some((_, began)) = self.begun.drain(..done).next_back() {
            self.until = self.until.max(began.saturating_add(millis));
        }
    }
}

impl Leader {
    fn lease(&self, now: u64) -> Result<(), LeaseError> {
        if self.lease.released {
            return Err(LeaseError::Released);
        }
        if now < self.lease.until { Ok(()) } else { Err(LeaseError::Expired) }
    }
}

impl Raft {
    /// Tells the time: to be called before anything else that happens at that time. Only leases depend
    /// on it. An earlier time than the last one is ignored.
    pub fn set_clock(&mut self, millis: u64) {
        self.clock = self.clock.max(millis);
    }

    /// Asks whether a read may be served by lease at the time `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn lease_read(&mut self, now: u64) -> Result<LeaseRead, LeaseError> {
        self.set_clock(now);
        if self.config.lease.is_none() {
            return Err(LeaseError::Off);
        }
        let RoleState::Leader(leader) = &self.role else {
            return Err(LeaseError::NotLeader { leader: self.leader() });
        };
        if self.log.commit() < leader.first_index {
            return Err(LeaseError::NotYet);
        }
        leader.lease(self.clock)?;
        let until = leader.lease.until;
        // Who reads does not want to fall asleep.
        self.wake();
        Ok(LeaseRead { index: self.log.commit(), term: self.term, until })
    }

    /// Whether the answer to `read`, prepared in the meantime, may still be given at the time `now`,
    /// which must have been read from the clock after the answer was prepared.
    #[must_use]
    pub fn lease_holds(&self, read: &LeaseRead, now: u64) -> bool {
        let RoleState::Leader(leader) = &self.role else {
            return false;
        };
        read.term == self.term && leader.lease(now.max(self.clock)).is_ok()
    }

    /// A leader was heard: no other will be helped for an election time-out.
    pub(super) fn bind(&mut self) {
        self.bound_until = self.ticks + u64::from(self.config.election_ticks);
    }

    /// Whether a leader may rely on this replica not to elect another.
    pub(super) fn is_bound(&self) -> bool {
        self.config.lease.is_some() && self.ticks < self.bound_until
    }
}
