//! Handing the lead to another replica (thesis §3.10).
//!
//! The leader takes no proposals, brings the target's log up to its own, and tells it to campaign at
//! once. If that has not deposed the leader within an election time-out, it goes on leading.

use super::leader::Leader;
use super::message::MessageBody;
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
use crate::ids::NodeId;

/// A transfer under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) to: NodeId,
    elapsed: u32,
}

/// Why the lead cannot be transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This replica does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// The target has no vote in the group, or is this replica itself.
    #[error("{0} is no other voter")]
    NotVoter(NodeId),
    /// A transfer to another replica is under way.
    #[error("a transfer to {to} is under way")]
    InProgress {
        /// That replica.
        to: NodeId,
    },
}

impl Leader {
    /// A tick passed: a transfer that has not succeeded within an election time-out is given up.
    pub(super) fn tick_transfer(&mut self, election_ticks: u32) {
        if let Some(transfer) = &mut self.transfer {
            transfer.elapsed += 1;
            if transfer.elapsed >= election_ticks {
                self.transfer = None;
            }
        }
    }
}

impl Raft {
    /// Hands the lead to `to`, as soon as its log is complete. Asking twice for the same target
    /// changes nothing.
    ///
    /// # Errors
    /// When nothing was begun.
    pub fn transfer_leader(&mut self, to: NodeId) -> Result<(), TransferError> {
        let own = self.config.id;
        self.wake();
        let RoleState::Leader(leader) = &mut self.role else {
            return Err(TransferError::NotLeader { leader: self.leader() });
        };
        match leader.transfer {
            Some(transfer) if transfer.to == to => return Ok(()),
            Some(transfer) => return Err(TransferError::InProgress { to: transfer.to }),
            None => {}
        }
        if to == own || !self.membership.is_voter(to) {
            return Err(TransferError::NotVoter(to));
        }
        leader.transfer = Some(Transfer { to, elapsed: 0 });
        let last = self.log.last_index();
        if let Some(peer) = leader.peer_mut(to) {
            peer.due |= peer.matched < last;
        }
        self.finish_transfer(to);
        Ok(())
    }

    /// `peer` has acknowledged something: if it is the target and has everything, it may campaign.
    pub(super) fn finish_transfer(&mut self, peer: NodeId) {
        let last = self.log.last_index();
        let RoleState::Leader(leader) = &self.role else {
            return;
        };
        let ready = leader.transfer.is_some_and(|transfer| transfer.to == peer)
            && leader.peer(peer).is_some_and(|peer| peer.matched == last);
        if ready {
            if let Some(leader) = self.leader_mut() {
                leader.lease.released = true;
            }
            self.send(peer, MessageBody::TimeoutNow);
        }
    }

    /// The leader wants this replica to take over.
    pub(super) fn handle_timeout_now(&mut self, from: NodeId) -> Result<(), StepError> {
        match self.role {
            RoleState::Follower(Some(leader)) if leader == from => {}
            RoleState::Follower(Some(_)) | RoleState::Leader(_) => {
                return Err(StepError::RivalLeader(from));
            }
            // One that had not heard of this term's leader yet; now it has.
            _ => {}
        }
        if self.may_campaign() {
            self.become_candidate(true);
        }
        Ok(())
    }

    /// Gives up a transfer under way: this leader leads on, unless the target has been told already
    /// and wins its election.
    pub fn abort_transfer(&mut self) {
        if let Some(leader) = self.leader_mut() {
            leader.transfer = None;
        }
    }
}
