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
//! What a command makes of a table stands in `edit`, what it is built from beside it: `balance` (which
//! buckets move), `spread` (where replicas are placed), `moves` (what stands still, how fast moves go).
//!
//! Nothing here reads a clock, a disk or the network; every function gives the same answer on every node.

mod address;
mod balance;
mod change;
mod edit;
mod machine;
mod moves;
mod owners;
mod past;
mod placement;
mod plan;
mod refusal;
mod routing;
pub mod slot;
mod spread;
mod table;
mod view;

pub use address::{Address, AddressError};
pub use change::{
    Author, ConfigCommand, ConfigPayload, ConfigQuery, ConfigReply, ConfigRequest, OwnerClaim,
    Placement, VersionSummary,
};
pub use machine::{ApplyError, ConfigMachine, HISTORY_ROWS_MAX, OpenError, VERSIONS_KEPT};
pub use moves::{MoveRules, PAUSES_MAX, Pair, Pending};
pub use owners::{Actual, Bounds, BucketRange, FIRST_EPOCH, Owner, Owners, OwnersError, Run};
pub use past::{Disorder, Past};
pub use placement::{LeaderPlan, Transfer, desired_leader};
pub use plan::{Founder, GROUPS_MAX, InitPlan, NODES_MAX, PlanError};
pub use refusal::{NothingOf, Refusal};
pub use routing::Routing;
pub use slot::bucket_of;
pub use table::{
    GroupInfo, Helper, NodeInfo, Recovery, ReplicatedLimits, Table, TableError, TableStamp,
};
pub use view::{
    BucketRoute, ClusterView, Endpoint, GroupState, Shard, ShardNode, SlotRange, Traffic,
    cluster_node_id,
};
