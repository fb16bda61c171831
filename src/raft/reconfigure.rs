//! Changing who belongs to the group.
//!
//! A change is an entry like any other; it takes effect on each replica when that replica applies it,
//! so a change is decided by the quorum of the membership before it. Only one is under way at a time. A
//! leader that finds itself outside, or without a vote, makes room for another.

use super::change::{ChangeError, Changed, MembershipChange, Transition};
use super::entry::{EntryKind, Membership};
use super::leader::ProposeError;
use super::replica::Raft;
use super::role::RoleState;
use crate::ids::{Index, NodeId, Term};

impl Raft {
    /// Puts a change of the membership at the end of the log and answers where; what holds for
    /// [`Raft::propose`] holds here too.
    ///
    /// # Errors
    /// When it is certain not to be done.
    pub fn propose_change(
        &mut self,
        change: &MembershipChange,
    ) -> Result<(Index, Term), ProposeError> {
        self.proposer()?;
        if matches!(change.transition, Transition::Recovery(_)) {
            return Err(ChangeError::Recovery.into());
        }
        if self.config.validate_changes {
            self.check_change(change)?;
        }
        let position = self.append(EntryKind::Membership, change.encode())?;
        self.proposer()?.change_index = position.0;
        Ok(position)
    }

    /// Whether this leader could make the change now.
    fn check_change(&self, change: &MembershipChange) -> Result<(), ProposeError> {
        let RoleState::Leader(leader) = &self.role else {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        };
        if leader.change_index > self.apply.applied_index() {
            return Err(ProposeError::ChangeInFlight { through: leader.change_index });
        }
        if self.config.changes_await_commit && self.log.commit() < leader.first_index {
            return Err(ProposeError::ChangeInFlight { through: leader.first_index });
        }
        let Changed { membership, .. } = change.apply(&self.membership)?;
        let Some(lag_max) = self.config.promotion_lag_max else {
            return Ok(());
        };
        let promoted = membership.voters.iter().filter(|&&id| !self.membership.is_voter(id));
        for &id in promoted {
            let matched = leader.peer(id).map_or(Index(0), |peer| peer.matched);
            let lag = self.log.last_index().0.saturating_sub(matched.0);
            if lag > lag_max {
                return Err(ProposeError::Lags { id, lag });
            }
        }
        Ok(())
    }

    /// The caller applies an entry of kind `Membership` with this payload: what it makes of the
    /// membership is in force from now on. To be called before [`Raft::applied`] for that entry.
    ///
    /// # Errors
    /// When the entry has no effect, which is so on every replica.
    pub fn apply_change(&mut self, data: &[u8]) -> Result<&Membership, ChangeError> {
        let changed = MembershipChange::decode(data)?.apply(&self.membership)?;
        self.adopt(changed.membership, &changed.newcomers);
        Ok(&self.membership)
    }

    /// The caller has applied an entry that carries this membership: it is in force from now on.
    ///
    /// # Panics
    /// When the lists are not sorted or hold duplicates.
    pub fn membership_applied(&mut self, membership: Membership) {
        assert!(membership.is_sorted(), "lists of a membership are sorted and without duplicates");
        self.adopt(membership, &[]);
    }

    fn adopt(&mut self, membership: Membership, newcomers: &[NodeId]) {
        self.apply.end_blank();
        self.membership = membership;
        self.marks_commit = true;
        self.wake();
        let stands = matches!(self.role, RoleState::PreCandidate(_) | RoleState::Candidate(_));
        if stands && !self.is_promotable() {
            // A refuser has told it that it was removed: the votes that others give count no more.
            return self.become_follower(self.term, None);
        }
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let last = self.log.last_index();
        let observers = &self.observers;
        leader.follow_membership(&self.membership, observers, newcomers, &self.config, last);
        // Those who were bound may not be the ones who elect.
        leader.lease.forget();
        if !self.membership.is_voter(self.config.id) {
            if self.config.step_down_on_removal {
                if !self.config.eager_commit {
                    // Who is to lead next must learn that this change is committed.
                    self.send_heartbeats(false);
                }
                self.become_follower(self.term, None);
            }
            return;
        }
        leader.transfer = leader.transfer.filter(|transfer| self.membership.is_voter(transfer.to));
        // A smaller quorum may have been waiting for less.
        self.leader_commit();
        self.confirm_reads();
    }

    /// Leaves a joint configuration that is to be left without being asked, once it is applied. What
    /// hinders it now is tried again with the next entry applied, and with each tick.
    pub(super) fn leave_joint_by_itself(&mut self) {
        let RoleState::Leader(leader) = &self.role else {
            return;
        };
        if !self.membership.auto_leave || leader.change_index > self.apply.applied_index() {
            return;
        }
        let data = MembershipChange::leave().encode();
        if let Ok((index, _)) = self.append(EntryKind::Membership, data)
            && let Some(leader) = self.leader_mut()
        {
            leader.change_index = index;
        }
    }

    /// Whether a committed change of the membership is not applied here yet: then this replica does
    /// not know who may elect it.
    pub(super) fn has_unapplied_change(&self) -> bool {
        self.log.may_change_membership(self.apply.applied_index(), self.log.commit())
    }

    /// Whether this replica may start an election: it has a vote, and its state is not older than
    /// its log's start.
    pub(super) fn is_promotable(&self) -> bool {
        let counts = !self.config.forgotten && !self.config.observer;
        counts
            && self.membership.means(self.config.id, self.config.disk)
            && self.membership.is_voter(self.config.id)
            && !self.has_lost_state()
    }
}
