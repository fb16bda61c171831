//! The commands of a data group, typed: what a client's words become after parsing, what travels to the
//! leader, what stands in the log.
//!
//! All keys of one command lie in one bucket; what spans several was split before. Variants and fields
//! are only ever appended: a variant's position is its name in the log and on the wire.

use crate::ids::Bucket;
use crate::shard::bucket_of;
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// When SET and its kin write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Only if the key is not there (NX).
    IfAbsent,
    /// Only if the key is there (XX).
    IfPresent,
}

/// A point in time, as a client gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deadline {
    /// Milliseconds from the replicated time at which the command is applied; may be negative.
    After(i64),
    /// Milliseconds since the epoch; may lie in the past or be negative.
    At(i64),
}

impl Deadline {
    /// The instant, given the replicated time; `None` if it cannot be told in 63 bits.
    #[must_use]
    pub fn instant(self, now: UnixMillis) -> Option<i64> {
        match self {
            Self::After(millis) => i64::try_from(now.0).ok()?.checked_add(millis),
            Self::At(millis) => Some(millis),
        }
    }
}

/// What SET does with the key's expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// The key does not expire any more.
    #[default]
    Clear,
    /// It stays as it was (KEEPTTL).
    Keep,
    /// The key expires then.
    Set(Deadline),
}

/// What GETEX does with the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GetExpiry {
    /// Nothing.
    Keep,
    /// The key does not expire any more (PERSIST).
    Persist,
    /// The key expires then.
    Set(Deadline),
}

/// When EXPIRE and its kin write. Several may be given (XX with GT or LT).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireCondition {
    /// NX: only if the key does not expire.
    pub if_none: bool,
    /// XX: only if it does.
    pub if_some: bool,
    /// GT: only if the new deadline is later. A key that does not expire counts as expiring never.
    pub if_later: bool,
    /// LT: only if the new deadline is earlier.
    pub if_earlier: bool,
}

/// In which unit a deadline is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TtlUnit {
    /// TTL: seconds left.
    SecondsLeft,
    /// PTTL: milliseconds left.
    MillisLeft,
    /// EXPIRETIME: seconds since the epoch.
    Seconds,
    /// PEXPIRETIME: milliseconds since the epoch.
    Millis,
}

/// A page of a group's keys, as SCAN and KEYS need it. See [`super::scan`] for the cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPage {
    /// Where to go on: bucket and hash; 0 is the start.
    pub cursor: u64,
    /// No bucket at or above this one is looked at.
    pub until: u16,
    /// About how many keys to look at.
    pub count: u32,
    /// Only keys that match this glob.
    pub pattern: Option<Bytes>,
    /// Only keys of this type (all are "string").
    pub kind: Option<Bytes>,
}

