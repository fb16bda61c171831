//! Commands that concern the whole group or a whole bucket: SCAN, RANDOMKEY, DBSIZE, FLUSHALL and
//! CLUSTER's looks into a slot. Work is bounded by a page; counting looks at no row.

use super::buckets::BucketState;
use super::fault::{Answer, DamagedRow, Fault};
use super::layout::{data_hash, data_key, deadline_of};
use super::marks::What;
use super::state::Machine;
use crate::ids::Bucket;
use crate::kv::command::ScanPage;
use crate::kv::glob;
use crate::kv::hash::HASH_BITS;
use crate::kv::migration::Ranges;
use crate::kv::reply::{Reply, ReplyError};
use crate::kv::scan::{PAGE_BYTES_MAX, PAGE_KEYS_MAX, cursor, split};
use crate::rows::Rows;
use bytes::Bytes;
use std::ops::ControlFlow;

/// Rows that RANDOMKEY looks at until one has not expired.
const RANDOM_LOOKS_MAX: usize = 1_000;

impl Machine {
    /// Goes through the rows of a bucket from a hash on: hash, key, and whether it is there for clients.
    fn walk(
        &self,
        rows: &impl Rows,
        (bucket, state): (Bucket, BucketState),
        from_hash: u64,
        mut each: impl FnMut(u64, &[u8], bool) -> ControlFlow<()>,
    ) -> Result<(), DamagedRow> {
        let from = self.layout.place(bucket, state.epoch, from_hash);
        let to = self.layout.bucket_end(bucket, state.epoch);
        let mut trouble = Ok(());
        rows.range(&from, &to, &mut |row, value| {
            let mut look = || {
                let deadline = deadline_of(value)?.0;
                let live = deadline.is_none_or(|deadline| deadline > self.meta.time);
                Ok(each(data_hash(row)?, data_key(row)?, live).is_continue())
            };
            look().unwrap_or_else(|error| {
                trouble = Err(error);
                false
            })
        });
        trouble
    }

    pub(super) fn scan(&self, rows: &impl Rows, page: &ScanPage) -> Answer {
        let is_string = |kind: &Bytes| kind.eq_ignore_ascii_case(b"string");
        if !page.kind.as_ref().is_none_or(is_string) {
            // All keys are strings: none is of another type.
            return Ok(scan_reply(0, Vec::new()));
        }
        let count = usize::try_from(page.count).unwrap_or(PAGE_KEYS_MAX).clamp(1, PAGE_KEYS_MAX);
        let (mut from, mut from_hash) = split(page.cursor);
        let mut keys = Vec::new();
        let (mut looks, mut bytes) = (0, 0);
        let start = from;
        while let Some(found) = self.buckets.next_filled(from, page.until) {
            let (bucket, state) = match found {
                Ok(found) => found,
                // The page ends before a bucket of another group, and the next one is asked of that.
                Err(redirect) if redirect.bucket() == start => return Err(redirect.into()),
                Err(redirect) => return Ok(scan_reply(cursor(redirect.bucket(), 0), keys)),
            };
            if bucket != from {
                from_hash = 0;
            }
            if looks >= count || bytes >= PAGE_BYTES_MAX {
                return Ok(scan_reply(cursor(bucket, from_hash), keys));
            }
            let (mut before, mut next) = (None, None);
            self.walk(rows, (bucket, state), from_hash, |hash, key, live| {
                let full = looks >= count || bytes >= PAGE_BYTES_MAX;
                if full && before != Some(hash) {
                    next = Some(hash);
                    return ControlFlow::Break(());
                }
                before = Some(hash);
                looks += 1;
                if live && page.pattern.as_ref().is_none_or(|glob| glob::matches(glob, key)) {
                    bytes += key.len();
                    keys.push(Reply::Bulk(Bytes::copy_from_slice(key)));
                }
                ControlFlow::Continue(())
            })?;
            if let Some(next) = next {
                return Ok(scan_reply(cursor(bucket, next), keys));
            }
            (from, from_hash) = (Bucket(bucket.0 + 1), 0);
        }
        Ok(scan_reply(0, keys))
    }

