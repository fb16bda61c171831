//! One key of a command: found with one read, then written or removed with one write, and everything
//! that must go along with it: the counts of its bucket and its place in the index of deadlines.

use super::buckets::Standing;
use super::fault::{DamagedRow, Fault};
use super::layout::{Held, begin_value};
use super::marks::What;
use super::state::Machine;
use crate::ids::{Bucket, Epoch};
use crate::kv::command::Deadline;
use crate::kv::hash::key_hash;
use crate::kv::reply::ReplyError;
use crate::limits::KEY_BYTES_MAX;
use crate::rows::Rows;
use crate::shard::bucket_of;
use crate::time::UnixMillis;
use bytes::Bytes;

/// See the module's first lines.
#[derive(Debug)]
pub(super) struct Slot {
    bucket: Bucket,
    key_bytes: u64,
    row: Vec<u8>,
    stored: Option<Stored>,
    /// What the command sees; `None` also if the key has expired and its row is still there.
    pub(super) live: Option<Held>,
}

/// What the row holds, seen or not.
#[derive(Clone, Copy, Debug)]
struct Stored {
    deadline: Option<UnixMillis>,
    value_bytes: u64,
}

/// How long a key shall live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// For ever.
    Endless,
    /// Until then, which is later than now.
    Until(UnixMillis),
    /// It is over.
    Over,
}

impl Life {
    /// Of a key that is there.
    pub(super) fn of(held: &Held) -> Self {
        held.deadline.map_or(Self::Endless, Self::Until)
    }
}

impl Machine {
    /// Finds a key.
    pub(super) fn find(&self, rows: &impl Rows, key: &[u8]) -> Result<Slot, Fault> {
        let (bucket, row) = self.row_of(key)?;
        let held = rows.get(&row).map(|value| Held::read(&value)).transpose()?;
        let stored = held
            .as_ref()
            .map(|held| Stored { deadline: held.deadline, value_bytes: held.value.len() as u64 });
        let live = held.filter(|held| held.is_live(self.meta.time));
        Ok(Slot { bucket, key_bytes: key.len() as u64, row, stored, live })
    }

    fn row_of(&self, key: &[u8]) -> Result<(Bucket, Vec<u8>), Fault> {
        let (bucket, epoch) = self.home_of(key)?;
        let hash = key_hash(&self.meta.hash_key, key);
        Ok((bucket, self.layout.data(bucket, epoch, hash, key)))
    }

    fn home_of(&self, key: &[u8]) -> Result<(Bucket, Epoch), Fault> {
        let bucket = bucket_of(key);
        let state = self.buckets.served(bucket)?;
        if key.len() > KEY_BYTES_MAX {
            let why = format!("key is larger than {KEY_BYTES_MAX} bytes");
            return Err(ReplyError::err(why).into());
        }
        Ok((bucket, state.epoch))
    }

    /// Refuses keys of which one cannot be here. For commands that write several keys: all or none.
    pub(super) fn check_keys<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Bytes>,
    ) -> Result<(), Fault> {
        keys.into_iter().try_for_each(|key| self.home_of(key).map(drop))
    }

    /// Refuses a value of so many bytes if that is too many.
    pub(super) fn check_size(&self, value_bytes: u64) -> Result<(), ReplyError> {
        let limit = self.meta.value_bytes_max;
        if value_bytes > limit { Err(ReplyError::value_too_large(limit)) } else { Ok(()) }
    }

    /// What a client's deadline means at this replicated time.
    pub(super) fn life_until(&self, deadline: Deadline, command: &str) -> Result<Life, ReplyError> {
        let instant = deadline.instant(self.meta.time).ok_or_else(|| {
            ReplyError::err(format!("invalid expire time in '{command}' command"))
        })?;
        Ok(match u64::try_from(instant) {
            Ok(instant) if instant > self.meta.time.0 => Life::Until(UnixMillis(instant)),
            _ => Life::Over,
        })
    }

    /// Gives a key this value and this life.
    pub(super) fn put(&mut self, rows: &mut impl Rows, slot: Slot, life: Life, value: &[u8]) {
        self.put_parts(rows, slot, life, &[value]);
    }

    /// Gives a key the value that these parts make together.
    pub(super) fn put_parts(
        &mut self,
        rows: &mut impl Rows,
        slot: Slot,
        life: Life,
        parts: &[&[u8]],
    ) {
        let deadline = match life {
            Life::Endless => None,
            Life::Until(deadline) => Some(deadline),
            Life::Over => return self.remove(rows, slot),
        };
        let value_bytes = parts.iter().map(|part| part.len()).sum();
        let mut row = begin_value(deadline, value_bytes);
        parts.iter().for_each(|part| row.extend_from_slice(part));
        let stored = Stored { deadline, value_bytes: value_bytes as u64 };
        self.account(rows, &slot, Some(stored));
        self.budget.wrote(slot.row.len() + row.len());
        rows.put(slot.row, Bytes::from(row));
    }

    /// Removes a key, also one that has expired and is still stored.
    pub(super) fn remove(&mut self, rows: &mut impl Rows, slot: Slot) {
        if slot.stored.is_some() {
            self.account(rows, &slot, None);
            rows.delete(slot.row);
        }
    }

    /// Counts the change and moves the key in the index of deadlines.
    fn account(&mut self, rows: &mut impl Rows, slot: &Slot, after: Option<Stored>) {
        let bytes = |stored: Stored| slot.key_bytes + stored.value_bytes;
        self.count(rows, slot.bucket, &slot.row, slot.stored.map(bytes), after.map(bytes));
        let before = slot.stored.and_then(|stored| stored.deadline);
        let after = after.and_then(|stored| stored.deadline);
        if before == after {
            return;
        }
        if let Some(deadline) = before {
            rows.delete(self.layout.due(deadline, &slot.row));
        }
        if let Some(deadline) = after {
            assert!(deadline > self.meta.time, "what is over is not written");
            rows.put(self.layout.due(deadline, &slot.row), Bytes::new());
            self.next_due = Some(self.next_due.map_or(deadline, |next| next.min(deadline)));
        }
    }

    /// A data row is written or removed: what it counted before and what it counts now, in bytes. Every
    /// change of a key comes through here, and is marked here if its bucket is on the move.
    pub(super) fn count(
        &mut self,
        rows: &mut impl Rows,
        bucket: Bucket,
        data_row: &[u8],
        before: Option<u64>,
        after: Option<u64>,
    ) {
        if self.buckets.count(bucket, before, after) == Standing::Leaving {
            self.mark(rows, bucket, What::Key(data_row));
        }
    }

    /// Removes the row that a due row names, if it still has this deadline.
    pub(super) fn remove_due(
        &mut self,
        rows: &mut impl Rows,
        bucket: Bucket,
        data_row: Vec<u8>,
        key_bytes: u64,
        deadline: UnixMillis,
    ) -> Result<(), DamagedRow> {
        let Some(value) = rows.get(&data_row) else { return Ok(()) };
        let held = Held::read(&value)?;
        if held.deadline == Some(deadline) {
            let before = key_bytes + held.value.len() as u64;
            self.count(rows, bucket, &data_row, Some(before), None);
            rows.delete(data_row);
        }
        Ok(())
    }
}
