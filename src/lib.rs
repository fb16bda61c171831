//! A sharded, linearizable key-value store that speaks the Redis protocol, on multi-Raft.
//!
//! `ARCHITECTURE.md` has the bird's eye view, the life of a request and the map of these modules. The
//! consensus core in [`raft`] is a library of its own.

pub mod actors;
pub mod client;
pub mod codec;
#[cfg(feature = "controls")]
pub mod controls;
pub mod ids;
pub mod kv;
pub mod limits;
pub mod net;
pub mod raft;
pub mod rows;
pub mod shard;
pub mod store;
pub mod time;
