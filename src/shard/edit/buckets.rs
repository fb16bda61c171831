//! Who should own which bucket, and who says that he does.

use crate::ids::{Epoch, GroupId};
use crate::shard::balance::balance;
use crate::shard::change::OwnerClaim;
use crate::shard::owners::{Actual, BucketRange};
use crate::shard::refusal::{NothingOf, Refusal};
use crate::shard::table::{Table, are_in_order};

/// These buckets, and no others, should be owned by `to`, which has joined from then on.
pub(super) fn assign(
    table: &mut Table,
    ranges: &[BucketRange],
    to: GroupId,
) -> Result<(), Refusal> {
    if to == GroupId::CONFIG {
        return Err(Refusal::ConfigGroup);
    }
    let info = table.groups.get_mut(&to).ok_or(Refusal::UnknownGroup(to))?;
    let ranges = in_order(ranges)?;
    info.joined = true;
    table.owners.change(|owners| {
        for owner in ranges.iter().flat_map(|range| range.places()) {
            owners[owner].desired = Some(to);
        }
    });
    Ok(())
}

/// The groups that have joined share the buckets equally.
pub(super) fn rebalance(table: &mut Table) -> Result<(), Refusal> {
    let joined = table.joined();
    if joined.is_empty() {
        return Err(Refusal::NobodyJoined);
    }
    let moves = balance(&table.owners, &joined);
    table.owners.change(|owners| {
        for (range, to) in moves {
            for owner in range.places() {
                owners[owner].desired = Some(to);
            }
        }
    });
    Ok(())
}

/// Groups say what they own. Of each bucket the highest epoch is true.
pub(super) fn report(table: &mut Table, claims: &[OwnerClaim]) -> Result<(), Refusal> {
    for claim in claims {
        if !are_in_order(&[claim.range]) {
            return Err(Refusal::NoRange(claim.range));
        }
        if claim.group == GroupId::CONFIG {
            return Err(Refusal::ConfigGroup);
        }
        if !table.groups.contains_key(&claim.group) {
            return Err(Refusal::UnknownGroup(claim.group));
        }
        if claim.epoch == Epoch(0) {
            return Err(Refusal::NoEpoch);
        }
    }
    table.owners.change(|owners| {
        for claim in claims {
            let actual = Actual { group: claim.group, epoch: claim.epoch };
            for owner in &mut owners[claim.range.places()] {
                if owner.actual.is_none_or(|known| known.epoch < claim.epoch) {
                    owner.actual = Some(actual);
                }
            }
        }
    });
    Ok(())
}

/// The ranges by bucket, checked.
fn in_order(ranges: &[BucketRange]) -> Result<Vec<BucketRange>, Refusal> {
    if ranges.is_empty() {
        return Err(Refusal::Nothing(NothingOf::Buckets));
    }
    if let Some(range) = ranges.iter().find(|range| !are_in_order(&[**range])) {
        return Err(Refusal::NoRange(*range));
    }
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let overlap = ranges.windows(2).find(|pair| pair[1].first <= pair[0].last);
    match overlap {
        Some(pair) => Err(Refusal::Overlap(pair[1].first)),
        None => Ok(ranges),
    }
}
