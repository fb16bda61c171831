//! How the rows of a data group look, and nothing else.
//!
//! ```text
//! data   bucket prefix (see `rows`) │ hash 48 bit BE │ key  →  flags u8 │ [deadline u64 LE] │ value
//! meta   "applied"                                          →  how far, since when, under which limits
//!        "buckets" │ chunk u8                               →  128 buckets: owned, epoch, counts
//!        "session" │ client u64 BE                          →  one client's replies
//!        "due" │ deadline u64 BE │ bucket … key as in data  →  nothing: the index of deadlines
//!        "moves"                                            →  what is remembered of moves
//! marks  see `marks`
//! ```
//!
//! Bit 0 of the flags: there is a deadline. A due row is only a hint: it counts if the data row it
//! names is there, in the bucket's living epoch, with the same deadline.

use super::fault::DamagedRow;
use crate::ids::{Bucket, Epoch, GroupId};
use crate::rows::{RowGeneration, bucket_prefix, meta_key, prefix_end};
use crate::time::UnixMillis;
use bytes::{BufMut, Bytes};

/// Where the rows of one machine are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) group: GroupId,
    pub(super) generation: RowGeneration,
}

/// Bytes before the bucket in a data row's key: group, generation, space.
const BEFORE_BUCKET: usize = 9;
/// Bytes before the hash.
const BEFORE_HASH: usize = BEFORE_BUCKET + 6;
/// Bytes before the user's key.
const BEFORE_KEY: usize = BEFORE_HASH + HASH_BYTES;
const HASH_BYTES: usize = 6;
const DUE: &[u8] = b"due";
/// Bytes before the deadline in a due row's key.
const BEFORE_DEADLINE: usize = BEFORE_BUCKET + DUE.len();
const HAS_DEADLINE: u8 = 1;

impl Layout {
    /// The key of a data row.
    pub(super) fn data(self, bucket: Bucket, epoch: Epoch, hash: u64, key: &[u8]) -> Vec<u8> {
        let mut row = self.place(bucket, epoch, hash);
        row.extend_from_slice(key);
        row
    }

    /// The first place at which a key of this hash may stand.
    pub(super) fn place(self, bucket: Bucket, epoch: Epoch, hash: u64) -> Vec<u8> {
        let mut row = bucket_prefix(self.group, self.generation, bucket, epoch);
        row.extend_from_slice(&hash.to_be_bytes()[8 - HASH_BYTES..]);
        row
    }

    /// Behind all keys of a bucket.
    pub(super) fn bucket_end(self, bucket: Bucket, epoch: Epoch) -> Vec<u8> {
        prefix_end(&bucket_prefix(self.group, self.generation, bucket, epoch))
    }

    /// The key of a meta row.
    pub(super) fn meta(self, name: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut row = meta_key(self.group, self.generation, name);
        row.extend_from_slice(rest);
        row
    }

    /// The keys of all meta rows whose names begin so.
    pub(super) fn meta_range(self, name: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let from = self.meta(name, &[]);
        let to = prefix_end(&from);
        (from, to)
    }

    /// The key of the due row that belongs to this data row.
    pub(super) fn due(self, deadline: UnixMillis, data_row: &[u8]) -> Vec<u8> {
        let place = &data_row[BEFORE_BUCKET..];
        let mut row = self.meta(DUE, &deadline.0.to_be_bytes());
        row.extend_from_slice(place);
        row
    }

    /// All due rows.
    pub(super) fn all_due(self) -> (Vec<u8>, Vec<u8>) {
        self.meta_range(DUE)
    }

    /// The due rows from this deadline on.
    pub(super) fn due_range(self, from: UnixMillis) -> (Vec<u8>, Vec<u8>) {
        (self.meta(DUE, &from.0.to_be_bytes()), self.all_due().1)
    }
}

/// The deadline of a due row.
pub(super) fn due_deadline(row: &[u8]) -> Result<UnixMillis, DamagedRow> {
    let bytes = row.get(BEFORE_DEADLINE..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| UnixMillis(u64::from_be_bytes(*bytes))).ok_or(DamagedRow("deadlines"))
}

/// Takes the epoch out of a data row's key: bucket, hash, key.
pub(super) fn place_of(data_row: &[u8]) -> (&[u8], &[u8]) {
    (&data_row[BEFORE_BUCKET..BEFORE_BUCKET + 2], &data_row[BEFORE_HASH..])
}

