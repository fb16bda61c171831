//! What a group's driver is told, and what it wants done. Plain values: the actor carries them between
//! the driver and the threads and sockets, the simulator between the driver and its models.

use crate::actors::liveness::Health;
use crate::ids::{Generation, GroupId, Index, NodeId, ReadyNumber, Term};
use crate::net::message::{Answer, Unit, UnitId, Work};
use crate::raft::{Entry, Message, Role, SnapshotMeta};
use crate::store::wal::LogWrite;
use crate::time::{MonoMillis, UnixMillis};
use std::sync::Arc;

/// The time at which an event is handled.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For time-outs.
    pub mono: MonoMillis,
    /// The median of the voters' wall clocks, once a majority of them is known.
    pub median: Option<UnixMillis>,
}

/// Where a unit came from, and so where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplyTo {
    /// A router of this node, by worker.
    Worker(u16),
    /// A router of another node.
    Node(NodeId),
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The Raft clock.
    Tick,
    /// Messages of one peer.
    Peer(Vec<Message>),
    /// Clients' units.
    Units(ReplyTo, Vec<Unit>),
    /// The log thread has synced this replica's writes up to this number.
    Persisted(Generation, ReadyNumber),
    /// The apply thread has applied entries.
    Applied(Applied),
    /// Entries read back from disk, asked for by [`Effects::fetches`].
    Fetched {
        /// The life of the driver that asked.
        generation: Generation,
        /// For which replica.
        peer: NodeId,
        /// The entries, contiguous; none if they are gone.
        entries: Vec<Entry>,
    },
    /// Everything up to `index` of the state is on disk, so the log before it may go.
    StatePersisted(Index),
    /// A snapshot transfer to `peer` has ended.
    SnapshotSent {
        /// The receiver.
        peer: NodeId,
        /// It installed the snapshot.
        installed: bool,
    },
    /// A snapshot received here is durably installed.
    SnapshotInstalled(SnapshotMeta, Applied),
    /// Nothing gets through to a peer at the moment.
    Unreachable(NodeId),
    /// Give the lead to this node.
    Transfer(NodeId),
    /// The disk is (not) nearly full.
    DiskLow(bool),
    /// Give up the lead and take no more units: the node stops.
    Stop,
    /// The nodes' health has changed.
    Health {
        /// How they are now.
        health: Arc<Health>,
        /// Elections of the groups concerned may be spread over so many ticks.
        spread_ticks: u32,
    },
    /// A node says that it led this group until a term, and leads it no more.
    LeadEnded {
        /// That node.
        leader: NodeId,
        /// The last term of its lead.
        term: Term,
    },
}

/// What the apply thread tells of a replica's state machine.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// The life of the driver that handed the entries over.
    pub generation: Generation,
    /// The newest entry applied.
    pub index: Index,
    /// Replicated time there.
    pub time: UnixMillis,
    /// When the next key expires.
    pub next_due: Option<UnixMillis>,
}

/// Where the replies of one committed entry go: its first `replies` replies to the first unit, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The asker.
    pub to: ReplyTo,
    /// Its unit.
    pub unit: UnitId,
    /// How many replies the unit takes.
    pub replies: usize,
}

/// A read that is confirmed: it may be answered from the state as it is now.
#[derive(Debug)]
pub struct ConfirmedRead {
    /// The asker.
    pub to: ReplyTo,
    /// Its unit.
    pub unit: UnitId,
    /// What it asks.
    pub work: Work,
}

/// Work for the apply thread, in this order.
#[derive(Debug)]
pub enum ApplyItem {
    /// Committed entries with their routes.
    Entries(Vec<(Entry, Vec<Route>)>),
    /// Reads, to be answered after all entries handed over before.
    Reads(Vec<ConfirmedRead>, UnixMillis),
}

/// What the driver wants done. Everything here may be done at once and in any order: what has to wait
/// for the disk is kept by the driver until the disk has answered.
#[derive(Debug, Default)]
pub struct Effects {
    /// Send these.
    pub messages: Vec<Message>,
    /// Write these to the log.
    pub log: Vec<LogWrite>,
    /// Hand these to the apply thread.
    pub apply: Vec<ApplyItem>,
    /// Tell these askers.
    pub answers: Vec<(ReplyTo, Answer)>,
    /// Send snapshots to these.
    pub snapshots: Vec<crate::raft::SnapshotNeeded>,
    /// Read entries back from disk.
    pub fetches: Vec<crate::raft::Fetch>,
    /// The role or the leader has changed.
    pub lead: Option<Lead>,
    /// Peers' messages that did not fit: stale, strange, or for another.
    pub rejected: u64,
    /// Messages that show that somebody has forgotten what it promised.
    pub alarms: Vec<crate::raft::StepError>,
}

/// Who leads, as far as this replica knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The group.
    pub group: GroupId,
    /// This replica's role.
    pub role: Role,
    /// The leader.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: Term,
}
