//! The store on a disk: one fjall database with one keyspace for all rows of all groups.
//!
//! One keyspace, because keyspaces are flushed separately: the rows of a batch and its applied indices
//! must never part. What fjall 3.1.13 does by itself that we must not let it do:
//!
//! - It rotates a memtable through a queue that its own workers block on for ever under load. So its
//!   limit is out of reach, and [`FjallStore::maintain`] counts bytes and rotates.
//! - It holds up a writer in a loop that never ends if a worker has died. So [`FjallStore::write`] waits
//!   beforehand, in a loop that does look.
//! - It burns a core while it compacts. So compaction is ours (`compact.rs`).

use super::batch::Batch;
use super::compact::{Compactor, idle_strategy};
use super::filter::ForgottenFactory;
use super::journal::{self, JournalCut};
use super::layers::Layers;
use super::reclaim::Reclaim;
use super::store::{Forgotten, OpenError, StateError, StateStats, StateStore, StateView};
use crate::limits;
use crate::store::background::come_last;
use ::fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch,
    PersistMode, Readable, Snapshot,
};
use bytes::Bytes;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The keyspace of all rows.
const ROWS: &str = "rows";
/// fjall's threads: one, which flushes.
const WORKERS: usize = 1;
/// Memtables that may wait to be flushed before the active one is allowed to grow beyond its size.
/// Below fjall's own limit of four, at which it would hold up the writer.
const SEALED_MEMTABLES_MAX: usize = 2;
/// Runs in level 0 at which writes wait for compaction. Below fjall's own limits of 20 and 30.
const LEVEL0_RUNS_MAX: usize = 18;
/// Between two looks at whether there is room again.
const ROOM_POLL: Duration = Duration::from_millis(5);
/// A key that no row has: no group has this number. Removing it puts something into an empty memtable,
/// so that it can be rotated.
const NO_ROW: [u8; 4] = [0xff; 4];

/// How a [`FjallStore`] is opened.
#[derive(Clone)]
pub struct FjallOptions {
    /// The block cache, bytes.
    pub cache_bytes: u64,
    /// A memtable, bytes; up to `SEALED_MEMTABLES_MAX` and two more times this may be in memory.
    pub memtable_bytes: u64,
    /// A store with more table bytes than this is not rewritten whole to give back space, but only its
    /// last level, because ordinary compaction has to wait in the meantime.
    pub reclaim_whole_bytes_max: u64,
    /// Which rows may be dropped.
    pub forgotten: Forgotten,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self {
            cache_bytes: limits::BLOCK_CACHE_BYTES,
            memtable_bytes: limits::MEMTABLE_BYTES,
            // At some 150 MB/s this takes less time than level 0 takes to fill at full write speed.
            reclaim_whole_bytes_max: 512 * 1024 * 1024,
            forgotten: Arc::new(|_| false),
        }
    }
}

/// The rows of a node on its disk.
pub struct FjallStore {
    // The threads first: they are joined before the database is closed.
    compactor: Compactor,
    reclaim: Reclaim,
    rows: Keyspace,
    database: Database,
    memtable_bytes_max: u64,
    /// Bytes written since the last rotation.
    memtable_bytes: AtomicU64,
    /// A round of reclaiming is asked for and waits until the active memtable can be handed over.
    is_reclaim_due: AtomicBool,
    journal_cut: Option<JournalCut>,
}

impl FjallStore {
    /// Opens the store in `dir`, which is made if need be. Everything found there is on disk: it counts
    /// as persisted.
    ///
    /// # Errors
    /// When it is in use, cannot be read, or is damaged beyond the end of its journal.
    pub fn open(dir: &Path, options: &FjallOptions) -> Result<Self, OpenError> {
        let journal_cut = check_journal(dir)?;
        if let Some(cut) = &journal_cut {
            tracing::warn!(
                ?cut,
                "state store: the journal ended in something that is no whole batch"
            );
        }
        let (database, rows) = open_behind(dir, options)?;
        let replayed = rows.tree.active_memtable().size();
        let supervisor = database.supervisor.clone();
        let bound = Box::new(move || supervisor.snapshot_tracker.get_seqno_safe_to_gc());
        let compactor = Compactor::start(rows.clone(), bound)
            .map_err(|source| OpenError::Io { dir: dir.to_path_buf(), source })?;
        Ok(Self {
            compactor,
            reclaim: Reclaim::new(rows.clone(), options.reclaim_whole_bytes_max),
            database,
            rows,
            memtable_bytes_max: options.memtable_bytes,
            memtable_bytes: AtomicU64::new(replayed),
            is_reclaim_due: AtomicBool::new(false),
            journal_cut,
        })
    }

