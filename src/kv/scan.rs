//! The cursor of SCAN: a place in the order of all keys, bucket first and then the key's hash.
//!
//! It holds no state of any node, so it stays valid on another node, after a change of leader and after
//! a bucket has moved. 0 is the start and, as an answer, the end.
//!
//! *A scan over several groups.* The buckets are cut into ranges of one owner each. For a cursor, the
//! router finds the range that holds the cursor's bucket and asks its owner with `until` set to the
//! first bucket behind the range. If the answer's cursor is not 0, it is the client's next cursor. If
//! it is 0, this range is done: the next cursor is [`cursor`]`(until, 0)`, and after the last range 0.
//! A router may know less than the groups: a page ends before the first bucket that its group does not
//! serve, and is sent on if that is the cursor's own. So 0 says that every bucket up to `until` was served.
//!
//! Must always hold: the cursor of an answer is larger than the one that was asked with, so every scan
//! ends; and a key that is there during the whole scan is behind exactly one of its cursors.

use super::hash::HASH_BITS;
use crate::ids::Bucket;

/// The most keys that one page looks at, whatever count it was asked with.
pub const PAGE_KEYS_MAX: usize = 10_000;
/// Bytes of keys after which a page ends early.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// The cursor at this hash of this bucket. Of bucket 0 and hash 0 it is the start.
#[must_use]
pub fn cursor(bucket: Bucket, hash: u64) -> u64 {
    (u64::from(bucket.0) << HASH_BITS) | (hash & hash_mask())
}

/// The bucket and the hash at which to go on. Of a number that a client made up, the bucket may not
/// exist; then nothing is left to scan.
#[must_use]
pub fn split(cursor: u64) -> (Bucket, u64) {
    let bucket = u16::try_from(cursor >> HASH_BITS).expect("16 bits are left");
    (Bucket(bucket), cursor & hash_mask())
}

fn hash_mask() -> u64 {
    (1 << HASH_BITS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BUCKETS;

    #[test]
    fn a_cursor_is_bucket_and_hash() {
        for (bucket, hash) in [(0, 0), (0, 1), (7, hash_mask()), (BUCKETS - 1, hash_mask())] {
            let packed = cursor(Bucket(bucket), hash);
            assert_eq!(split(packed), (Bucket(bucket), hash));
            assert!(i64::try_from(packed).is_ok(), "some clients keep it signed");
        }
        assert!(cursor(Bucket(1), 0) > cursor(Bucket(0), hash_mask()));
        assert_eq!(split(u64::MAX).0, Bucket(u16::MAX));
    }
}
