//! From a key to its bucket: CRC16 of the key, or of its hash tag, modulo 16,384, as Redis Cluster does it.
//!
//! Stands apart because everybody needs it (parsing, routing, apply) and because clients compute the
//! same number on their own: this function may never change.

use crate::ids::Bucket;
use crate::limits::BUCKETS;

/// The bucket of `key`.
///
/// If the key contains a `{` and, after it, a `}` with at least one byte between the first `{` and
/// the first `}` that follows, only those bytes count, so that a user can put keys into one bucket.
#[must_use]
pub fn bucket_of(key: &[u8]) -> Bucket {
    Bucket(crc16(hashed_part(key)) % BUCKETS)
}

/// The bytes of `key` that decide its bucket.
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else {
        return key;
    };
    let after = &key[open + 1..];
    match after.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(close) => &after[..close],
    }
}

/// CRC16 with the polynomial 0x1021, start 0, nothing reflected ("XMODEM").
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let at = usize::from((crc >> 8) as u8 ^ byte);
        (crc << 8) ^ TABLE[at]
    })
}

static TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_have_their_known_bucket() {
        assert_eq!(bucket_of(b"123456789"), Bucket(12_739));
        assert_eq!(bucket_of(b"foo"), Bucket(12_182));
        assert_eq!(bucket_of(b"bar"), Bucket(5_061));
        assert_eq!(bucket_of(b""), Bucket(0));
    }

    #[test]
    fn only_the_first_tag_that_is_not_empty_counts() {
        assert_eq!(bucket_of(b"{user1000}.following"), bucket_of(b"user1000"));
        assert_eq!(bucket_of(b"{user1000}.following"), bucket_of(b"{user1000}.followers"));
        assert_eq!(hashed_part(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hashed_part(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hashed_part(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hashed_part(b"foo}{bar"), b"foo}{bar");
        assert_eq!(hashed_part(b"}{a}"), b"a");
    }

    #[test]
    fn every_bucket_is_reached_and_none_beyond() {
        let mut seen = vec![false; usize::from(BUCKETS)];
        for number in 0..400_000u32 {
            seen[usize::from(bucket_of(number.to_string().as_bytes()).0)] = true;
        }
        assert!(seen.iter().all(|&reached| reached));
    }
}
