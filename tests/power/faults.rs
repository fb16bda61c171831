//! What goes wrong with single nodes, and when.

use super::network::Network;
use super::node::Node;
use super::parts::{Chance, Death};
use eraft::ids::NodeId;
use eraft::store::disk::Crash;

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct Faults {
    chance: Chance,
    /// What a node that goes down next dies of; by chance, if nothing is said.
    pub(crate) next_death: Option<Death>,
    /// How long it then stays down, microseconds; by chance, if nothing is said.
    pub(crate) next_rest: Option<u64>,
    /// Nodes that went down.
    pub(crate) deaths: u64,
    /// Disks that were told to fail: a power cut within a write, a failed sync.
    pub(crate) broken_disks: u64,
    /// Times that a node heard nothing.
    pub(crate) silences: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        let chance = Chance::new(seed, 2);
        Self { chance, next_death: None, next_rest: None, deaths: 0, broken_disks: 0, silences: 0 }
    }

    /// Time until the next fault, microseconds.
    pub(crate) fn pause(&mut self) -> u64 {
        self.chance.between(10_000, 400_000)
    }

    /// How long a dead node stays down, microseconds.
    pub(crate) fn rest(&mut self) -> u64 {
        self.next_rest.take().unwrap_or_else(|| self.chance.between(1_000, 1_500_000))
    }

    /// What a node dies of.
    pub(crate) fn death(&mut self) -> Death {
        self.deaths += 1;
        let seed = self.chance.next();
        self.next_death.take().unwrap_or(match self.chance.below(5) {
            0 => Death::Power(Crash::Drop),
            1 => Death::Power(Crash::Keep),
            2 | 3 => Death::Power(Crash::Mixed(seed)),
            _ => Death::Process,
        })
    }

    /// Strikes a node: it goes down at once (then it is named), its disk will fail soon, or it hears
    /// nothing for a while. At most one node at a time is struck most of the time, so that the others can
    /// go on.
    pub(crate) fn strike(
        &mut self,
        nodes: &mut [Node],
        network: &mut Network,
        now: u64,
    ) -> Option<NodeId> {
        let position = self.chance.below(nodes.len() as u64) as usize;
        let others_fine = nodes.iter().all(|node| node.process.is_some() && !node.is_doomed);
        let node = &mut nodes[position];
        if node.process.is_none() || node.is_doomed || !(others_fine || self.chance.below(4) == 0) {
            return None;
        }
        match self.chance.below(4) {
            0 => return Some(node.id),
            3 => {
                self.silences += 1;
                network.deafen(node.id, now + self.chance.between(100_000, 3_000_000));
                return None;
            }
            1 => node.disks.log.cut_power_at(node.disks.log.steps() + self.chance.between(1, 12)),
            _ => node.disks.log.fail_sync_at(node.disks.log.syncs() + self.chance.between(1, 6)),
        }
        node.is_doomed = true;
        self.broken_disks += 1;
        None
    }
}
