//! A *unit*: the commands that one connection sent to one group in one turn, in order. It is carried,
//! proposed, answered and retried as a whole, which is what keeps a connection's commands in order.

use crate::ids::{GroupId, NodeId};
use crate::kv::migration::{MoveLook, MoveRecord};
use crate::kv::{Command, Reply, SessionRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names a unit to whoever sent it; only the sender gives it a meaning.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnitId(pub u64);

/// What a command is charged with besides its keys and values, bytes.
pub(crate) const COMMAND_WRAPPING_BYTES: usize = 80;

/// One command of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What to do.
    pub command: Command,
    /// For a write that may be sent again: the session that makes it apply once.
    pub session: Option<SessionRef>,
}

impl Ask {
    /// Its part of [`Work::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        COMMAND_WRAPPING_BYTES + self.command.bytes()
    }
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
    /// Steps in the lives of moves, each answered with a [`crate::kv::migration::MoveReply`]; data groups
    /// only.
    Steps(Vec<MoveRecord>),
    /// A look at a move, answered with a [`crate::kv::migration::MoveSight`]; data groups only.
    Look(MoveLook),
}

impl Work {
    /// Whether nothing in it changes state, so that it need not go through the log.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Work::Keys(asks) => asks.iter().all(|ask| !ask.command.is_write()),
            Work::Change(_) | Work::Steps(_) => false,
            Work::Query(_) | Work::Look(_) => true,
        }
    }

    /// Whether it must not wait to share an entry with others: nobody serves its buckets meanwhile.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        matches!(self, Work::Steps(steps) if steps.iter().any(MoveRecord::is_awaited))
    }

    /// An upper bound of what it takes in an entry or a frame, bytes: a command's fields besides its
    /// keys and values, with its session, take less than `COMMAND_WRAPPING_BYTES`.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Work::Keys(asks) => asks.iter().map(Ask::bytes).sum(),
            Work::Change(bytes) | Work::Query(bytes) => COMMAND_WRAPPING_BYTES + bytes.len(),
            Work::Steps(steps) => steps.iter().map(MoveRecord::bytes).sum(),
            Work::Look(look) => look.bytes(),
        }
    }

    /// How many replies it gets.
    #[must_use]
    pub fn replies(&self) -> usize {
        match self {
            Work::Keys(asks) => asks.len(),
            Work::Steps(steps) => steps.len(),
            Work::Change(_) | Work::Query(_) | Work::Look(_) => 1,
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
    /// Larger than an entry of the log may be. Sending it again is safe and of no use.
    #[error("larger than one entry of the log may be")]
    TooLarge,
    /// Its bucket is on its way from one group to another.
    #[error("its bucket is on the way to another group")]
    Moving,
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

impl Answer {
    /// An upper bound of what it takes in a frame, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 32;
        match &self.outcome {
            Outcome::Done(replies) => FIXED + replies.iter().map(Reply::bytes).sum::<usize>(),
            Outcome::NotDone(_) | Outcome::Unknown => FIXED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::kv::{Condition, Deadline, Expiry};
    use crate::time::UnixMillis;

    #[test]
    fn what_a_unit_is_charged_with_is_not_less_than_what_it_takes() {
        let command = Command::Set {
            key: Bytes::from(vec![1; 300]),
            value: Bytes::from(vec![1; 70_000]),
            condition: Condition::IfPresent,
            expiry: Expiry::Set(Deadline::At(i64::MIN)),
            get: true,
        };
        let session = SessionRef {
            client: u64::MAX,
            sequence: u64::MAX,
            lowest_unanswered: u64::MAX,
            expires: UnixMillis(u64::MAX),
        };
        let work = Work::Keys(vec![Ask { command: command.clone(), session: Some(session) }]);
        assert!(codec::encode(&work).len() <= work.bytes());
        let mut entry = crate::kv::EntryBuilder::new(UnixMillis(0));
        let empty = entry.bytes();
        entry.push(&command, Some(session));
        assert!(entry.bytes() - empty <= work.bytes());

        let replies = vec![Reply::Bulk(Bytes::from(vec![1; 20_000])), Reply::Integer(i64::MIN)];
        let answer = Answer { unit: UnitId(u64::MAX), outcome: Outcome::Done(replies) };
        assert!(codec::encode(&answer).len() <= answer.bytes());
    }
}
