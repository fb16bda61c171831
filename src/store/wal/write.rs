//! What callers hand to the log and hear from it. Plain values, so that a group's driver can make them
//! without knowing how they get to the disk.

use super::error::LogError;
use crate::ids::{
    ClusterId, Era, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term,
};
use crate::limits;
use crate::raft::{Entry, HardState, Membership, SnapshotMeta};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whose log it is. A log of somebody else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The cluster; all zero before the node belongs to one.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The life of the node's disk.
    pub incarnation: Incarnation,
}

/// How the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Size of a segment, bytes; a batch that is larger gets a segment of its own size.
    pub segment_bytes: u64,
    /// The next segment is filled with zeros by a thread ahead of time; otherwise at the moment when
    /// it is needed, so that the steps on the disk are always the same.
    pub background_prepare: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: limits::SEGMENT_BYTES, background_prepare: true }
    }
}

/// A turn in a group's life on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOp {
    /// A replica of the group begins here, with an empty log. A group that died here before begins
    /// anew; for one that lives only the membership of a log without entries is replaced.
    Born(Membership),
    /// The entries up to here are not needed any more. Needs no sync: it is synced before it is acted
    /// on. Beyond the last index it counts as [`LogOp::SnapshotInstalled`].
    Compacted(SnapshotMeta),
    /// A snapshot took the place of the whole log: all entries are forgotten.
    SnapshotInstalled(SnapshotMeta),
    /// The replica is no more, and all of it is forgotten except that it died.
    Dead,
    /// The replica is known to its group by this life of its disk, and not by the node's.
    Identity(Incarnation),
    /// The group was recovered without this replica and is in this era now: it takes no part any more.
    LeftBehind(Era),
}

/// What one group wants to have written at once. A whole batch of these is written or not at all.
///
/// The parts count in this order: `op`, `hard_state`, `entries`.
#[derive(Clone, Debug)]
pub struct LogWrite {
    /// The group.
    pub group: GroupId,
    /// The life of its driver; handed back.
    pub generation: Generation,
    /// The number of the `Ready`; handed back.
    pub number: ReadyNumber,
    /// Contiguous. If the first index is not above the last stored one, that and all after it are cut
    /// off. It must not be more than one above.
    pub entries: Vec<Entry>,
    /// The new hard state.
    pub hard_state: Option<HardState>,
    /// See [`LogOp`].
    pub op: Option<LogOp>,
    /// Whether it must be durable before it counts as done.
    pub must_sync: bool,
}

impl LogWrite {
    /// Whether other entries are in the log afterwards than before, but for those that are cut off at its
    /// beginning.
    #[must_use]
    pub fn changes_log(&self) -> bool {
        !self.entries.is_empty() || matches!(self.op, Some(LogOp::SnapshotInstalled(_)))
    }

    /// Bytes that it is charged with where batches are limited.
    #[must_use]
    pub fn cost(&self) -> usize {
        64 + self.entries.iter().map(Entry::cost).sum::<usize>()
    }
}

/// A write that has been done: it is in the log, and durable if it asked for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The group.
    pub group: GroupId,
    /// As handed in.
    pub generation: Generation,
    /// As handed in.
    pub number: ReadyNumber,
}

/// What one write to the disk was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchStats {
    /// Records in it; 0 if nothing had to be written.
    pub records: usize,
    /// Bytes written, filling included.
    pub bytes: usize,
    /// Writes of groups that it took together.
    pub groups: usize,
    /// How long the write took.
    pub write_time: Duration,
    /// How long the sync took, if there was one.
    pub sync_time: Option<Duration>,
}

/// Whom the log thread tells. All of it is called on the log thread, so it should be short.
pub trait LogEvents: Send + 'static {
    /// These writes are done, in the order in which they were handed in.
    fn done(&mut self, done: Vec<Done>);
    /// The thread turns to the disk, for a write or for anything else.
    fn begins(&mut self) {}
    /// What had begun has ended.
    fn ends(&mut self) {}
    /// A batch was written.
    fn wrote(&mut self, stats: &BatchStats);
    /// The log has failed and takes nothing any more; what was not reported as done may be on the disk
    /// or not. The process has to end.
    fn fatal(&mut self, error: LogError);
}

/// What the disk remembered of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// The newest hard state.
    pub hard_state: HardState,
    /// The life of its disk that the group knows it by, if it is not the node's.
    pub identity: Option<Incarnation>,
    /// The era in which the group goes on without this replica, if it does.
    pub left_behind: Option<Era>,
    /// Where the log starts: the newest birth, compaction or installed snapshot.
    pub base: SnapshotMeta,
    /// The terms of the whole log from `base.index + 1` on, as runs: first index and term of each.
    pub terms: Vec<(Index, Term)>,
    /// The last index; `base.index` if there are no entries.
    pub last: Index,
    /// The newest entries, contiguous up to `last`: all, or as many as `LOG_TAIL_BYTES_MAX` takes; more if
    /// changes of the membership were asked for that are older.
    pub tail: Vec<Entry>,
}

/// Whether the log has lost something that had been durable.
///
/// It stays so until the group is dead (or the data directory is gone): what was lost may have been a
/// vote, so no later entry makes it good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Nothing is known to be missing.
    #[default]
    None,
    /// These groups have lost something. Their replicas must not vote or serve.
    Groups(BTreeSet<GroupId>),
    /// Nobody can say which groups have lost something.
    All,
}

/// What the log knows of a group's life on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It never lived here.
    Unknown,
    /// It lives here.
    Alive,
    /// It lived here, and has lost something: it counts for nothing until it has died and was born anew.
    Damaged,
    /// It lived here once, or may have: a replica that is born now is somebody else.
    Dead,
}

/// A place where something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPlace {
    /// The segment's file name.
    pub segment: String,
    /// Where in it, bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// What the disk remembered.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The groups that live here.
    pub groups: BTreeMap<GroupId, RecoveredGroup>,
    /// The groups that lived here once.
    pub dead: BTreeSet<GroupId>,
    /// What is lost, found now or earlier.
    pub damage: Damage,
    /// Where it was found now; the first few places.
    pub damaged_places: Vec<DamagedPlace>,
    /// Bytes cut off at the end because their batch was incomplete. After a power cut that is what was
    /// never acknowledged; after a clean stop (or without a power cut) it should be 0.
    pub torn_tail_bytes: u64,
    /// The cluster that the log belongs to, all zero if it is not known yet.
    pub cluster: ClusterId,
    /// There was no log, and an empty one was made.
    pub created: bool,
}