/// The bucket, the epoch, the hash and the key that a due row names.
pub(super) fn due_place(row: &[u8]) -> Result<(Bucket, Epoch, u64, &[u8]), DamagedRow> {
    let mut rest = row.get(BEFORE_DEADLINE + 8..).ok_or(DamagedRow("deadlines"))?;
    let mut number = |length: usize| {
        let (bytes, behind) = rest.split_at_checked(length).ok_or(DamagedRow("deadlines"))?;
        rest = behind;
        Ok(bytes.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte)))
    };
    let bucket = Bucket(number(2)? as u16);
    let epoch = Epoch(number(4)? as u32);
    let hash = number(HASH_BYTES)?;
    Ok((bucket, epoch, hash, rest))
}

/// The hash in a data row's key.
pub(super) fn data_hash(row: &[u8]) -> Result<u64, DamagedRow> {
    let bytes = row.get(BEFORE_HASH..BEFORE_KEY).ok_or(DamagedRow("keys"))?;
    Ok(bytes.iter().fold(0, |hash, byte| (hash << 8) | u64::from(*byte)))
}

/// The user's key in a data row's key.
pub(super) fn data_key(row: &[u8]) -> Result<&[u8], DamagedRow> {
    row.get(BEFORE_KEY..).ok_or(DamagedRow("keys"))
}

/// A data row's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) deadline: Option<UnixMillis>,
    pub(super) value: Bytes,
}

/// Bytes of a data row besides key and value.
pub(super) fn row_overhead(deadline: Option<UnixMillis>) -> usize {
    BEFORE_KEY + value_header(deadline)
}

fn value_header(deadline: Option<UnixMillis>) -> usize {
    if deadline.is_some() { 9 } else { 1 }
}

/// Begins a data row's value; the caller appends the user's value of this length.
pub(super) fn begin_value(deadline: Option<UnixMillis>, length: usize) -> Vec<u8> {
    let mut row = Vec::with_capacity(value_header(deadline) + length);
    match deadline {
        None => row.push(0),
        Some(deadline) => {
            row.push(HAS_DEADLINE);
            row.put_u64_le(deadline.0);
        }
    }
    row
}

/// Reads the deadline of a data row's value, and how many bytes it and the flags take.
pub(super) fn deadline_of(row: &[u8]) -> Result<(Option<UnixMillis>, usize), DamagedRow> {
    match row {
        [0, ..] => Ok((None, 1)),
        [HAS_DEADLINE, rest @ ..] => {
            let bytes = rest.first_chunk().ok_or(DamagedRow("keys"))?;
            Ok((Some(UnixMillis(u64::from_le_bytes(*bytes))), 9))
        }
        _ => Err(DamagedRow("keys")),
    }
}

impl Held {
    /// Reads a data row's value without copying it.
    pub(super) fn read(row: &Bytes) -> Result<Self, DamagedRow> {
        let (deadline, before) = deadline_of(row)?;
        Ok(Self { deadline, value: row.slice(before..) })
    }

    /// Whether it counts at this time.
    pub(super) fn is_live(&self, time: UnixMillis) -> bool {
        self.deadline.is_none_or(|deadline| deadline > time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_as_they_were_written() {
        let layout = Layout { group: GroupId(3), generation: RowGeneration(2) };
        let (bucket, epoch, hash) = (Bucket(0x1234), Epoch(7), 0x0102_0304_0506);
        let data = layout.data(bucket, epoch, hash, b"key");
        assert_eq!((data_hash(&data), data_key(&data)), (Ok(hash), Ok(&b"key"[..])));
        assert!(
            data < layout.bucket_end(bucket, epoch) && data > layout.place(bucket, epoch, hash)
        );
        let due = layout.due(UnixMillis(99), &data);
        assert_eq!(due_deadline(&due), Ok(UnixMillis(99)));
        assert_eq!(due_place(&due), Ok((bucket, epoch, hash, &b"key"[..])));
        let (from, to) = layout.due_range(UnixMillis(99));
        assert!(from < due && due < to && due < layout.due_range(UnixMillis(100)).0);
        assert!(due_place(&due[..30]).is_err() && data_key(&data[..20]).is_err());
    }

    #[test]
    fn a_value_keeps_its_deadline_apart() {
        for deadline in [None, Some(UnixMillis(0)), Some(UnixMillis(u64::MAX))] {
            let mut row = begin_value(deadline, 5);
            let capacity = row.capacity();
            row.extend_from_slice(b"value");
            assert_eq!(row.capacity(), capacity, "one allocation");
            let held = Held::read(&Bytes::from(row)).unwrap();
            assert_eq!(held, Held { deadline, value: Bytes::from_static(b"value") });
        }
        for row in [&b""[..], b"\x02v", b"\x01short"] {
            assert!(Held::read(&Bytes::copy_from_slice(row)).is_err());
        }
    }
}
