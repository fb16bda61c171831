//! Who lives: one exchange per pair of nodes stands for the heartbeats of all groups that sleep.
//!
//! ```text
//!  log thread ──► LogPulse ──► DiskWatch ──► beat ─┐
//!  actors ──────► lead ended ──────────────────────┤            peer
//!                                                  ▼             │
//!              Warden, every tick ◄──► Watch ◄── pulses ◄────────┘
//!                │        │
//!                │        └── pulses to the peers
//!                └── the nodes' health, when it changes ──► every replica here
//! ```
//!
//! What must always hold: a pulse suppresses elections in groups that sleep, and does nothing else: it never
//! confirms a lead, a read or a commit. A node whose log cannot sync stops beating, and what sleeps under
//! it wakes elsewhere. Nothing here is done per group as long as nothing happens.

mod alarms;
mod disk;
mod health;
mod warden;
mod watch;

pub use alarms::Alarms;
pub use disk::{DiskTurn, DiskWatch, LogPulse, Syncing};
pub use health::{Health, PeerHealth, PeerState};
pub(crate) use warden::{Warden, WardenSeed};
pub use watch::{Ended, Watch, WatchTurn};