    /// What was cut off the journal when the store was opened.
    #[must_use]
    pub fn journal_cut(&self) -> Option<&JournalCut> {
        self.journal_cut.as_ref()
    }

    /// Fails if one of the threads below us has failed.
    fn check_health(&self) -> Result<(), StateError> {
        if let Some(failure) = self.compactor.failure() {
            return Err(StateError::Fatal(failure.to_string()));
        }
        self.database.persist(PersistMode::Buffer).map_err(|error| fatal(&error))
    }

    /// Waits until flushing and compaction have caught up far enough for another batch.
    fn wait_for_room(&self) -> Result<(), StateError> {
        loop {
            self.check_health()?;
            self.maintain()?;
            let overgrown =
                self.memtable_bytes.load(Ordering::Relaxed) >= 2 * self.memtable_bytes_max;
            let flushing = overgrown && self.rows.sealed_memtable_count() >= SEALED_MEMTABLES_MAX;
            let compacting = self.rows.tree.l0_run_count() >= LEVEL0_RUNS_MAX;
            if !flushing && !compacting {
                return Ok(());
            }
            self.compactor.wake();
            std::thread::sleep(ROOM_POLL);
        }
    }

    fn commit(&self, batch: OwnedWriteBatch, bytes: u64) -> Result<(), StateError> {
        batch.commit().map_err(|error| fatal(&error))?;
        self.memtable_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn batch(&self, rows: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), rows)
            .durability(Some(PersistMode::Buffer))
    }

    /// Hands the active memtable over to be flushed; false if too many wait for that already.
    fn rotate(&self) -> Result<bool, StateError> {
        if self.rows.sealed_memtable_count() >= SEALED_MEMTABLES_MAX {
            return Ok(false);
        }
        self.memtable_bytes.store(0, Ordering::Relaxed);
        self.rows.rotate_memtable().map_err(|error| fatal(&error))?;
        self.compactor.wake();
        Ok(true)
    }

    fn snapshot(&self) -> FjallView {
        FjallView { snapshot: self.database.snapshot(), rows: self.rows.clone() }
    }
}

impl StateStore for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let value = self.rows.get(key).map_err(|error| fatal(&error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        self.snapshot().range(from, to, each)
    }

    fn write(&self, batches: &[Arc<Batch>]) -> Result<(), StateError> {
        self.wait_for_room()?;
        let mut out = self.batch(batches.iter().map(|batch| batch.len()).sum());
        let mut bytes = 0;
        for (key, value) in Layers::all(batches.iter().rev().map(AsRef::as_ref)) {
            match value {
                Some(value) => out.insert(&self.rows, key, value.as_ref()),
                None => out.remove(&self.rows, key),
            }
            bytes += key.len() + value.map_or(0, Bytes::len) + super::ROW_OVERHEAD_BYTES;
        }
        self.commit(out, bytes as u64)
    }

    fn persist(&self) -> Result<(), StateError> {
        // Sealed journals were synced when they were sealed, tables when they were written.
        self.database.persist(PersistMode::SyncData).map_err(|error| fatal(&error))
    }

    fn view(&self) -> Box<dyn StateView> {
        Box::new(self.snapshot())
    }

    fn maintain(&self) -> Result<(), StateError> {
        if self.reclaim.take_tables_to_unlink() {
            let mut marker = self.batch(1);
            marker.remove(&self.rows, NO_ROW.as_slice());
            self.commit(marker, self.memtable_bytes_max)?;
        }
        let is_full = self.memtable_bytes.load(Ordering::Relaxed) >= self.memtable_bytes_max;
        let is_reclaim_due = self.is_reclaim_due.load(Ordering::Relaxed);
        let has_rotated = (is_full || is_reclaim_due) && self.rotate()?;
        if has_rotated && is_reclaim_due {
            self.is_reclaim_due.store(false, Ordering::Relaxed);
            self.reclaim.request().map_err(|error| StateError::Fatal(error.to_string()))?;
        }
        Ok(())
    }

    fn reclaim(&self) -> Result<(), StateError> {
        self.is_reclaim_due.store(true, Ordering::Relaxed);
        self.maintain()
    }

    fn stats(&self) -> StateStats {
        StateStats {
            disk_bytes: self.rows.disk_space(),
            journal_bytes: self.database.journal_disk_space().unwrap_or(0),
            memtable_bytes: self.database.write_buffer_size(),
            sealed_memtables: self.rows.sealed_memtable_count() as u64,
            level0_runs: self.rows.tree.l0_run_count() as u64,
            reclaims: self.reclaim.rounds(),
        }
    }
}

