//! What `eraftctl` and native clients ask a node, and what it answers.

use super::unit::{Ask, Outcome};
use crate::ids::{ClusterId, GroupId, Incarnation, Index, NodeId, TableVersion, Term};
use crate::kv::ScanPage;
use crate::shard::{BucketRange, ConfigCommand, ConfigReply, Table};
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
        /// Replicas of each group; `None` is one on every node.
        replication: Option<u32>,
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
    /// Lets the replica of a group here go on alone; without a token: what may be lost by that.
    Recover {
        /// The group.
        group: GroupId,
        /// The token of the report that was seen and is confirmed.
        token: Option<String>,
    },
    /// A page of all keys of one group; see [`ScanPage`].
    Scan {
        /// The group.
        group: GroupId,
        /// The page.
        page: ScanPage,
    },
    /// A change of the config table. Asked twice it is done once: a plan fits only one version, and what
    /// is no plan changes nothing the second time.
    Change(ConfigCommand),
    /// What changed in the config table, by whom and when: the last versions up to `until`.
    History {
        /// The last one wanted; `None` is the newest.
        until: Option<TableVersion>,
        /// How many, at most; there is a limit to one answer.
        count: u32,
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
    /// To `Recover` without a token.
    Recovery(Box<RecoveryReport>),
    /// To `Recover` with one: it goes on alone, in this era.
    Recovered {
        /// The group.
        group: GroupId,
        /// How many recoveries it has had.
        era: u32,
        /// The config table knows of it.
        table: bool,
    },
    /// To `Change` and `History`: what the config group says.
    Config(ConfigReply),
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
    /// Where it stands, if it was told.
    pub zone: Option<String>,
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
    /// Its disk keeps its log waiting, so that it should lead nothing.
    pub disk_slow: bool,
    /// It serves reads on leases.
    pub lease_reads: bool,
    /// Batches of reads that it has served so.
    pub lease_reads_served: u64,
    /// Its replicas that do not sleep.
    pub groups_awake: u64,
    /// The peers it is connected to.
    pub connected: Vec<NodeId>,
    /// What is wrong with who it is, or who others say they are; a sentence each.
    pub troubles: Vec<String>,
    /// Its replicas.
    pub groups: Vec<GroupStatus>,
    /// The groups whose secretary it is.
    pub secretary_of: Vec<GroupId>,
    /// Moves of buckets to groups that it leads.
    pub moves: Vec<MoveProgress>,
}

/// How far a move of buckets is, as the leader of the group says that takes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoveProgress {
    /// The group that gives.
    pub from: GroupId,
    /// Its number for the move.
    pub number: u64,
    /// The group that takes.
    pub to: GroupId,
    /// The buckets.
    pub ranges: Vec<BucketRange>,
    /// `copying`, `catching up`, `handed off`, `accepted` or `ending`.
    pub phase: String,
    /// Why it does not go on.
    pub stands_still: Option<String>,
    /// Bytes taken in.
    pub bytes: u64,
    /// Bytes in all, as the source said last.
    pub total: Option<u64>,
    /// Bytes taken in per second, lately.
    pub bytes_per_second: u64,
    /// When the copy will be done at this rate, milliseconds from now.
    pub millis_left: Option<u64>,
}

/// One replica, as its node sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// `leader`, `follower`, `candidate`, `pre-candidate`, `learner`, `observer`, `joining` (its group has not let
    /// it in yet), `failed` or `left-behind`.
    pub role: String,
    /// Its term.
    pub term: Term,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// Its voters.
    pub voters: Vec<NodeId>,
    /// Replicas that get everything and have no vote yet.
    pub learners: Vec<NodeId>,
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
    /// As a leader: its secretaries.
    pub secretaries: Vec<SecretaryState>,
}

/// A secretary, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretaryState {
    /// The node.
    pub node: NodeId,
    /// It answers.
    pub present: bool,
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
    /// It does not belong to the group, and only reads.
    pub observer: bool,
    /// The secretary by which entries go to it, if any.
    pub relayed_by: Option<NodeId>,
    /// How much of a snapshot has gone to it, if one is on its way.
    pub snapshot_percent: Option<u8>,
}

/// What one replica has of a group that may have lost its majority, and what it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryReport {
    /// The group.
    pub group: GroupId,
    /// The node of the replica.
    pub node: NodeId,
    /// The life of its disk.
    pub disk: Option<Incarnation>,
    /// How many recoveries the group has had.
    pub era: u32,
    /// The replica's role.
    pub role: String,
    /// Its term.
    pub term: Term,
    /// The oldest entry in its log.
    pub first: Index,
    /// The newest entry that it knows to be committed. What the group committed after it and this replica does
    /// not have cannot be told from here.
    pub commit: Index,
    /// The newest entry applied.
    pub applied: Index,
    /// The newest entry in its log; those after `commit` may be committed or not, and would be.
    pub last: Index,
    /// Keys it stores.
    pub keys: u64,
    /// Bytes of keys and values it stores.
    pub bytes: u64,
    /// The group's other members.
    pub others: Vec<MemberSeen>,
    /// Seconds since the node started.
    pub uptime_seconds: u64,
    /// Why it would not be recovered now.
    pub obstacle: Option<String>,
    /// To be handed back by who has seen this and wants it.
    pub token: String,
}

/// What a node has seen of a member of one of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSeen {
    /// The member.
    pub node: NodeId,
    /// The life of its disk.
    pub disk: Option<Incarnation>,
    /// It has a vote.
    pub voter: bool,
    /// A connection to its node stands.
    pub connected: bool,
    /// Since its node last gave a sign of life, milliseconds; `None`: none since this node started.
    pub silent_millis: Option<u64>,
}
