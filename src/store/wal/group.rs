//! What the log knows in memory of one group: hard state, base, and where its entries are.
//!
//! Always, except while a log is being replayed: the extents are sorted, do not overlap, and cover
//! exactly the indices after the base. During a replay a copy from a segment that was given up may come
//! after newer entries, so gaps may close later.

use super::batch::Recorded;
use super::payload::Change;
use crate::ids::{Era, Incarnation, Index, Term};
use crate::raft::{HardState, SnapshotMeta};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of entries still needed, by the life of their segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(BTreeMap<u64, u64>);

impl Ledger {
    pub(super) fn live(&self, life: u64) -> u64 {
        self.0.get(&life).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(super) fn forget(&mut self, life: u64) {
        self.0.remove(&life);
    }

    fn add(&mut self, place: Place) {
        *self.0.entry(place.life).or_default() += u64::from(place.length);
    }

    fn subtract(&mut self, place: Place) {
        if let Some(bytes) = self.0.get_mut(&place.life) {
            *bytes = bytes.saturating_sub(u64::from(place.length));
        }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The life of the segment.
    pub(super) life: u64,
    /// The number of the batch.
    pub(super) number: u64,
    /// Where its header is in the file, bytes.
    pub(super) offset: u64,
    /// Bytes of its payload.
    pub(super) length: u32,
}

impl Place {
    pub(super) fn of(record: &Recorded, life: u64, number: u64) -> Self {
        Self { life, number, offset: record.offset, length: record.length }
    }
}

/// Entries of one record that are still needed. All have one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: Index,
    pub(super) last: Index,
    pub(super) term: Term,
    pub(super) place: Place,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupLog {
    pub(super) hard_state: HardState,
    pub(super) base: SnapshotMeta,
    pub(super) identity: Option<Incarnation>,
    pub(super) left_behind: Option<Era>,
    /// The life of the segment that holds the hard state; 0 if none does.
    pub(super) hard_life: u64,
    /// The life of the segment that holds the base; 0 if none does.
    pub(super) base_life: u64,
    pub(super) extents: VecDeque<Extent>,
}

impl GroupLog {
    /// The last index; the base's if there are no entries.
    pub(super) fn last(&self) -> Index {
        self.extents.back().map_or(self.base.index, |extent| extent.last.max(self.base.index))
    }

    /// Takes in a record of this group. Births and deaths are not decided here.
    pub(super) fn apply(&mut self, change: &Change, place: Place, ledger: &mut Ledger) {
        match change {
            Change::Entries { first, last, term } => {
                self.cut_from(*first, ledger);
                self.push(Extent { first: *first, last: *last, term: *term, place }, ledger);
            }
            Change::Kept { first, last, term } => {
                self.insert(Extent { first: *first, last: *last, term: *term, place }, ledger);
            }
            Change::HardState(hard_state) => {
                self.hard_state = *hard_state;
                self.hard_life = place.life;
            }
            Change::Born(membership) => {
                if self.base.index == Index(0) && self.extents.is_empty() {
                    self.base.membership = membership.clone();
                    self.base_life = place.life;
                }
            }
            Change::Compacted(meta) if meta.index <= self.last() || self.extents.is_empty() => {
                if meta.index >= self.base.index {
                    self.set_base(meta, place, ledger);
                }
            }
            Change::Compacted(meta) | Change::Installed(meta) => {
                self.clear(ledger);
                self.set_base(meta, place, ledger);
            }
            Change::State(hard_state, base) => {
                self.hard_state = *hard_state;
                self.hard_life = place.life;
                self.set_base(base, place, ledger);
            }
            Change::Identity(identity) => self.identity = Some(*identity),
            Change::LeftBehind(era) => self.left_behind = self.left_behind.max(Some(*era)),
            Change::Dead
            | Change::Damaged
            | Change::DamagedAll
            | Change::Mended { .. }
            | Change::Cluster(_)
            | Change::Oldest(_)
            | Change::End(_) => {}
        }
    }

    /// Gives all entries' places back.
    pub(super) fn clear(&mut self, ledger: &mut Ledger) {
        for extent in self.extents.drain(..) {
            ledger.subtract(extent.place);
        }
    }

    fn set_base(&mut self, base: &SnapshotMeta, place: Place, ledger: &mut Ledger) {
        self.base = base.clone();
        self.base_life = place.life;
        while let Some(extent) =
            self.extents.front_mut().filter(|extent| extent.first <= base.index)
        {
            if extent.last > base.index {
                extent.first = base.index.next();
                break;
            }
            ledger.subtract(extent.place);
            self.extents.pop_front();
        }
    }

    fn cut_from(&mut self, first: Index, ledger: &mut Ledger) {
        while let Some(extent) = self.extents.back_mut().filter(|extent| extent.last >= first) {
            if extent.first < first {
                extent.last = first.prev();
                break;
            }
            ledger.subtract(extent.place);
            self.extents.pop_back();
        }
    }

    fn push(&mut self, mut extent: Extent, ledger: &mut Ledger) {
        // A replay may meet entries that a base it has already seen covers.
        if extent.last > self.base.index {
            extent.first = extent.first.max(self.base.index.next());
            ledger.add(extent.place);
            self.extents.push_back(extent);
        }
    }

    /// Puts a copy in the place of what it was copied from, and leaves what lies on either side.
    fn insert(&mut self, new: Extent, ledger: &mut Ledger) {
        let from = self.extents.partition_point(|extent| extent.last < new.first);
        let to = self.extents.partition_point(|extent| extent.first <= new.last);
        let old: Vec<Extent> = self.extents.range(from..to).copied().collect();
        let left = old.first().filter(|old| old.first < new.first);
        let right = old.last().filter(|old| old.last > new.last);
        let left = left.map(|old| Extent { last: new.first.prev(), ..*old });
        let right = right.map(|old| Extent { first: new.last.next(), ..*old });
        // Nearly always one takes the place of one, so nothing has to make room or to close up.
        let mut at = from;
        for piece in left.into_iter().chain([new]).chain(right) {
            ledger.add(piece.place);
            match at < to {
                true => self.extents[at] = piece,
                false => self.extents.insert(at, piece),
            }
            at += 1;
        }
        self.extents.drain(at..to.max(at));
        for old in old {
            ledger.subtract(old.place);
        }
    }

    /// The first index that no extent covers although a later one is covered; `None` if all is well.
    pub(super) fn gap(&self) -> Option<Index> {
        let mut next = self.base.index.next();
        for extent in &self.extents {
            if extent.first != next {
                return Some(next);
            }
            next = extent.last.next();
        }
        None
    }

    /// Forgets everything from the first gap on.
    pub(super) fn cut_at_gap(&mut self, ledger: &mut Ledger) {
        if let Some(gap) = self.gap() {
            self.cut_from(gap, ledger);
        }
    }

    /// The terms of all entries, as runs.
    pub(super) fn terms(&self) -> Vec<(Index, Term)> {
        let mut runs: Vec<(Index, Term)> = Vec::new();
        for extent in &self.extents {
            if runs.last().is_none_or(|(_, term)| *term != extent.term) {
                runs.push((extent.first, extent.term));
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(life: u64) -> Place {
        Place { life, number: 1, offset: 4096, length: 100 }
    }

    fn entries(first: u64, last: u64, term: u64) -> Change {
        Change::Entries { first: Index(first), last: Index(last), term: Term(term) }
    }

    fn kept(first: u64, last: u64, term: u64) -> Change {
        Change::Kept { first: Index(first), last: Index(last), term: Term(term) }
    }

    fn spans(log: &GroupLog) -> Vec<(u64, u64, u64)> {
        log.extents.iter().map(|e| (e.first.0, e.last.0, e.place.life)).collect()
    }

    #[test]
    fn appends_cut_and_compactions_give_back() {
        let (mut log, mut ledger) = (GroupLog::default(), Ledger::default());
        log.apply(&entries(1, 10, 1), place(1), &mut ledger);
        log.apply(&entries(11, 20, 1), place(2), &mut ledger);
        log.apply(&entries(6, 7, 2), place(3), &mut ledger);
        assert_eq!(spans(&log), [(1, 5, 1), (6, 7, 3)]);
        assert_eq!((ledger.live(1), ledger.live(2), ledger.live(3)), (100, 0, 100));
        assert_eq!(log.terms(), [(Index(1), Term(1)), (Index(6), Term(2))]);
        let meta = |index| SnapshotMeta { index: Index(index), ..SnapshotMeta::default() };
        log.apply(&Change::Compacted(meta(3)), place(3), &mut ledger);
        assert_eq!(spans(&log), [(4, 5, 1), (6, 7, 3)]);
        log.apply(&Change::Compacted(meta(6)), place(4), &mut ledger);
        assert_eq!((spans(&log), log.base_life), (vec![(7, 7, 3)], 4));
        log.apply(&Change::Compacted(meta(2)), place(5), &mut ledger);
        assert_eq!((log.base.index, log.base_life), (Index(6), 4), "an old mark changes nothing");
        log.apply(&Change::Installed(meta(50)), place(5), &mut ledger);
        assert_eq!((log.last(), ledger.total()), (Index(50), 0));
    }

    #[test]
    fn copies_take_the_place_of_their_originals_in_any_order() {
        let (mut log, mut ledger) = (GroupLog::default(), Ledger::default());
        log.apply(&entries(1, 10, 1), place(1), &mut ledger);
        log.apply(&entries(11, 20, 1), place(2), &mut ledger);
        log.apply(&kept(4, 12, 1), place(3), &mut ledger);
        assert_eq!(spans(&log), [(1, 3, 1), (4, 12, 3), (13, 20, 2)]);
        log.apply(&kept(1, 3, 1), place(3), &mut ledger);
        log.apply(&kept(6, 7, 1), place(4), &mut ledger);
        assert_eq!(spans(&log), [(1, 3, 3), (4, 5, 3), (6, 7, 4), (8, 12, 3), (13, 20, 2)]);
        assert_eq!((ledger.live(1), ledger.live(2), ledger.live(4)), (0, 100, 100));
        assert_eq!(log.gap(), None);

        let mut replayed = GroupLog::default();
        replayed.apply(&entries(11, 20, 1), place(2), &mut ledger);
        assert_eq!(replayed.gap(), Some(Index(1)));
        replayed.apply(&kept(1, 10, 1), place(3), &mut ledger);
        assert_eq!(replayed.gap(), None);
        replayed.apply(&kept(30, 31, 1), place(3), &mut ledger);
        assert_eq!(replayed.gap(), Some(Index(21)));
        replayed.cut_at_gap(&mut ledger);
        assert_eq!((replayed.gap(), replayed.last()), (None, Index(20)));
    }
}
