//! The cluster of these runs: three nodes with a replica of each of two groups.

use super::parts::{Shape, small_segments};
use eraft::ids::{GroupId, NodeId};
use eraft::limits;
use eraft::raft::{Config, Membership};

/// The groups; each has a replica on each node.
pub(crate) const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];
/// The nodes.
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// With small logs, of which some entries have to be read back, and that are cut off at their beginning.
pub(crate) fn shape() -> Shape {
    Shape {
        nodes: NODES.to_vec(),
        groups: GROUPS.to_vec(),
        late: None,
        shared_out: false,
        come_and_go: false,
        founders: Membership::of_voters(NODES),
        helpers: Vec::new(),
        options: small_segments(32 * 1024),
        config: Config {
            eager_commit: false,
            tail_bytes_max: 4 * 1024,
            ..Config::new(NodeId(0), 0)
        },
        log_floor: 0,
        chunk_bytes: limits::CHUNK_BYTES,
    }
}