/// A snapshot of fjall's: it pins nothing but a number, and the tables that number can see.
struct FjallView {
    snapshot: Snapshot,
    rows: Keyspace,
}

impl StateView for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let value = self.snapshot.get(&self.rows, key).map_err(|error| fatal(&error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        for row in self.snapshot.range(&self.rows, from..to) {
            let (key, value) = row.into_inner().map_err(|error| fatal(&error))?;
            if !each(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

fn fatal(error: &::fjall::Error) -> StateError {
    StateError::Fatal(match error {
        ::fjall::Error::Poisoned => {
            "an earlier write, flush or compaction failed (a full or failing disk?)".to_string()
        }
        error => error.to_string(),
    })
}

fn damaged(dir: &Path, reason: String) -> OpenError {
    OpenError::Damaged { dir: dir.to_path_buf(), reason }
}

/// Checks the journal under fjall's own lock.
fn check_journal(dir: &Path) -> Result<Option<JournalCut>, OpenError> {
    let io = |source| OpenError::Io { dir: dir.to_path_buf(), source };
    let lock = match File::open(dir.join("lock")) {
        Ok(lock) => lock,
        // Nothing there yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(OpenError::Locked { dir: dir.to_path_buf() });
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(io(error)),
    }
    journal::check(dir)
        .map_err(|error| io(std::io::Error::new(error.source.kind(), error.to_string())))
}

/// Opens it on a thread that comes last: fjall starts its own thread there, which inherits that.
fn open_behind(dir: &Path, options: &FjallOptions) -> Result<(Database, Keyspace), OpenError> {
    let open = || {
        come_last();
        open_database(dir, options)
    };
    let opened = std::thread::scope(|scope| {
        let opener = std::thread::Builder::new().name("state-open".to_string());
        opener.spawn_scoped(scope, open).map(std::thread::ScopedJoinHandle::join)
    });
    // fjall asserts things about file names that anyone can break.
    opened
        .map_err(|source| OpenError::Io { dir: dir.to_path_buf(), source })?
        .unwrap_or_else(|_| Err(damaged(dir, "fjall gave up on its files".to_string())))
}

fn open_database(dir: &Path, options: &FjallOptions) -> Result<(Database, Keyspace), OpenError> {
    let forgotten = Arc::clone(&options.forgotten);
    let database = Database::builder(dir)
        .cache_size(options.cache_bytes)
        .worker_threads(WORKERS)
        // The log has these bytes already; compressing them here would only cost time.
        .journal_compression(CompressionType::None)
        .with_compaction_filter_factories(Arc::new(move |_| {
            Some(Arc::new(ForgottenFactory::new(Arc::clone(&forgotten))))
        }))
        .open()
        .map_err(|error| open_error(dir, error))?;
    let rows = database
        .keyspace(ROWS, || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(u64::MAX)
                .compaction_strategy(Arc::new(idle_strategy()))
        })
        .map_err(|error| open_error(dir, error))?;
    Ok((database, rows))
}

fn open_error(dir: &Path, error: ::fjall::Error) -> OpenError {
    let dir: PathBuf = dir.to_path_buf();
    match error {
        ::fjall::Error::Locked => OpenError::Locked { dir },
        ::fjall::Error::Io(source) | ::fjall::Error::Storage(lsm_tree::Error::Io(source)) => {
            OpenError::Io { dir, source }
        }
        error => OpenError::Damaged { dir, reason: error.to_string() },
    }
}
