//! What changes in a bucket that is on the move: one mark for each key, client or emptied bucket, at its
//! latest change.
//!
//! ```text
//! marks prefix (see `rows`) │ 0 │ index u64 BE │ what   →  nothing: in the order of changes
//!                           │ 1 │ what                  →  index u64 BE: where that mark stands
//! what: 0 │ bucket u16 BE                          all keys of the bucket were forgotten
//!       1 │ bucket u16 BE │ hash 48 bit BE │ key   a key was written or removed
//!       2 │ client u64 BE                          a reply was kept for the client
//! ```
//!
//! A mark that moves, moves forward, so who reads in order misses nothing; and there are never more of them
//! than things that changed. Since all that was written after the move began is marked, the copy may be
//! read from any later state. When the move is over its marks are forgotten by its number alone.

use super::buckets::Standing;
use super::fault::DamagedRow;
use super::layout::{Layout, place_of};
use super::state::Machine;
use crate::ids::{Bucket, Index};
use crate::kv::migration::{Mark, Place};
use crate::rows::{Rows, marks_prefix};
use bytes::Bytes;

/// Bytes of the prefix: group, generation, space, move.
const PREFIX: usize = 17;
const BY_ORDER: u8 = 0;
const BY_WHAT: u8 = 1;
const EMPTIED: u8 = 0;
const KEY: u8 = 1;
const SESSION: u8 = 2;

/// What has changed in a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// All its keys were forgotten.
    Emptied,
    /// The key with this data row.
    Key(&'a [u8]),
    /// What is kept for this client.
    Session(u64),
}

impl What<'_> {
    fn write(self, bucket: Bucket, row: &mut Vec<u8>) {
        match self {
            Self::Emptied => {
                row.push(EMPTIED);
                row.extend_from_slice(&bucket.0.to_be_bytes());
            }
            Self::Key(data_row) => {
                let (bucket, place) = place_of(data_row);
                row.push(KEY);
                row.extend_from_slice(bucket);
                row.extend_from_slice(place);
            }
            Self::Session(client) => {
                row.push(SESSION);
                row.extend_from_slice(&client.to_be_bytes());
            }
        }
    }
}

impl Machine {
    /// Marks a change in a bucket that is leaving, made by the present entry.
    pub(super) fn mark(&mut self, rows: &mut impl Rows, bucket: Bucket, what: What<'_>) {
        let number = self.moves.get().number_of(bucket).expect("what leaves is in a move");
        let index = self.meta.applied.next();
        let row = |order: Option<Index>| {
            let mut row = begin(self.layout, number, order);
            what.write(bucket, &mut row);
            row
        };
        let by_what = row(None);
        let before = rows.get(&by_what).and_then(|value| value.first_chunk().copied());
        let before = before.map(|bytes| Index(u64::from_be_bytes(bytes)));
        if before == Some(index) {
            return;
        }
        if let Some(before) = before {
            rows.delete(row(Some(before)));
        }
        rows.put(row(Some(index)), Bytes::new());
        rows.put(by_what, Bytes::copy_from_slice(&index.0.to_be_bytes()));
    }

    /// Marks that a reply was kept for a client, if the bucket that it wrote to is leaving.
    pub(super) fn mark_session(&mut self, rows: &mut impl Rows, bucket: Bucket, client: u64) {
        let leaving = |state: super::buckets::BucketState| state.standing == Standing::Leaving;
        if self.buckets.get(bucket).is_some_and(leaving) {
            self.mark(rows, bucket, What::Session(client));
        }
    }