    pub(super) fn random_key(&self, rows: &impl Rows, random: u64) -> Answer {
        let total = self.buckets.keys();
        if total == 0 {
            return Ok(Reply::Nil);
        }
        let mut rest = random % total;
        let states = self.buckets.states();
        let chosen = states.iter().position(|state| {
            let keys = if state.standing.is_served() { state.keys } else { 0 };
            let here = rest < keys;
            rest -= if here { 0 } else { keys };
            here
        });
        let chosen = chosen.expect("the total is the sum of the counts");
        // From some place in the chosen bucket to its end, then from its start, then the other buckets
        // in turn: what has expired is passed over.
        let places = std::iter::once((chosen, mixed(random) >> (64 - HASH_BITS)))
            .chain((chosen..states.len()).chain(0..chosen).map(|bucket| (bucket, 0)));
        let (mut looks, mut found) = (0, None);
        let filled = |state: &BucketState| state.standing.is_served() && state.keys > 0;
        for (bucket, hash) in places.filter(|(bucket, _)| filled(&states[*bucket])) {
            let name = Bucket(u16::try_from(bucket).expect("a bucket below 16,384"));
            self.walk(rows, (name, states[bucket]), hash, |_, key, live| {
                looks += 1;
                if live {
                    found = Some(Reply::Bulk(Bytes::copy_from_slice(key)));
                }
                if live || looks >= RANDOM_LOOKS_MAX {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            if found.is_some() || looks >= RANDOM_LOOKS_MAX {
                break;
            }
        }
        Ok(found.unwrap_or(Reply::Nil))
    }

    pub(super) fn db_size(&self) -> Answer {
        Ok(count_reply(self.buckets.keys()))
    }

    /// Answers, encoded, whose keys were forgotten: all buckets that are served here, as ranges.
    pub(super) fn forget_all_keys(&mut self, rows: &mut impl Rows) -> Answer {
        // Rows of the old epochs are forgotten. Their due rows name the old epochs, so nothing comes of
        // them when their time has come and the sweep removes them.
        for bucket in self.buckets.forget_all() {
            self.mark(rows, bucket, What::Emptied);
        }
        let served = self.buckets.owned_runs().into_iter().flat_map(|(range, _)| range.buckets());
        let ranges = Ranges::of(served).map_or_else(Vec::new, |all| all.as_slice().to_vec());
        Ok(Reply::encoded(&ranges))
    }

    pub(super) fn count_keys(&self, bucket: Bucket) -> Answer {
        Ok(count_reply(self.owned(bucket)?.keys))
    }

    pub(super) fn keys_in_bucket(&self, rows: &impl Rows, bucket: Bucket, count: u32) -> Answer {
        let state = self.owned(bucket)?;
        let most = usize::try_from(count).unwrap_or(PAGE_KEYS_MAX).min(PAGE_KEYS_MAX);
        let mut keys = Vec::new();
        if most > 0 && state.keys > 0 {
            self.walk(rows, (bucket, state), 0, |_, key, live| {
                if live {
                    keys.push(Reply::Bulk(Bytes::copy_from_slice(key)));
                }
                if keys.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(Reply::Array(keys))
    }

    fn owned(&self, bucket: Bucket) -> Result<BucketState, Fault> {
        self.buckets.get(bucket).ok_or_else(|| ReplyError::err("Invalid slot"))?;
        Ok(self.buckets.served(bucket)?)
    }
}

fn scan_reply(next: u64, keys: Vec<Reply>) -> Reply {
    let next = i64::try_from(next).expect("a bucket has 14 bits and a hash 48");
    Reply::Array(vec![Reply::Integer(next), Reply::Array(keys)])
}

fn count_reply(count: u64) -> Reply {
    Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A number that has little in common with this one, so that the bucket does not give away the place
/// within it (the finaliser of splitmix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
