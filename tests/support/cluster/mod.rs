//! What a cluster in one thread is made of: one life of a node (the real log, the real drivers, the real
//! applier, with queues where the node has threads), its disks, and the agenda, the chance and the trace
//! that make a run the same for the same seed.
//!
//! ```text
//!  Machinery::start(disks) ─► Process ─► turns (drivers, log, apply, state) ─► Output
//!                                ├─► outgoing, incoming: snapshots on their way
//!                                └─► secretaries
//! ```
//!
//! Not here: machines, networks, clients and what they are to prove. Each test has its own of these.
#![allow(dead_code, unused_imports, reason = "each test that includes this uses a part of it")]

mod agenda;
#[path = "../chance.rs"]
mod chance;
mod disks;
mod incoming;
mod outgoing;
mod process;
mod secretaries;
mod sink;
mod start;
mod trace;
mod turn;

pub(crate) use agenda::Agenda;
pub(crate) use chance::Chance;
pub(crate) use disks::{Death, Disks};
pub(crate) use process::{Acknowledge, Process};
pub(crate) use secretaries::Secretaries;
pub(crate) use start::{Machinery, Remembered, Shape, first_range, hash_tag, small_segments};
pub(crate) use trace::{Digest, Trace};
pub(crate) use turn::{Failure, Output, Part};
