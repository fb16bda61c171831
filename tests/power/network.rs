//! The network between the nodes: every message takes its own time, so they overtake each other, and a
//! few never arrive.

use super::parts::Chance;
use eraft::ids::NodeId;
use eraft::raft::Message;
use std::collections::BTreeMap;

/// One message in so many is lost.
const LOST_ONE_IN: u64 = 300;
/// One in so many takes much longer than the others.
const SLOW_ONE_IN: u64 = 20;

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct Network {
    chance: Chance,
    /// Nodes that hear nothing, and until when; they are heard all the same.
    deaf: BTreeMap<NodeId, u64>,
    /// Messages that were lost.
    pub(crate) lost: u64,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed, 0x6e_6574), deaf: BTreeMap::new(), lost: 0 }
    }

    /// Nothing gets through to this node until then, microseconds.
    pub(crate) fn deafen(&mut self, node: NodeId, until: u64) {
        self.deaf.insert(node, until);
    }

    /// All hear again.
    pub(crate) fn heal(&mut self) {
        self.deaf.clear();
    }

    /// How long this message takes, microseconds; `None` if it gets lost.
    pub(crate) fn delay(&mut self, message: &Message, now: u64) -> Option<u64> {
        let is_deaf = self.deaf.get(&message.to).is_some_and(|until| now < *until);
        if is_deaf || self.chance.below(LOST_ONE_IN) == 0 {
            self.lost += 1;
            return None;
        }
        let slow = self.chance.below(SLOW_ONE_IN) == 0;
        Some(if slow { self.chance.between(2_000, 20_000) } else { self.chance.between(50, 1_000) })
    }
}
