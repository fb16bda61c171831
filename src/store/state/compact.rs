//! Our own compaction thread, in place of fjall's.
//!
//! fjall 3.1.13 sets one of its workers aside for flushing, and that worker spins on the queue for as
//! long as another one compacts: measured, a whole core beside the one that does the work. So fjall gets
//! one worker and a strategy that never finds anything to do ([`idle_strategy`]), which leaves it the
//! flushing, and this thread calls the tree's compaction with the real strategy until there is nothing
//! left to do.

use crate::store::background::come_last;
use ::fjall::{AbstractTree, Keyspace, compaction::Leveled};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at a flush that is under way.
const FLUSH_POLL: Duration = Duration::from_millis(20);
/// Before a compaction that found the disk full is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// Old versions of rows below this sequence number may go.
type Bound = Box<dyn Fn() -> u64 + Send>;

/// A strategy for fjall's own worker under which no level is ever too large.
pub(super) fn idle_strategy() -> Leveled {
    Leveled::default().with_l0_threshold(u8::MAX).with_table_target_size(1 << 50)
}

/// The running thread. Dropping it waits for a compaction that is under way.
pub(super) struct Compactor {
    wake: Option<SyncSender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    failure: OnceLock<String>,
    stop: AtomicBool,
}

impl Compactor {
    /// Starts the thread, which first looks whether a compaction was left over.
    pub(super) fn start(rows: Keyspace, bound: Bound) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (wake, woken) = sync_channel(1);
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("compact".to_string())
            .spawn(move || run(&rows, &bound, &its, &woken))?;
        Ok(Self { wake: Some(wake), shared, thread: Some(thread) })
    }

    /// A memtable was handed over to be flushed, or somebody waits for level 0 to shrink.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full means that it will look anyway.
            let _ = wake.try_send(());
        }
    }

    /// Why the thread gave up, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(rows: &Keyspace, bound: &Bound, shared: &Shared, woken: &Receiver<()>) {
    come_last();
    let strategy = Arc::new(Leveled::default());
    loop {
        let before = rows.tree.current_version().id();
        let mut pause = FLUSH_POLL;
        match rows.tree.compact(strategy.clone(), bound()) {
            Ok(()) => {}
            Err(lsm_tree::Error::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(%error, "state store: no room to compact, trying again");
                pause = FULL_DISK_PAUSE;
            }
            Err(error) => {
                tracing::error!(%error, "state store: compaction failed");
                let _ = shared.failure.set(format!("compaction failed: {error}"));
                return;
            }
        }
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        if rows.tree.current_version().id() != before {
            continue;
        }
        let is_more_to_come = pause == FULL_DISK_PAUSE || rows.sealed_memtable_count() > 0;
        let wait = if is_more_to_come { woken.recv_timeout(pause) } else { forever(woken) };
        if wait == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn forever(woken: &Receiver<()>) -> Result<(), RecvTimeoutError> {
    woken.recv().map_err(|_| RecvTimeoutError::Disconnected)
}
