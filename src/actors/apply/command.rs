//! What the apply thread is asked, and what it tells.

use crate::actors::group::event::{Applied, ApplyItem, ReplyTo};
use crate::actors::snapshots::View;
use crate::ids::{Epoch, Generation, GroupId, Index};
use crate::kv::Genesis;
use crate::kv::migration::Moves;
use crate::net::message::Answer;
use crate::raft::{Membership, SnapshotMeta};
use crate::rows::RowGeneration;
use crate::shard::{BucketRange, OwnerClaim, Table};
use crate::store::state::{BatchNumber, Command};
use crate::time::MonoMillis;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// What a replica's state is when it is born.
#[derive(Clone, Debug)]
pub enum Birth {
    /// The config group: no table.
    Config,
    /// A data group.
    Keys(Box<Genesis>),
}

/// A replica's state, as found.
#[derive(Clone, Debug)]
pub struct Opened {
    /// How far it is.
    pub applied: Applied,
    /// Which life of the rows is in use.
    pub row_generation: RowGeneration,
    /// The newest life that any rows in the store belong to: of a snapshot that was never completed.
    pub newest_rows: RowGeneration,
    /// The snapshot it began with, if it did.
    pub installed: Option<SnapshotMeta>,
    /// The group's membership as the newest entry applied leaves it.
    pub membership: Membership,
}

/// An answer that may be given on the apply or the state thread.
pub(super) type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// See the variants. In order per group.
pub enum ApplyCommand {
    /// Start (or go on) serving a group for a new life of its driver. Earlier work of it is done then.
    Open {
        /// The group.
        group: GroupId,
        /// The driver's life.
        generation: Generation,
        /// The state if there is none yet.
        birth: Birth,
        /// The group's membership then.
        founders: Membership,
        /// Where it stands.
        reply: Reply<Result<Opened, String>>,
    },
    /// Entries and reads of a driver.
    Work {
        /// The group.
        group: GroupId,
        /// The driver's life.
        generation: Generation,
        /// In this order.
        items: Vec<ApplyItem>,
    },
    /// A view of everything applied so far.
    View {
        /// The group.
        group: GroupId,
        /// The view.
        reply: Reply<Result<View, String>>,
    },
    /// Rows of a snapshot, for a life of the rows that is not in use yet.
    Ingest {
        /// The group.
        group: GroupId,
        /// That life.
        row_generation: RowGeneration,
        /// Keys without prefix, and values.
        rows: Vec<(Bytes, Bytes)>,
        /// They are in the store (not synced).
        done: Box<dyn FnOnce() + Send>,
    },
    /// All rows of a snapshot are ingested: make them the state.
    Install {
        /// The group.
        group: GroupId,
        /// The driver's life.
        generation: Generation,
        /// The life of the rows.
        row_generation: RowGeneration,
        /// What it stands for.
        meta: SnapshotMeta,
        /// It is the state, synced.
        reply: Reply<Result<(SnapshotMeta, Applied), String>>,
    },
    /// Forget all rows of a group, for a replica that is no more, or is about to be born anew. Where there
    /// are none nothing happens.
    Reset {
        /// The group.
        group: GroupId,
        /// No rows of it were ever written to a later life than this.
        newest_rows: RowGeneration,
        /// It is forgotten, synced.
        reply: Reply<Result<(), String>>,
    },
    /// Get everything applied so far onto the disk, and say so by [`ApplySink::persisted`].
    Persist,
    /// From the state thread: batches are written.
    Written(BatchNumber),
    /// From the state thread: everything is synced that was written before this token.
    Persisted(u64, Vec<(GroupId, Index)>),
    /// Freeze what is left, and end.
    Stop,
}

impl fmt::Debug for ApplyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open { .. } => "Open",
            Self::Work { .. } => "Work",
            Self::View { .. } => "View",
            Self::Ingest { .. } => "Ingest",
            Self::Install { .. } => "Install",
            Self::Reset { .. } => "Reset",
            Self::Persist => "Persist",
            Self::Written(_) => "Written",
            Self::Persisted(..) => "Persisted",
            Self::Stop => "Stop",
        })
    }
}

/// Counts of one group's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Buckets owned.
    pub buckets: u32,
    /// Sessions remembered.
    pub sessions: u64,
}

/// What a data group owns and what moves, as one replica has applied it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The buckets that the group serves, as runs of one epoch.
    pub owned: Vec<(BucketRange, Epoch)>,
    /// What it remembers of its moves.
    pub moves: Moves,
}

impl Holdings {
    /// What the group owns and the table does not say.
    #[must_use]
    pub fn claims(&self, group: GroupId, table: &Table) -> Vec<OwnerClaim> {
        let is_news = |range: BucketRange, epoch: Epoch| {
            let actual = |bucket| table.owners.get(bucket).actual;
            range.buckets().any(|bucket| actual(bucket).is_none_or(|known| known.epoch < epoch))
        };
        let news = self.owned.iter().filter(|(range, epoch)| is_news(*range, *epoch));
        news.map(|(range, epoch)| OwnerClaim { range: *range, group, epoch: *epoch }).collect()
    }
}

/// Where the apply thread's results go. Must not block.
pub trait ApplySink: Send {
    /// The time by the clock that leases are measured by, read now.
    fn clock(&mut self) -> MonoMillis;
    /// Replies for their askers.
    fn answers(&mut self, answers: Vec<(ReplyTo, Answer)>);
    /// Entries of a group are applied.
    fn applied(&mut self, group: GroupId, applied: Applied, stats: Stats);
    /// What a data group owns, or what moves, has changed. Told again if it is not taken.
    fn holdings(&mut self, _group: GroupId, _holdings: Holdings) -> bool {
        true
    }
    /// The config table has a new version.
    fn table(&mut self, table: &Arc<Table>);
    /// The state of these groups up to these entries is on disk.
    fn persisted(&mut self, groups: Vec<(GroupId, Index)>);
    /// The machine of a group failed; its replica must be rebuilt.
    fn failed(&mut self, group: GroupId, generation: Generation, why: String);
    /// The apply thread itself failed and has ended; no group can go on without it.
    fn fatal(&mut self, why: String) {
        tracing::error!("{why}");
    }
    /// For the state thread; kept, in order, while that has no room.
    fn submit(&mut self, command: Command);
    /// Called once a turn: try again what the state thread had no room for.
    fn pump(&mut self);
    /// So many units of reads were refused because their lease had ended.
    fn leases_ended(&mut self, _units: usize) {}
    /// Counts for the metrics.
    fn worked(&mut self, entries: u64, commands: u64, overlay_bytes: usize);
}
