//! What the table says of moves: which buckets are to move, which moves stand still, how fast they go.

use super::owners::BucketRange;
use super::table::Table;
use crate::ids::GroupId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Pauses at the same time.
pub const PAUSES_MAX: usize = 4096;

/// Moves by the groups that they concern; one that is not given stands for any.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Pair {
    /// Who gives.
    pub from: Option<GroupId>,
    /// Who takes.
    pub to: Option<GroupId>,
}

impl Pair {
    /// Whether a move between these two is meant.
    #[must_use]
    pub fn covers(self, from: GroupId, to: GroupId) -> bool {
        self.from.is_none_or(|group| group == from) && self.to.is_none_or(|group| group == to)
    }

    /// Whether all that `other` means is meant.
    fn includes(self, other: Self) -> bool {
        let wide = |own: Option<GroupId>, other| own.is_none() || own == other;
        wide(self.from, other.from) && wide(self.to, other.to)
    }

    /// Whether there can be a move that both mean.
    fn meets(self, other: Self) -> bool {
        let meet = |a: Option<GroupId>, b: Option<GroupId>| a.is_none() || b.is_none() || a == b;
        meet(self.from, other.from) && meet(self.to, other.to)
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (None, None) => f.write_str("all moves"),
            (Some(from), None) => write!(f, "moves from {from}"),
            (None, Some(to)) => write!(f, "moves to {to}"),
            (Some(from), Some(to)) => write!(f, "moves from {from} to {to}"),
        }
    }
}

/// How moves are to go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRules {
    /// These stand still.
    pub paused: BTreeSet<Pair>,
    /// What the moves of one group may take together, bytes per second; `None`: as fast as they can.
    pub bytes_per_second: Option<u64>,
}

impl MoveRules {
    /// Whether a move between these two stands still.
    #[must_use]
    pub fn is_paused(&self, from: GroupId, to: GroupId) -> bool {
        self.paused.iter().any(|pair| pair.covers(from, to))
    }

    /// Lets these stand still. What is a part of it needs no pause of its own any more.
    pub(super) fn pause(&mut self, pair: Pair) {
        if self.paused.iter().any(|paused| paused.includes(pair)) {
            return;
        }
        self.paused.retain(|paused| !pair.includes(*paused));
        self.paused.insert(pair);
    }

    /// Lets these go on.
    ///
    /// # Errors
    /// A pause of which they are only a part; it stays.
    pub(super) fn resume(&mut self, pair: Pair) -> Result<(), Pair> {
        let wider = |paused: &&Pair| paused.meets(pair) && !pair.includes(**paused);
        if let Some(wider) = self.paused.iter().find(wider) {
            return Err(*wider);
        }
        self.paused.retain(|paused| !pair.includes(*paused));
        Ok(())
    }
}

/// Neighbouring buckets that are to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The buckets.
    pub range: BucketRange,
    /// Who owns them.
    pub from: GroupId,
    /// Who should.
    pub to: GroupId,
}

impl Table {
    /// What is to move, by bucket.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending: Vec<Pending> = Vec::new();
        for run in self.owners.runs() {
            let (Some(to), Some(actual)) = (run.owner.desired, run.owner.actual) else { continue };
            let (range, from) = (run.range, actual.group);
            if from == to {
                continue;
            }
            match pending.last_mut() {
                Some(last)
                    if (last.from, last.to) == (from, to)
                        && last.range.last.0 + 1 == range.first.0 =>
                {
                    last.range.last = range.last;
                }
                _ => pending.push(Pending { range, from, to }),
            }
        }
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: u32, to: u32) -> Pair {
        let group = |id: u32| (id > 0).then_some(GroupId(id));
        Pair { from: group(from), to: group(to) }
    }

    #[test]
    fn a_wide_pause_swallows_the_narrow_ones() {
        let mut rules = MoveRules::default();
        rules.pause(pair(1, 2));
        rules.pause(pair(3, 2));
        assert!(
            rules.is_paused(GroupId(1), GroupId(2)) && !rules.is_paused(GroupId(2), GroupId(1))
        );
        rules.pause(pair(0, 2));
        assert_eq!(rules.paused.len(), 1);
        rules.pause(pair(1, 2));
        assert_eq!(rules.paused.len(), 1, "it is a part of what stands still");
        assert!(rules.is_paused(GroupId(9), GroupId(2)));
    }

    #[test]
    fn a_part_of_a_pause_is_not_resumed_alone() {
        let mut rules = MoveRules::default();
        rules.pause(pair(1, 0));
        rules.pause(pair(2, 3));
        assert_eq!(rules.resume(pair(1, 3)), Err(pair(1, 0)));
        assert_eq!(rules.resume(pair(0, 3)), Err(pair(1, 0)), "they cross");
        assert_eq!(rules.resume(pair(4, 5)), Ok(()), "nothing to do");
        assert_eq!(rules.paused.len(), 2);
        assert_eq!(rules.resume(pair(0, 0)), Ok(()));
        assert_eq!(rules, MoveRules::default());
    }
}
