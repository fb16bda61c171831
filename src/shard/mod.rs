//! Sharding: which group owns which bucket, which nodes hold which group, where nodes live.
//!
//! The [`Table`] is the one description of the cluster. The config group keeps it as a chain of versions
//! ([`ConfigMachine`]), every other part holds a copy of the newest version it has seen:
//!
//! ```text
//! InitPlan ──found──► Table v1 ──commands of the config group──► Table v2 ──► ...
//!                       │
//!                       ├─ Routing       bucket → group, for every command
//!                       ├─ LeaderPlan    which node should lead which group
//!                       └─ ClusterView   what CLUSTER ... and SHARDGROUP QUERY answer
//! ```
//!
//! Nothing here reads a clock, a disk or the network; every function gives the same answer on every node.
//! Not here yet: groups that join and leave, buckets that move. They become further commands in
//! `change`; the owner column of the table already tells the desired owner from the actual one.

mod address;
mod change;
mod machine;
mod owners;
mod placement;
mod plan;
mod routing;
pub mod slot;
mod table;
mod view;

pub use address::{Address, AddressError};
pub use change::{
    Author, ConfigCommand, ConfigPayload, ConfigQuery, ConfigReply, ConfigRequest, Refusal,
    VersionSummary,
};
pub use machine::{ApplyError, ConfigMachine, HISTORY_ROWS_MAX, OpenError, VERSIONS_KEPT};
pub use owners::{Actual, Bounds, BucketRange, FIRST_EPOCH, Owner, Owners, OwnersError, Run};
pub use placement::{LeaderPlan, Transfer, desired_leader};
pub use plan::{Founder, GROUPS_MAX, InitPlan, NODES_MAX, PlanError};
pub use routing::Routing;
pub use slot::bucket_of;
pub use table::{GroupInfo, NodeInfo, ReplicatedLimits, Table, TableError};
pub use view::{
    BucketRoute, ClusterView, Endpoint, GroupState, Shard, ShardNode, SlotRange, Traffic,
    cluster_node_id,
};
