//! The shipped binaries under test: `eraftd dev` with real processes, real disks and real Redis clients.
//!
//! `cluster` is the harness; it starts a dev cluster on free ports in a temporary folder and ends it in any case. Tests
//! that only read or use keys of their own share one cluster (`Cluster::shared`). How many run at a time is decided by
//! `gate`, not by the number of test threads. A test whose outside program is absent prints `skipped: no …`.
//!
//! With `ERAFT_FULL=1` each test runs at the size that the project promises; without it, scaled down.

mod cluster;
mod ctl;
mod gate;
mod keeper;
mod mount;
mod nodes;
mod outside;
mod port;
mod process;
mod reply;
mod resp;
mod scale;
mod status;
mod stop;

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
mod expiry;
mod failover;
mod idle;
mod info;
mod metrics;
mod multi_key;
mod redis_compare;
mod run_contract;
mod size;
mod sleep;
mod sync;
