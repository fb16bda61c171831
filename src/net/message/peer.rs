//! What nodes say to each other, by lane.

use super::unit::{Answer, Unit};
use crate::ids::{BootId, ClusterId, GroupId, NodeId, TableVersion};
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
}

/// Control lane: requests and their answers. Nothing here is needed for safety.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Units for groups that the receiver is believed to lead; answered by `Answers`.
    Forward(Vec<Unit>),
    /// What became of forwarded units.
    Answers(Vec<Answer>),
    /// Sent every second and at connect: this node's clock and health.
    Health {
        /// The sender's process.
        boot: BootId,
        /// The sender's wall clock.
        clock: UnixMillis,
        /// The sender's disk is nearly full.
        disk_low: bool,
        /// The newest table the sender has applied or seen.
        table: TableVersion,
        /// The groups that the sender leads now.
        leads: Vec<GroupId>,
    },
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
        term: crate::ids::Term,
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
