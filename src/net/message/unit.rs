//! A *unit*: the commands that one connection sent to one group in one turn, in order. It is carried,
//! proposed, answered and retried as a whole, which is what keeps a connection's commands in order.

use crate::ids::{GroupId, NodeId};
use crate::kv::{Command, Reply, SessionRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names a unit to whoever sent it; only the sender gives it a meaning.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnitId(pub u64);

/// One command of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What to do.
    pub command: Command,
    /// For a write that may be sent again: the session that makes it apply once.
    pub session: Option<SessionRef>,
}

/// What a unit asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Commands on keys of one data group.
    Keys(Vec<Ask>),
    /// A change of the config table, encoded by `shard`; config group only.
    Change(Bytes),
    /// A question about the config table, encoded by `shard`; config group only.
    Query(Bytes),
}

impl Work {
    /// Whether nothing in it changes state, so that it need not go through the log.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Work::Keys(asks) => asks.iter().all(|ask| !ask.command.is_write()),
            Work::Change(_) => false,
            Work::Query(_) => true,
        }
    }

    /// How many replies it gets.
    #[must_use]
    pub fn replies(&self) -> usize {
        match self {
            Work::Keys(asks) => asks.len(),
            Work::Change(_) | Work::Query(_) => 1,
        }
    }
}

/// See the module's first lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The sender's name for it.
    pub id: UnitId,
    /// The group it is meant for.
    pub group: GroupId,
    /// What it asks for.
    pub work: Work,
}

/// Why a unit was not carried out. All of these mean *not done*: sending it again is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// This replica does not lead; perhaps it knows who does.
    #[error("not the leader")]
    NotLeader(Option<NodeId>),
    /// This node has no running replica of the group.
    #[error("no replica of that group here")]
    NoReplica,
    /// The entry was overwritten by another leader's before it was committed.
    #[error("overwritten after a change of leader")]
    Overwritten,
    /// A limit of the group or the node is reached.
    #[error("busy")]
    Busy,
    /// The leader's clock is not yet confirmed by a majority (right after an election).
    #[error("the group's clock is not confirmed yet")]
    ClockUnsure,
    /// The disk is nearly full; writes that grow the data are refused, deletes are not.
    #[error("the disk is nearly full")]
    DiskLow,
    /// The node is stopping.
    #[error("stopping")]
    Stopping,
}

/// What became of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Carried out: one reply per command.
    Done(Vec<Reply>),
    /// Certainly not carried out.
    NotDone(Refusal),
    /// It may or may not have been carried out.
    Unknown,
}

/// An outcome on its way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The unit, by its sender's name.
    pub unit: UnitId,
    /// What became of it.
    pub outcome: Outcome,
}
