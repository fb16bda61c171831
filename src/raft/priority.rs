//! Whose lead is preferred.
//!
//! The caller may give replicas a priority, in every replica's settings alike. It only shifts who is
//! elected among equals, and never whether anybody is:
//! - whom others are preferred to waits longer before it stands for election, a few times; then it stands
//!   like any other, since those who are preferred may lack entries that it has, and interrupt it in vain;
//! - a voter that is preferred to the candidate, has the same log and could stand itself, refuses a few
//!   times, so that it can come first; then it votes like any other;
//! - a leader gives its lead to a preferred voter that is alive and up to date, and pauses for long
//!   between two attempts.
//!
//! Besides, the caller may know replicas that are *unfit* for the moment, because their disks are slow:
//! everybody else is preferred to them, whatever the priorities.

use super::message::MessageBody;
use super::progress::ProgressState;
use super::replica::Raft;
use super::role::RoleState;
use crate::ids::{Index, NodeId, Term};

/// Refusals for the sake of its own priority that a voter allows itself until it hears a leader.
const REFUSALS_MAX: u32 = 2;

/// Longer waits of a replica that others are preferred to, until it hears a leader.
const HANDICAPS_MAX: u32 = 2;

/// Election time-outs between two attempts to give the lead back.
const RETURN_PAUSE: u32 = 8;
/// … and of one that is unfit to lead.
const UNFIT_PAUSE: u32 = 2;

impl Raft {
    /// The priority of a replica; 0 if it has none.
    fn priority(&self, id: NodeId) -> u32 {
        let known = self.config.priorities.iter().find(|known| known.0 == id);
        known.map_or(0, |known| known.1)
    }

    /// Replaces the list of replicas that had better not lead for now. If this one leads and is among
    /// them, it hands its lead to a fit voter that is alive and up to date, at once or as soon as there is
    /// one. The lists of the members may differ: they only shift who leads, and never whether anybody does.
    pub fn set_unfit(&mut self, unfit: Vec<NodeId>) {
        if self.unfit == unfit {
            return;
        }
        let before = self.handicap();
        self.unfit = unfit;
        let timeout = self.election_timeout.saturating_sub(before);
        self.election_timeout = timeout.saturating_add(self.handicap()).max(1);
        if let Some(leader) = self.leader_mut() {
            leader.return_pause = 0;
        }
        self.return_lead();
    }

    /// What decides who is preferred; the fit before the unfit.
    fn rank(&self, id: NodeId) -> (bool, u32) {
        (!self.unfit.contains(&id), self.priority(id))
    }

    /// Ticks to wait longer than a preferred voter does.
    pub(super) fn handicap(&self) -> u32 {
        let own = self.rank(self.config.id);
        let nobody = self.config.priorities.is_empty() && own.0;
        if nobody || self.handicaps >= HANDICAPS_MAX {
            return 0;
        }
        let known = self.membership.everyone();
        let preferred = |&id: &NodeId| self.rank(id) > own && self.membership.is_voter(id);
        if known.iter().any(preferred) { self.config.election_ticks } else { 0 }
    }

    /// Whether to refuse a candidate whose log is fine because this replica would rather lead itself.
    pub(super) fn would_rather_lead(&mut self, candidate: NodeId, last: (Index, Term)) -> bool {
        let refuses = self.refusals < REFUSALS_MAX
            && last == (self.log.last_index(), self.log.last_term())
            && self.rank(self.config.id) > self.rank(candidate)
            && self.may_campaign();
        self.refusals += u32::from(refuses);
        refuses
    }

    /// An election time-out of leading has passed: whether somebody else should lead.
    pub(super) fn return_lead(&mut self) {
        let own = self.rank(self.config.id);
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        leader.return_pause = leader.return_pause.saturating_sub(1);
        let settled = self.log.commit() >= leader.first_index
            && leader.change_index <= self.apply.applied_index()
            && leader.transfer.is_none();
        let nobody = self.config.priorities.is_empty() && own.0;
        if leader.return_pause > 0 || !settled || nobody {
            return;
        }
        let commit = self.log.commit();
        let RoleState::Leader(leader) = &self.role else {
            return;
        };
        let preferred = leader
            .peers
            .iter()
            .filter(|peer| {
                self.membership.is_voter(peer.id)
                    && peer.is_alive(&self.config)
                    && peer.state == ProgressState::Replicate
                    && peer.matched >= commit
            })
            .map(|peer| (self.rank(peer.id), std::cmp::Reverse(peer.id)))
            .max()
            .filter(|best| best.0 > own);
        if let Some((_, std::cmp::Reverse(to))) = preferred {
            _ = self.transfer_leader(to);
            if let Some(leader) = self.leader_mut() {
                leader.return_pause = if own.0 { RETURN_PAUSE } else { UNFIT_PAUSE };
            }
        }
    }

    /// The answer to a candidate that this replica would rather see fail.
    pub(super) fn refuse_for_priority(&mut self, from: NodeId, pre_vote: bool) {
        if pre_vote {
            self.send(from, MessageBody::PreVoteResponse { granted: false });
        } else {
            self.send_after_persist(from, MessageBody::VoteResponse { granted: false });
        }
    }
}
