//! What a group remembers of its moves: part of its replicated state, and all that the drivers of a new
//! leader need to go on.

use super::id::{MoveId, Ranges};
use super::progress::Progress;
use super::record::Handoff;
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::shard::TableStamp;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a move is at its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutgoingPhase {
    /// The source serves the buckets and marks what changes.
    Moving,
    /// It serves them no more; their rows wait for the acceptance.
    HandedOff(Handoff),
}

/// A move away from this group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Its buckets.
    pub ranges: Ranges,
    /// The group they move to.
    pub to: GroupId,
    /// The table that wants it.
    pub table: TableStamp,
    /// The entry that began it.
    pub begun: Index,
    /// The replicated time then.
    pub began: UnixMillis,
    /// The highest epoch of its buckets then.
    pub epoch: Epoch,
    /// How far it is.
    pub phase: OutgoingPhase,
}

/// How far a move is at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncomingPhase {
    /// It is being copied.
    Coming,
    /// The buckets are served here, and the source may forget them.
    Accepted,
}

/// A move to this group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Its buckets.
    pub ranges: Ranges,
    /// The source's entry that began it.
    pub begun: Index,
    /// How far the copy is.
    pub progress: Progress,
    /// How far it is.
    pub phase: IncomingPhase,
    /// Things taken in, in all.
    pub items: u64,
    /// Their bytes, about.
    pub bytes: u64,
}

/// See the module's first lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// The number of the last move that has begun here.
    pub(in crate::kv) last: u64,
    /// The newest table that any of them named.
    pub(in crate::kv) table: TableStamp,
    pub(in crate::kv) outgoing: BTreeMap<u64, Outgoing>,
    pub(in crate::kv) incoming: BTreeMap<MoveId, Incoming>,
    /// Of each source, the highest number of a move to this group that is over. Its late steps, and those
    /// of all before it, must not begin it again.
    pub(in crate::kv) ended: BTreeMap<GroupId, u64>,
}

/// Which marks of changes are alive; the rows of all others are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveMarks {
    /// The number of the last move that has begun.
    pub last: u64,
    /// The numbers of those that are not over, in order.
    pub open: Vec<u64>,
}

impl LiveMarks {
    /// Whether the marks of the move with this number may go.
    #[must_use]
    pub fn forgotten(&self, number: u64) -> bool {
        number <= self.last && self.open.binary_search(&number).is_err()
    }
}

impl Moves {
    /// The moves away from this group, by number.
    pub fn outgoing(&self) -> impl Iterator<Item = (u64, &Outgoing)> {
        self.outgoing.iter().map(|(number, outgoing)| (*number, outgoing))
    }

    /// The moves to this group, by name.
    pub fn incoming(&self) -> impl Iterator<Item = (MoveId, &Incoming)> {
        self.incoming.iter().map(|(id, incoming)| (*id, incoming))
    }

    /// The move away from this group with this number.
    #[must_use]
    pub fn leaving(&self, number: u64) -> Option<&Outgoing> {
        self.outgoing.get(&number)
    }

    /// The move to this group of this name.
    #[must_use]
    pub fn coming(&self, id: MoveId) -> Option<&Incoming> {
        self.incoming.get(&id)
    }

    /// Whether there was a move away from this group with this number, and there is no more.
    #[must_use]
    pub fn is_over(&self, number: u64) -> bool {
        number <= self.last && !self.outgoing.contains_key(&number)
    }

    /// Whether this move to this group, or a later one from its source, has ended here.
    #[must_use]
    pub fn has_ended(&self, id: MoveId) -> bool {
        self.ended.get(&id.source).is_some_and(|number| id.number <= *number)
    }

    /// Forgets a move to this group for good.
    pub(in crate::kv) fn end(&mut self, id: MoveId) -> Option<Incoming> {
        let ended = self.ended.entry(id.source).or_default();
        *ended = id.number.max(*ended);
        self.incoming.remove(&id)
    }

    /// Whether nothing is moving.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty()
    }

    /// The number of the move that takes this bucket away.
    #[must_use]
    pub fn number_of(&self, bucket: Bucket) -> Option<u64> {
        let mut outgoing = self.outgoing.iter();
        outgoing.find(|(_, outgoing)| outgoing.ranges.contains(bucket)).map(|(number, _)| *number)
    }

    /// Moves that have begun here and that a newer table does not want any more: their destination may never
    /// have heard of them. Each may be canceled, which is refused after the hand-off.
    #[must_use]
    pub fn unwanted(
        &self,
        table: TableStamp,
        desired: impl Fn(Bucket) -> Option<GroupId>,
    ) -> Vec<u64> {
        let is_one = |outgoing: &Outgoing| {
            outgoing.phase == OutgoingPhase::Moving
                && outgoing.table < table
                && !outgoing.ranges.buckets().any(|bucket| desired(bucket) == Some(outgoing.to))
        };
        self.outgoing().filter(|(_, outgoing)| is_one(outgoing)).map(|(number, _)| number).collect()
    }

    /// Which marks are alive.
    #[must_use]
    pub fn live_marks(&self) -> LiveMarks {
        LiveMarks { last: self.last, open: self.outgoing.keys().copied().collect() }
    }
}
