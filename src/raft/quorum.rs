//! What a majority has decided: pure functions over lists of voters.
//!
//! In joint consensus a decision needs a majority of both lists (thesis §4.3). Learners appear in
//! neither list, so they cannot be counted by mistake. An empty list has no opinion of its own: it
//! agrees with everything, which makes a plain configuration the joint one whose second list is empty.
//! Whether an empty *configuration* may decide anything is asked elsewhere (it may not campaign).

use super::entry::Membership;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::NodeId;
use std::borrow::Cow;

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteResult {
    /// A quorum said yes.
    Won,
    /// So many said no that yes can no longer win.
    Lost,
    /// Neither yet.
    Pending,
}

/// How many of `voters` are a majority.
#[must_use]
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// How a vote among `voters` stands; `vote` says what each has answered, if anything.
pub fn majority_vote(voters: &[NodeId], vote: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
    if voters.is_empty() {
        return VoteResult::Won;
    }
    let (mut yes, mut missing) = (0, 0);
    for &voter in voters {
        match vote(voter) {
            Some(true) => yes += 1,
            Some(false) => {}
            None => missing += 1,
        }
    }
    let needed = majority(voters.len());
    if yes >= needed {
        VoteResult::Won
    } else if yes + missing >= needed {
        VoteResult::Pending
    } else {
        VoteResult::Lost
    }
}

/// The same for a configuration, joint or not.
pub fn joint_vote(
    membership: &Membership,
    vote: impl Fn(NodeId) -> Option<bool> + Copy,
) -> VoteResult {
    let incoming = majority_vote(&incoming(membership), vote);
    let outgoing = majority_vote(outgoing(membership), vote);
    match (incoming, outgoing) {
        (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
        (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
        _ => VoteResult::Pending,
    }
}

/// The largest number that a majority of `voters` has reached; `reached` gives 0 for a voter that has
/// reached nothing. `u64::MAX` if there are no voters.
pub fn majority_reached(voters: &[NodeId], reached: impl Fn(NodeId) -> u64) -> u64 {
    // Groups are small: up to this many voters nothing is allocated.
    const ON_STACK: usize = 16;
    let mut stack = [0; ON_STACK];
    let mut heap = Vec::new();
    let numbers = if voters.len() <= ON_STACK {
        &mut stack[..voters.len()]
    } else {
        heap.resize(voters.len(), 0);
        &mut heap[..]
    };
    if numbers.is_empty() {
        return u64::MAX;
    }
    for (number, &voter) in numbers.iter_mut().zip(voters) {
        *number = reached(voter);
    }
    numbers.sort_unstable();
    numbers[voters.len() - majority(voters.len())]
}

/// The same for a configuration, joint or not.
pub fn joint_reached(membership: &Membership, reached: impl Fn(NodeId) -> u64 + Copy) -> u64 {
    majority_reached(&incoming(membership), reached)
        .min(majority_reached(outgoing(membership), reached))
}

/// Who is counted.
fn incoming(membership: &Membership) -> Cow<'_, [NodeId]> {
    #[cfg(feature = "controls")]
    if active(Control::CountLearner) {
        return [&membership.voters[..], &membership.learners].concat().into();
    }
    Cow::Borrowed(&membership.voters)
}

/// Who is counted besides.
fn outgoing(membership: &Membership) -> &[NodeId] {
    #[cfg(feature = "controls")]
    if active(Control::NewQuorumTooEarly) {
        return &[];
    }
    &membership.outgoing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_vote_is_won_lost_or_open() {
        let voters = nodes(&[1, 2, 3, 4]);
        let count = |yes: u32, no: u32| {
            majority_vote(&voters, |id| {
                if id.0 <= yes {
                    Some(true)
                } else if id.0 <= yes + no {
                    Some(false)
                } else {
                    None
                }
            })
        };
        assert_eq!(count(2, 0), VoteResult::Pending);
        assert_eq!(count(2, 1), VoteResult::Pending);
        assert_eq!(count(2, 2), VoteResult::Lost, "half of four is no majority");
        assert_eq!(count(3, 0), VoteResult::Won);
        assert_eq!(count(0, 2), VoteResult::Lost);
    }

    #[test]
    fn a_joint_decision_needs_both_lists() {
        let membership = Membership {
            voters: nodes(&[1, 2, 3]),
            outgoing: nodes(&[3, 4, 5]),
            ..Membership::default()
        };
        let yes_from = |ids: &'static [u32]| {
            joint_vote(&membership, move |id| ids.contains(&id.0).then_some(true))
        };
        assert_eq!(yes_from(&[1, 2]), VoteResult::Pending);
        assert_eq!(yes_from(&[1, 3]), VoteResult::Pending);
        assert_eq!(yes_from(&[1, 3, 4]), VoteResult::Won);
        let reached = joint_reached(&membership, |id| match id.0 {
            1 | 2 => 9,
            4 => 5,
            _ => 0,
        });
        assert_eq!(reached, 0, "only one of the outgoing list has anything");
    }

    #[test]
    fn what_a_majority_has_reached_agrees_with_counting() {
        let mut random = super::super::random::Random::new(3);
        for size in 1..20u32 {
            let voters = nodes(&(0..size).collect::<Vec<_>>());
            for _ in 0..50 {
                let numbers: Vec<u64> = (0..size).map(|_| u64::from(random.below(6))).collect();
                let counted = (0..6)
                    .filter(|n| numbers.iter().filter(|x| *x >= n).count() * 2 > voters.len())
                    .max();
                let got = majority_reached(&voters, |id| numbers[id.0 as usize]);
                assert_eq!(Some(got), counted, "{numbers:?}");
            }
        }
        assert_eq!(majority_reached(&[], |_| 0), u64::MAX);
    }
}
