//! What nodes, the admin CLI and native clients say to each other: the payloads of frames, in postcard.
//!
//! Variants are only ever appended: a variant's position is its name on the wire.

mod admin;
mod peer;
mod unit;

pub use admin::{
    AdminRequest, AdminResponse, GroupStatus, MemberSeen, MoveProgress, NodeStatus, RecoveryReport,
    ReplicaProgress, SecretaryState, TableAnswer,
};
pub use peer::{GroupMessages, Identity, PeerMessage, Pulse, RaftFrame, SnapshotFrame};
pub(crate) use unit::COMMAND_WRAPPING_BYTES;
pub use unit::{Answer, Ask, Outcome, Refusal, Unit, UnitId, Work};
