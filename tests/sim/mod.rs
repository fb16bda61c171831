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
//!                             ├─► nemesis: faults; plots: faults in a certain order
//!                             ├─► movers: the table, what an operator wishes; stewards: drivers of moves
//!                             ├─► helpers: who is named as an observer or a secretary, and hears of it when
//!                             └─► clients ─► history ─► linearizability, at the end
//! ```
//!
//! A run has three phases: faults; then none, and everything must come back within a bound; then the last
//! operations, after which all replicas must be equal and the history must be linearizable.
//!
//! Not here: sockets, actors and their restarts, the real state store (its own tests cut it), the routers
//! (clients and drivers follow refusals and redirects themselves), and the config group's own replicas.
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
mod helpers;
mod movers;
mod nemesis;
mod network;
mod node;
mod operation;
mod plots;
mod pollers;
mod properties;
mod reconfigure;
pub(crate) mod run;
pub(crate) mod runner;
mod scanners;
pub(crate) mod seeds;
mod stewards;
mod swarm;
mod warden;
mod world;
