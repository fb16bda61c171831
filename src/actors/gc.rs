//! The GC worker: keeps what is stored in bounds. It has the state persisted, so that logs may forget;
//! has the space of forgotten rows given back; and watches the disk's free space.

use crate::actors::apply::{ApplyCommand, ApplyInbox, Forgotten};
use crate::actors::group::event::Event;
use crate::actors::metrics;
use crate::actors::process;
use crate::actors::shared::Shared;
use crate::actors::supervision::{Restarts, guarded};
use crate::limits;
use crate::store::home::{Home, free_bytes};
use crate::store::state::{Command, StateHandle};
use crate::time::MonoMillis;
use actix::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks.
const STEP: Duration = Duration::from_secs(1);
/// Between two persists while something is written, milliseconds. What is not persisted is replayed
/// from the log after a crash.
const PERSIST_MILLIS: u64 = 3_000;
/// Between two reclaims, milliseconds. Each rewrites tables that are mostly alive, and whoever waits for
/// the disk meanwhile waits longer; so it has to be worth its while.
const RECLAIM_MILLIS: u64 = 20_000;
/// It is worth it from so many forgotten bytes on, and this share of what is alive.
const RECLAIM_BYTES: u64 = 64 * 1024 * 1024;
const RECLAIM_SHARE: u64 = 8;
/// Where so little is alive that a reclaim costs little, less is given back after this time as well.
const RECLAIM_LITTLE_BYTES: u64 = 256 * 1024 * 1024;
const RECLAIM_LITTLE_MILLIS: u64 = 15 * 60_000;
/// The disk counts as roomy again this far above the watermark, bytes.
const ROOMY_BYTES: u64 = limits::DISK_LOW_BYTES + limits::DISK_LOW_BYTES / 4;

/// What the worker decides: a plain struct.
#[derive(Debug, Default)]
pub(super) struct Gc {
    persisted_work: u64,
    persisted_at: MonoMillis,
    reclaimed: Forgotten,
    reclaimed_at: MonoMillis,
    low: bool,
}

/// What the worker sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The time.
    pub now: MonoMillis,
    /// A number that grows with everything applied.
    pub work: u64,
    /// What was forgotten so far.
    pub forgotten: Forgotten,
    /// Bytes of keys and values that are alive.
    pub living: u64,
    /// Free bytes on the disk.
    pub free: u64,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GcStep {
    /// Have the state persisted.
    Persist,
    /// Have the space of forgotten rows given back.
    Reclaim,
    /// The disk is (not) nearly full.
    DiskLow(bool),
}

impl Gc {
    /// What to do now.
    pub(super) fn step(&mut self, seen: Seen) -> Vec<GcStep> {
        let mut steps = Vec::new();
        let low =
            if self.low { seen.free < ROOMY_BYTES } else { seen.free < limits::DISK_LOW_BYTES };
        if low != self.low {
            self.low = low;
            steps.push(GcStep::DiskLow(low));
        }
        if seen.work != self.persisted_work && seen.now.since(self.persisted_at) >= PERSIST_MILLIS {
            self.persisted_work = seen.work;
            self.persisted_at = seen.now;
            steps.push(GcStep::Persist);
        }
        if self.should_reclaim(&seen) {
            steps.push(GcStep::Reclaim);
        }
        steps
    }

    /// Space is being given back; until this is said, it is a step to take.
    pub(super) fn reclaims(&mut self, seen: &Seen) {
        self.reclaimed = seen.forgotten;
        self.reclaimed_at = seen.now;
    }

    fn should_reclaim(&self, seen: &Seen) -> bool {
        let waited = seen.now.since(self.reclaimed_at);
        let bytes = seen.forgotten.bytes - self.reclaimed.bytes;
        let much = bytes >= RECLAIM_BYTES.max(seen.living / RECLAIM_SHARE);
        let costs_little = seen.living <= RECLAIM_LITTLE_BYTES;
        seen.forgotten.times > self.reclaimed.times
            && (self.low
                || waited >= RECLAIM_MILLIS
                    && (much || seen.forgotten.groups > self.reclaimed.groups)
                || waited >= RECLAIM_LITTLE_MILLIS && costs_little)
    }
}

/// What the actor is built from.
#[derive(Clone)]
pub(super) struct GcSeed {
    /// The node.
    pub shared: Arc<Shared>,
    /// The apply thread.
    pub apply: ApplyInbox,
    /// The state thread.
    pub state: StateHandle,
    /// Which prefixes of rows are alive.
    pub live: Arc<crate::actors::apply::Live>,
    /// The data directory.
    pub home: Arc<Mutex<Home>>,
    /// Its path.
    pub dir: PathBuf,
}

/// The shell around [`Gc`].
pub(super) struct GcWorker {
    seed: GcSeed,
    gc: Gc,
    restarts: Restarts,
}

impl GcWorker {
    /// Starts the worker, supervised, on this thread.
    pub(super) fn start_here(seed: GcSeed) -> Addr<Self> {
        Supervisor::start(move |_| Self { seed, gc: Gc::default(), restarts: Restarts::default() })
    }

