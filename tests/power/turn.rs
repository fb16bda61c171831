//! A turn of one part of a node: which part, what it gives to the rest of the world, and how it fails.

use super::checks::Violation;
use eraft::actors::group::event::Lead;
use eraft::ids::GroupId;
use eraft::net::message::Answer;
use eraft::raft::{Entry, Message};
use eraft::store::wal::LogError;

/// What has a turn of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Drivers,
    Log,
    Apply,
    State,
}

impl Part {
    pub(crate) const ALL: [Part; 4] = [Part::Drivers, Part::Log, Part::Apply, Part::State];
}

/// Why a node goes down.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Its disk failed.
    Disk(String),
    /// Something that must not happen.
    Violation(Violation),
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Misuse { .. } => Self::Violation(Violation::Failed(error.to_string())),
            error => Self::Disk(error.to_string()),
        }
    }
}

/// What the rest of the world hears of a turn.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) messages: Vec<(GroupId, Message)>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) leads: Vec<Lead>,
    /// Handed to the state machine.
    pub(crate) committed: Vec<(GroupId, Entry)>,
}
