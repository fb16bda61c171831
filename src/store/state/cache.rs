//! The row cache: what was read or written lately, whichever layer it now lies in.
//!
//! A point look-up in an LSM tree costs microseconds even when all of it is in memory; here it is one
//! hash. Two generations: rows go into the young one, and when that is full it becomes the old one and
//! the former old one is dropped whole. A row found in the old one moves up. So what is used stays, and
//! nothing is ever searched for a victim. Must hold: what it says of a key is the newest there is.
//!
//! It is in parts, by the hash of the key, so that no call takes long: one table for all rows takes tens of
//! milliseconds to grow, and that for all replicas of a group at once.

use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// What a cached row costs besides its key and value, about, bytes.
const ROW_BYTES: usize = 96;
/// Parts of a large cache; a power of two.
const PARTS_MAX: usize = 32;
/// A cache has no parts smaller than this, bytes.
const PART_BYTES_MIN: usize = 1024 * 1024;
/// Of a key's hash the bits from here on name its part: its table uses the lowest and the highest.
const PART_SHIFT: u32 = 32;

/// See the module.
pub(super) struct RowCache {
    parts: Vec<Part>,
    hasher: RandomState,
    bytes_max: usize,
}

type Rows = HashMap<Box<[u8]>, Option<Bytes>, RandomState>;

/// What is known of the keys of one part.
struct Part {
    young: Rows,
    old: Rows,
    young_bytes: usize,
    /// Bytes at which the young generation grows old: half of what the part may hold.
    half_bytes: usize,
}

impl RowCache {
    /// A cache of at most about so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let parts = (bytes_max / PART_BYTES_MIN).clamp(1, PARTS_MAX).next_power_of_two();
        let hasher = RandomState::default();
        let part = |_| Part::new(bytes_max / parts, hasher.clone());
        Self { parts: (0..parts).map(part).collect(), hasher, bytes_max }
    }

    /// What is known of a key: nothing, "no such row" or its value.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<Option<Bytes>> {
        self.part(key).get(key)
    }

    /// The newest there is to say of a key.
    pub(super) fn put(&mut self, key: &[u8], value: Option<Bytes>) {
        self.part(key).put(key, value);
    }

    /// Nothing certain is known of a key any more.
    pub(super) fn forget(&mut self, key: &[u8]) {
        self.part(key).forget(key);
    }

    /// Nothing certain is known of anything any more.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    fn part(&mut self, key: &[u8]) -> &mut Part {
        let hash = self.hasher.hash_one(key) >> PART_SHIFT;
        let at = usize::try_from(hash).unwrap_or_default() & (self.parts.len() - 1);
        &mut self.parts[at]
    }
}

impl Part {
    fn new(bytes_max: usize, hasher: RandomState) -> Self {
        Self {
            young: Rows::with_hasher(hasher.clone()),
            old: Rows::with_hasher(hasher),
            young_bytes: 0,
            half_bytes: bytes_max / 2,
        }
    }

    fn get(&mut self, key: &[u8]) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    fn put(&mut self, key: &[u8], value: Option<Bytes>) {
        if let Some(known) = self.young.get_mut(key) {
            self.young_bytes = (self.young_bytes + length(&value)).saturating_sub(length(known));
            *known = value;
            return;
        }
        self.old.remove(key);
        self.insert(key.into(), value);
    }

    fn forget(&mut self, key: &[u8]) {
        self.old.remove(key);
        if let Some((key, value)) = self.young.remove_entry(key) {
            self.young_bytes =
                self.young_bytes.saturating_sub(key.len() + length(&value) + ROW_BYTES);
        }
    }

    fn insert(&mut self, key: Box<[u8]>, value: Option<Bytes>) {
        let bytes = key.len() + length(&value) + ROW_BYTES;
        if bytes > self.half_bytes / 8 {
            return; // A row this large would push out too many others.
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
        if self.young_bytes > self.half_bytes {
            // It will grow about as large again.
            let hasher = self.young.hasher().clone();
            let next = Rows::with_capacity_and_hasher(self.young.len(), hasher);
            self.old = std::mem::replace(&mut self.young, next);
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
        let [part] = &cache.parts[..] else { panic!("one part is enough for this") };
        let rows = part.young.len() + part.old.len();
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

    #[test]
    fn a_large_one_has_parts_that_share_its_bytes() {
        let mut cache = RowCache::new(16 * PART_BYTES_MIN);
        assert_eq!(cache.parts.len(), 16);
        for n in 0..200_000u32 {
            cache.put(&n.to_be_bytes(), value(1));
        }
        let rows = |part: &Part| part.young.len() + part.old.len();
        let most = 16 * PART_BYTES_MIN / (ROW_BYTES + 104);
        let all: usize = cache.parts.iter().map(rows).sum();
        assert!((most / 2..=most + 16).contains(&all), "{all} rows of {most}");
        let fewest = cache.parts.iter().map(rows).min().unwrap_or_default();
        assert!(fewest > most / 16 / 3, "keys are spread: {fewest} rows in one part");
        cache.clear();
        assert_eq!(cache.get(&199_999u32.to_be_bytes()), None);
        assert_eq!(cache.parts.len(), 16);
    }
}
