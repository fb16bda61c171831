//! The state store: the rows of all replicas of a node, and the way from an applied entry to disk.
//!
//! ```text
//! apply thread                          state thread                    the store
//! Overlay (rows applied, not written) ─► StateHandle ─► two lanes ─────► StateStore
//!   active ► frozen batches ► store        ordinary, bulk                 FjallStore, or ModelStore
//!        ▲                                   │                            in the simulator
//!        └──── StateEvents::written ◄────────┘
//! ```
//!
//! It promises less than the log: a batch is atomic, batches reach the disk in order, and everything
//! written is on disk after a `persist`. What a crash takes away is always the newest part, rows and
//! applied index together, so the log can replay it.
//!
//! Only this folder says `fjall`. Its writes block (a commit may stall for a good part of a second),
//! therefore one thread makes all of them, and nobody waits for that thread with a lock in hand.

mod batch;
mod cache;
mod chunk;
mod compact;
#[cfg(test)]
mod conformance;
mod filter;
mod fjall;
mod journal;
mod key;
mod layers;
mod model;
mod overlay;
mod queue;
mod reclaim;
mod store;
mod thread;

#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchNumber, FrozenBatch, ROW_OVERHEAD_BYTES};
pub use chunk::{Chunk, next_chunk};
pub use fjall::{FjallOptions, FjallStore};
pub use journal::{JournalCut, JournalError};
pub use model::ModelStore;
pub use overlay::{FROZEN_BATCHES_MAX, Overlay};
pub use queue::{BULK_BATCHES_MAX, Command, QUEUE_COMMANDS_MAX, SubmitError};
pub use store::{Forgotten, OpenError, StateError, StateStats, StateStore, StateView};
pub use thread::{StateEvents, StateHandle, StateThread};
