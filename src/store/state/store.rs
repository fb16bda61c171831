//! What a state store promises, whichever it is: [`super::FjallStore`] on a disk, [`super::ModelStore`] in the
//! simulator. One suite (`conformance.rs`) holds both to it.
//!
//! Must hold: a batch is all or nothing; batches survive in order (a crash takes away only a tail of
//! them); after `persist` everything written survives; a view never changes.

use super::batch::Batch;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;

/// Says of a row's key that its prefix is forgotten: nobody will ever read it again, so the row may be
/// dropped at any time.
///
/// The answer must depend on the row's home alone (`rows::home`: group, generation, bucket, epoch), must
/// never go from true back to false, and may be true only once the forgetting itself is persisted. It is
/// asked from the store's own threads while they compact and must neither block for long nor panic.
pub type Forgotten = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The store failed after it was open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// What is on disk from here on cannot be known; the process has to end and start again.
    #[error("the state store failed and takes no more writes: {0}")]
    Fatal(String),
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the state store in {dir} is in use by another process; stop that one, or give this node a \
         data directory of its own"
    )]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The operating system would not let us.
    #[error("cannot open the state store in {dir}: {source}")]
    Io {
        /// The store's directory.
        dir: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The files are there but are not what we wrote.
    #[error(
        "the state store in {dir} is damaged ({reason}); move that directory away and start the node \
         again: its replicas then stay silent until they have fetched a snapshot from their leaders"
    )]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// The rows as they were at one moment. While a view lives, the store keeps what it needs of old
/// tables, so views should not live for ever.
pub trait StateView: Send {
    /// The value of `key`, if it had one.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// Calls `each` with the rows of `from..to` in order until it answers `false`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError>;
}

/// All rows of a node. Reads may come from any thread; everything else is for the state thread.
pub trait StateStore: Send + Sync + 'static {
    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// Calls `each` with the rows of `from..to` in order until it answers `false`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError>;

    /// Writes these batches, oldest first, as one. Not synced. May block while flushing and compaction
    /// catch up. A `get` or `range` on another thread in the meantime may see part of it (the overlay
    /// hides that); a crash leaves all of it or nothing.
    ///
    /// # Errors
    /// When the store has failed; nothing may be written any more.
    fn write(&self, batches: &[Arc<Batch>]) -> Result<(), StateError>;

    /// Returns once everything written is on disk.
    ///
    /// # Errors
    /// When the store has failed; what is on disk is then unknown.
    fn persist(&self) -> Result<(), StateError>;

    /// The rows as they are now. Does not block. On the thread that writes: between two writes only.
    fn view(&self) -> Box<dyn StateView>;

    /// Housekeeping: to be called after writes and now and then when idle. Short.
    ///
    /// # Errors
    /// When the store has failed.
    fn maintain(&self) -> Result<(), StateError>;

    /// Starts giving back the space of forgotten and removed rows. Returns at once; the work goes on in
    /// the background, needs a `maintain` now and then to begin and to end, and a request during it leads
    /// to one more round.
    ///
    /// # Errors
    /// When the store has failed.
    fn reclaim(&self) -> Result<(), StateError>;

    /// Figures for metrics. Cheap enough to be asked for every few seconds.
    fn stats(&self) -> StateStats;
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateStats {
    /// Bytes of the tables on disk.
    pub disk_bytes: u64,
    /// Bytes of the store's own journal on disk.
    pub journal_bytes: u64,
    /// Bytes of rows in memory that are not in a table yet.
    pub memtable_bytes: u64,
    /// Memtables that wait to be flushed.
    pub sealed_memtables: u64,
    /// Sorted runs in level 0; writes slow down when compaction does not keep up with it.
    pub level0_runs: u64,
    /// Finished rounds of `reclaim` since the store was opened.
    pub reclaims: u64,
}
