//! The name of a move, and the set of buckets that it takes.

use crate::ids::{Bucket, GroupId};
use crate::limits::BUCKETS;
use crate::shard::BucketRange;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one move for ever: its number comes from a counter in the source's replicated state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MoveId {
    /// The group that the buckets leave.
    pub source: GroupId,
    /// The source's number, from 1.
    pub number: u64,
}

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.number)
    }
}

/// A set of buckets. Its ranges are in order and do not touch, so that equal sets have equal bytes; it
/// is never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<BucketRange>", into = "Vec<BucketRange>")]
pub struct Ranges(Vec<BucketRange>);

/// Why ranges are no set of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// A range is reversed, leaves the buckets, or does not lie behind the one before it.
    #[error("the range {0} is out of order or out of bounds")]
    Range(BucketRange),
    /// There is no bucket.
    #[error("no bucket is named")]
    Empty,
}

impl TryFrom<Vec<BucketRange>> for Ranges {
    type Error = RangesError;

    fn try_from(ranges: Vec<BucketRange>) -> Result<Self, RangesError> {
        let mut free_from = 0;
        for range in &ranges {
            if range.first.0 < free_from || range.last < range.first || range.last.0 >= BUCKETS {
                return Err(RangesError::Range(*range));
            }
            free_from = range.last.0 + 2;
        }
        if ranges.is_empty() { Err(RangesError::Empty) } else { Ok(Self(ranges)) }
    }
}

impl From<Ranges> for Vec<BucketRange> {
    fn from(ranges: Ranges) -> Self {
        ranges.0
    }
}

impl Ranges {
    /// The set of these buckets, which come in order and exist; `None` if there are none.
    ///
    /// # Panics
    /// When they do not come in order.
    #[must_use]
    pub fn of(buckets: impl IntoIterator<Item = Bucket>) -> Option<Self> {
        let mut ranges: Vec<BucketRange> = Vec::new();
        for bucket in buckets {
            match ranges.last_mut() {
                Some(range) if range.last.0 + 1 == bucket.0 => range.last = bucket,
                last => {
                    assert!(last.is_none_or(|range| range.last < bucket), "buckets in order");
                    ranges.push(BucketRange { first: bucket, last: bucket });
                }
            }
        }
        (!ranges.is_empty()).then_some(Self(ranges))
    }

    /// Its ranges in order.
    #[must_use]
    pub fn as_slice(&self) -> &[BucketRange] {
        &self.0
    }

    /// An upper bound of what it takes, encoded, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        8 + 8 * self.0.len()
    }

    /// How many buckets it has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| range.count()).sum()
    }

    /// Whether the bucket is in it.
    #[must_use]
    pub fn contains(&self, bucket: Bucket) -> bool {
        let at = self.0.partition_point(|range| range.last < bucket);
        self.0.get(at).is_some_and(|range| range.first <= bucket)
    }

    /// Its buckets in order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.buckets_from(Bucket(0))
    }

    /// Its buckets from this one on, in order.
    pub fn buckets_from(&self, from: Bucket) -> impl Iterator<Item = Bucket> + '_ {
        let at = self.0.partition_point(|range| range.last < from);
        self.0[at..]
            .iter()
            .flat_map(move |range| range.first.max(from).0..=range.last.0)
            .map(Bucket)
    }
}

impl fmt::Display for Ranges {
    /// As `5,7-9`; of many ranges the first few.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (at, range) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{range}", if at == 0 { "" } else { "," })?;
        }
        if self.0.len() > SHOWN { write!(f, ",…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    fn of(buckets: &[u16]) -> Ranges {
        Ranges::of(buckets.iter().copied().map(Bucket)).unwrap()
    }

    #[test]
    fn a_set_knows_its_buckets() {
        let set = of(&[1, 2, 3, 7, 16_383]);
        assert_eq!(set.to_string(), "1-3,7,16383");
        assert_eq!((set.count(), set.as_slice().len()), (5, 3));
        assert!(set.contains(Bucket(3)) && !set.contains(Bucket(4)) && !set.contains(Bucket(0)));
        assert_eq!(set.buckets_from(Bucket(3)).map(|b| b.0).collect::<Vec<_>>(), [3, 7, 16_383]);
        assert_eq!(set.buckets_from(Bucket(5)).count(), 2);
        assert_eq!(decode::<Ranges>(&encode(&set)), Ok(set));
        assert_eq!(Ranges::of([]), None);
    }

    #[test]
    fn what_is_no_set_is_not_read() {
        let range = |first, last| BucketRange { first: Bucket(first), last: Bucket(last) };
        for bad in [
            vec![],
            vec![range(3, 2)],
            vec![range(0, BUCKETS)],
            vec![range(0, 3), range(4, 5)],
            vec![range(5, 6), range(1, 2)],
            vec![range(0, u16::MAX), range(1, 2)],
        ] {
            assert!(decode::<Ranges>(&encode(&bad)).is_err(), "{bad:?}");
        }
    }
}
