//! Who leads the groups that have no member here: a guess, mended by whoever was asked in vain.

use crate::ids::{GroupId, NodeId};
use crate::shard::GroupInfo;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// How many names are followed in a row before the next of the table's replicas is asked: replicas that were
/// removed may name each other for ever.
const NAMES_MAX: u8 = 2;

/// See the module's first line. Written by the routers; as many guesses as the table has groups.
#[derive(Debug, Default)]
pub(crate) struct Guesses(RwLock<BTreeMap<GroupId, Guess>>);

#[derive(Clone, Copy, Debug)]
struct Guess {
    node: NodeId,
    /// Whom the table gave last, and how many names have been followed since.
    listed: NodeId,
    names: u8,
}

impl Guesses {
    /// Whom to ask: who was named last, or else whom the table prefers.
    pub(crate) fn leader(&self, group: GroupId, info: &GroupInfo) -> NodeId {
        self.get(group, info).node
    }

    /// Who was asked does not lead the group, or is not there; perhaps it has named another. Without a
    /// name the next of the table's replicas is asked. A newer guess stays.
    pub(crate) fn wrong(
        &self,
        group: GroupId,
        info: &GroupInfo,
        asked: NodeId,
        named: Option<NodeId>,
    ) {
        let Guess { node, listed, names } = self.get(group, info);
        if node != asked {
            return;
        }
        let named = named.filter(|node| *node != asked && names < NAMES_MAX);
        let next = info.replicas.iter().find(|node| **node > listed).or(info.replicas.first());
        let guess = match (named, next) {
            (Some(node), _) => Guess { node, listed, names: names + 1 },
            (None, Some(&node)) => Guess { node, listed: node, names: 0 },
            (None, None) => return,
        };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(group, guess);
    }

    fn get(&self, group: GroupId, info: &GroupInfo) -> Guess {
        let guesses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let first = Guess { node: info.preferred_leader, listed: info.preferred_leader, names: 0 };
        guesses.get(&group).copied().unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Incarnation;
    use crate::shard::ReplicatedLimits;

    fn info(replicas: Vec<NodeId>, preferred_leader: NodeId) -> GroupInfo {
        let founders = replicas.iter().map(|node| (*node, Incarnation(1))).collect();
        let (observers, secretaries) = (Vec::new(), Vec::new());
        let (recovery, left_behind) = (None, Vec::new());
        GroupInfo {
            founders,
            first_buckets: Vec::new(),
            first_limits: ReplicatedLimits::default(),
            joined: true,
            replicas,
            preferred_leader,
            observers,
            secretaries,
            recovery,
            left_behind,
        }
    }

    #[test]
    fn a_wrong_guess_is_mended_by_a_name_or_by_the_next_replica() {
        let info = info(vec![NodeId(2), NodeId(4), NodeId(5)], NodeId(4));
        let (group, guesses) = (GroupId(1), Guesses::default());
        assert_eq!(guesses.leader(group, &info), NodeId(4));
        guesses.wrong(group, &info, NodeId(4), None);
        assert_eq!(guesses.leader(group, &info), NodeId(5));
        guesses.wrong(group, &info, NodeId(4), Some(NodeId(7)));
        assert_eq!(guesses.leader(group, &info), NodeId(5), "that answer is of an older guess");
        guesses.wrong(group, &info, NodeId(5), None);
        assert_eq!(guesses.leader(group, &info), NodeId(2), "and round again");
        guesses.wrong(group, &info, NodeId(2), Some(NodeId(7)));
        assert_eq!(guesses.leader(group, &info), NodeId(7), "a member that the table lacks");
        guesses.wrong(group, &info, NodeId(7), Some(NodeId(7)));
        assert_eq!(guesses.leader(group, &info), NodeId(4), "its own name is none");
    }

    #[test]
    fn two_who_name_each_other_are_not_asked_for_ever() {
        let (group, guesses) = (GroupId(1), Guesses::default());
        let info = info(vec![NodeId(1), NodeId(2), NodeId(3)], NodeId(1));
        let mut asked = Vec::new();
        for _ in 0..8 {
            let node = guesses.leader(group, &info);
            let other = NodeId(3 - node.0.min(2));
            guesses.wrong(group, &info, node, Some(other).filter(|_| node != NodeId(3)));
            asked.push(node);
        }
        assert!(asked.contains(&NodeId(3)), "{asked:?}");
    }
}
