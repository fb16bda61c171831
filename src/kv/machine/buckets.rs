//! How the group stands to each bucket, in which epoch, and how much each of them holds.
//!
//! ```text
//!            BeginMove           Handoff          Forget
//!   Served ───────────► Leaving ─────────► Left ─────────► Away
//!     ▲  ◄─────────────                                   ▲ │
//!     │      Cancel                              Discard  │ │ Pull
//!     └─────────────────────────────── Coming ────────────┘ │
//!                   Accept                   ◄──────────────┘
//! ```
//!
//! Must always hold: an epoch only grows; the counts are those of the rows in the living epoch, expired
//! ones that were not removed yet included; the totals are the sums of the counts of what is served.

use super::fault::{DamagedRow, OpenError};
use super::layout::Layout;
use crate::codec;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Bucket, Epoch, GroupId};
use crate::kv::reply::Redirect;
use crate::limits::BUCKETS;
use crate::rows::Rows;
use crate::shard::{BucketRange, FIRST_EPOCH};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const NAME: &[u8] = b"buckets";
/// Buckets in one row.
const CHUNK: u16 = 128;

/// How the group stands to a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Nothing of it is here.
    #[default]
    Away,
    /// Served.
    Served,
    /// Served, and what changes is marked: it is being copied to another group.
    Leaving,
    /// Handed to another group. The rows are there until that has accepted.
    Left,
    /// Being copied from another group.
    Coming,
}

impl Standing {
    /// Whether commands on the bucket are carried out here.
    pub(super) fn is_served(self) -> bool {
        matches!(self, Self::Served | Self::Leaving)
    }
}

/// One bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BucketState {
    pub(super) standing: Standing,
    /// 0: it was never here.
    pub(super) epoch: Epoch,
    pub(super) keys: u64,
    /// Bytes of keys and values.
    pub(super) bytes: u64,
}

impl BucketState {
    /// Begins a new life without rows: those of the old one are forgotten.
    pub(super) fn renew(&mut self, epoch: Epoch) {
        assert!(epoch > self.epoch, "epochs grow: {} after {}", epoch, self.epoch);
        (self.epoch, self.keys, self.bytes) = (epoch, 0, 0);
    }

    /// The epoch after this one.
    pub(super) fn next_epoch(&self) -> Epoch {
        Epoch(self.epoch.0.checked_add(1).expect("fewer than 2^31 lives of a bucket"))
    }
}

/// To whom a bucket went that was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forward {
    pub(super) to: GroupId,
    /// That group's epoch, or an earlier one that was never this group's.
    pub(super) epoch: Epoch,
}

/// See the module's first lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    states: Vec<BucketState>,
    /// Of buckets that left and did not come back.
    forwards: BTreeMap<Bucket, Forward>,
    /// Chunks that changed since they were written.
    dirty: BTreeSet<u8>,
    keys: u64,
    bytes: u64,
    served: u32,
    /// Bytes of keys and values that were forgotten with their bucket's epoch, in this life.
    pub(super) forgotten: u64,
}

/// A row: neighbouring buckets, and where those of them went that left.
type Chunk = (Vec<BucketState>, Vec<(Bucket, Forward)>);

impl Buckets {
    /// These buckets are served from the beginning, and empty. All rows are still to be written.
    ///
    /// # Panics
    /// When there is no such bucket.
    pub(super) fn of_birth(served: &[Bucket]) -> Self {
        let mut states = vec![BucketState::default(); usize::from(BUCKETS)];
        for bucket in served {
            let state = &mut states[usize::from(bucket.0)];
            state.standing = Standing::Served;
            state.epoch = FIRST_EPOCH;
        }
        Self { dirty: (0..chunks()).collect(), ..Self::of_states(states, BTreeMap::new()) }
    }

    fn of_states(states: Vec<BucketState>, forwards: BTreeMap<Bucket, Forward>) -> Self {
        let served = || states.iter().filter(|state| state.standing.is_served());
        let keys = served().map(|state| state.keys).sum();
        let bytes = served().map(|state| state.bytes).sum();
        let served = u32::try_from(served().count()).expect("at most 16,384");
        Self { states, forwards, dirty: BTreeSet::new(), keys, bytes, served, forgotten: 0 }
    }

    pub(super) fn open(layout: Layout, rows: &impl Rows) -> Result<Self, OpenError> {
        let mut states = Vec::with_capacity(usize::from(BUCKETS));
        let mut forwards = BTreeMap::new();
        for chunk in 0..chunks() {
            let row = rows.get(&layout.meta(NAME, &[chunk])).ok_or(DamagedRow("buckets"))?;
            let (part, left): Chunk =
                codec::decode(&row).map_err(|error| OpenError::Row { row: "buckets", error })?;
            if part.len() != usize::from(CHUNK) {
                return Err(DamagedRow("buckets").into());
            }
            states.extend(part);
            forwards.extend(left);
        }
        Ok(Self::of_states(states, forwards))
    }

    /// Writes the rows that changed.
    pub(super) fn flush(&mut self, layout: Layout, rows: &mut impl Rows) {
        for chunk in std::mem::take(&mut self.dirty) {
            let first = u16::from(chunk) * CHUNK;
            let forwards = self.forwards.range(Bucket(first)..Bucket(first + CHUNK));
            let forwards: Vec<_> = forwards.map(|(bucket, forward)| (*bucket, *forward)).collect();
            let states = &self.states[usize::from(first)..usize::from(first + CHUNK)];
            let row = codec::encode(&(states, forwards));
            rows.put(layout.meta(NAME, &[chunk]), Bytes::from(row));
        }
    }

