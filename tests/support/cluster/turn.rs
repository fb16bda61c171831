//! A turn of one part of a node: which part, what it gives to the rest of the world, and how it fails.

use eraft::actors::group::event::{Lead, Leaver, Proposed};
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::{Answer, SnapshotFrame, UnitId};
use eraft::raft::{Entry, Message, SnapshotMeta, SnapshotNeeded};
use eraft::store::wal::{LogError, LogWrite};

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

/// Why a node goes down, or does not come up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Its disk failed.
    Disk(String),
    /// What it finds on its disks does not go together.
    DoesNotOpen(String),
    /// A check of its own failed.
    Broken(String),
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Misuse { .. } => Self::Broken(error.to_string()),
            error => Self::Disk(error.to_string()),
        }
    }
}

/// What the rest of the world hears of one event.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Whose driver had an event.
    pub(crate) touched: Option<GroupId>,
    pub(crate) messages: Vec<(GroupId, Message)>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) leads: Vec<Lead>,
    /// Handed to the state machine, with the units that wait for it.
    pub(crate) committed: Vec<(GroupId, Entry, Vec<UnitId>)>,
    /// Handed to the log.
    pub(crate) written: Vec<LogWrite>,
    /// A peer needs a snapshot.
    pub(crate) snapshots: Vec<(GroupId, SnapshotNeeded)>,
    /// Frames of snapshots on their way, and back.
    pub(crate) frames: Vec<(NodeId, SnapshotFrame)>,
    /// A snapshot is installed here.
    pub(crate) installed: Vec<(GroupId, SnapshotMeta)>,
    /// Units of reads that rest on a lease.
    pub(crate) leased: u64,
    /// Who owns something else now, or moves something else.
    pub(crate) holdings: Vec<GroupId>,
    /// What became of changes of the membership that were asked for.
    pub(crate) changes: Vec<Proposed>,
    /// Replicas that their groups can do without.
    pub(crate) farewells: Vec<(GroupId, Leaver)>,
    /// Replicas that have begun here.
    pub(crate) begun: Vec<GroupId>,
    /// Replicas that are no more here.
    pub(crate) ended: Vec<GroupId>,
}

impl Output {
    /// Both, one after the other.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.messages.append(&mut other.messages);
        self.answers.append(&mut other.answers);
        self.leads.append(&mut other.leads);
        self.committed.append(&mut other.committed);
        self.written.append(&mut other.written);
        self.snapshots.append(&mut other.snapshots);
        self.frames.append(&mut other.frames);
        self.installed.append(&mut other.installed);
        self.leased += other.leased;
        self.holdings.append(&mut other.holdings);
        self.changes.append(&mut other.changes);
        self.farewells.append(&mut other.farewells);
        self.begun.append(&mut other.begun);
        self.ended.append(&mut other.ended);
    }
}
