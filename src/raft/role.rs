//! What a replica is at the moment: one value, with what belongs to that role inside.
//!
//! ```text
//!              time-out            would win           won
//!   Follower ──────────► PreCandidate ────► Candidate ─────► Leader
//!      ▲                      │                 │               │
//!      └──────────────────────┴── lost, or a leader, or a newer term
//! ```

use super::entry::Membership;
use super::leader::Leader;
use super::quorum::{VoteResult, joint_vote};
use crate::ids::NodeId;
use std::fmt;

/// The name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        })
    }
}

/// A role with its data.
#[derive(Debug)]
pub(super) enum RoleState {
    /// With the leader of this term, once it is known.
    Follower(Option<NodeId>),
    PreCandidate(Votes),
    Candidate(Votes),
    Leader(Box<Leader>),
}

impl RoleState {
    pub(super) fn name(&self) -> Role {
        match self {
            RoleState::Follower(_) => Role::Follower,
            RoleState::PreCandidate(_) => Role::PreCandidate,
            RoleState::Candidate(_) => Role::Candidate,
            RoleState::Leader(_) => Role::Leader,
        }
    }
}

/// The answers to one election. Each voter's first answer counts.
#[derive(Debug, Default)]
pub(super) struct Votes {
    answers: Vec<(NodeId, bool)>,
}

impl Votes {
    /// Takes down an answer.
    pub(super) fn record(&mut self, voter: NodeId, granted: bool) {
        if !self.answers.iter().any(|answer| answer.0 == voter) {
            self.answers.push((voter, granted));
        }
    }

    /// How the election stands; who has no vote is not counted.
    pub(super) fn result(&self, membership: &Membership) -> VoteResult {
        joint_vote(membership, |id| {
            self.answers.iter().find(|answer| answer.0 == id).map(|answer| answer.1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_strangers_and_second_answers_do_not_count() {
        let membership = Membership {
            learners: vec![NodeId(4)],
            ..Membership::of_voters([NodeId(1), NodeId(2), NodeId(3)])
        };
        let mut votes = Votes::default();
        for voter in [1, 4, 5, 1] {
            votes.record(NodeId(voter), true);
        }
        votes.record(NodeId(2), false);
        votes.record(NodeId(2), true);
        assert_eq!(votes.result(&membership), VoteResult::Pending);
        votes.record(NodeId(3), true);
        assert_eq!(votes.result(&membership), VoteResult::Won);
    }
}
