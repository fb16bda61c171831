//! What `CLUSTER ...`, `SHARDGROUP QUERY` and `INFO` tell of the cluster, as plain structs and text.
//!
//! Redis clients believe what they read here, so two rules hold in every answer. A node is a `master`
//! exactly if it leads buckets, and never appears as a replica anywhere else (clients that keep one role
//! per node would lose it as a master). A bucket whose group has no living leader is not served: it is left
//! out, and the cluster's state is `fail`.

mod nodes;
mod roles;
mod servers;
mod slots;
#[cfg(test)]
mod tests;

pub use roles::{ClusterView, Endpoint, GroupState, Traffic, cluster_node_id};
pub use slots::{BucketRoute, Shard, ShardNode, SlotRange};
