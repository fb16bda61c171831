//! What nodes say to each other, by lane.

use super::unit::{Answer, Unit};
use crate::ids::{BootId, ClusterId, Era, GroupId, Incarnation, NodeId, Term};
use crate::raft::{Message, SnapshotMeta};
use crate::shard::{InitPlan, NodeInfo, TableStamp};
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Raft lane: all groups' messages of one turn to one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaftFrame {
    /// Per group, in the order in which they were sent.
    pub groups: Vec<GroupMessages>,
    /// The sender's sign of life, now and then.
    pub pulse: Option<Pulse>,
}

/// One group's messages of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupMessages {
    /// The group.
    pub group: GroupId,
    /// The era that the sender is in: a receiver in another one does not listen.
    pub era: Era,
    /// The disk by which the sender's replica is known, if that is not its node's.
    pub disk: Option<Incarnation>,
    /// In the order in which they were sent.
    pub messages: Vec<Message>,
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
    pub table: TableStamp,
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
        known: TableStamp,
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
    /// The sender has come back with another disk than the one that belongs to the cluster, and asks to be
    /// known by this one from now on; said again until the table knows it.
    Enlist(NodeInfo),
    /// The sender's replica of a group is there, and wants to belong to it under this disk; said again, to
    /// all nodes of the group, until its group has it.
    Join {
        /// The group.
        group: GroupId,
        /// The disk by which the replica is known.
        disk: Incarnation,
    },
    /// The sender has a replica that the table does not want, or that has forgotten what it promised, and
    /// asks whether the group can do without it; answered by `Farewell` when a majority says so.
    Leave {
        /// The group.
        group: GroupId,
        /// The disk by which the replica is known, as far as it knows.
        disk: Incarnation,
        /// It has forgotten what it promised.
        forgotten: bool,
        /// Names the request: with the next thing that the replica writes to its log it is void.
        request: u64,
    },
    /// The receiver's replica with this disk does not belong to the group: it may be destroyed, if it has
    /// written nothing to its log since it made this request: its group may have let it in again.
    Farewell {
        /// The group.
        group: GroupId,
        /// The disk.
        disk: Incarnation,
        /// The request that is granted.
        request: u64,
    },
    /// The group was recovered without the receiver's replica of it, which must take no part any more.
    LeftBehind {
        /// The group.
        group: GroupId,
        /// The era in which it goes on.
        era: Era,
        /// Who leads it, as far as the sender knows.
        leader: Option<NodeId>,
    },
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
    /// The receiver has the chunks before `taken` in its store, and takes the next; the sender waits for it
    /// (one window of chunks), which bounds memory.
    Received {
        /// The group.
        group: GroupId,
        /// The view.
        view: u64,
        /// How many chunks.
        taken: u64,
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
    /// The sender has this snapshot for the receiver; asked again whenever it may have missed something.
    Offer {
        /// The group.
        group: GroupId,
        /// The leader's term.
        term: crate::ids::Term,
        /// The view.
        view: u64,
        /// What the snapshot stands for.
        meta: SnapshotMeta,
    },
    /// The answer to an offer that is of use, and to a chunk behind one that is missing: go on from
    /// `next`.
    Wanted {
        /// The group.
        group: GroupId,
        /// The view.
        view: u64,
        /// The chunk to go on with; those before it have come in.
        next: u64,
        /// Chunks that are in the receiver's store.
        taken: u64,
    },
}

impl SnapshotFrame {
    /// The group it is about.
    #[must_use]
    pub fn group(&self) -> GroupId {
        match self {
            Self::Chunk { group, .. }
            | Self::Received { group, .. }
            | Self::Refused { group, .. }
            | Self::Offer { group, .. }
            | Self::Wanted { group, .. } => *group,
        }
    }

    /// Whether it is on its way to the receiver of a snapshot; the others are its answers.
    #[must_use]
    pub fn is_for_receiver(&self) -> bool {
        matches!(self, Self::Chunk { .. } | Self::Offer { .. })
    }
}
