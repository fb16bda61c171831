//! Ids that were given once and are never given again: ranges of numbers, so that what a long life leaves
//! behind stays small.

use serde::{Deserialize, Serialize};

/// A set of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32)>", into = "Vec<(u32, u32)>")]
pub struct Past(Vec<(u32, u32)>);

/// The ranges are not sorted, or two of them should be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ids of the past are not in order")]
pub struct Disorder;

impl Past {
    /// Whether the id was given once.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < id);
        self.0.get(at).is_some_and(|(first, _)| *first <= id)
    }

    /// The largest of them.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|(_, last)| *last)
    }

    /// How many ranges they make up.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// Remembers an id.
    pub fn insert(&mut self, id: u32) {
        if self.contains(id) {
            return;
        }
        let at = self.0.partition_point(|(_, last)| *last < id);
        let before =
            at.checked_sub(1).filter(|before| self.0[*before].1.checked_add(1) == Some(id));
        let after = self.0.get(at).is_some_and(|(first, _)| *first - 1 == id);
        match (before, after) {
            (Some(before), true) => {
                self.0[before].1 = self.0[at].1;
                self.0.remove(at);
            }
            (Some(before), false) => self.0[before].1 = id,
            (None, true) => self.0[at].0 = id,
            (None, false) => self.0.insert(at, (id, id)),
        }
    }
}

impl TryFrom<Vec<(u32, u32)>> for Past {
    type Error = Disorder;

    fn try_from(ranges: Vec<(u32, u32)>) -> Result<Self, Disorder> {
        let whole = ranges.iter().all(|(first, last)| first <= last);
        // At least one id between two ranges.
        let apart = ranges.is_sorted_by(|a, b| a.1 < b.0 && b.0 - a.1 > 1);
        if whole && apart { Ok(Self(ranges)) } else { Err(Disorder) }
    }
}

impl From<Past> for Vec<(u32, u32)> {
    fn from(past: Past) -> Self {
        past.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn neighbours_become_one_range() {
        let mut past = Past::default();
        for id in [5, 3, 9, 4, u32::MAX, 0] {
            past.insert(id);
        }
        assert_eq!(past.0, [(0, 0), (3, 5), (9, 9), (u32::MAX, u32::MAX)]);
        assert_eq!((past.ranges(), past.last()), (4, Some(u32::MAX)));
    }

    #[test]
    fn ranges_in_disorder_are_refused() {
        for wrong in
            [vec![(2u32, 1u32)], vec![(1, 2), (3, 4)], vec![(5, 6), (1, 2)], vec![(1, 4), (3, 6)]]
        {
            assert!(decode::<Past>(&encode(&wrong)).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set(ids in proptest::collection::vec(0u32..60, 0..80)) {
            let mut past = Past::default();
            for id in &ids {
                past.insert(*id);
            }
            let set: BTreeSet<u32> = ids.into_iter().collect();
            for id in 0..62 {
                prop_assert_eq!(past.contains(id), set.contains(&id));
            }
            prop_assert_eq!(past.last(), set.last().copied());
            prop_assert_eq!(decode::<Past>(&encode(&past)), Ok(past));
        }
    }
}
