//! Which buckets move so that groups own equal shares: a pure function of the desired owners.
//!
//! Shares are equal when no group owns two buckets more than another. How many groups own one more than
//! the rest follows from the numbers alone; that these are the ones that own most already makes the moves
//! the fewest possible. Among equals the smallest id decides: which group owns one more, which bucket
//! goes, who gets it.

use super::owners::{Bounds, BucketRange, Owners};
use crate::ids::{Bucket, GroupId};
use crate::limits::BUCKETS;
use std::collections::{BTreeMap, BTreeSet};

/// What must change owner so that `groups` share all buckets equally, by receiver. Buckets that are
/// desired of nobody, or of a group that is not among them, are dealt out too. Without groups nothing can
/// be dealt.
pub(super) fn balance(owners: &Owners, groups: &BTreeSet<GroupId>) -> Vec<(BucketRange, GroupId)> {
    if groups.is_empty() {
        return Vec::new();
    }
    let mut held: BTreeMap<GroupId, Vec<BucketRange>> =
        groups.iter().map(|group| (*group, Vec::new())).collect();
    let mut pool = Vec::new();
    for (range, owner) in owners.ranges(Bounds::Desired) {
        match owner.and_then(|owner| held.get_mut(&owner)) {
            Some(ranges) => ranges.push(range),
            None => pool.push(range),
        }
    }
    let shares = shares(&held);
    for (group, ranges) in &held {
        pool.extend(first(ranges, size(ranges).saturating_sub(shares[group])));
    }
    let mut moves = Vec::new();
    let mut pool = pool.into_iter();
    let mut rest: Option<BucketRange> = None;
    for (group, ranges) in &held {
        let mut wanted = shares[group].saturating_sub(size(ranges));
        while wanted > 0 {
            let range = rest.take().or_else(|| pool.next()).expect("what is wanted was given up");
            let (taken, left) = split(range, wanted);
            wanted -= taken.count();
            moves.push((taken, *group));
            rest = left;
        }
    }
    moves
}

/// How many buckets each group is to own: those that own most today own the one more.
fn shares(held: &BTreeMap<GroupId, Vec<BucketRange>>) -> BTreeMap<GroupId, u32> {
    let count = u32::try_from(held.len()).expect("the number of groups is bounded");
    let (share, larger) = (u32::from(BUCKETS) / count, u32::from(BUCKETS) % count);
    let mut order: Vec<GroupId> = held.keys().copied().collect();
    order.sort_by_key(|group| (std::cmp::Reverse(size(&held[group])), *group));
    (0..).zip(order).map(|(place, group)| (group, share + u32::from(place < larger))).collect()
}

fn size(ranges: &[BucketRange]) -> u32 {
    ranges.iter().map(|range| range.count()).sum()
}

/// The first `count` buckets of these ranges.
fn first(ranges: &[BucketRange], mut count: u32) -> Vec<BucketRange> {
    let mut found = Vec::new();
    for range in ranges {
        if count == 0 {
            break;
        }
        let (taken, _) = split(*range, count);
        count -= taken.count();
        found.push(taken);
    }
    found
}

/// At most `count` buckets off the front, and what is left. `count` is not 0.
fn split(range: BucketRange, count: u32) -> (BucketRange, Option<BucketRange>) {
    if range.count() <= count {
        return (range, None);
    }
    let next = range.first.0 + u16::try_from(count).expect("less than there are buckets");
    let taken = BucketRange { first: range.first, last: Bucket(next - 1) };
    (taken, Some(BucketRange { first: Bucket(next), last: range.last }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::owners::Owner;
    use super::*;
    use proptest::prelude::*;

    fn range(first: u16, last: u16) -> BucketRange {
        BucketRange { first: Bucket(first), last: Bucket(last) }
    }

    fn desired(shares: &[(u16, u16, u32)]) -> Owners {
        let mut owners = Owners::none();
        for &(first, last, group) in shares {
            let owner = Owner { desired: Some(GroupId(group)), actual: None };
            owners.set(range(first, last), owner);
        }
        owners
    }

    fn groups(ids: &[u32]) -> BTreeSet<GroupId> {
        ids.iter().copied().map(GroupId).collect()
    }

    fn words(moves: Vec<(BucketRange, GroupId)>) -> String {
        let words: Vec<String> =
            moves.iter().map(|(range, group)| format!("{range}→{group}")).collect();
        words.join(" ")
    }

    #[test]
    fn a_third_group_gets_the_first_buckets_of_the_two() {
        let owners = desired(&[(0, 8191, 1), (8192, 16_383, 2)]);
        let moves = balance(&owners, &groups(&[1, 2, 3]));
        assert_eq!(words(moves), "0-2729→g3 8192-10922→g3", "g1 keeps the one more");
    }

    #[test]
    fn a_group_that_goes_gives_to_all_others() {
        let owners = desired(&[(0, 5461, 1), (5462, 10_922, 2), (10_923, 16_383, 3)]);
        let moves = balance(&owners, &groups(&[2, 3]));
        assert_eq!(words(moves), "0-2730→g2 2731-5461→g3");
    }

    #[test]
    fn equal_shares_stay_and_nobody_gets_nothing() {
        let owners = desired(&[(0, 8191, 1), (8192, 16_383, 2)]);
        assert_eq!(balance(&owners, &groups(&[1, 2])), []);
        assert_eq!(balance(&owners, &groups(&[])), []);
        assert_eq!(words(balance(&Owners::none(), &groups(&[7]))), "0-16383→g7");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn shares_become_equal_by_the_fewest_moves(
            sets in proptest::collection::vec((0..BUCKETS, 0..BUCKETS, 1u32..12), 0..30),
            set in proptest::collection::btree_set(1u32..12, 1..12),
        ) {
            let mut owners = Owners::none();
            let mut array = vec![None; usize::from(BUCKETS)];
            for (a, b, group) in sets {
                let (first, last) = (a.min(b), a.max(b));
                let owner = Owner { desired: Some(GroupId(group)), actual: None };
                owners.set(range(first, last), owner);
                array[usize::from(first)..=usize::from(last)].fill(Some(group));
            }
            let bound = fewest_moves(&array, &set);
            let mut moved = 0;
            for (range, to) in balance(&owners, &set.iter().copied().map(GroupId).collect()) {
                for bucket in range.first.0..=range.last.0 {
                    let owner = &mut array[usize::from(bucket)];
                    prop_assert_ne!(*owner, Some(to.0), "a bucket moves to where it is");
                    *owner = Some(to.0);
                    moved += 1;
                }
            }
            prop_assert_eq!(moved, bound);
            prop_assert_eq!(fewest_moves(&array, &set), 0, "equal now");
        }
    }

    /// What no plan can do without: with n buckets and k groups each ends with n/k of them, n%k with one more.
    /// What stays is at most that much of what each owns, and the one more only with some that own it.
    pub(in super::super) fn fewest_moves(owners: &[Option<u32>], groups: &BTreeSet<u32>) -> usize {
        let sizes =
            groups.iter().map(|group| owners.iter().filter(|o| **o == Some(*group)).count());
        let sizes: Vec<usize> = sizes.collect();
        let (share, larger) = (owners.len() / groups.len(), owners.len() % groups.len());
        let stay: usize = sizes.iter().map(|size| *size.min(&share)).sum();
        let more = sizes.iter().filter(|size| **size > share).count().min(larger);
        owners.len() - stay - more
    }
}
