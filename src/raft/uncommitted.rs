//! How many bytes a leader has accepted and not yet committed.
//!
//! Kept as a few marks instead of a number per entry, so that it costs nothing per entry; a mark's bytes
//! are released when all of its entries are committed.

use super::queue::pop_front_if;
use crate::ids::Index;
use std::collections::VecDeque;

/// Where a mark is full and the next one begins, bytes.
const MARK_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    /// Last index and bytes of each mark, oldest first.
    marks: VecDeque<(Index, usize)>,
    bytes: usize,
}

impl Uncommitted {
    /// Takes in an entry, unless there would be more than `bytes_max` then; a single larger one is
    /// taken when nothing else waits.
    pub(super) fn admit(&mut self, index: Index, cost: usize, bytes_max: usize) -> bool {
        if self.bytes > 0 && self.bytes.saturating_add(cost) > bytes_max {
            return false;
        }
        match self.marks.back_mut() {
            Some(mark) if mark.1 < MARK_BYTES => *mark = (index, mark.1 + cost),
            _ => self.marks.push_back((index, cost)),
        }
        self.bytes += cost;
        true
    }

    /// Everything up to `index` is committed.
    pub(super) fn committed(&mut self, index: Index) {
        while let Some((_, bytes)) = pop_front_if(&mut self.marks, |mark| mark.0 <= index) {
            self.bytes -= bytes;
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_limit_only_the_first_is_taken() {
        let mut uncommitted = Uncommitted::default();
        assert!(uncommitted.admit(Index(1), 500, 100), "larger than the limit, but alone");
        assert!(!uncommitted.admit(Index(2), 1, 100));
        uncommitted.committed(Index(1));
        assert!(uncommitted.admit(Index(2), 60, 100));
        assert!(uncommitted.admit(Index(3), 40, 100));
        assert!(!uncommitted.admit(Index(4), 1, 100));
        uncommitted.committed(Index(3));
        assert_eq!(uncommitted.bytes(), 0);
    }

    #[test]
    fn marks_are_few_and_are_released_one_by_one() {
        let mut uncommitted = Uncommitted::default();
        for index in 1..=4096 {
            assert!(uncommitted.admit(Index(index), 64, usize::MAX));
        }
        assert_eq!(uncommitted.marks.len(), 4);
        uncommitted.committed(Index(2048));
        assert_eq!(uncommitted.bytes(), 2048 * 64);
    }
}
