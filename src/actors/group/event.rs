//! What a group's driver is told, and what it wants done. Plain values: the actor carries them between
//! the driver and the threads and sockets, the simulator between the driver and its models.

use super::caretaker::Wish;
use crate::actors::liveness::Health;
use crate::ids::{Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term};
use crate::net::message::{Answer, Unit, UnitId, Work};
use crate::raft::{Entry, Membership, MembershipChange, Message, ProposeError, Role, SnapshotMeta};
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
    /// The time that [`super::driver::Driver::wants_waking`] named has come.
    Alarm,
    /// Messages of one peer, and the disk by which its replica says to be known.
    Peer(Incarnation, Vec<Message>),
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
    /// Change the membership; answered in [`Effects::changes`].
    Change {
        /// Names the question.
        token: u64,
        /// The change.
        change: MembershipChange,
    },
    /// The nodes that the table names as the group's helpers.
    Helpers {
        /// They are fed, for reading.
        observers: Vec<NodeId>,
        /// They pass entries on.
        secretaries: Vec<NodeId>,
    },
    /// What the config table wishes for this group.
    Wish(Wish),
    /// A replica of this group is on `node`, and wants to belong to it under this disk.
    Arrived {
        /// The node.
        node: NodeId,
        /// The disk.
        disk: Incarnation,
    },
    /// The replica on `node` asks whether the group can do without it; a yes is in
    /// [`Effects::farewells`].
    Leaving {
        /// The node.
        node: NodeId,
        /// The disk by which it is known, as far as it knows.
        disk: Incarnation,
        /// It has forgotten what it promised, and must be removed.
        forgotten: bool,
        /// Names the request.
        request: u64,
    },
    /// A leader of this term offers a snapshot; [`Effects::offers`] says whether it is of use.
    SnapshotOffered(Offer),
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

/// A replica that asks whether its group can do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// Its node.
    pub node: NodeId,
    /// The disk by which it is known.
    pub disk: Incarnation,
    /// Names the request.
    pub request: u64,
}

/// A snapshot that is offered to this replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// By whom.
    pub from: NodeId,
    /// In which term.
    pub term: crate::ids::Term,
    /// Names the sender's read view.
    pub view: u64,
    /// What it stands for.
    pub meta: SnapshotMeta,
}

/// What a replica thinks of a snapshot that it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotUse {
    /// It is of use.
    Wanted,
    /// It may be of use, but not from this leader in this term: there is a newer offer, or will be.
    NotNow,
    /// It never will be.
    Never,
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
    Reads {
        /// What is read.
        reads: Vec<ConfirmedRead>,
        /// The time by the voters' clocks.
        clock: UnixMillis,
        /// They rest on a lease: the answers may be given only if a clock that is read after they were
        /// prepared shows less than this.
        until: Option<MonoMillis>,
    },
}

/// What became of a proposal of a change: where it stands in the log, or why it never will. The number names
/// the question.
pub type Proposed = (u64, Result<(Index, Term), ProposeError>);

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
    /// This membership is in force now.
    pub membership: Option<Membership>,
    /// What became of proposals of changes: where they stand in the log, or why they never will.
    pub changes: Vec<Proposed>,
    /// These replicas do not belong to the group any more: a majority has confirmed it.
    pub farewells: Vec<Leaver>,
    /// Snapshots that were offered, and whether they are of use.
    pub offers: Vec<(Offer, bool)>,
    /// Units of reads that were handed over on the strength of a lease.
    pub leased: u64,
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
