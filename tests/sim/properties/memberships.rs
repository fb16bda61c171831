//! Every replica takes its group to be what the founders and the entries that it was handed make of it, and
//! none is destroyed that has a vote. And for the other properties: who belongs to a group at an index, and what
//! a majority of them is.

use super::{Held, Replica, Violation};
use eraft::ids::{GroupId, Incarnation, Index, NodeId};
use eraft::raft::{Entry, EntryKind, Membership, MembershipChange, Status};
use eraft::store::wal::{LogOp, LogWrite};
use std::collections::BTreeMap;

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    founders: Membership,
    /// In force from this index on, after the founders.
    known: BTreeMap<(GroupId, Index), Membership>,
    /// Up to where each replica will know after a start that entries are committed.
    durable: BTreeMap<Replica, Index>,
    /// How far each replica had been handed entries before its last event, and after it.
    handed: BTreeMap<Replica, (Index, Index)>,
}

impl Memberships {
    pub(super) fn new(founders: Membership) -> Self {
        Self { founders, ..Self::default() }
    }

    /// The one in force at an index.
    pub(super) fn at(&self, group: GroupId, index: Index) -> &Membership {
        let newest = self.known.range((group, Index(0))..=(group, index)).next_back();
        newest.map_or(&self.founders, |(_, membership)| membership)
    }

    /// The newest one that any replica has applied.
    pub(super) fn newest(&self, group: GroupId) -> &Membership {
        self.at(group, Index(u64::MAX))
    }

    /// A replica is handed an entry. Answers whether it is the first one to hear of a new membership.
    pub(super) fn applies(&mut self, group: GroupId, entry: &Entry) -> bool {
        let place = (group, entry.index);
        if entry.kind != EntryKind::Membership || self.known.contains_key(&place) {
            return false;
        }
        let before = self.at(group, entry.index.prev());
        let change = MembershipChange::decode(&entry.data);
        let Ok(changed) = change.and_then(|change| change.apply(before)) else { return false };
        self.known.insert(place, changed.membership);
        true
    }

    /// Whether a replica will know of the newest one after any start.
    pub(super) fn knows_newest(&self, replica: Replica) -> bool {
        let group = replica.1;
        let all = (group, Index(0))..=(group, Index(u64::MAX));
        let newest = self.known.range(all).next_back().map(|((_, index), _)| *index);
        newest.is_none_or(|newest| self.durable.get(&replica).is_some_and(|known| *known >= newest))
    }

    /// A replica's log has synced this.
    pub(super) fn synced(&mut self, replica: Replica, write: &LogWrite) {
        let mark = match &write.op {
            Some(LogOp::SnapshotInstalled(meta) | LogOp::Compacted(meta)) => Some(meta.index),
            _ => None,
        };
        let commit = write.hard_state.map(|hard| hard.commit);
        let durable = self.durable.entry(replica).or_default();
        *durable = mark.into_iter().chain(commit).fold(*durable, Index::max);
    }

    /// It starts, and knows that everything up to there is committed.
    pub(super) fn started(&mut self, replica: Replica, commit: Index) {
        self.forget(replica);
        self.durable.insert(replica, commit);
    }

    /// A replica has nothing left of what it was.
    pub(super) fn forget(&mut self, replica: Replica) {
        self.handed.remove(&replica);
        self.durable.remove(&replica);
    }

    /// A replica is destroyed: it does not belong to its group.
    pub(super) fn let_go(&self, (node, group): Replica, disk: Incarnation) -> Held {
        let newest = self.newest(group);
        // A learner may be let in that has not heard of it: another takes its place.
        let counts = newest.is_voter(node) || newest.outgoing.contains(&node);
        if !newest.holds(node, disk) || !counts {
            return Ok(());
        }
        let story = format!("{node} is destroyed as {disk}, and {group} is {newest:?}");
        Err(Violation::new("who has a vote is not destroyed", story))
    }

    /// How a replica stands after an event.
    pub(super) fn stands(&mut self, replica: Replica, status: &Status) -> Held {
        let handed = self.handed.entry(replica).or_insert((status.applying, status.applying));
        *handed = (handed.1, status.applying);
        let waits = status.membership == Membership::default() && status.applying == Index(0);
        let expected = self.at(replica.1, status.applying);
        if waits || status.membership == *expected {
            return Ok(());
        }
        let story = format!(
            "{} takes {} to be {:?} at {}, it is {expected:?}",
            replica.0, replica.1, status.membership, status.applying
        );
        Err(Violation::new("memberships", story))
    }

    /// What a replica may have counted by in its last event: a change may have come into force in it.
    pub(super) fn in_force(&self, replica: Replica) -> [&Membership; 2] {
        let (before, after) = self.handed.get(&replica).copied().unwrap_or_default();
        [self.at(replica.1, before), self.at(replica.1, after)]
    }
}

/// Whether those of whom something is true are a majority, of both lists if there are two. Each member is
/// asked about under the disk that it is known by.
pub(crate) fn is_quorum(
    membership: &Membership,
    is_so: impl Fn(NodeId, Option<Incarnation>) -> bool,
) -> bool {
    let majority = |list: &[NodeId]| {
        let count = list.iter().filter(|id| is_so(**id, membership.disk(**id))).count();
        list.is_empty() || count * 2 > list.len()
    };
    majority(&membership.voters) && majority(&membership.outgoing)
}
