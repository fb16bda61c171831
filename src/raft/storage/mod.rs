//! Where a replica's votes and log are kept, for those who embed the core and like to begin with a trait.
//!
//! The core needs none: it says what to write ([`super::Ready`]) and is told when that is durable. A
//! [`Storage`] is the simplest disk that can do so, one write at a time; [`MemoryStorage`] is one for
//! tests and examples, and [`conformance`] shows whether another keeps what the core relies on. A storage
//! for many groups, with one sync for all of them, has another shape, and can be tested all the same.

mod conformance;
mod memory;

pub use conformance::conformance;
pub use memory::MemoryStorage;

use super::entry::{Entry, HardState, SnapshotMeta};
use super::restore::Restored;
use crate::ids::Index;

/// The votes and the log of one replica.
pub trait Storage {
    /// Why it failed. After a failed write nobody knows what is on the disk: the replica must end.
    type Error: std::error::Error;

    /// Writes what a [`super::Ready`] asks for, in this order; all of it is durable when this returns.
    ///
    /// `restart`: a snapshot took the place of the whole log. `entries` are consecutive; if the first is
    /// not one after the last in the log, that and all after it are cut off before. They never leave a
    /// hole, and never reach below the start of the log.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(
        &mut self,
        restart: Option<&SnapshotMeta>,
        hard_state: Option<&HardState>,
        entries: &[Entry],
    ) -> Result<(), Self::Error>;

    /// Forgets the log up to and including `through.index`, which is in it.
    ///
    /// # Errors
    /// When it cannot be done.
    fn compact(&mut self, through: &SnapshotMeta) -> Result<(), Self::Error>;

    /// The entries from `from` on: one at least, and no more than `bytes_max` allows by [`Entry::cost`].
    /// They may be fewer than that, if it is not `usize::MAX`. None if the log does not have `from`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, from: Index, bytes_max: usize) -> Result<Vec<Entry>, Self::Error>;

    /// What is durable, for [`super::Raft::new`]. The membership and the applied index are those of the
    /// start of the log: who has a state machine that remembers more puts that there.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    fn restore(&self) -> Result<Restored, Self::Error>;
}
