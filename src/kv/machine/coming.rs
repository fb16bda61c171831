//! The destination's steps of a move.

use super::buckets::Standing;
use super::fault::DamagedRow;
use super::layout::{Held, begin_value};
use super::moves::{MOVES_MAX, Step};
use super::state::Machine;
use crate::ids::{Epoch, GroupId, Index};
use crate::kv::hash::key_hash;
use crate::kv::migration::{
    Handoff, Incoming, IncomingPhase, Item, MoveId, MoveRefusal, MoveReply, Place, Progress, Ranges,
};
use crate::limits::KEY_BYTES_MAX;
use crate::rows::Rows;
use crate::shard::bucket_of;
use crate::time::UnixMillis;
use bytes::Bytes;

/// No group takes an epoch of another that is not below this: its own must be able to grow.
const EPOCH_MAX: Epoch = Epoch(u32::MAX / 2);

impl Machine {
    pub(super) fn pull(
        &mut self,
        id: MoveId,
        to: GroupId,
        ranges: Ranges,
        epoch: Epoch,
        begun: Index,
    ) -> Step {
        let moves = self.moves.get();
        if let Some(incoming) = moves.coming(id) {
            return match incoming.phase {
                IncomingPhase::Coming => Ok(MoveReply::Done),
                IncomingPhase::Accepted => Err(MoveRefusal::Accepted(id)),
            };
        }
        if to != self.layout.group || id.source == to || id.source == GroupId::CONFIG {
            return Err(MoveRefusal::Unknown(id));
        }
        if moves.has_ended(id) {
            return Err(MoveRefusal::Over(id));
        }
        if epoch >= EPOCH_MAX {
            return Err(MoveRefusal::Malformed(format!("{epoch} is no likely epoch")));
        }
        for bucket in ranges.buckets() {
            match self.buckets.get(bucket).unwrap_or_default().standing {
                Standing::Away => {}
                Standing::Served => {
                    let why = format!("{bucket} is owned by the group that it shall move to");
                    return Err(MoveRefusal::Malformed(why));
                }
                Standing::Leaving | Standing::Left => {
                    let number = moves.number_of(bucket).expect("what leaves is in a move");
                    let id = MoveId { source: self.layout.group, number };
                    return Err(MoveRefusal::InMove { bucket, id });
                }
                Standing::Coming => {
                    let mut coming = moves.incoming();
                    let other = coming.find(|(_, incoming)| {
                        incoming.phase == IncomingPhase::Coming && incoming.ranges.contains(bucket)
                    });
                    let id = other.expect("what comes is in a move").0;
                    return Err(MoveRefusal::InMove { bucket, id });
                }
            }
        }
        if moves.incoming.len() >= MOVES_MAX {
            return Err(MoveRefusal::TooMany);
        }
        for bucket in ranges.buckets() {
            self.buckets.change(bucket, |state| {
                state.epoch = state.epoch.max(epoch);
                state.renew(state.next_epoch());
                state.standing = Standing::Coming;
            });
        }
        let incoming = Incoming {
            ranges,
            begun,
            progress: Progress::START,
            phase: IncomingPhase::Coming,
            items: 0,
            bytes: 0,
        };
        self.moves.change().incoming.insert(id, incoming);
        Ok(MoveReply::Done)
    }

    fn coming(&self, id: MoveId) -> Result<&Incoming, MoveRefusal> {
        self.moves.get().coming(id).ok_or(MoveRefusal::Unknown(id))
    }

    pub(super) fn take_chunk(
        &mut self,
        rows: &mut impl Rows,
        id: MoveId,
        (expects, becomes): (&Progress, Progress),
        frozen: bool,
        items: Vec<Item>,
    ) -> Result<Step, DamagedRow> {
        if let Err(refusal) = self.check_chunk(id, (expects, &becomes), frozen, &items) {
            return Ok(Err(refusal));
        }
        // While rows are scanned none of them can be there already.
        let fresh = matches!(becomes, Progress::Rows { .. });
        let (count, mut bytes) = (items.len() as u64, 0);
        for item in items {
            bytes += item.bytes() as u64;
            match item {
                Item::Row { key, deadline, value } => {
                    self.put_moved(rows, &key, Some((deadline, &value)), fresh)?;
                }
                Item::Gone { key } => self.put_moved(rows, &key, None, fresh)?,
                Item::Emptied { bucket, epoch } => self.buckets.change(bucket, |state| {
                    state.epoch = state.epoch.max(epoch);
                    state.renew(state.next_epoch());
                }),
                Item::Session(piece) => self.sessions.take_in(&piece, self.meta.time),
            }
        }
        let incoming = self.moves.change().incoming.get_mut(&id).expect("checked before");
        incoming.progress = becomes;
        incoming.items += count;
        incoming.bytes += bytes;
        Ok(Ok(MoveReply::Done))
    }

