//! Power loss, on the real log and the real group driver.
//!
//! `kill -9` proves nothing about syncs, since the page cache survives it. So three whole nodes (log,
//! drivers, state machines; no threads, no clock, no sockets) run here on simulated disks in virtual
//! time, and the power goes off at every step of I/O, on all of them at once. What was not synced is
//! then dropped, kept or torn page by page. Each node must open again, the cluster must serve again, and
//! no acknowledged write may be lost. To show that the checks can see what they look for, the same runs
//! without the sync must fail.
//!
//! ```text
//!  plan ─► run ─► cluster ─► node ─► parts (disks, log, drivers, applier)
//!                   │  └────► network, faults
//!                   └───────► clients (tasks) ─► checks
//! ```
//!
//! A failing run says its seed and its cuts. To see it again, with every message:
//! `POWER_TRACE=1 POWER_SEED=… POWER_CUT=step:drop|keep|number,… cargo test --test power replay -- --nocapture`.
//! With `ERAFT_FULL` set there are ten times as many runs.
//!
//! Not here: snapshots (no log is cut off behind what all replicas have), the config group, and
//! the state store's own files, which its own tests cut.

#[path = "../support/cluster/mod.rs"]
mod parts;

mod checks;
mod clients;
mod cluster;
mod faults;
mod happen;
mod network;
mod node;
mod plan;
mod run;
mod shape;
mod task;

mod all_nodes;
mod single_nodes;
