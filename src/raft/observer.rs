//! Observers: replicas outside the membership, for reading.
//!
//! A leader feeds them like learners, and nothing that they say counts, so they are added and removed by
//! [`Raft::set_observers`] alone, without an entry. An observer never votes and never stands. Nobody has
//! admitted it, so its disk may be another one than it was: it believes a leader only as far as it has
//! compared its log with that leader's, in that term; if the leader seems to believe more, it says so,
//! and the leader looks anew for the place where the logs agree.

use super::message::{MessageBody, RejectHint};
use super::replica::Raft;
use super::role::RoleState;
use crate::ids::{Index, NodeId};

impl Raft {
    /// Which observers this replica feeds while it leads. The same list again changes nothing; who is a
    /// member is none.
    pub fn set_observers(&mut self, ids: &[NodeId]) {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if ids == self.observers {
            return;
        }
        self.observers = ids;
        self.wake();
        let last = self.log.last_index();
        if let RoleState::Leader(leader) = &mut self.role {
            let observers = &self.observers;
            leader.follow_membership(&self.membership, observers, &[], &self.config, last);
        }
    }

    /// Whether this replica is an observer.
    #[must_use]
    pub fn is_observer(&self) -> bool {
        self.config.observer
    }

    /// Whether `id` gets the group's entries: a member, or an observer that this replica knows of.
    #[must_use]
    pub fn feeds(&self, id: NodeId) -> bool {
        self.membership.contains(id) || self.observers.binary_search(&id).is_ok()
    }

    /// Whether this observer can answer reads soon: it follows a leader, and its state is there.
    #[must_use]
    pub fn can_observe(&self) -> bool {
        let follows = self.leader().is_some() && !self.observes_nobody();
        self.config.observer && follows && !self.has_lost_state()
    }

    /// Whether this observer has not heard its leader for so long that a read would wait in vain.
    pub(super) fn observes_nobody(&self) -> bool {
        self.config.observer && self.election_elapsed >= self.config.election_ticks
    }

    /// The log agrees with the leader's of this term up to `index`.
    pub(super) fn agrees(&mut self, index: Index) {
        let before = if self.agreed.0 == self.term { self.agreed.1 } else { Index(0) };
        self.agreed = (self.term, before.max(index));
    }

    /// The leader believes that this log agrees with its own up to `index`: whether that is known here.
    /// If not, this observer says where to look; it may say so again and again, until it is heard.
    pub(super) fn observer_agrees(&mut self, leader: NodeId, index: Index) -> bool {
        let known = if self.agreed.0 == self.term { self.agreed.1 } else { Index(0) };
        if index <= known.max(self.log.commit()) {
            return true;
        }
        let hint = RejectHint { index: self.log.last_index(), term: self.log.last_term() };
        self.send(leader, MessageBody::AppendResponse { index, reject: Some(hint) });
        false
    }
}
