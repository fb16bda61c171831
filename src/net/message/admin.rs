//! What `eraftctl` and native clients ask a node, and what it answers.

use super::unit::{Ask, Outcome};
use crate::ids::{ClusterId, GroupId, Incarnation, Index, NodeId, TableVersion, Term};
use crate::kv::ScanPage;
use crate::shard::Table;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// A question. Which roles may ask it is checked by the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdminRequest {
    /// What this node knows of itself and its groups.
    Status,
    /// Births the cluster with all configured nodes as founders.
    Init {
        /// Data groups to create.
        data_groups: u32,
    },
    /// The config table: `None` is the newest.
    Table(Option<TableVersion>),
    /// Commands on keys, each routed on its own. Keys may belong to any group.
    Execute(Vec<Ask>),
    /// Gives the lead of a group to a node.
    Transfer {
        /// The group.
        group: GroupId,
        /// Who should lead it.
        to: NodeId,
    },
    /// Makes the actor of a group panic, to see it come back; only with debug commands on.
    Panic {
        /// The group.
        group: GroupId,
    },
    /// A page of all keys of one group; see [`ScanPage`].
    Scan {
        /// The group.
        group: GroupId,
        /// The page.
        page: ScanPage,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdminResponse {
    /// To `Status`.
    Status(Box<NodeStatus>),
    /// To `Init`: the cluster's id, and whether it existed before.
    Initialised {
        /// The cluster.
        cluster: ClusterId,
        /// It had been founded by an earlier `init`.
        existed: bool,
    },
    /// To `Table`.
    Table(TableAnswer),
    /// To `Execute`: one outcome per ask.
    Executed(Vec<Outcome>),
    /// To `Transfer`: it was started.
    Started,
    /// The question could not be answered; a sentence with the next step in it.
    Failed(String),
}

/// A version of the config table, or that there is none such.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TableAnswer {
    /// That version.
    Found(Box<Table>),
    /// No such version is kept.
    NoSuchVersion {
        /// The oldest that is kept.
        oldest: TableVersion,
        /// The newest.
        newest: TableVersion,
    },
}

/// One node's view of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Its disk's life.
    pub incarnation: Incarnation,
    /// Its cluster, once it is born.
    pub cluster: Option<ClusterId>,
    /// The version of the program.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Its wall clock.
    pub clock: UnixMillis,
    /// Addresses: QUIC, Redis plain, Redis cluster, HTTP.
    pub addresses: [String; 4],
    /// The newest config table it knows.
    pub table: TableVersion,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// Bytes of the log and of the state on disk.
    pub disk_bytes: u64,
    /// Free bytes on the data directory's disk.
    pub disk_free_bytes: u64,
    /// Writes that grow data are refused for want of disk.
    pub disk_low: bool,
    /// The peers it is connected to.
    pub connected: Vec<NodeId>,
    /// Its replicas.
    pub groups: Vec<GroupStatus>,
}

/// One replica, as its node sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// `leader`, `follower`, `candidate`, `pre-candidate`, `learner` or `failed`.
    pub role: String,
    /// Its term.
    pub term: Term,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// Its voters.
    pub voters: Vec<NodeId>,
    /// The newest entry known to be committed.
    pub commit: Index,
    /// The newest entry applied.
    pub applied: Index,
    /// The newest entry in its log.
    pub last: Index,
    /// The oldest entry still in its log.
    pub first: Index,
    /// Keys it stores.
    pub keys: u64,
    /// Bytes of keys and values it stores.
    pub bytes: u64,
    /// Buckets it owns.
    pub buckets: u32,
    /// Times its actor was restarted.
    pub restarts: u32,
    /// As a leader: how far each peer is.
    pub progress: Vec<ReplicaProgress>,
}

/// A follower, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaProgress {
    /// The follower.
    pub node: NodeId,
    /// The newest entry it is known to have on disk.
    pub matched: Index,
    /// `probe`, `replicate` or `snapshot`.
    pub state: String,
    /// It was heard from lately.
    pub active: bool,
    /// How much of a snapshot has gone to it, if one is on its way.
    pub snapshot_percent: Option<u8>,
}
