//! What nodes say to each other, by lane.

use super::unit::{Answer, Unit};
use crate::ids::{BootId, ClusterId, GroupId, NodeId, TableVersion, Term};
use crate::raft::{Message, SnapshotMeta};
use crate::shard::{InitPlan, NodeInfo};
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Raft lane: all groups' messages of one turn to one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaftFrame {
    /// Per group, in the order in which they were sent.
    pub groups: Vec<(GroupId, Vec<Message>)>,
    /// The sender's sign of life, now and then.
    pub pulse: Option<Pulse>,
}

/// A node's sign of life, to each of its peers: it stands for the heartbeats of all groups that sleep.
/// Nothing in it confirms a lead, a read or a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// The sender's process.
    pub boot: BootId,
    /// Grows only while the sender's log can sync: one that cannot does not vouch for itself.
    pub beat: u64,
    /// The sender's disk is slow: it is no place for leads.
    pub disk_slow: bool,
    /// The sender's disk is nearly full.
    pub disk_low: bool,
    /// The sender's wall clock.
    pub clock: UnixMillis,
    /// The newest table the sender has applied or seen.
    pub table: TableVersion,
    /// Groups that the sender led until this term and leads no more, for some seconds after that.
    pub ended: Vec<(GroupId, Term)>,
}

/// Control lane: requests and their answers. Nothing here is needed for safety.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Units for groups that the receiver is believed to lead; answered by `Answers`.
    Forward(Vec<Unit>),
    /// What became of forwarded units.
    Answers(Vec<Answer>),
    /// Asks for the newest table, if it is newer than `known`; answered by `Table`.
    TableRequest {
        /// What the asker has.
        known: TableVersion,
    },
    /// An encoded config table.
    Table(Bytes),
    /// Asks who you are, before a cluster exists; answered by `Identity`.
    Identify,
    /// The answer to `Identify`.
    Identity(Identity),
    /// Birth: these nodes found this cluster. Kept on disk by each founder before it answers with
    /// its `Identity`.
    Found(InitPlan),
    /// About a snapshot transfer, back to its sender.
    Snapshot(SnapshotFrame),
}

/// Who a node is, told during birth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// Its disk's life and its addresses.
    pub info: NodeInfo,
    /// The cluster it already belongs to.
    pub cluster: Option<ClusterId>,
    /// The plan it was founded by, if it is a founder.
    pub plan: Option<InitPlan>,
}

/// Bulk lane: a snapshot on its way, in chunks of one read view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SnapshotFrame {
    /// A part of the rows.
    Chunk {
        /// The group.
        group: GroupId,
        /// The leader's term.
        term: Term,
        /// Names the read view: chunks of two views never mix.
        view: u64,
        /// What the snapshot stands for.
        meta: SnapshotMeta,
        /// The position of this chunk, from 0.
        sequence: u64,
        /// Rows, keys without the group's and generation's prefix.
        rows: Vec<(Bytes, Bytes)>,
        /// No chunk follows.
        last: bool,
    },
    /// The receiver has everything up to and including this chunk on its way to disk, and wants
    /// the next; the sender waits for it (one window of chunks), which bounds memory.
    Received {
        /// The group.
        group: GroupId,
        /// The view.
        view: u64,
        /// The newest chunk taken.
        sequence: u64,
        /// The snapshot is installed durably.
        installed: bool,
    },
    /// The receiver wants no more of this view (it has newer state, or a write failed).
    Refused {
        /// The group.
        group: GroupId,
        /// The view.
        view: u64,
    },
}