/// See the module's first lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the Redis command of its name")]
pub enum Command {
    Get {
        key: Bytes,
    },
    /// SET with all its options; SETEX, PSETEX and GETSET become this too.
    Set {
        key: Bytes,
        value: Bytes,
        condition: Condition,
        expiry: Expiry,
        get: bool,
    },
    /// SETNX, which answers 1 or 0.
    SetNx {
        key: Bytes,
        value: Bytes,
    },
    GetDel {
        key: Bytes,
    },
    GetEx {
        key: Bytes,
        expiry: GetExpiry,
    },
    Append {
        key: Bytes,
        value: Bytes,
    },
    Strlen {
        key: Bytes,
    },
    GetRange {
        key: Bytes,
        start: i64,
        end: i64,
    },
    SetRange {
        key: Bytes,
        offset: u64,
        value: Bytes,
    },
    /// INCR, DECR, INCRBY, DECRBY.
    IncrBy {
        key: Bytes,
        by: i64,
    },
    /// INCRBYFLOAT; `by` is the client's text, checked to be a finite number.
    IncrByFloat {
        key: Bytes,
        by: Bytes,
    },
    MGet {
        keys: Vec<Bytes>,
    },
    MSet {
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// MSETNX: all or none, answers 1 or 0.
    MSetNx {
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// DEL and UNLINK.
    Del {
        keys: Vec<Bytes>,
    },
    Exists {
        keys: Vec<Bytes>,
    },
    Touch {
        keys: Vec<Bytes>,
    },
    Type {
        key: Bytes,
    },
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT.
    Expire {
        key: Bytes,
        deadline: Deadline,
        condition: ExpireCondition,
    },
    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME.
    Ttl {
        key: Bytes,
        unit: TtlUnit,
    },
    Persist {
        key: Bytes,
    },
    /// RENAME (answers OK) and, `if_absent`, RENAMENX (answers 1 or 0).
    Rename {
        from: Bytes,
        to: Bytes,
        if_absent: bool,
    },
    Copy {
        from: Bytes,
        to: Bytes,
        replace: bool,
    },
    /// A page of keys; answers an array of the next cursor (integer, 0 at the end) and the keys.
    Scan(ScanPage),
    /// A key chosen by this number; nil if there is none.
    RandomKey {
        random: u64,
    },
    /// How many keys the group has.
    DbSize,
    /// FLUSHALL, FLUSHDB: forgets all keys of the group's buckets, and answers, encoded, which these are: a
    /// list of [`crate::shard::BucketRange`].
    Flush,
    /// CLUSTER COUNTKEYSINSLOT.
    CountKeys {
        bucket: Bucket,
    },
    /// CLUSTER GETKEYSINSLOT.
    KeysInBucket {
        bucket: Bucket,
        count: u32,
    },
    /// OBJECT ENCODING, MEMORY USAGE and the like: what is known of the key.
    Describe {
        key: Bytes,
        what: Describe,
    },
}

/// What may be asked of a key besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Describe {
    /// OBJECT ENCODING: `int`, `embstr` or `raw`.
    Encoding,
    /// MEMORY USAGE: bytes of key, value and row.
    Memory,
}

impl Command {
    /// Whether it may change state.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Set { .. }
            | Self::SetNx { .. }
            | Self::GetDel { .. }
            | Self::Append { .. }
            | Self::SetRange { .. }
            | Self::IncrBy { .. }
            | Self::IncrByFloat { .. }
            | Self::MSet { .. }
            | Self::MSetNx { .. }
            | Self::Del { .. }
            | Self::Expire { .. }
            | Self::Persist { .. }
            | Self::Rename { .. }
            | Self::Copy { .. }
            | Self::Flush => true,
            Self::GetEx { expiry, .. } => *expiry != GetExpiry::Keep,
            Self::Get { .. }
            | Self::Strlen { .. }
            | Self::GetRange { .. }
            | Self::MGet { .. }
            | Self::Exists { .. }
            | Self::Touch { .. }
            | Self::Type { .. }
            | Self::Ttl { .. }
            | Self::Scan(_)
            | Self::RandomKey { .. }
            | Self::DbSize
            | Self::CountKeys { .. }
            | Self::KeysInBucket { .. }
            | Self::Describe { .. } => false,
        }
    }

    /// Whether it may add data; refused while the disk is nearly full.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.is_write()
            && !matches!(
                self,
                Self::GetDel { .. }
                    | Self::Del { .. }
                    | Self::Expire { .. }
                    | Self::Persist { .. }
                    | Self::GetEx { .. }
                    | Self::Flush
            )
    }

    /// The bucket it belongs to; `None` if it concerns a whole group.
    #[must_use]
    pub fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::CountKeys { bucket } | Self::KeysInBucket { bucket, .. } => Some(*bucket),
            _ => self.first_key().map(|key| bucket_of(key)),
        }
    }

    /// Its first key.
    #[must_use]
    pub fn first_key(&self) -> Option<&Bytes> {
        match self {
            Self::Get { key }
            | Self::Set { key, .. }
            | Self::SetNx { key, .. }
            | Self::GetDel { key }
            | Self::GetEx { key, .. }
            | Self::Append { key, .. }
            | Self::Strlen { key }
            | Self::GetRange { key, .. }
            | Self::SetRange { key, .. }
            | Self::IncrBy { key, .. }
            | Self::IncrByFloat { key, .. }
            | Self::Type { key }
            | Self::Expire { key, .. }
            | Self::Ttl { key, .. }
            | Self::Persist { key }
            | Self::Describe { key, .. } => Some(key),
            Self::Rename { from, .. } | Self::Copy { from, .. } => Some(from),
            Self::MGet { keys }
            | Self::Del { keys }
            | Self::Exists { keys }
            | Self::Touch { keys } => keys.first(),
            Self::MSet { pairs } | Self::MSetNx { pairs } => pairs.first().map(|pair| &pair.0),
            Self::Scan(_)
            | Self::RandomKey { .. }
            | Self::DbSize
            | Self::Flush
            | Self::CountKeys { .. }
            | Self::KeysInBucket { .. } => None,
        }
    }

    /// Bytes of its keys and values: what it is charged with wherever bytes are limited.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Set { key, value, .. }
            | Self::SetNx { key, value }
            | Self::Append { key, value }
            | Self::SetRange { key, value, .. }
            | Self::IncrByFloat { key, by: value } => key.len() + value.len(),
            Self::Rename { from, to, .. } | Self::Copy { from, to, .. } => from.len() + to.len(),
            Self::MGet { keys }
            | Self::Del { keys }
            | Self::Exists { keys }
            | Self::Touch { keys } => keys.iter().map(|key| key.len() + 8).sum(),
            Self::MSet { pairs } | Self::MSetNx { pairs } => {
                pairs.iter().map(|(key, value)| key.len() + value.len() + 16).sum()
            }
            Self::Scan(page) => page.pattern.as_ref().map_or(0, Bytes::len),
            _ => self.first_key().map_or(0, Bytes::len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn the_bytes_of_a_command_never_change() {
        let get = Command::Get { key: Bytes::from_static(b"k") };
        assert_eq!(encode(&get), [0, 1, b'k']);
        let set = Command::Set {
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"v"),
            condition: Condition::IfAbsent,
            expiry: Expiry::Set(Deadline::After(1)),
            get: true,
        };
        assert_eq!(encode(&set), [1, 1, b'k', 1, b'v', 1, 2, 0, 2, 1]);
        let count = Command::CountKeys { bucket: Bucket(7) };
        assert_eq!(encode(&count), [27, 7]);
        assert_eq!(decode::<Command>(&encode(&set)), Ok(set));
    }

    #[test]
    fn reads_do_not_write_and_deletes_do_not_grow() {
        let key = Bytes::from_static(b"k");
        let keep = Command::GetEx { key: key.clone(), expiry: GetExpiry::Keep };
        let persist = Command::GetEx { key: key.clone(), expiry: GetExpiry::Persist };
        assert!(!keep.is_write() && persist.is_write() && !persist.grows());
        let del = Command::Del { keys: vec![key.clone()] };
        assert!(del.is_write() && !del.grows());
        assert!(Command::Append { key: key.clone(), value: key }.grows());
    }
}
