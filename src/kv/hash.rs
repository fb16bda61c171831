//! The keyed hash by which the keys of a bucket are ordered: 48 bits, so that a SCAN cursor of bucket
//! and hash fits 64. Keyed, so that nobody can choose keys that all fall together.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Bits of the hash.
pub const HASH_BITS: u32 = 48;

/// The hash of a key under the cluster's hash key; below 2^48.
#[must_use]
pub fn key_hash(hash_key: &[u8; 16], key: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(hash_key);
    hasher.write(key);
    hasher.finish() >> (64 - HASH_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_both_keys_and_never_changes() {
        let one = key_hash(&[1; 16], b"a");
        assert!(one < 1 << HASH_BITS);
        assert_ne!(one, key_hash(&[2; 16], b"a"));
        assert_ne!(one, key_hash(&[1; 16], b"b"));
        assert_eq!(key_hash(&[0; 16], b""), 0xd1fb_a762_150c);
    }
}
