//! What brings a group's membership to what the config table wishes, one step at a time. A plain struct that
//! the group's leader asks: it is told how things are, and says what to do next.
//!
//! ```text
//!   a node that the table names says hello     ──► learner, by the disk it says hello with
//!   learners that have everything              ──► voters    ┐ together, through a joint
//!   voters that the table names no more        ──► gone      ┘ configuration if several
//!   a replica that says it has forgotten       ──► gone
//!   the leader itself, if it is named no more  ──► hands the lead over, and is removed by the next
//! ```
//!
//! What must always hold:
//! - one change at a time, and none that would leave fewer living voters than a majority;
//! - whoever comes back with another disk loses its vote before the new disk is anything but a learner;
//! - voters go only when all that are to stay are voters, so that the data is there before it is deleted.

use crate::ids::{GroupId, Incarnation, NodeId};
use crate::limits;
use crate::raft::quorum::majority;
use crate::raft::{
    Change, ChangeKind, Membership, MembershipChange, PeerStatus, ProgressState, Status,
};
use crate::shard::{Table, TableStamp};
use crate::time::MonoMillis;
use std::collections::BTreeMap;

/// What a node says of itself is forgotten after this; it says it again before that, milliseconds.
const WORD_MILLIS: u64 = 12_000;
/// A learner is made a voter when it has had everything for so long, milliseconds.
const STEADY_MILLIS: u64 = 300;
/// So long a leader that has to go tries to hand the lead over, milliseconds; then it goes anyway.
const HAND_OVER_MILLIS: u64 = 6_000;
/// Between two attempts to hand the lead over, milliseconds.
const HAND_OVER_AGAIN_MILLIS: u64 = 1_000;

/// What the config table wishes for one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Which table says so.
    pub table: TableStamp,
    /// The nodes that should hold a replica, sorted.
    pub replicas: Vec<NodeId>,
}

