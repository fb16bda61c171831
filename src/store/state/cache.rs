//! The row cache: what was read or written lately, whichever layer it now lies in.
//!
//! A point look-up in an LSM tree costs microseconds even when all of it is in memory; here it is one
//! hash. Two generations: rows go into the young one, and when that is full it becomes the old one and
//! the former old one is dropped whole. A row found in the old one moves up. So what is used stays, and
//! nothing is ever searched for a victim. Must hold: what it says of a key is the newest there is.

use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// What a cached row costs besides its key and value, about, bytes.
const ROW_BYTES: usize = 96;

/// See the module.
pub(super) struct RowCache {
    young: HashMap<Box<[u8]>, Option<Bytes>, RandomState>,
    old: HashMap<Box<[u8]>, Option<Bytes>, RandomState>,
    young_bytes: usize,
    /// Bytes at which the young generation grows old: half of what the cache may hold.
    half_bytes: usize,
}

impl RowCache {
    /// A cache of at most about so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            young_bytes: 0,
            half_bytes: bytes_max / 2,
        }
    }

    /// What is known of a key: nothing, "no such row" or its value.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// The newest there is to say of a key.
    pub(super) fn put(&mut self, key: &[u8], value: Option<Bytes>) {
        if let Some(known) = self.young.get_mut(key) {
            self.young_bytes = (self.young_bytes + length(&value)).saturating_sub(length(known));
            *known = value;
            return;
        }
        self.old.remove(key);
        self.insert(key.into(), value);
    }

    /// Nothing certain is known of a key any more.
    pub(super) fn forget(&mut self, key: &[u8]) {
        self.old.remove(key);
        if let Some((key, value)) = self.young.remove_entry(key) {
            self.young_bytes =
                self.young_bytes.saturating_sub(key.len() + length(&value) + ROW_BYTES);
        }
    }

    /// Nothing certain is known of anything any more.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.half_bytes * 2);
    }

    fn insert(&mut self, key: Box<[u8]>, value: Option<Bytes>) {
        let bytes = key.len() + length(&value) + ROW_BYTES;
        if bytes > self.half_bytes / 8 {
            return; // A row this large would push out too many others.
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
        if self.young_bytes > self.half_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

fn length(value: &Option<Bytes>) -> usize {
    value.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(byte: u8) -> Option<Bytes> {
        Some(Bytes::from(vec![byte; 100]))
    }

    #[test]
    fn it_says_the_newest_or_nothing() {
        let mut cache = RowCache::new(100_000);
        assert_eq!(cache.get(b"a"), None);
        cache.put(b"a", value(1));
        cache.put(b"b", None);
        assert_eq!((cache.get(b"a"), cache.get(b"b")), (Some(value(1)), Some(None)));
        cache.put(b"a", value(2));
        assert_eq!(cache.get(b"a"), Some(value(2)));
        cache.forget(b"a");
        assert_eq!(cache.get(b"a"), None);
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = RowCache::new(20_000);
        cache.put(b"hot", value(7));
        for n in 0..10_000u32 {
            cache.put(&n.to_be_bytes(), value(1));
            assert_eq!(cache.get(b"hot"), Some(value(7)), "after {n} others");
        }
        assert_eq!(cache.get(&0u32.to_be_bytes()), None);
        let rows = cache.young.len() + cache.old.len();
        assert!(rows < 20_000 / 200 + 2, "{rows} rows are more than fit");
    }

    #[test]
    fn a_row_too_large_to_keep_leaves_no_old_word_behind() {
        let mut cache = RowCache::new(20_000);
        cache.put(b"a", value(1));
        cache.put(b"a", Some(Bytes::from(vec![2; 9_000])));
        let found = cache.get(b"a");
        assert!(found.is_none() || found == Some(Some(Bytes::from(vec![2; 9_000]))));
    }
}
