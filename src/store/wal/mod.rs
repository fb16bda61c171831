//! The write-ahead log: one per node, for all groups, with one sync for all that came meanwhile. It
//! carries every promise that the node makes.
//!
//! ```text
//!  groups ── LogWrite ──► thread ──► log ──► segments (pool) ──► disk
//!    ▲                      │         │
//!    └──────── Done ────────┘         └─► index ◄── reader ◄── any thread
//!
//!  start:  survey ──► replay (scan) ──► recovery ──► Recovered
//! ```
//! - Promises: what was reported as done and asked for a sync survives a power cut. What is lost
//!   all the same (a damaged disk) is reported when the log is opened. Whatever is read is what was
//!   written.
//! - Order: of what was not synced, a power cut leaves a beginning; never a later batch without the
//!   earlier ones.
//! - Not here: which entries may be compacted (the group's driver knows), and what to do about damage
//!   (the replica must not vote; its node decides).

mod batch;
mod error;
mod format;
mod group;
mod header;
mod index;
mod log;
mod payload;
mod pool;
mod reader;
mod reclaim;
mod recovery;
mod replay;
mod scan;
mod segment;
mod survey;
mod thread;
mod write;

#[cfg(test)]
mod tests;

pub use error::{Closed, LogError, OpenError, ReadError};
pub use log::Log;
pub use reader::LogReader;
pub use thread::{LogCall, LogHandle, LogThread};
pub use write::{
    BatchStats, Damage, DamagedPlace, Done, LogEvents, LogIdentity, LogOp, LogOptions, LogWrite,
    Recovered, RecoveredGroup, Standing,
};
