//! The thread that rewrites tables so that the space of forgotten rows comes back.
//!
//! It stands apart because a rewrite may take minutes and must hold up nobody. A small store is
//! compacted whole. In a large one that would keep fjall's own compaction waiting until writes stall, so
//! only the last level is rewritten there, which holds nine tenths of the rows; the levels above pass
//! through the filter in the course of ordinary compaction.

use crate::store::background::come_last;
use ::fjall::{AbstractTree, Keyspace};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long to wait for the memtable to be flushed before compacting without its rows.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(60);
/// fjall's tree has seven levels.
const LAST_LEVEL: u8 = 6;

/// A handle of the thread, which starts at the first request. Dropping it waits for a round that is
/// under way.
pub(super) struct Reclaim {
    rows: Keyspace,
    /// A store with more table bytes than this is not compacted whole.
    whole_bytes_max: u64,
    progress: Arc<Progress>,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Holds one request: a second one during a round is a further round, a third says nothing new.
    requests: SyncSender<()>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Progress {
    rounds: AtomicU64,
    /// A round has ended and the old tables wait for the next rotation to be unlinked.
    tables_to_unlink: AtomicBool,
    /// The store is being closed.
    stop: AtomicBool,
}

impl Reclaim {
    pub(super) fn new(rows: Keyspace, whole_bytes_max: u64) -> Self {
        Self { rows, whole_bytes_max, progress: Arc::default(), running: Mutex::default() }
    }

    /// Asks for a round.
    pub(super) fn request(&self) -> std::io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(self.start()?);
        }
        match running.as_ref().map(|running| running.requests.try_send(())) {
            Some(Err(TrySendError::Disconnected(()))) => {
                Err(std::io::Error::other("the compacting thread is gone"))
            }
            _ => Ok(()),
        }
    }

    /// Rounds that have ended.
    pub(super) fn rounds(&self) -> u64 {
        self.progress.rounds.load(Ordering::Acquire)
    }

    /// Whether a round has ended since this was last asked.
    pub(super) fn take_tables_to_unlink(&self) -> bool {
        self.progress.tables_to_unlink.swap(false, Ordering::AcqRel)
    }

    fn start(&self) -> std::io::Result<Running> {
        let (requests, inbox) = sync_channel(1);
        let rows = self.rows.clone();
        let whole_bytes_max = self.whole_bytes_max;
        let progress = Arc::clone(&self.progress);
        let thread = thread::Builder::new().name("reclaim".to_string()).spawn(move || {
            come_last();
            run(&rows, whole_bytes_max, &progress, &inbox);
        })?;
        Ok(Running { requests, thread })
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Release);
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { requests, thread }) = running.take() {
            drop(requests);
            let _ = thread.join();
        }
    }
}

fn run(rows: &Keyspace, whole_bytes_max: u64, progress: &Progress, inbox: &Receiver<()>) {
    while inbox.recv().is_ok() {
        if !wait_for_flush(rows, progress) {
            return;
        }
        let before = rows.disk_space();
        match compact(rows, whole_bytes_max) {
            Ok(()) => tracing::info!(before, after = rows.disk_space(), "state store: compacted"),
            // The tables are as they were; the next request tries again.
            Err(error) => tracing::warn!(%error, "state store: giving back space failed"),
        }
        progress.tables_to_unlink.store(true, Ordering::Release);
        progress.rounds.fetch_add(1, Ordering::Release);
    }
}

/// Waits until the rows that were in memory when the request came are in tables; false if the store is
/// being closed.
fn wait_for_flush(rows: &Keyspace, progress: &Progress) -> bool {
    let start = Instant::now();
    while rows.sealed_memtable_count() > 0 && start.elapsed() < FLUSH_WAIT_MAX {
        if progress.stop.load(Ordering::Acquire) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    !progress.stop.load(Ordering::Acquire)
}

fn compact(rows: &Keyspace, whole_bytes_max: u64) -> ::fjall::Result<()> {
    if rows.disk_space() <= whole_bytes_max {
        return rows.major_compact();
    }
    if rows.tree.level_table_count(LAST_LEVEL.into()).unwrap_or(0) > 0 {
        let last_level = lsm_tree::compaction::PullDown(LAST_LEVEL, LAST_LEVEL);
        // No old versions are dropped here (bound 0): open views need not be looked at.
        rows.tree.compact(Arc::new(last_level), 0)?;
    }
    Ok(())
}