impl Wish {
    /// What a table wishes for a group, if it knows the group.
    #[must_use]
    pub fn of(table: &Table, group: GroupId) -> Option<Self> {
        let replicas = table.groups.get(&group)?.replicas.clone();
        Some(Self { table: table.stamp(), replicas })
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Care {
    /// Nothing, until something changes.
    Rest,
    /// Something is under way, or cannot be done yet: ask again soon.
    Wait,
    /// Propose this.
    Change(MembershipChange),
    /// Give the lead to this node.
    HandOver(NodeId),
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Caretaker {
    wish: Wish,
    /// The disk by which a replica on that node wants to be known, and when it said so last.
    arrived: BTreeMap<NodeId, (Incarnation, MonoMillis)>,
    /// A replica whose disk has forgotten something, and when it said so last.
    forgotten: BTreeMap<NodeId, (Incarnation, MonoMillis)>,
    /// Since when a learner has had everything.
    steady: BTreeMap<NodeId, MonoMillis>,
    /// Since when this leader tries to hand the lead over, and when it tried last.
    handing: Option<(MonoMillis, MonoMillis)>,
}

impl Caretaker {
    /// What the table wishes. An older table than the one known changes nothing.
    pub fn wishes(&mut self, wish: Wish) {
        if wish.table >= self.wish.table {
            self.wish = wish;
        }
    }

    /// Whether the newest table known wishes for a replica on `node`.
    #[must_use]
    pub fn wants(&self, node: NodeId) -> bool {
        self.wish.replicas.contains(&node)
    }

    /// A replica on `node` is there, and wants to belong to the group under this disk.
    pub fn arrived(&mut self, node: NodeId, disk: Incarnation, now: MonoMillis) {
        if self.arrived.len() < limits::MEMBERS_MAX || self.arrived.contains_key(&node) {
            self.arrived.insert(node, (disk, now));
        }
    }

    /// The replica on `node` with this disk has forgotten what it promised.
    pub fn forgotten(&mut self, node: NodeId, disk: Incarnation, now: MonoMillis) {
        if self.forgotten.len() < limits::MEMBERS_MAX || self.forgotten.contains_key(&node) {
            self.forgotten.insert(node, (disk, now));
        }
    }

    /// What to do, as the leader with this status.
    pub fn step(&mut self, seen: &Status, now: MonoMillis) -> Care {
        let is_fresh = |word: &(Incarnation, MonoMillis)| now.since(word.1) < WORD_MILLIS;
        self.arrived.retain(|_, word| is_fresh(word));
        self.forgotten.retain(|_, word| is_fresh(word));
        self.watch(seen, now);
        let members = &seen.membership;
        if self.wish.replicas.is_empty() {
            return Care::Rest;
        }
        let changing = seen.change_index.is_some_and(|index| index > seen.applied);
        if members.is_joint() || changing || seen.transfer.is_some() {
            return Care::Wait;
        }
        let care = self.next(seen, now);
        if !matches!(care, Care::HandOver(_) | Care::Wait) {
            self.handing = None;
        }
        care
    }

    /// Notes since when learners have everything.
    fn watch(&mut self, seen: &Status, now: MonoMillis) {
        let has_all = |peer: &&PeerStatus| {
            peer.learner
                && peer.state == ProgressState::Replicate
                && seen.last.0.saturating_sub(peer.matched.0) <= limits::PROMOTION_LAG_MAX
        };
        let steady: Vec<NodeId> = seen.peers.iter().filter(has_all).map(|peer| peer.id).collect();
        self.steady.retain(|node, _| steady.contains(node));
        for node in steady {
            self.steady.entry(node).or_insert(now);
        }
    }

    fn next(&mut self, seen: &Status, now: MonoMillis) -> Care {
        let members = &seen.membership;
        let mut waits = false;
        let mut allowed = |change: MembershipChange| {
            let keeps = keeps_majority(seen, &change);
            waits |= !keeps;
            keeps.then_some(Care::Change(change))
        };
        for (&node, &(disk, _)) in &self.forgotten {
            if node != seen.id && members.holds(node, disk) {
                let gone = MembershipChange::one(ChangeKind::Remove, node);
                if let Some(care) = allowed(gone) {
                    return care;
                }
            }
        }
        for (&node, &(disk, _)) in &self.arrived {
            let is_wanted = node != seen.id && self.wants(node) && !members.holds(node, disk);
            let is_forgotten = self.forgotten.get(&node).is_some_and(|word| word.0 == disk);
            if is_wanted
                && !is_forgotten
                && let Some(care) = allowed(MembershipChange::admit(node, disk))
            {
                return care;
            }
        }
        let unwanted = |node: &&NodeId| !self.wants(**node) && **node != seen.id;
        if let Some(&learner) = members.learners.iter().find(unwanted) {
            return Care::Change(MembershipChange::one(ChangeKind::Remove, learner));
        }
        let may_rise = |peer: &&PeerStatus| {
            let steady = self.steady.get(&peer.id);
            let steady = steady.is_some_and(|at| now.since(*at) >= STEADY_MILLIS);
            peer.active && steady && self.wants(peer.id) && members.is_learner(peer.id)
        };
        let rise: Vec<NodeId> = seen.peers.iter().filter(may_rise).map(|peer| peer.id).collect();
        let complete =
            self.wish.replicas.iter().all(|node| members.is_voter(*node) || rise.contains(node));
        let fall: Vec<NodeId> = match complete {
            true => members.voters.iter().filter(unwanted).copied().collect(),
            false => Vec::new(),
        };
        let all = exchange(&rise, &fall);
        let singly = rise.iter().map(|&one| exchange(&[one], &[]));
        let singly = singly.chain(fall.iter().map(|&one| exchange(&[], &[one])));
        for change in std::iter::once(all).chain(singly) {
            if !change.changes.is_empty()
                && let Some(care) = allowed(change)
            {
                return care;
            }
        }
        if complete && rise.is_empty() && fall.is_empty() && !self.wants(seen.id) {
            return self.leave(seen, now);
        }
        let rising = members.learners.iter().any(|node| self.wants(*node));
        if waits || rising { Care::Wait } else { Care::Rest }
    }

    /// This leader is named no more, and all else is done.
    fn leave(&mut self, seen: &Status, now: MonoMillis) -> Care {
        let (since, tried) = *self.handing.get_or_insert((now, MonoMillis(0)));
        let heirs = seen
            .peers
            .iter()
            .filter(|peer| !peer.learner && peer.active && peer.state == ProgressState::Replicate);
        let heir = heirs.max_by_key(|peer| (peer.matched, std::cmp::Reverse(peer.id)));
        match heir {
            Some(heir) if now.since(since) < HAND_OVER_MILLIS => {
                if tried > MonoMillis(0) && now.since(tried) < HAND_OVER_AGAIN_MILLIS {
                    return Care::Wait;
                }
                self.handing = Some((since, now));
                Care::HandOver(heir.id)
            }
            _ => {
                let change = MembershipChange::one(ChangeKind::Remove, seen.id);
                if keeps_majority(seen, &change) { Care::Change(change) } else { Care::Wait }
            }
        }
    }
}

/// One change that makes voters of some and removes others.
fn exchange(rise: &[NodeId], fall: &[NodeId]) -> MembershipChange {
    let rise = rise.iter().map(|&id| Change::new(ChangeKind::Voter, id));
    let fall = fall.iter().map(|&id| Change::new(ChangeKind::Remove, id));
    MembershipChange { changes: rise.chain(fall).collect(), ..MembershipChange::default() }
}

/// Whether the change can be made, and enough of the voters that it leaves are alive.
fn keeps_majority(seen: &Status, change: &MembershipChange) -> bool {
    let Ok(changed) = change.apply(&seen.membership) else { return false };
    let Membership { voters, .. } = changed.membership;
    let alive = |id: &&NodeId| {
        **id == seen.id || seen.peers.iter().any(|peer| peer.id == **id && peer.active)
    };
    voters.iter().filter(alive).count() >= majority(voters.len())
}

#[cfg(test)]
#[path = "caretaker_tests.rs"]
mod tests;