    /// At most so many marks of a move in order, behind `from` and through the entry `to`, with the entry
    /// of each.
    pub(super) fn marks(
        &self,
        rows: &impl Rows,
        number: u64,
        (through, within): (Index, Option<&Mark>),
        to: Index,
        most: usize,
    ) -> Result<Vec<(Index, Mark)>, DamagedRow> {
        let mut from = begin(self.layout, number, Some(through.next()));
        if let Some(mark) = within {
            let whole = write_mark(mark, &mut from);
            if whole {
                from.push(0);
            }
        }
        let end = begin(self.layout, number, Some(to.next()));
        let mut found = Vec::new();
        let mut trouble = None;
        if from < end {
            rows.range(&from, &end, &mut |row, _| {
                match read_mark(row) {
                    Some(mark) => found.push(mark),
                    None => trouble = Some(DamagedRow("marks")),
                }
                trouble.is_none() && found.len() < most
            });
        }
        trouble.map_or(Ok(found), Err)
    }
}

fn begin(layout: Layout, number: u64, order: Option<Index>) -> Vec<u8> {
    let mut row = marks_prefix(layout.group, layout.generation, number);
    match order {
        Some(index) => {
            row.push(BY_ORDER);
            row.extend_from_slice(&index.0.to_be_bytes());
        }
        None => row.push(BY_WHAT),
    }
    row
}

/// Appends what a mark is about; whether all of it is behind the reader.
fn write_mark(mark: &Mark, row: &mut Vec<u8>) -> bool {
    match mark {
        Mark::Emptied(bucket) => {
            row.push(EMPTIED);
            row.extend_from_slice(&bucket.0.to_be_bytes());
            true
        }
        Mark::Key(Place { bucket, hash, key }) => {
            row.push(KEY);
            row.extend_from_slice(&bucket.0.to_be_bytes());
            row.extend_from_slice(&hash.to_be_bytes()[2..]);
            row.extend_from_slice(key);
            true
        }
        Mark::Session { client, through } => {
            row.push(SESSION);
            row.extend_from_slice(&client.to_be_bytes());
            *through == u64::MAX
        }
    }
}

fn read_mark(row: &[u8]) -> Option<(Index, Mark)> {
    let (index, what) = row.get(PREFIX + 1..)?.split_first_chunk()?;
    let (kind, rest) = what.split_first()?;
    let mark = match *kind {
        EMPTIED => Mark::Emptied(Bucket(u16::from_be_bytes(rest.try_into().ok()?))),
        KEY => {
            let (bucket, rest) = rest.split_first_chunk()?;
            let (hash, key) = rest.split_first_chunk::<6>()?;
            Mark::Key(Place {
                bucket: Bucket(u16::from_be_bytes(*bucket)),
                hash: hash.iter().fold(0, |hash, byte| (hash << 8) | u64::from(*byte)),
                key: Bytes::copy_from_slice(key),
            })
        }
        SESSION => {
            let client = u64::from_be_bytes(rest.try_into().ok()?);
            Mark::Session { client, through: u64::MAX }
        }
        _ => return None,
    };
    Some((Index(u64::from_be_bytes(*index)), mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, GroupId};
    use crate::rows::RowGeneration;

    #[test]
    fn marks_read_as_they_were_written_and_stand_in_their_order() {
        let layout = Layout { group: GroupId(3), generation: RowGeneration(2) };
        let bucket = Bucket(0x1234);
        let data = layout.data(bucket, Epoch(7), 0x0102_0304_0506, b"key");
        let key = Place { bucket, hash: 0x0102_0304_0506, key: Bytes::from_static(b"key") };
        let marks = [
            (5, What::Emptied, Mark::Emptied(bucket)),
            (5, What::Key(&data), Mark::Key(key)),
            (5, What::Session(9), Mark::Session { client: 9, through: u64::MAX }),
            (6, What::Emptied, Mark::Emptied(bucket)),
        ];
        let mut last = Vec::new();
        for (index, what, mark) in marks {
            let mut row = begin(layout, 1, Some(Index(index)));
            what.write(bucket, &mut row);
            let mut again = begin(layout, 1, Some(Index(index)));
            write_mark(&mark, &mut again);
            assert_eq!(row, again);
            assert_eq!(read_mark(&row), Some((Index(index), mark)));
            assert!(row > last);
            last = row;
        }
        assert_eq!(read_mark(&last[..20]), None);
    }
}