    /// The bucket; `None` if there is no such bucket.
    pub(super) fn get(&self, bucket: Bucket) -> Option<BucketState> {
        self.states.get(usize::from(bucket.0)).copied()
    }

    /// The bucket, if commands on it are carried out here; else where it is.
    pub(super) fn served(&self, bucket: Bucket) -> Result<BucketState, Redirect> {
        let is_served = |standing: Standing| standing.is_served();
        #[cfg(feature = "controls")]
        let is_served = |standing| {
            is_served(standing)
                || (active(Control::ServeAfterHandoff) && standing == Standing::Left)
        };
        match self.get(bucket) {
            Some(state) if is_served(state.standing) => Ok(state),
            Some(BucketState { standing: Standing::Coming, .. }) => {
                Err(Redirect::NotYet { bucket })
            }
            _ => Err(match self.forwards.get(&bucket) {
                Some(&Forward { to, epoch }) => Redirect::Moved { bucket, to, epoch },
                None => Redirect::NotHere { bucket },
            }),
        }
    }

    /// All buckets in order.
    pub(super) fn states(&self) -> &[BucketState] {
        &self.states
    }

    /// Neighbouring buckets that are served in one epoch, in order.
    pub(super) fn owned_runs(&self) -> Vec<(BucketRange, Epoch)> {
        let mut runs: Vec<(BucketRange, Epoch)> = Vec::new();
        for (bucket, state) in (0..BUCKETS).map(Bucket).zip(&self.states) {
            if !state.standing.is_served() {
                continue;
            }
            match runs.last_mut() {
                Some((range, epoch)) if range.last.0 + 1 == bucket.0 && *epoch == state.epoch => {
                    range.last = bucket;
                }
                _ => runs.push((BucketRange { first: bucket, last: bucket }, state.epoch)),
            }
        }
        runs
    }

    /// The first bucket from `from` to before `until` that is served and has keys, or that is not served here.
    pub(super) fn next_filled(
        &self,
        from: Bucket,
        until: u16,
    ) -> Option<Result<(Bucket, BucketState), Redirect>> {
        (from.0..until.min(BUCKETS)).map(Bucket).find_map(|bucket| {
            let state = self.states[usize::from(bucket.0)];
            match state.standing {
                Standing::Served | Standing::Leaving if state.keys > 0 => Some(Ok((bucket, state))),
                Standing::Served | Standing::Leaving => None,
                #[cfg(feature = "controls")]
                Standing::Away
                    if active(Control::PassOverElsewhere)
                        && !self.forwards.contains_key(&bucket) =>
                {
                    None
                }
                _ => self.served(bucket).err().map(Err),
            }
        })
    }

    /// A key came, went or changed: what it counted before and what it counts now, in bytes. Only for
    /// `Machine::count`, which also marks the change. Answers how the group stands to the bucket.
    pub(super) fn count(
        &mut self,
        bucket: Bucket,
        before: Option<u64>,
        after: Option<u64>,
    ) -> Standing {
        let state = &mut self.states[usize::from(bucket.0)];
        let mut counts = [Some((&mut state.keys, &mut state.bytes)), None];
        if state.standing.is_served() {
            counts[1] = Some((&mut self.keys, &mut self.bytes));
        }
        for (keys, bytes) in counts.into_iter().flatten() {
            // First what is added, so that nothing falls below zero on the way.
            *keys = *keys + u64::from(after.is_some()) - u64::from(before.is_some());
            *bytes = *bytes + after.unwrap_or(0) - before.unwrap_or(0);
        }
        let standing = state.standing;
        self.dirty.insert(chunk_of(bucket));
        standing
    }

    /// Changes a bucket.
    pub(super) fn change(&mut self, bucket: Bucket, change: impl FnOnce(&mut BucketState)) {
        let state = &mut self.states[usize::from(bucket.0)];
        let before = *state;
        if state.standing.is_served() {
            self.keys -= state.keys;
            self.bytes -= state.bytes;
            self.served -= 1;
        }
        change(state);
        if state.epoch != before.epoch {
            self.forgotten += before.bytes;
        }
        if state.standing.is_served() {
            self.keys += state.keys;
            self.bytes += state.bytes;
            self.served += 1;
            self.forwards.remove(&bucket);
        }
        self.dirty.insert(chunk_of(bucket));
    }

    /// A bucket leaves for this group; its rows stay.
    pub(super) fn leave(&mut self, bucket: Bucket, to: GroupId) {
        self.change(bucket, |state| state.standing = Standing::Left);
        let epoch = self.states[usize::from(bucket.0)].next_epoch();
        self.forwards.insert(bucket, Forward { to, epoch });
    }

    /// Forgets all keys: each bucket that has some begins a new epoch. Answers which of them are leaving.
    pub(super) fn forget_all(&mut self) -> Vec<Bucket> {
        let mut leaving = Vec::new();
        for bucket in (0..BUCKETS).map(Bucket) {
            let state = self.states[usize::from(bucket.0)];
            if state.standing.is_served() && state.keys > 0 {
                self.change(bucket, |state| state.renew(state.next_epoch()));
                if state.standing == Standing::Leaving {
                    leaving.push(bucket);
                }
            }
        }
        leaving
    }

    /// How many keys the served buckets have.
    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// Bytes of those.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are served.
    pub(super) fn count_served(&self) -> u32 {
        self.served
    }
}

fn chunks() -> u8 {
    u8::try_from(BUCKETS / CHUNK).expect("128 chunks of 128 buckets")
}

fn chunk_of(bucket: Bucket) -> u8 {
    u8::try_from(bucket.0 / CHUNK).expect("a bucket below 16,384")
}
