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
//!
//! All that decides is plain and told the time; the warden only carries. To drive it without actix:
//! - around each piece of work on the disk: [`LogPulse::begin`] and [`LogPulse::end`];
//! - each tick and node: [`LogPulse::look`], [`DiskWatch::step`] with that, [`Watch::step`] with its `slow`
//!   and `stuck`; if `probe` is set, one more sync;
//! - of the [`WatchTurn`], `health` goes as `Event::Health` to every driver of the node, and each of
//!   `ended` as `Event::LeadEnded` to the driver of its group;
//! - every second tick a pulse, with `beat`, `slow` and [`Watch::told_ended`] in it, to each peer, where it
//!   is [`Watch::heard`]; [`Watch::lead_ended`] when a driver's `Effects::lead` is the end of a lead;
//! - `Event::Tick` to a driver only while it is not `Driver::is_asleep`; one that falls asleep and does not
//!   `Driver::knows` the newest health is told that first;
//! - `Event::Alarm` when the time that `Driver::wants_waking` named has come.
//!
//! A new life of a node begins with a new [`Watch`], [`DiskWatch`] and boot id.

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