    fn check_chunk(
        &self,
        id: MoveId,
        (expects, becomes): (&Progress, &Progress),
        frozen: bool,
        items: &[Item],
    ) -> Result<(), MoveRefusal> {
        let incoming = self.coming(id)?;
        if incoming.phase == IncomingPhase::Accepted {
            return Err(MoveRefusal::Accepted(id));
        }
        if incoming.progress != *expects {
            return Err(MoveRefusal::Elsewhere(id, Box::new(incoming.progress.clone())));
        }
        let malformed = |why: &str| Err(MoveRefusal::Malformed(why.to_owned()));
        if becomes <= expects {
            return malformed("a copy that does not go on");
        }
        let mut last = match expects {
            Progress::Rows { behind } => behind.clone(),
            _ => None,
        };
        let scanning = matches!(becomes, Progress::Rows { .. });
        for item in items {
            let bucket = match item {
                Item::Row { key, .. } | Item::Gone { key } if key.len() > KEY_BYTES_MAX => {
                    return malformed("a key that is too large");
                }
                Item::Row { key, .. } if scanning => {
                    let place = self.place_of_key(key);
                    if last.as_ref().is_some_and(|last| *last >= place) {
                        return malformed("rows out of order");
                    }
                    let bucket = place.bucket;
                    last = Some(place);
                    bucket
                }
                Item::Row { key, .. } | Item::Gone { key } => bucket_of(key),
                Item::Emptied { bucket, epoch } => {
                    if *epoch >= EPOCH_MAX {
                        return malformed("no likely epoch");
                    }
                    *bucket
                }
                Item::Session(_) => continue,
            };
            if !incoming.ranges.contains(bucket) {
                return malformed("a bucket of another move");
            }
        }
        let pieces = || {
            items.iter().filter_map(|item| match item {
                Item::Session(piece) => Some(piece),
                _ => None,
            })
        };
        // Before the hand-off nobody waits, so the copy does. After it somebody does: then the table may
        // grow beyond its limits, by what one catching-up holds.
        let bounds = &self.meta.session_limits;
        if !frozen && pieces().next().is_some() && !self.sessions.have_room_for(pieces(), bounds) {
            return Err(MoveRefusal::NoRoom);
        }
        Ok(())
    }

    pub(super) fn place_of_key(&self, key: &Bytes) -> Place {
        let hash = key_hash(&self.meta.hash_key, key);
        Place { bucket: bucket_of(key), hash, key: key.clone() }
    }

    /// A key of a bucket that is coming has this deadline and value at the source, or is gone there.
    fn put_moved(
        &mut self,
        rows: &mut impl Rows,
        key: &[u8],
        now: Option<(Option<UnixMillis>, &Bytes)>,
        fresh: bool,
    ) -> Result<(), DamagedRow> {
        let bucket = bucket_of(key);
        let epoch = self.buckets.get(bucket).expect("a bucket of a key").epoch;
        let row = self.layout.data(bucket, epoch, key_hash(&self.meta.hash_key, key), key);
        let before = if fresh { None } else { rows.get(&row) };
        let before = before.map(|value| Held::read(&value)).transpose()?;
        if let Some(deadline) = before.as_ref().and_then(|held| held.deadline) {
            rows.delete(self.layout.due(deadline, &row));
        }
        let bytes = |value: &Bytes| (key.len() + value.len()) as u64;
        let (counted, counts) =
            (before.as_ref().map(|held| bytes(&held.value)), now.map(|(_, value)| bytes(value)));
        if counted.is_some() || counts.is_some() {
            self.count(rows, bucket, &row, counted, counts);
        }
        match now {
            Some((deadline, value)) => {
                if let Some(deadline) = deadline {
                    rows.put(self.layout.due(deadline, &row), Bytes::new());
                    self.next_due = Some(self.next_due.map_or(deadline, |next| next.min(deadline)));
                    // It may be over here already.
                    self.swept = self.swept.min(deadline);
                }
                let mut stored = begin_value(deadline, value.len());
                stored.extend_from_slice(value);
                self.budget.wrote(row.len() + stored.len());
                rows.put(row, Bytes::from(stored));
            }
            None if counted.is_some() => rows.delete(row),
            None => {}
        }
        Ok(())
    }

    pub(super) fn accept(&mut self, id: MoveId, handoff: Handoff) -> Step {
        let incoming = self.coming(id)?;
        if incoming.phase == IncomingPhase::Accepted {
            return Ok(MoveReply::Done);
        }
        if !incoming.progress.is_through(handoff.index) {
            return Err(MoveRefusal::Incomplete(id));
        }
        let incoming = self.moves.change().incoming.get_mut(&id).expect("just seen");
        incoming.phase = IncomingPhase::Accepted;
        let ranges = incoming.ranges.clone();
        self.meta.time = self.meta.time.max(handoff.time);
        for bucket in ranges.buckets() {
            self.buckets.change(bucket, |state| state.standing = Standing::Served);
        }
        Ok(MoveReply::Done)
    }

    pub(super) fn discard(&mut self, id: MoveId) -> Step {
        let Some(incoming) = self.moves.get().coming(id) else { return Ok(MoveReply::Done) };
        if incoming.phase == IncomingPhase::Accepted {
            return Err(MoveRefusal::Accepted(id));
        }
        let gone = self.moves.change().end(id).expect("just seen");
        for bucket in gone.ranges.buckets() {
            self.buckets.change(bucket, |state| {
                state.renew(state.next_epoch());
                state.standing = Standing::Away;
            });
        }
        Ok(MoveReply::Done)
    }

    pub(super) fn close(&mut self, id: MoveId) -> Step {
        let Some(incoming) = self.moves.get().coming(id) else { return Ok(MoveReply::Done) };
        if incoming.phase == IncomingPhase::Coming {
            return Err(MoveRefusal::Incomplete(id));
        }
        self.moves.change().end(id);
        Ok(MoveReply::Done)
    }
}
