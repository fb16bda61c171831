//! Rows: how a state machine sees its storage, and how the keys of all groups share one ordered space.
//!
//! ```text
//! group u32 BE │ generation u32 BE │ space u8 │ ...
//!                                     0 meta   │ name                      the machine's own rows
//!                                     1 data   │ bucket u16 BE │ epoch u32 BE │ hash 48 bit BE │ key
//!                                     2 marks  │ move u64 BE │ ...              what changed during a move
//! ```
//!
//! A *generation* is one life of a replica's whole state: installing a snapshot fills a new one and then
//! switches. Generation 0 holds only the group's control row that says which generation is live. An
//! *epoch* is one life of a bucket's rows. A prefix is never used twice, so forgetting one is a single
//! fact, and a compaction filter may drop its rows whenever it likes.

use crate::ids::{Bucket, Epoch, GroupId};
use bytes::Bytes;

/// What a state machine may do with its rows. Reads see all earlier writes of the same machine.
pub trait Rows {
    /// The value of `key`, if it has one.
    fn get(&self, key: &[u8]) -> Option<Bytes>;

    /// Calls `each` with the rows of `from..to` in order until it answers `false`.
    fn range(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool);

    /// Writes a row.
    fn put(&mut self, key: Vec<u8>, value: Bytes);

    /// Removes a row; removing nothing is fine.
    fn delete(&mut self, key: Vec<u8>);
}

/// One life of a replica's whole state on this node; 0 is the group's control row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowGeneration(pub u32);

const META: u8 = 0;
const DATA: u8 = 1;
const MARKS: u8 = 2;

/// The start of every key of one generation of one group.
#[must_use]
pub fn generation_prefix(group: GroupId, generation: RowGeneration) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&group.0.to_be_bytes());
    key.extend_from_slice(&generation.0.to_be_bytes());
    key
}

/// The key of a meta row.
#[must_use]
pub fn meta_key(group: GroupId, generation: RowGeneration, name: &[u8]) -> Vec<u8> {
    let mut key = generation_prefix(group, generation);
    key.push(META);
    key.extend_from_slice(name);
    key
}

/// The start of every data row of one life of a bucket.
#[must_use]
pub fn bucket_prefix(
    group: GroupId,
    generation: RowGeneration,
    bucket: Bucket,
    epoch: Epoch,
) -> Vec<u8> {
    let mut key = generation_prefix(group, generation);
    key.push(DATA);
    key.extend_from_slice(&bucket.0.to_be_bytes());
    key.extend_from_slice(&epoch.0.to_be_bytes());
    key
}

/// The start of every row that marks a change during the move of this number.
#[must_use]
pub fn marks_prefix(group: GroupId, generation: RowGeneration, number: u64) -> Vec<u8> {
    let mut key = generation_prefix(group, generation);
    key.push(MARKS);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Where a key belongs, read back from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowHome {
    /// The group.
    pub group: GroupId,
    /// The generation of its state.
    pub generation: RowGeneration,
    /// For a data row, the bucket and its epoch.
    pub bucket: Option<(Bucket, Epoch)>,
    /// For a mark, the number of the move.
    pub marks: Option<u64>,
}

/// Reads a key's prefix; `None` if it is no key of ours.
#[must_use]
pub fn home(key: &[u8]) -> Option<RowHome> {
    let group = GroupId(u32::from_be_bytes(key.get(0..4)?.try_into().ok()?));
    let generation = RowGeneration(u32::from_be_bytes(key.get(4..8)?.try_into().ok()?));
    let mut home = RowHome { group, generation, bucket: None, marks: None };
    match *key.get(8)? {
        META => {}
        DATA => {
            let bucket = Bucket(u16::from_be_bytes(key.get(9..11)?.try_into().ok()?));
            let epoch = Epoch(u32::from_be_bytes(key.get(11..15)?.try_into().ok()?));
            home.bucket = Some((bucket, epoch));
        }
        MARKS => home.marks = Some(u64::from_be_bytes(key.get(9..17)?.try_into().ok()?)),
        _ => return None,
    }
    Some(home)
}

/// The smallest key greater than every key that starts with `prefix`.
///
/// # Panics
/// When the prefix is all `0xff`, which no prefix of ours is.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    panic!("a prefix of 0xff bytes has no end");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_where_it_lives() {
        let (group, generation) = (GroupId(7), RowGeneration(3));
        let data = bucket_prefix(group, generation, Bucket(16_383), Epoch(9));
        let nowhere = RowHome { group, generation, bucket: None, marks: None };
        let bucket = Some((Bucket(16_383), Epoch(9)));
        assert_eq!(home(&data), Some(RowHome { bucket, ..nowhere }));
        let meta = meta_key(group, generation, b"applied");
        assert_eq!(home(&meta), Some(nowhere));
        let mark = marks_prefix(group, generation, 77);
        assert_eq!(home(&mark), Some(RowHome { marks: Some(77), ..nowhere }));
        assert!(data < mark && mark < prefix_end(&generation_prefix(group, generation)));
        assert_eq!(home(&mark[..16]), None);
        assert!(meta < data && data < prefix_end(&generation_prefix(group, generation)));
        assert_eq!(home(&data[..14]), None);
    }
}
