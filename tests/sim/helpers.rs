//! Observers and secretaries. Some seeds have nodes that no group ever admits; a list, as the config table
//! keeps one, names them for each group as an observer, as a secretary, or not at all, and changes now and
//! then.
//!
//! ```text
//!  list 3 ──┬─ at once ────► n1: its leaders feed and employ by list 3
//!           ├─ much later ─► n2: still by list 2
//!           └─ … started ──► n6: perhaps by list 1 first; a secretary that begins with nothing
//! ```
//!
//! What these nodes keep counts for nothing, so they are struck at any time: their processes die, and their
//! disks are lost.

use super::cluster::{Chance, Death};
use super::coverage::Kind;
use super::swarm::GROUPS;
use super::world::{Happening, Parcel, World};
use eraft::actors::group::event::Event;
use eraft::ids::{GroupId, NodeId};
use eraft::store::disk::Crash;
use std::collections::BTreeMap;

/// Until the last node has heard of a list, microseconds.
const HEARD_WITHIN: u64 = 1_500_000;

/// Whom a group should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    observers: Vec<NodeId>,
    secretaries: Vec<NodeId>,
}

/// For each group.
type List = [Named; GROUPS.len()];

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct Helpers {
    chance: Chance,
    /// Between two changes, microseconds, on average.
    pause: u64,
    /// All lists so far.
    lists: Vec<List>,
    /// The newest one that each node has heard of in this life.
    heard: BTreeMap<NodeId, usize>,
}

impl Helpers {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0x6c69_7374);
        let pause = chance.pick(&[100_000, 300_000, 900_000]);
        Self { chance, pause, lists: Vec::new(), heard: BTreeMap::new() }
    }

    /// Some list of these nodes.
    fn choose(&mut self, nodes: &[NodeId]) -> List {
        let mut list = List::default();
        for named in &mut list {
            for node in nodes {
                match self.chance.below(5) {
                    0 | 1 => named.observers.push(*node),
                    2 | 3 => named.secretaries.push(*node),
                    _ => {}
                }
            }
        }
        list
    }

    /// The observers that the newest list names.
    fn observers(&self, group: GroupId) -> &[NodeId] {
        let at = GROUPS.iter().position(|one| *one == group);
        let named = self.lists.last().zip(at).map(|(list, at)| &list[at]);
        named.map_or(&[], |named| &named.observers)
    }
}

impl World {
    /// Whether a node is one that no group admits.
    pub(crate) fn helps(&self, id: NodeId) -> bool {
        self.swarm.shape.helpers.contains(&id)
    }

    /// The first list, if there is anybody to be named.
    pub(crate) fn begin_helpers(&mut self) {
        if !self.swarm.shape.helpers.is_empty() {
            self.name_helpers();
            self.plan_helpers();
        }
    }

    /// Another list, or trouble with those that are named.
    pub(crate) fn change_helpers(&mut self) {
        if self.is_calm {
            return;
        }
        match self.helpers.chance.below(3) {
            0 => self.strike_helper(),
            _ => self.name_helpers(),
        }
        self.plan_helpers();
    }

    fn plan_helpers(&mut self) {
        let after = self.helpers.chance.between(self.helpers.pause / 4, 2 * self.helpers.pause);
        self.plan(after, Happening::Helpers);
    }

    fn name_helpers(&mut self) {
        let list = self.helpers.choose(&self.swarm.shape.helpers);
        let number = self.helpers.lists.len();
        self.note(|| format!("list {number} names {list:?}"), &[15]);
        self.helpers.lists.push(list);
        for id in self.swarm.shape.nodes.clone() {
            let within = self.helpers.chance.pick(&[5_000, 50_000, HEARD_WITHIN]);
            let after = self.helpers.chance.below(within);
            self.plan(after, Happening::Hear(id, number));
        }
    }

    /// A node that has just started knows no list. It may hear of an old one first.
    pub(crate) fn name_helpers_anew(&mut self, id: NodeId) {
        self.helpers.heard.remove(&id);
        let count = self.helpers.lists.len();
        let Some(newest) = count.checked_sub(1) else { return };
        let first = match self.helpers.chance.below(3) {
            0 => self.helpers.chance.below(count as u64) as usize,
            _ => newest,
        };
        let soon = self.helpers.chance.below(50_000);
        self.plan(soon, Happening::Hear(id, first));
        let later = soon + self.helpers.chance.below(HEARD_WITHIN);
        self.plan(later, Happening::Hear(id, newest));
    }

    /// A node hears of a list.
    pub(crate) fn hear_of_helpers(&mut self, id: NodeId, number: usize) {
        let node = &mut self.nodes[id.0 as usize - 1];
        let known = self.helpers.heard.get(&id);
        let Some(process) = node.process.as_mut().filter(|_| known.is_none_or(|n| *n < number))
        else {
            return;
        };
        self.helpers.heard.insert(id, number);
        self.coverage.count(Kind::HelpersNamed);
        for (group, named) in GROUPS.into_iter().zip(&self.helpers.lists[number]) {
            let Named { observers, secretaries } = named.clone();
            match secretaries.contains(&id) {
                true => process.secretaries.employ(group, id),
                false => process.secretaries.dismiss(group),
            }
            process.push(group, Event::Helpers { observers, secretaries });
        }
        self.note(|| format!("{id} hears of list {number}"), &[16, id.0 as u8]);
        self.plan_turns(id);
    }

    /// The secretaries on a node have their turn.
    pub(crate) fn pass_on(&mut self, id: NodeId) {
        let process = self.node_mut(id).process.as_mut().expect("it lives");
        for (group, message) in process.secretaries.turn() {
            let (to, disks) = (message.to, [self.disk(id), self.disk(message.to)]);
            self.send(id, to, Parcel::Raft(group, message, disks[0], disks));
        }
    }

    /// Something happens to one of these nodes.
    fn strike_helper(&mut self) {
        let id = self.helpers.chance.pick(&self.swarm.shape.helpers);
        let blow = self.helpers.chance.below(4);
        let node = self.node(id);
        let is_lost = node.is_lost || node.bitrot.is_done();
        match blow {
            0 | 1 if is_lost || node.is_fine() => self.wipe(id, false),
            _ if !node.is_fine() => {}
            2 => self.strike_down(id, Death::Power(Crash::Drop)),
            _ => self.strike_down(id, Death::Process),
        }
    }

    /// The observers that a group should have, and that take part.
    pub(crate) fn observers(&self, group: GroupId) -> impl Iterator<Item = NodeId> {
        let all = self.helpers.observers(group).iter().copied();
        all.filter(move |id| self.node(*id).takes_part(group, None))
    }

    /// Whether any group should have this observer.
    pub(crate) fn is_observer(&self, id: NodeId) -> bool {
        GROUPS.into_iter().any(|group| self.helpers.observers(group).contains(&id))
    }
}
