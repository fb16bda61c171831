//! The simulator: a whole cluster in one thread, from one seed.
//!
//! What runs is the shipped driver, Raft core, write-ahead log, apply and key-value code. What is replaced:
//! the clock (each node has one of its own, which may be wrong), the network, the disk, and the state
//! store, by a model that forgets at a crash what was not persisted.
//!
//! ```text
//!  runner ─► run (phases) ─► world ─► happen ─► node ─► cluster::Process (the real things)
//!                             │         ├─► network (delay, loss, duplicates, partitions, clogs)
//!  swarm: what this seed      │         ├─► properties: checked at every event
//!  is like                    │         └─► coverage: what happened
//!                             ├─► nemesis: faults
//!                             └─► clients ─► history ─► linearizability, at the end
//! ```
//!
//! A run has three phases: faults; then none, and everything must come back within a bound; then the last
//! operations, after which all replicas must be equal and the history must be linearizable.
//!
//! Not here: sockets, actors and their restarts, the real state store (its own tests cut it), membership
//! changes and moves of buckets (the core has none yet: a fault of the `nemesis` when it has).
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

#[path = "../support/cluster/mod.rs"]
mod cluster;
#[path = "../support/linearizability/mod.rs"]
mod linearizability;

mod bitrot;
mod client;
mod clients;
mod clock;
mod coverage;
mod happen;
mod nemesis;
mod network;
mod node;
mod operation;
mod properties;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod seeds;
mod swarm;
mod world;
