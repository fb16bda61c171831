//! How moves are to go.

use crate::ids::GroupId;
use crate::shard::moves::{PAUSES_MAX, Pair};
use crate::shard::refusal::Refusal;
use crate::shard::table::Table;

/// These moves stand still.
pub(super) fn pause(table: &mut Table, pair: Pair) -> Result<(), Refusal> {
    known(table, pair)?;
    table.moves.pause(pair);
    if table.moves.paused.len() > PAUSES_MAX {
        return Err(Refusal::TooManyPauses);
    }
    Ok(())
}

/// These moves go on.
pub(super) fn resume(table: &mut Table, pair: Pair) -> Result<(), Refusal> {
    known(table, pair)?;
    table.moves.resume(pair).map_err(Refusal::WiderPause)
}

/// Buckets of these moves should stay with who owns them, who thereby has joined (again). What has
/// been handed over by then comes back by a new move.
pub(super) fn cancel(table: &mut Table, pair: Pair) -> Result<(), Refusal> {
    known(table, pair)?;
    let pending = table.pending();
    let meant = || pending.iter().filter(|pending| pair.covers(pending.from, pending.to));
    table.owners.change(|owners| {
        for pending in meant() {
            for owner in &mut owners[pending.range.places()] {
                owner.desired = Some(pending.from);
            }
        }
    });
    for pending in meant() {
        if let Some(info) = table.groups.get_mut(&pending.from) {
            info.joined = true;
        }
    }
    Ok(())
}

/// What the moves of one group may take together, bytes per second.
pub(super) fn rate(table: &mut Table, rate: Option<u64>) -> Result<(), Refusal> {
    if rate == Some(0) {
        return Err(Refusal::NoRate);
    }
    table.moves.bytes_per_second = rate;
    Ok(())
}

fn known(table: &Table, pair: Pair) -> Result<(), Refusal> {
    for group in [pair.from, pair.to].into_iter().flatten() {
        if group == GroupId::CONFIG {
            return Err(Refusal::ConfigGroup);
        }
        if !table.groups.contains_key(&group) {
            return Err(Refusal::UnknownGroup(group));
        }
    }
    Ok(())
}
