//! The node runtime: every Raft group, the config poller and the GC worker as supervised actors, the
//! connections and threads around them, and the node that puts it all together.
//!
//! What decides stands in plain structs without actix (`group::driver`, `apply::Applier`,
//! `poller::Follow`, `gc::Gc`, `group::intake`), each told what happened and saying what to do; the actors
//! and threads around them only carry.

pub mod apply;
pub mod clocks;
pub mod config;
mod gc;
pub mod group;
mod guesses;
mod hints;
pub mod identity;
pub mod liveness;
pub mod metrics;
mod migrator;
pub mod node;
mod outbox;
mod peers;
pub mod poller;
mod process;
mod redis;
pub mod router;
mod secretary;
pub mod shared;
pub mod snapshots;
mod supervision;
mod threads;
