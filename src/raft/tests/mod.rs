//! Several replicas together: a cluster in memory whose every step the test decides, stories about one
//! concern each, and random schedules watched by a checker that knows what must never happen.

mod chaos;
mod chaos_helpers;
mod checker;
mod cluster;
mod disk;
mod elections;
mod flow;
mod garbage;
mod helpers;
mod identity;
mod leases;
mod logs;
mod memberships;
mod priorities;
mod reads;
mod recovery;
mod script;
mod sleep;
mod snapshots;
mod storage;
mod transfers;
