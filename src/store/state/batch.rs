//! A batch: rows that become durable together, with the applied index of each group they belong to.
//!
//! It stands apart because the overlay fills it, the state thread carries it and the store writes it.
//! Its keys always fit the store: never empty, never longer than [`ROW_KEY_BYTES_MAX`]. (A key outside
//! that range would panic inside fjall.)

use super::key::RowKey;
use crate::ids::{GroupId, Index};
use crate::rows::prefix_end;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest row key, bytes: what fjall's journal can express.
pub(super) const ROW_KEY_BYTES_MAX: usize = 65_535;
/// What a row is charged with besides its key and value, bytes: its place in the map.
pub const ROW_OVERHEAD_BYTES: usize = 96;

/// Rows in key order; `None` removes the row.
pub(super) type RowMap = BTreeMap<RowKey, Option<Bytes>>;

/// The number of a frozen batch of one overlay: 1, 2, 3, …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchNumber(pub u64);

/// A batch that nobody changes any more, on its way to the store.
#[derive(Clone, Debug)]
pub struct FrozenBatch {
    /// Its place in the order of its overlay.
    pub number: BatchNumber,
    /// The rows.
    pub batch: Arc<Batch>,
}

/// Rows to be written as one, and up to where each group has been applied with them.
///
/// The applied indices are bookkeeping, so that a later `persist` can say what it covered; the rows
/// that *hold* the applied indices are rows like any other.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    rows: RowMap,
    applied: BTreeMap<GroupId, Index>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row. The last word on a key counts.
    ///
    /// # Panics
    /// When the key is empty or longer than 65,535 bytes, which `limits` rules out.
    pub fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.set(key, Some(value));
    }

    /// Removes a row.
    ///
    /// # Panics
    /// As for [`Batch::put`].
    pub fn delete(&mut self, key: Vec<u8>) {
        self.set(key, None);
    }

    /// Notes that with this batch `group` is applied up to `index`.
    pub fn set_applied(&mut self, group: GroupId, index: Index) {
        self.applied.insert(group, index);
    }

    /// The rows in key order; `None` removes the row.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&Bytes>)> {
        self.rows.iter().map(|(key, value)| (key.bytes(), value.as_ref()))
    }

    /// Up to where each group is applied with this batch.
    #[must_use]
    pub fn applied(&self) -> &BTreeMap<GroupId, Index> {
        &self.applied
    }

    /// Keys, values and [`ROW_OVERHEAD_BYTES`] for each row.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many rows it changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it changes nothing and says nothing about any group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.applied.is_empty()
    }

    /// What this batch says about `key`: nothing, "removed" or a value.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.rows.get(&RowKey::from(key))
    }

    pub(super) fn map(&self) -> &RowMap {
        &self.rows
    }

    /// Sets a row and returns what the batch said about the key before.
    pub(super) fn set(&mut self, key: Vec<u8>, value: Option<Bytes>) -> Option<Option<Bytes>> {
        assert!(
            !key.is_empty() && key.len() <= ROW_KEY_BYTES_MAX,
            "a row key of {} bytes is outside of what the store can hold",
            key.len()
        );
        let key_bytes = key.len() + ROW_OVERHEAD_BYTES;
        self.bytes += value_bytes(value.as_ref());
        let before = self.rows.insert(RowKey::from(key), value);
        match &before {
            Some(value) => self.bytes -= value_bytes(value.as_ref()),
            None => self.bytes += key_bytes,
        }
        before
    }

    /// Forgets what was said about keys with this prefix, and about `group`.
    pub(super) fn discard(&mut self, prefix: &[u8], group: GroupId) {
        self.applied.remove(&group);
        let gone = self
            .rows
            .extract_if(RowKey::from(prefix)..RowKey::from(prefix_end(prefix)), |_, _| true);
        for (key, value) in gone {
            self.bytes -= key.bytes().len() + ROW_OVERHEAD_BYTES + value_bytes(value.as_ref());
        }
    }

    /// Takes back what was said about `key`: `before` is what [`Batch::set`] returned.
    pub(super) fn unset(&mut self, key: Vec<u8>, before: Option<Option<Bytes>>) {
        match before {
            Some(value) => {
                self.set(key, value);
            }
            None => {
                let key = RowKey::from(key);
                if let Some(value) = self.rows.remove(&key) {
                    self.bytes -=
                        key.bytes().len() + ROW_OVERHEAD_BYTES + value_bytes(value.as_ref());
                }
            }
        }
    }
}

fn value_bytes(value: Option<&Bytes>) -> usize {
    value.map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_every_change() {
        let mut batch = Batch::new();
        batch.put(b"key".to_vec(), Bytes::from_static(b"value"));
        assert_eq!(batch.bytes(), ROW_OVERHEAD_BYTES + 8);
        let before = batch.set(b"key".to_vec(), None);
        assert_eq!(batch.bytes(), ROW_OVERHEAD_BYTES + 3);
        batch.unset(b"key".to_vec(), before);
        assert_eq!(batch.bytes(), ROW_OVERHEAD_BYTES + 8);
        batch.unset(b"key".to_vec(), None);
        assert_eq!((batch.bytes(), batch.len()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "outside of what the store can hold")]
    fn an_empty_key_never_gets_in() {
        Batch::new().put(Vec::new(), Bytes::new());
    }

    #[test]
    #[should_panic(expected = "outside of what the store can hold")]
    fn an_over_long_key_never_gets_in() {
        Batch::new().delete(vec![1; ROW_KEY_BYTES_MAX + 1]);
    }
}
