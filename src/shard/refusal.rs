//! Why the config group did not do what it was asked: for the person who asked, with the next step.

use super::moves::{PAUSES_MAX, Pair};
use super::owners::BucketRange;
use super::plan::{GROUPS_MAX, NODES_MAX, PlanError};
use super::table::Helper;
use crate::ids::{Bucket, ClusterId, Era, GroupId, NodeId, TableVersion};
use crate::limits::HELPERS_MAX;
use serde::{Deserialize, Serialize};

/// Why a command was not done. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no table yet: `init` comes first.
    #[error("the cluster is not initialised")]
    NotInitialised,
    /// `init` with another plan than the first time.
    #[error("already initialised, as cluster {0}")]
    AlreadyInitialised(ClusterId),
    /// The plan makes no cluster.
    #[error(transparent)]
    Plan(PlanError),
    /// The table has no such node.
    #[error("{0} is not a node of this cluster; `eraftctl query` shows those that are")]
    UnknownNode(NodeId),
    /// A node came back with another disk. It has forgotten what it promised and must be removed and
    /// added again.
    #[error(
        "{0} has another disk than the one that belongs to the cluster; remove it (`eraftctl node drain`, \
         `node remove`) and add it again under a new id"
    )]
    OtherIncarnation(NodeId),
    /// An address or a limit is not right.
    #[error("{0}")]
    Invalid(String),
    /// What the plan was made of has changed since.
    #[error(
        "the table has changed since version {}, which this was planned on; it is at version {} now. Look \
         at the plan again (`--dry-run`)",
        planned_on.0,
        newest.0
    )]
    Stale {
        /// The version of the plan.
        planned_on: TableVersion,
        /// The newest version.
        newest: TableVersion,
    },
    /// The table has no such group.
    #[error(
        "there is no {0}; `eraftctl query` shows the groups, `eraftctl join {n}` makes this one", n = .0.0
    )]
    UnknownGroup(GroupId),
    /// The config group owns no buckets, neither joins nor leaves, and is there from the beginning.
    #[error("g0 is the config group, which owns no buckets; data groups count from 1")]
    ConfigGroup,
    /// The group is there, with other replicas than asked for.
    #[error("{group} exists, with replicas on {}; leave --replicas out to keep them", list(nodes))]
    GroupExists {
        /// The group.
        group: GroupId,
        /// Where its replicas are.
        nodes: Vec<NodeId>,
    },
    /// More groups than there may be.
    #[error("a cluster has at most {GROUPS_MAX} data groups")]
    TooManyGroups,
    /// More nodes than there may be.
    #[error(
        "a cluster has at most {NODES_MAX} nodes; remove those that are gone (`eraftctl node remove`)"
    )]
    TooManyNodes,
    /// Nothing was named.
    #[error("no {0} given")]
    Nothing(NothingOf),
    /// A range that is reversed, or of buckets that do not exist.
    #[error("{}-{} is no range of buckets; they count from 0 to 16383", .0.first.0, .0.last.0)]
    NoRange(BucketRange),
    /// A bucket is named twice.
    #[error("bucket {} is named twice; ranges may not overlap", .0.0)]
    Overlap(Bucket),
    /// Somebody must own the buckets.
    #[error(
        "no group would be left to own the buckets of {}; let another one join first (`eraftctl join`)",
        list(.0)
    )]
    LastGroup(Vec<GroupId>),
    /// Nobody has joined whom buckets could be given to.
    #[error("no group has joined; `eraftctl join` lets one")]
    NobodyJoined,
    /// A node is named twice.
    #[error("{0} is named twice; a node holds at most one replica of a group")]
    NodeTwice(NodeId),
    /// There are not so many nodes that may hold a replica.
    #[error(
        "{wanted} replicas of {group} need as many nodes, of which there are {there} (those being drained do \
         not count); add nodes first (`eraftctl node add`), or ask for fewer replicas"
    )]
    TooFewNodes {
        /// The group.
        group: GroupId,
        /// How many replicas are wanted.
        wanted: u32,
        /// How many nodes there are.
        there: u32,
    },
    /// The node is on its way out.
    #[error(
        "{0} is being drained; choose another node, or take that back (`eraftctl node drain --undo`)"
    )]
    Draining(NodeId),
    /// The node is there, with another disk or other addresses.
    #[error("{0} is a node of this cluster already, with another disk; give the new node a new id")]
    NodeExists(NodeId),
    /// The id was a node's that has been removed.
    #[error("{0} was removed, and ids are never used twice; give the new node a new id")]
    NodeRemoved(NodeId),
    /// The same disk, or address, is another node's.
    #[error("the {what} is that of {node} already; check how the new node was started")]
    NodeClash {
        /// What is the same.
        what: String,
        /// Whose it is.
        node: NodeId,
    },
    /// The node holds replicas.
    #[error(
        "{node} holds replicas of {}; empty it first (`eraftctl node drain {n} --wait`)", list(groups), n = node.0
    )]
    HoldsReplicas {
        /// The node.
        node: NodeId,
        /// Of which groups.
        groups: Vec<GroupId>,
    },
    /// More pauses than there may be.
    #[error(
        "at most {PAUSES_MAX} pauses at the same time; pause more with one word (`eraftctl pause --to`)"
    )]
    TooManyPauses,
    /// What is to go on is only a part of what stands still.
    #[error("{0} stand still as a whole; resume them all, then pause what should stand still")]
    WiderPause(Pair),
    /// A rate of nothing.
    #[error("a rate of 0 would let every move stand still; use `eraftctl pause`")]
    NoRate,
    /// Without this replica the group would be gone.
    #[error("{1} holds the only replica of {0}; add another one first (`eraftctl replica add`)")]
    LastReplica(GroupId, NodeId),
    /// This disk was replaced by another one.
    #[error(
        "this disk of {0} was replaced, and is barred for ever; start the node with an empty data directory"
    )]
    Barred(NodeId),
    /// There is a bound.
    #[error("too many disks were replaced in this cluster's life")]
    TooManyBarred,
    /// A group has a bounded number of replicas.
    #[error("{0} has as many replicas as a group may have")]
    TooManyReplicas(GroupId),
    /// The group was recovered already, by another replica or in another era.
    #[error("{group} is in {era} already, and was recovered on {node}")]
    Recovered {
        /// The group.
        group: GroupId,
        /// Its era.
        era: Era,
        /// Who went on.
        node: NodeId,
    },
    /// Who belongs to a group cannot help it from outside.
    #[error(
        "{node} holds a replica of {group}, so it cannot be its {helper} as well: name a node without one \
         (`eraftctl query` shows where the replicas are)"
    )]
    HoldsReplica {
        /// The node.
        node: NodeId,
        /// The group.
        group: GroupId,
        /// What it was to become.
        helper: Helper,
    },
    /// A node helps a group in one way only.
    #[error(
        "{node} is {helper} of {group} already; `eraftctl {helper} remove {} {}` first",
        group.0, node.0
    )]
    HelpsOtherwise {
        /// The node.
        node: NodeId,
        /// The group.
        group: GroupId,
        /// What it is.
        helper: Helper,
    },
    /// A group has as many helpers of a kind as it may have.
    #[error("{0} has {HELPERS_MAX} of them, which is as many as it may have; remove one first")]
    TooManyHelpers(GroupId),
    /// The node helps groups.
    #[error(
        "{node} is observer or secretary of {}; empty it first (`eraftctl node drain {n} --wait`)",
        list(groups), n = node.0
    )]
    Helps {
        /// The node.
        node: NodeId,
        /// Which groups.
        groups: Vec<GroupId>,
    },
    /// A claim of an epoch that no group can have.
    #[error("epoch 0 is nobody's")]
    NoEpoch,
}

/// What was not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NothingOf {
    /// Groups.
    Groups,
    /// Buckets.
    Buckets,
    /// Nodes.
    Nodes,
}

impl std::fmt::Display for NothingOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Groups => "groups",
            Self::Buckets => "buckets",
            Self::Nodes => "nodes",
        })
    }
}

/// `g1, g2`.
fn list(ids: &[impl ToString]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
