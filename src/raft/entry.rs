//! What a Raft log holds, and what a replica must never forget.

use crate::ids::{Era, Incarnation, Index, NodeId, Term};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What an entry's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// The payload belongs to the state machine. An empty payload is the no-op of a term's start.
    Normal,
    /// The payload is an encoded membership change.
    Membership,
}

/// One entry of the log. Cloning shares the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub index: Index,
    /// The term of the leader that made it.
    pub term: Term,
    /// What `data` is.
    pub kind: EntryKind,
    /// The payload.
    pub data: Bytes,
}

impl Entry {
    /// Bytes this entry is charged with wherever bytes are limited: its payload and a fixed share.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.data.len() + 32
    }
}

/// What must be on disk before a replica acts on it: its term, its vote of that term; and, as a
/// hint that needs no sync, how far the log is known to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The newest term seen.
    pub term: Term,
    /// Whom this replica voted for in that term.
    pub vote: Option<NodeId>,
    /// A lower bound of the commit index.
    pub commit: Index,
}

/// Who belongs to a group. Lists are sorted and without duplicates.
///
/// `outgoing` is not empty exactly during joint consensus (thesis §4.3): then a decision needs a
/// majority of `voters` *and* of `outgoing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Voters (of the incoming configuration, in joint consensus).
    pub voters: Vec<NodeId>,
    /// Voters of the outgoing configuration, in joint consensus.
    pub outgoing: Vec<NodeId>,
    /// Replicas that get the log and never vote.
    pub learners: Vec<NodeId>,
    /// Voters of `outgoing` that become learners when the joint configuration is left.
    pub learners_next: Vec<NodeId>,
    /// The leader leaves the joint configuration by itself once it is committed.
    pub auto_leave: bool,
    /// Which life of its disk each member is known by, if its group was told. A member that is added
    /// under another one is somebody else, who has nothing of what this one had.
    pub disks: Vec<(NodeId, Incarnation)>,
    /// The group's era, which grows only by a recovery.
    pub era: Era,
}

impl Membership {
    /// A plain configuration of these voters.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let mut voters: Vec<NodeId> = voters.into_iter().collect();
        voters.sort_unstable();
        voters.dedup();
        Self { voters, ..Self::default() }
    }

    /// A plain configuration of these voters, each known by a life of its disk.
    #[must_use]
    pub fn of_disks(voters: impl IntoIterator<Item = (NodeId, Incarnation)>) -> Self {
        let mut disks: Vec<(NodeId, Incarnation)> = voters.into_iter().collect();
        disks.sort_unstable();
        disks.dedup_by_key(|disk| disk.0);
        Self { disks: disks.clone(), ..Self::of_voters(disks.into_iter().map(|disk| disk.0)) }
    }
}

/// What a snapshot of the state machine stands for: everything up to and including `index`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last index it covers; 0 is the empty state of a newborn group.
    pub index: Index,
    /// The term of that entry.
    pub term: Term,
    /// The membership in force there.
    pub membership: Membership,
}
