//! Keys and values: the commands of a data group, and the state machine that carries them out.
//!
//! ```text
//! words ──parse──► Command ──EntryBuilder──► Raft log ──Machine::apply──► Reply
//!                     └───────────────── Machine::read ─────────────────► Reply
//! ```
//!
//! Nothing here has a clock, a disk, the network, randomness or hash order: storage is a trait
//! ([`crate::rows::Rows`]), time is what the leader stamped into the entry.

mod command;
mod entry;
pub mod glob;
mod hash;
mod machine;
pub mod migration;
pub mod number;
pub mod parse;
mod reply;
pub mod scan;
mod session;
pub mod spec;

pub use command::{
    Command, Condition, Deadline, Describe, ExpireCondition, Expiry, GetExpiry, ScanPage, TtlUnit,
};
pub use entry::{EntryBuilder, EntryReader, PayloadError, Record};
pub use hash::{HASH_BITS, key_hash};
pub use machine::{ApplyError, DamagedRow, Genesis, Machine, MachineStats, OpenError, PageError};
pub use reply::{Redirect, Reply, ReplyError};
pub use session::{SessionLimits, SessionRef};
