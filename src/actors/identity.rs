//! Who is who: which disk a peer speaks for, and what that makes of it.
//!
//! A node is known to the cluster by the disk that the config table names, and a replica to its group by the
//! disk that the group's own membership names. The two differ only for replicas that were born anew on a disk
//! that had one before. A disk that took the place of another bars that one for ever: such pairs of node and
//! disk stand in [`Table::barred`].

use crate::ids::{Incarnation, NodeId};
use crate::shard::Table;
use std::collections::BTreeMap;
use std::sync::RwLock;

/// What somebody who says to be a node of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// There is no table to tell by.
    Unknown,
    /// The node, with its disk.
    Peer,
    /// A node that the table does not name, or a disk that is not the one that it names: it may ask, and
    /// nothing that it says counts.
    Stranger,
    /// A disk that was replaced, or a node that was removed, for ever.
    Barred,
}

impl Kinship {
    /// What the table says.
    #[must_use]
    pub fn of(table: &Table, node: NodeId, disk: Incarnation) -> Self {
        if table.barred.contains(&(node, disk)) || table.past_nodes.contains(node.0) {
            return Self::Barred;
        }
        match table.nodes.get(&node) {
            Some(info) if info.incarnation == disk => Self::Peer,
            _ => Self::Stranger,
        }
    }

    /// Whether Raft's messages are taken from it.
    #[must_use]
    pub fn counts(self) -> bool {
        matches!(self, Self::Unknown | Self::Peer)
    }
}

/// The disks of connected peers.
#[derive(Debug, Default)]
pub struct Links(RwLock<BTreeMap<NodeId, Incarnation>>);

impl Links {
    /// A connection stands.
    pub fn opened(&self, peer: NodeId, disk: Incarnation) {
        self.0.write().expect("no panic while held").insert(peer, disk);
    }

    /// It is gone.
    pub fn closed(&self, peer: NodeId) {
        self.0.write().expect("no panic while held").remove(&peer);
    }

    /// The disk of a connected peer.
    pub fn disk(&self, peer: NodeId) -> Option<Incarnation> {
        self.0.read().expect("no panic while held").get(&peer).copied()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<NodeId, Incarnation> {
        self.0.read().expect("no panic while held").clone()
    }
}
