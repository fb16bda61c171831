//! Which buckets the group owns, in which epoch, and how much each of them holds.
//!
//! Must always hold: an epoch only grows; the counts are those of the rows in the living epoch, expired
//! ones that were not removed yet included; the totals are the sums of the counts.

use super::fault::{DamagedRow, OpenError};
use super::layout::Layout;
use crate::codec;
use crate::ids::{Bucket, Epoch};
use crate::limits::BUCKETS;
use crate::rows::Rows;
use crate::shard::FIRST_EPOCH;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const NAME: &[u8] = b"buckets";
/// Buckets in one row.
const CHUNK: usize = 128;

/// One bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BucketState {
    pub(super) owned: bool,
    /// 0: it was never owned.
    pub(super) epoch: Epoch,
    pub(super) keys: u64,
    /// Bytes of keys and values.
    pub(super) bytes: u64,
}

/// See the module's first lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    states: Vec<BucketState>,
    /// Chunks that changed since they were written.
    dirty: BTreeSet<u8>,
    keys: u64,
    bytes: u64,
    owned: u32,
}

impl Buckets {
    /// These buckets are owned from the beginning, and empty. All rows are still to be written.
    ///
    /// # Panics
    /// When there is no such bucket.
    pub(super) fn of_birth(owned: &[Bucket]) -> Self {
        let mut states = vec![BucketState::default(); usize::from(BUCKETS)];
        for bucket in owned {
            let state = &mut states[usize::from(bucket.0)];
            state.owned = true;
            state.epoch = FIRST_EPOCH;
        }
        Self { dirty: (0..chunks()).collect(), ..Self::of_states(states) }
    }

    fn of_states(states: Vec<BucketState>) -> Self {
        let keys = states.iter().map(|state| state.keys).sum();
        let bytes = states.iter().map(|state| state.bytes).sum();
        let owned = states.iter().map(|state| u32::from(state.owned)).sum();
        Self { states, dirty: BTreeSet::new(), keys, bytes, owned }
    }

    pub(super) fn open(layout: Layout, rows: &impl Rows) -> Result<Self, OpenError> {
        let mut states = Vec::with_capacity(usize::from(BUCKETS));
        for chunk in 0..chunks() {
            let row = rows.get(&layout.meta(NAME, &[chunk])).ok_or(DamagedRow("buckets"))?;
            let part: Vec<BucketState> =
                codec::decode(&row).map_err(|error| OpenError::Row { row: "buckets", error })?;
            if part.len() != CHUNK {
                return Err(DamagedRow("buckets").into());
            }
            states.extend(part);
        }
        Ok(Self::of_states(states))
    }

    /// Writes the rows that changed.
    pub(super) fn flush(&mut self, layout: Layout, rows: &mut impl Rows) {
        for chunk in std::mem::take(&mut self.dirty) {
            let from = usize::from(chunk) * CHUNK;
            let row = codec::encode(&self.states[from..from + CHUNK]);
            rows.put(layout.meta(NAME, &[chunk]), Bytes::from(row));
        }
    }

    /// The bucket; `None` if there is no such bucket.
    pub(super) fn get(&self, bucket: Bucket) -> Option<BucketState> {
        self.states.get(usize::from(bucket.0)).copied()
    }

    /// All buckets in order.
    pub(super) fn states(&self) -> &[BucketState] {
        &self.states
    }

    /// The first bucket from `from` to before `until` that is owned and has keys.
    pub(super) fn next_filled(&self, from: Bucket, until: u16) -> Option<(Bucket, BucketState)> {
        (from.0..until.min(BUCKETS))
            .map(|bucket| (Bucket(bucket), self.states[usize::from(bucket)]))
            .find(|(_, state)| state.owned && state.keys > 0)
    }

    /// A key came, went or changed: what it counted before and what it counts now, in bytes.
    pub(super) fn count(&mut self, bucket: Bucket, before: Option<u64>, after: Option<u64>) {
        let state = &mut self.states[usize::from(bucket.0)];
        for (keys, bytes) in
            [(&mut state.keys, &mut state.bytes), (&mut self.keys, &mut self.bytes)]
        {
            // First what is added, so that nothing falls below zero on the way.
            *keys = *keys + u64::from(after.is_some()) - u64::from(before.is_some());
            *bytes = *bytes + after.unwrap_or(0) - before.unwrap_or(0);
        }
        self.dirty.insert(chunk_of(bucket));
    }

    /// Forgets all keys: each bucket that has some begins a new epoch.
    pub(super) fn forget_all(&mut self) {
        for (bucket, state) in (0..BUCKETS).zip(&mut self.states) {
            if state.owned && state.keys > 0 {
                self.keys -= state.keys;
                self.bytes -= state.bytes;
                state.keys = 0;
                state.bytes = 0;
                state.epoch.0 = state.epoch.0.checked_add(1).expect("fewer than 2^32 flushes");
                self.dirty.insert(chunk_of(Bucket(bucket)));
            }
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are owned.
    pub(super) fn owned(&self) -> u32 {
        self.owned
    }
}

fn chunks() -> u8 {
    u8::try_from(usize::from(BUCKETS) / CHUNK).expect("128 chunks of 128 buckets")
}

fn chunk_of(bucket: Bucket) -> u8 {
    u8::try_from(usize::from(bucket.0) / CHUNK).expect("a bucket below 16,384")
}
