//! How the nodes are, as one of them sees it: a value that changes seldom and is handed to every replica
//! when it does.

use crate::ids::{BootId, NodeId};
use std::collections::BTreeMap;

/// See the module's first lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The other nodes.
    pub peers: BTreeMap<NodeId, PeerHealth>,
    /// This node's own disk is slow: its leads are better elsewhere.
    pub slow: bool,
    /// This node's log has not been able to sync for so long that others take the node for lost.
    pub stuck: bool,
}

/// How another node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerHealth {
    /// Its process, if it was ever heard.
    pub boot: Option<BootId>,
    /// Whether it lives.
    pub state: PeerState,
    /// It says that its disk is slow.
    pub disk_slow: bool,
    /// It says that its disk is nearly full.
    pub disk_low: bool,
}

/// Whether another node lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerState {
    /// It was not heard yet, and is not overdue.
    #[default]
    Unknown,
    /// It was heard lately.
    Well,
    /// It was silent for an election time-out, or its disk was.
    Lost,
}

impl Health {
    /// Whether a peer was heard lately.
    #[must_use]
    pub fn is_well(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|health| health.state == PeerState::Well)
    }

    /// Whether a peer is taken for dead.
    #[must_use]
    pub fn is_lost(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|health| health.state == PeerState::Lost)
    }

    /// The process of a peer.
    #[must_use]
    pub fn boot(&self, peer: NodeId) -> Option<BootId> {
        self.peers.get(&peer).and_then(|health| health.boot)
    }
}
