//! What the config table wants of the group that takes.

use super::bounds::{MOVES_AT_A_TIME, MOVES_PER_SOURCE};
use crate::ids::GroupId;
use crate::kv::migration::Ranges;
use crate::shard::{BucketRange, Table, TableStamp};
use std::collections::BTreeMap;

/// Buckets that the table desires here and that another group owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The buckets.
    pub ranges: Ranges,
    /// Who owns them.
    pub source: GroupId,
    /// They are to stand still for now.
    pub paused: bool,
}

/// What one version of the table says. What comes and is not wanted any more is given up, unless it was
/// handed off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Which version.
    pub table: TableStamp,
    /// What is to come; of each source any number.
    pub wanted: Vec<Wanted>,
    /// What all moves to this group may take together, bytes per second.
    pub bytes_per_second: Option<u64>,
    /// Moves at a time.
    pub moves_max: usize,
    /// Moves from one source at a time.
    pub moves_per_source_max: usize,
}

/// What the table says of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is to go on.
    Go,
    /// It is to stand still.
    Pause,
    /// It is to be given up.
    Drop,
}

impl Goal {
    /// With the usual limits, as fast as it can.
    #[must_use]
    pub fn new(table: TableStamp, wanted: Vec<Wanted>) -> Self {
        Self {
            table,
            wanted,
            bytes_per_second: None,
            moves_max: MOVES_AT_A_TIME,
            moves_per_source_max: MOVES_PER_SOURCE,
        }
    }

    /// What the table wants of this group.
    #[must_use]
    pub fn of(group: GroupId, table: &Table) -> Self {
        let mut wanted: BTreeMap<GroupId, Vec<BucketRange>> = BTreeMap::new();
        for pending in table.pending().into_iter().filter(|pending| pending.to == group) {
            wanted.entry(pending.from).or_default().push(pending.range);
        }
        let wanted = wanted.into_iter().filter_map(|(source, ranges)| {
            let ranges = Ranges::of(ranges.iter().flat_map(|range| range.buckets()))?;
            Some(Wanted { ranges, source, paused: table.moves.is_paused(source, group) })
        });
        let bytes_per_second = table.moves.bytes_per_second;
        Self { bytes_per_second, ..Self::new(table.stamp(), wanted.collect()) }
    }

    /// What is to become of a move of these buckets.
    pub(super) fn wish(&self, source: GroupId, ranges: &Ranges) -> Wish {
        let mut rest = ranges.count();
        let mut paused = false;
        for wanted in self.wanted.iter().filter(|wanted| wanted.source == source) {
            let common = common(&wanted.ranges, ranges);
            rest = rest.saturating_sub(common);
            paused |= wanted.paused && common > 0;
        }
        match (rest, paused) {
            (0, false) => Wish::Go,
            (0, true) => Wish::Pause,
            _ => Wish::Drop,
        }
    }
}

/// How many buckets two sets have in common.
pub(super) fn common(one: &Ranges, other: &Ranges) -> u32 {
    let (mut one, mut other) = (one.as_slice(), other.as_slice());
    let mut count = 0;
    while let ([a, one_rest @ ..], [b, other_rest @ ..]) = (one, other) {
        let (first, last) = (a.first.max(b.first).0, a.last.min(b.last).0);
        count += u32::from((last + 1).saturating_sub(first));
        if a.last < b.last {
            one = one_rest;
        } else {
            other = other_rest;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Bucket;

    fn of(buckets: impl IntoIterator<Item = u16>) -> Ranges {
        Ranges::of(buckets.into_iter().map(Bucket)).unwrap()
    }

    #[test]
    fn common_buckets_are_counted() {
        assert_eq!(common(&of(0..16_384), &of([0, 5, 16_383])), 3);
        assert_eq!(common(&of([1, 3, 5]), &of([0, 2, 4, 6])), 0);
        assert_eq!(common(&of((2..9).chain(20..30)), &of((0..3).chain(7..22))), 5);
    }

    #[test]
    fn a_move_goes_on_only_as_a_whole() {
        let wanted = |ranges, paused| Wanted { ranges, source: GroupId(1), paused };
        let goal =
            Goal::new(TableStamp::of(1), vec![wanted(of(0..5), false), wanted(of(5..9), true)]);
        assert_eq!(goal.wish(GroupId(1), &of(1..3)), Wish::Go);
        assert_eq!(goal.wish(GroupId(1), &of(4..6)), Wish::Pause);
        assert_eq!(goal.wish(GroupId(1), &of(7..10)), Wish::Drop);
        assert_eq!(goal.wish(GroupId(2), &of(1..3)), Wish::Drop);
    }
}
