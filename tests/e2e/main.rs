//! The shipped binaries under test: `eraftd dev` with real processes, real disks and real Redis clients.
//!
//! `cluster` is the harness; it starts a dev cluster on free ports in a temporary folder and ends it in any case. Tests
//! that only read or use keys of their own share one cluster (`Cluster::shared`). How many run at a time is decided by
//! `gate`, not by the number of test threads. A test whose outside program is absent prints `skipped: no …`.
//!
//! With `ERAFT_FULL=1` each test runs at the size that the project promises; without it, scaled down.

#[path = "../support/chance.rs"]
mod chance;
mod cluster;
mod counting;
mod ctl;
mod gate;
mod hand;
mod keeper;
mod ledger;
#[path = "../support/linearizability/mod.rs"]
mod linearizability;
mod mount;
mod newcomer;
mod nodes;
mod outside;
mod port;
mod process;
mod reply;
mod resp;
mod scale;
mod status;
mod stop;
mod tracer;

mod bad_disk;
mod bad_quic;
mod bad_resp;
mod bad_start;
mod catchup;
mod client_programs;
mod client_rust;
mod cluster_replies;
mod ctl_contract;
mod dev_contract;
mod disk_full;
mod durability;
mod elastic;
mod expiry;
mod failover;
mod helpers;
mod idle;
mod info;
mod joining;
mod leases;
mod membership;
mod metrics;
mod moves;
mod moves_cost;
mod moves_history;
mod moves_seen;
mod moves_size;
mod multi_key;
mod observers;
mod recover;
mod redis_compare;
mod run_contract;
mod size;
mod sleep;
mod slow_disk;
mod snapshot;
mod sync;
mod table;
