//! The Redis ports: connections, what they ask of the keys, and what they ask of the node.
//!
//! The *plain* port speaks for the whole cluster: commands go to wherever their bucket is led, and are
//! retried through changes of leader. The *cluster* port serves the buckets led here and redirects
//! otherwise, as Redis Cluster's clients expect.

mod cluster;
mod connection;
mod held;
mod info;
mod keyspace;
mod output;
mod port;
mod registry;
mod server;
mod shardgroup;
mod turn;

pub(crate) use port::{PortKind, PortSettings, bind};
pub(crate) use registry::Registry;
