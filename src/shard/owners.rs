//! Who should own each bucket and who does: the two owner columns of the table, as runs of equal buckets.
//!
//! Must always hold, also for owners read from bytes: the runs are sorted, cover every bucket exactly
//! once, and no two neighbours are equal (so equal owners have equal bytes).

use crate::ids::{Bucket, Epoch, GroupId};
use crate::limits::BUCKETS;
use serde::{Deserialize, Serialize};

/// The epoch in which the first owner of a bucket holds it. Epoch 0 is never used.
pub const FIRST_EPOCH: Epoch = Epoch(1);

/// A range of buckets, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BucketRange {
    /// The first bucket.
    pub first: Bucket,
    /// The last bucket; not before `first`.
    pub last: Bucket,
}

impl BucketRange {
    /// How many buckets it spans.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.last.0 - self.first.0) + 1
    }

    /// Its buckets, in order.
    pub fn buckets(self) -> impl Iterator<Item = Bucket> {
        (self.first.0..=self.last.0).map(Bucket)
    }

    /// Its buckets, as places in a list of all.
    pub(super) fn places(self) -> std::ops::RangeInclusive<usize> {
        usize::from(self.first.0)..=usize::from(self.last.0)
    }
}

impl std::fmt::Display for BucketRange {
    /// As Redis writes it: `5`, or `0-8191`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first.0)?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", self.last.0) }
    }
}

/// The group that really owns a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actual {
    /// The owner, never the config group.
    pub group: GroupId,
    /// The owner's epoch of the bucket.
    pub epoch: Epoch,
}

/// The two owner columns of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Which group should own it.
    pub desired: Option<GroupId>,
    /// Which group does, as far as the data groups have reported.
    pub actual: Option<Actual>,
}

/// Neighbouring buckets with equal owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The buckets.
    pub range: BucketRange,
    /// What is said of each of them.
    pub owner: Owner,
}

/// The owners of all buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Run>", into = "Vec<Run>")]
pub struct Owners(Vec<Run>);

/// Why runs are no owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnersError {
    /// A bucket is in no run, in two, or does not exist.
    #[error("the runs of buckets do not join at {0}")]
    Gap(Bucket),
    /// Two neighbouring runs say the same and should be one.
    #[error("the runs before and after {0} are equal")]
    NotMerged(Bucket),
    /// The config group owns no buckets.
    #[error("{0} belongs to the config group")]
    ConfigGroup(Bucket),
}

/// Which of the two owner columns a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// Who should own.
    Desired,
    /// Who does own.
    Actual,
}

impl Owners {
    /// No bucket has an owner.
    #[must_use]
    pub fn none() -> Self {
        let range = BucketRange { first: Bucket(0), last: Bucket(BUCKETS - 1) };
        Self(vec![Run { range, owner: Owner::default() }])
    }

    /// The owner of `bucket`.
    ///
    /// # Panics
    /// When there is no such bucket.
    #[must_use]
    pub fn get(&self, bucket: Bucket) -> Owner {
        let at = self.0.partition_point(|run| run.range.last < bucket);
        self.0[at].owner
    }

    /// The owners of ranges that follow on each other and together are all buckets; neighbours differ.
    ///
    /// # Panics
    /// When they are not.
    pub(super) fn of(ranges: impl Iterator<Item = (BucketRange, Owner)>) -> Self {
        let runs: Vec<Run> = ranges.map(|(range, owner)| Run { range, owner }).collect();
        assert_eq!(check(&runs), Ok(()), "ranges that are all buckets");
        Self(runs)
    }

    /// Sets the owner of every bucket of `range`.
    ///
    /// # Panics
    /// When `range` is reversed or leaves the buckets, or the owner is the config group.
    pub fn set(&mut self, range: BucketRange, owner: Owner) {
        assert!(
            range.first <= range.last && range.last.0 < BUCKETS,
            "a range of buckets: {range:?}"
        );
        let mut runs = Vec::with_capacity(self.0.len() + 2);
        let mut push = |first: u16, last: u16, owner: Owner| {
            let next =
                Run { range: BucketRange { first: Bucket(first), last: Bucket(last) }, owner };
            match runs.last_mut() {
                Some(Run { range, owner: before }) if *before == owner => range.last = Bucket(last),
                _ => runs.push(next),
            }
        };
        let (first, last) = (range.first.0, range.last.0);
        for run in &self.0 {
            let (run_first, run_last) = (run.range.first.0, run.range.last.0);
            if run_first < first {
                push(run_first, run_last.min(first - 1), run.owner);
            }
            if run_first <= first && first <= run_last {
                push(first, last, owner);
            }
            if run_last > last {
                push(run_first.max(last + 1), run_last, run.owner);
            }
        }
        self.0 = runs;
        assert_eq!(check(&self.0), Ok(()), "owners stay whole");
    }

    /// Changes the owners of all buckets at once, laid out by bucket.
    ///
    /// # Panics
    /// When an owner is the config group afterwards.
    pub fn change(&mut self, edit: impl FnOnce(&mut [Owner])) {
        let mut owners = Vec::with_capacity(usize::from(BUCKETS));
        for run in &self.0 {
            owners.resize(usize::from(run.range.last.0) + 1, run.owner);
        }
        edit(&mut owners);
        let mut runs: Vec<Run> = Vec::new();
        for (bucket, owner) in (0..BUCKETS).map(Bucket).zip(owners) {
            match runs.last_mut() {
                Some(run) if run.owner == owner => run.range.last = bucket,
                _ => runs.push(Run { range: BucketRange { first: bucket, last: bucket }, owner }),
            }
        }
        self.0 = runs;
        assert_eq!(check(&self.0), Ok(()), "owners stay whole");
    }