    fn step(&mut self) {
        let shared = self.seed.shared.clone();
        let free = free_bytes(&self.seed.dir);
        let seen = Seen {
            now: shared.mono(),
            work: shared.work.load(Relaxed),
            forgotten: self.seed.live.so_far(),
            living: shared.boards().values().map(|board| board.stats().bytes).sum(),
            free,
        };
        for step in self.gc.step(seen) {
            self.carry_out(step, &seen);
        }
        let version = shared.routing().map_or(0, |routing| routing.table().version.0);
        metrics::process(process::resident_bytes(), free, self.gc.low, version);
    }

    fn carry_out(&mut self, step: GcStep, seen: &Seen) {
        match step {
            GcStep::Persist => self.seed.apply.push(ApplyCommand::Persist),
            GcStep::Reclaim => match self.seed.state.submit(Command::Reclaim) {
                Ok(()) => self.gc.reclaims(seen),
                // The state thread has too much to do: it is not the time for it now.
                Err(refused) => tracing::debug!("space is given back later: {refused}"),
            },
            GcStep::DiskLow(low) => {
                let shared = &self.seed.shared;
                shared.disk_low.store(low, Relaxed);
                let home = self.seed.home.lock().unwrap_or_else(PoisonError::into_inner);
                if low {
                    tracing::error!(
                        dir = %self.seed.dir.display(),
                        "the disk is nearly full: writes that grow data are refused, deletes are taken; \
                         free some space"
                    );
                    home.release_reserve();
                } else {
                    tracing::info!("the disk has room again: all writes are taken");
                    home.fill_reserve();
                }
                for replica in shared.replicas().values() {
                    replica.addr.do_send(Event::DiskLow(low).into());
                }
            }
        }
    }
}

impl Actor for GcWorker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.gc = Gc::default();
        context.run_interval(STEP, |worker, context| {
            if let Err(panicked) = guarded(|| worker.step()) {
                tracing::error!("the GC worker panicked and starts again: {}", panicked.0);
                if worker.restarts.died(worker.seed.shared.mono()).is_some() {
                    context.stop();
                }
            }
        });
    }
}

impl Supervised for GcWorker {}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(now: u64, work: u64, free: u64) -> Seen {
        let (forgotten, living) = (Forgotten::default(), 0);
        Seen { now: MonoMillis(now), work, forgotten, living, free }
    }

    #[test]
    fn space_is_given_back_when_that_is_worth_a_rewrite() {
        const MIB: u64 = 1024 * 1024;
        // A step until it is taken: the state thread may have too much to do.
        let is_reclaim = |step: &GcStep| *step == GcStep::Reclaim;
        let mut gc = Gc::default();
        let mut now = 0;
        let mut step = |millis, (groups, mib), living, free| {
            now += millis;
            let forgotten = Forgotten { times: groups + mib, groups, bytes: mib * MIB };
            let (now, living) = (MonoMillis(now), living * MIB);
            let seen = Seen { now, work: 0, forgotten, living, free };
            let steps = gc.step(seen);
            assert_eq!(gc.step(seen), steps.iter().copied().filter(is_reclaim).collect::<Vec<_>>());
            if steps.iter().any(is_reclaim) {
                gc.reclaims(&seen);
            }
            steps
        };
        assert_eq!(step(60_000, (0, 63), 0, u64::MAX), []);
        assert_eq!(step(1, (0, 64), 0, u64::MAX), [GcStep::Reclaim]);
        assert_eq!(step(20_000, (0, 164), 1_000, u64::MAX), [], "an eighth of 1,000 is more");
        assert_eq!(step(1, (1, 164), 1_000, u64::MAX), [GcStep::Reclaim], "a group is gone");
        assert_eq!(step(1_000_000, (1, 165), 257, u64::MAX), [], "too much for too little");
        assert_eq!(step(1, (1, 165), 256, u64::MAX), [GcStep::Reclaim], "in the end");
        assert_eq!(step(1_000_000, (1, 165), 256, u64::MAX), [], "nothing new");
        let low = limits::DISK_LOW_BYTES - 1;
        let both = [GcStep::DiskLow(true), GcStep::Reclaim];
        assert_eq!(step(1, (1, 166), 1_000, low), both, "every byte counts");
    }

    #[test]
    fn an_idle_node_persists_nothing() {
        let mut gc = Gc::default();
        assert_eq!(gc.step(seen(5_000, 1, u64::MAX)), [GcStep::Persist]);
        assert_eq!(gc.step(seen(50_000, 1, u64::MAX)), []);
        assert_eq!(gc.step(seen(50_001, 2, u64::MAX)), [GcStep::Persist]);
        assert_eq!(gc.step(seen(50_002, 3, u64::MAX)), [], "not too often");
    }

    #[test]
    fn a_full_disk_is_told_once_and_clears_itself() {
        let mut gc = Gc::default();
        let low = limits::DISK_LOW_BYTES - 1;
        assert_eq!(gc.step(seen(1, 0, low)), [GcStep::DiskLow(true)]);
        assert_eq!(gc.step(seen(2, 0, low)), []);
        assert_eq!(gc.step(seen(3, 0, limits::DISK_LOW_BYTES + 1)), [], "not at the first byte");
        assert_eq!(gc.step(seen(4, 0, ROOMY_BYTES)), [GcStep::DiskLow(false)]);
    }
}