    /// All runs, by bucket.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.0
    }

    /// The buckets of each run with their group in one column, by bucket. Neighbouring runs of one
    /// group, which differ in the other column, come as one range.
    #[must_use]
    pub fn ranges(&self, bounds: Bounds) -> Vec<(BucketRange, Option<GroupId>)> {
        let mut ranges: Vec<(BucketRange, Option<GroupId>)> = Vec::new();
        for run in &self.0 {
            let group = match bounds {
                Bounds::Desired => run.owner.desired,
                Bounds::Actual => run.owner.actual.map(|actual| actual.group),
            };
            match ranges.last_mut() {
                Some((range, before)) if *before == group => range.last = run.range.last,
                _ => ranges.push((run.range, group)),
            }
        }
        ranges
    }

    /// The ranges of `group` in one column, by bucket.
    #[must_use]
    pub fn ranges_of(&self, group: GroupId, bounds: Bounds) -> Vec<BucketRange> {
        let all = self.ranges(bounds).into_iter();
        all.filter(|(_, owner)| *owner == Some(group)).map(|(range, _)| range).collect()
    }
}

impl TryFrom<Vec<Run>> for Owners {
    type Error = OwnersError;

    fn try_from(runs: Vec<Run>) -> Result<Self, OwnersError> {
        check(&runs)?;
        Ok(Self(runs))
    }
}

impl From<Owners> for Vec<Run> {
    fn from(owners: Owners) -> Self {
        owners.0
    }
}

fn check(runs: &[Run]) -> Result<(), OwnersError> {
    let mut next = 0;
    let mut before = None;
    for Run { range, owner } in runs {
        if range.first.0 != next || range.last < range.first || range.last.0 >= BUCKETS {
            return Err(OwnersError::Gap(Bucket(next)));
        }
        if before == Some(*owner) {
            return Err(OwnersError::NotMerged(range.first));
        }
        let actual = owner.actual.map(|actual| actual.group);
        if owner.desired == Some(GroupId::CONFIG) || actual == Some(GroupId::CONFIG) {
            return Err(OwnersError::ConfigGroup(range.first));
        }
        before = Some(*owner);
        next = range.last.0 + 1;
    }
    if next == BUCKETS { Ok(()) } else { Err(OwnersError::Gap(Bucket(next))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};
    use proptest::prelude::*;

    fn range(first: u16, last: u16) -> BucketRange {
        BucketRange { first: Bucket(first), last: Bucket(last) }
    }

    fn owned_by(group: u32) -> Owner {
        let group = GroupId(group);
        Owner { desired: Some(group), actual: Some(Actual { group, epoch: FIRST_EPOCH }) }
    }

    #[test]
    fn equal_neighbours_become_one_run_again() {
        let mut owners = Owners::none();
        owners.set(range(0, 99), owned_by(1));
        owners.set(range(100, 16_383), owned_by(1));
        assert_eq!(owners.runs().len(), 1);
        owners.set(range(50, 50), owned_by(2));
        assert_eq!(owners.runs().len(), 3);
        assert_eq!(
            owners.ranges_of(GroupId(1), Bounds::Actual),
            vec![range(0, 49), range(51, 16_383)]
        );
        assert_eq!(owners.ranges_of(GroupId(2), Bounds::Desired)[0].to_string(), "50");
        owners.set(range(50, 50), owned_by(1));
        assert_eq!(owners.runs().len(), 1);
    }

    #[test]
    fn a_column_hides_what_only_the_other_one_tells() {
        let mut owners = Owners::none();
        owners.set(range(0, 16_383), owned_by(1));
        owners.set(range(10, 19), Owner { desired: Some(GroupId(2)), ..owned_by(1) });
        assert_eq!(owners.ranges(Bounds::Actual), vec![(range(0, 16_383), Some(GroupId(1)))]);
        assert_eq!(owners.ranges(Bounds::Desired).len(), 3);
    }

    #[test]
    fn bytes_that_are_not_whole_are_refused() {
        let run = |first, last, group| Run { range: range(first, last), owner: owned_by(group) };
        for runs in [
            vec![],
            vec![run(0, 16_382, 1)],
            vec![run(0, 16_384, 1)],
            vec![run(0, 5, 1), run(5, 16_383, 2)],
            vec![run(0, 5, 1), run(7, 16_383, 2)],
            vec![run(0, 5, 1), run(6, 16_383, 1)],
            vec![run(0, 16_383, 0)],
            vec![run(0, 16_383, 1), run(0, 16_383, 2)],
        ] {
            assert!(decode::<Owners>(&encode(&runs)).is_err(), "{runs:?}");
        }
        let whole = vec![run(0, 5, 1), run(6, 16_383, 2)];
        assert_eq!(decode::<Owners>(&encode(&whole)).map(|owners| owners.0), Ok(whole));
    }

    proptest! {
        #[test]
        fn sets_do_what_an_array_would(
            sets in proptest::collection::vec((0..BUCKETS, 0..BUCKETS, 1u32..4), 0..40)
        ) {
            let mut owners = Owners::none();
            let mut array = vec![Owner::default(); usize::from(BUCKETS)];
            for (a, b, group) in sets {
                let (first, last) = (a.min(b), a.max(b));
                if group == 1 {
                    owners.change(|owners| {
                        owners[usize::from(first)..=usize::from(last)].fill(owned_by(group));
                    });
                } else {
                    owners.set(range(first, last), owned_by(group));
                }
                array[usize::from(first)..=usize::from(last)].fill(owned_by(group));
            }
            for (bucket, owner) in (0..).zip(&array) {
                prop_assert_eq!(owners.get(Bucket(bucket)), *owner);
            }
            prop_assert_eq!(decode::<Owners>(&encode(&owners)), Ok(owners));
        }
    }
}
