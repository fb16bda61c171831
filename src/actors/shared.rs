//! What all threads of a node share: who owns what, who leads what, and how to reach both. Read on every
//! request, written seldom; each field has one writer, named beside it.

use crate::actors::apply::{Holdings, Stats};
use crate::actors::group::actor::{GroupActor, GroupMessage};
use crate::actors::group::event::{Lead, ReplyTo};
use crate::actors::guesses::Guesses;
use crate::actors::hints::Hints;
use crate::actors::identity::{Kinship, Links};
use crate::actors::liveness::{Alarms, Health, LogPulse, Watch};
use crate::actors::migrator::MoveReports;
use crate::actors::peers::{Peers, frames_of};
use crate::actors::secretary::Secretaries;
use crate::ids::{Era, GroupId, Incarnation, NodeId, Term};
use crate::kv::{Reply, ReplyError};
use crate::limits;
use crate::net::message::{Answer, Outcome, PeerMessage};
use crate::net::quic::SendError;
use crate::raft::Role;
use crate::shard::{ClusterView, GroupState, Routing};
use crate::time::{MonoMillis, UnixMillis};
use actix::Addr;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// See the module's first lines.
#[derive(Debug)]
pub struct Shared {
    /// This node.
    pub node: NodeId,
    /// The newest table, expanded for look-ups. Written by the poller.
    routing: RwLock<Option<Arc<Routing>>>,
    /// Raised with each change of `routing` or `groups`, so that routers can keep copies.
    revision: AtomicU64,
    /// The replicas here. Written by the poller.
    groups: RwLock<BTreeMap<GroupId, Replica>>,
    /// Connections to the peers.
    pub peers: Peers,
    /// The routers' inboxes, by worker. Written once, at start. Bounded by what the routers have sent.
    workers: RwLock<Vec<UnboundedSender<Vec<Answer>>>>,
    /// What peers told of their clocks and disks.
    pub clocks: super::clocks::PeerClocks,
    /// Snapshots on their way out.
    pub transfers: super::snapshots::Transfers,
    /// Bytes of requests taken and not answered; see `limits::REQUEST_BYTES_IN_FLIGHT_MAX`.
    pub request_bytes: AtomicUsize,
    /// Grows with every entry applied. Written by the apply thread.
    pub work: AtomicU64,
    /// Peers' messages received, for CLUSTER INFO.
    pub received: AtomicU64,
    /// And sent.
    pub sent: AtomicU64,
    /// Answers to forwarded units that had no room on their way; the forwarder asks again.
    pub answers_lost: AtomicU64,
    /// The disk here is nearly full. Written by the GC worker.
    pub disk_low: AtomicBool,
    /// The node stops: take nothing new.
    pub stopping: AtomicBool,
    /// Which nodes live. Written by the endpoint's thread and the warden.
    watch: Mutex<Watch>,
    /// How the nodes are. Written by the warden.
    health: RwLock<Arc<Health>>,
    /// What the log thread is doing. Written by it.
    pub log_pulse: LogPulse,
    /// When groups that sleep want to be looked at. Written by their actors.
    pub alarms: Alarms,
    /// Replicas that are awake. Written by their actors.
    pub awake: AtomicU64,
    /// Who leads the groups that have no member here.
    pub(crate) guesses: Guesses,
    /// Which buckets have moved on since the table was made.
    pub(crate) hints: Hints,
    /// How far the moves are that are driven from here.
    pub(crate) move_reports: MoveReports,
    /// Raised whenever what a group here owns has changed, or what moves. Written by the apply thread.
    pub holdings_changes: AtomicU64,
    /// The secretaries here.
    pub(crate) secretaries: Secretaries,
    /// The disks that the connected peers said hello with. Written by the endpoint's thread.
    pub links: Links,
    /// Raised whenever a replica here learns of a new leader, or loses one, or comes to belong to its group,
    /// or not. Written by their actors.
    pub lead_changes: AtomicU64,
    /// Reads are served on leases, where there are any. Written once, at start.
    pub lease_reads: AtomicBool,
    /// Units of reads that were. Written by the groups' actors.
    pub lease_reads_served: AtomicU64,
    start: Duration,
}

/// A replica on this node, as the rest of the node sees it.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its actor; the address stays valid through restarts.
    pub addr: Addr<GroupActor>,
    /// What it publishes.
    pub board: Arc<Board>,
}

/// Why a replica here was not sent something. It will not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// There is none, or it has ended.
    #[error("no replica of that group here")]
    NoReplica,
    /// Its mailbox is full.
    #[error("its mailbox is full")]
    Full,
}

/// What a replica publishes. Written by its actor.
#[derive(Debug, Default)]
pub struct Board {
    leader: AtomicU64,
    term: AtomicU64,
    leads: AtomicBool,
    /// It is an observer that may be asked to read.
    observes: AtomicBool,
    /// It is a copy for reading, and never belongs to its group.
    pub observer: AtomicBool,
    /// The replica was given up after too many panics, or must stay silent.
    pub failed: AtomicBool,
    /// It must stay silent: its disk has forgotten what it promised.
    pub forgotten: AtomicBool,
    /// It belongs to its group, as far as it knows.
    pub belongs: AtomicBool,
    /// The disk by which it is known to its group; 0 until that is read from the log.
    disk: AtomicU64,
    /// Names the request to be let go that its replica would make now.
    request: AtomicU64,
    /// The group was recovered without this replica.
    pub left_behind: AtomicBool,
    /// The group's era, once it is known.
    era: RwLock<Era>,
    /// Restarts of its actor.
    pub restarts: AtomicU64,
    /// Counts of its state. Written by the apply thread.
    stats: RwLock<Stats>,
    /// What it owns and what moves. Written by the apply thread.
    holdings: RwLock<Arc<Holdings>>,
    /// Somebody waits for them to change.
    held: Notify,
}

impl Board {
    /// For a replica whose requests to be let go are named from this number on: a random one, so that a late
    /// answer to one who was here before counts for nothing.
    #[must_use]
    pub fn new(request: u64) -> Self {
        Self { request: AtomicU64::new(request), ..Self::default() }
    }

    /// Names the request to be let go that the replica would make now.
    pub fn request(&self) -> u64 {
        self.request.load(Ordering::Relaxed)
    }

    /// The replica writes to its log: it may be of use to its group again, so a request that was made before
    /// is void.
    pub fn void_request(&self) {
        self.request.fetch_add(1, Ordering::Relaxed);
    }

    /// Publishes what the group owns and what moves, as this replica has applied it.
    pub fn set_holdings(&self, holdings: Holdings) {
        let mut known = self.holdings.write().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::new(holdings);
        drop(known);
        self.held.notify_one();
    }

    /// What the group owns and what moves, as this replica has applied it.
    pub fn holdings(&self) -> Arc<Holdings> {
        self.holdings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves when they have changed. For one waiter.
    pub async fn holdings_changed(&self) {
        self.held.notified().await;
    }

    /// Publishes who leads.
    pub fn publish(&self, lead: Lead) {
        self.term.store(lead.term.0, Ordering::Relaxed);
        self.leads.store(lead.role == Role::Leader, Ordering::Relaxed);
        // 0 stands for "nobody": nodes are numbered from 1.
        self.leader.store(lead.leader.map_or(0, |node| u64::from(node.0)), Ordering::Release);
    }

    /// Publishes the disk by which the replica is known to its group.
    pub fn set_disk(&self, disk: Incarnation) {
        self.disk.store(disk.0, Ordering::Release);
    }

    /// The disk by which the replica is known to its group, once that is known here.
    pub fn disk(&self) -> Option<Incarnation> {
        let disk = self.disk.load(Ordering::Acquire);
        (disk != 0).then_some(Incarnation(disk))
    }

    /// Who leads, as far as the replica knows.
    pub fn leader(&self) -> Option<NodeId> {
        let leader = self.leader.load(Ordering::Acquire);
        u32::try_from(leader).ok().filter(|id| *id != 0).map(NodeId)
    }

    /// Whether this replica leads.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Whether it is an observer that may be asked to read.
    pub fn observes(&self) -> bool {
        self.observes.load(Ordering::Relaxed)
    }

    /// Publishes whether it is an observer that may be asked to read.
    pub fn set_observes(&self, observes: bool) {
        self.observes.store(observes, Ordering::Relaxed);
    }

    /// Publishes the group's era.
    pub fn set_era(&self, era: Era) {
        *self.era.write().expect("no panic while held") = era;
    }

    /// The group's era, as this replica knows it.
    pub fn era(&self) -> Era {
        *self.era.read().expect("no panic while held")
    }

    /// Publishes counts of the state.
    pub fn set_stats(&self, stats: Stats) {
        *self.stats.write().expect("no panic while held") = stats;
    }

    /// Counts of the state.
    pub fn stats(&self) -> Stats {
        *self.stats.read().expect("no panic while held")
    }

    /// The newest term it has seen.
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// An empty directory for this node.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            routing: RwLock::new(None),
            revision: AtomicU64::new(1),
            groups: RwLock::new(BTreeMap::new()),
            peers: Peers::default(),
            workers: RwLock::new(Vec::new()),
            clocks: super::clocks::PeerClocks::default(),
            transfers: super::snapshots::Transfers::default(),
            request_bytes: AtomicUsize::new(0),
            work: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            answers_lost: AtomicU64::new(0),
            disk_low: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            watch: Mutex::default(),
            health: RwLock::default(),
            log_pulse: LogPulse::default(),
            alarms: Alarms::default(),
            awake: AtomicU64::new(0),
            guesses: Guesses::default(),
            hints: Hints::default(),
            move_reports: MoveReports::default(),
            holdings_changes: AtomicU64::new(0),
            secretaries: Secretaries::default(),
            links: Links::default(),
            lead_changes: AtomicU64::new(0),
            lease_reads: AtomicBool::new(false),
            lease_reads_served: AtomicU64::new(0),
            start: since_boot(),
        }
    }

    /// Which nodes live.
    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the nodes are.
    pub fn health(&self) -> Arc<Health> {
        self.health.read().expect("no panic while held").clone()
    }

    /// The nodes' health has changed; answers what it was before.
    pub fn set_health(&self, health: Arc<Health>) -> Arc<Health> {
        std::mem::replace(&mut *self.health.write().expect("no panic while held"), health)
    }

    /// Time since the node's start, with that in which the machine was suspended.
    pub fn mono(&self) -> MonoMillis {
        let passed = since_boot().saturating_sub(self.start);
        MonoMillis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }

    /// This machine's wall clock.
    pub fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The newest table, expanded.
    pub fn routing(&self) -> Option<Arc<Routing>> {
        self.routing.read().expect("no panic while held").clone()
    }

    /// A newer table is known.
    pub fn set_routing(&self, routing: Arc<Routing>) {
        *self.routing.write().expect("no panic while held") = Some(routing);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// A number that is raised whenever the table or the set of replicas changes.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The replicas here.
    pub fn replicas(&self) -> BTreeMap<GroupId, Replica> {
        self.groups.read().expect("no panic while held").clone()
    }

    /// The replica of one group.
    pub fn replica(&self, group: GroupId) -> Option<Replica> {
        self.groups.read().expect("no panic while held").get(&group).cloned()
    }

    /// What the replicas here publish.
    pub fn boards(&self) -> BTreeMap<GroupId, Arc<Board>> {
        let groups = self.groups.read().expect("no panic while held");
        groups.iter().map(|(group, replica)| (*group, replica.board.clone())).collect()
    }

    /// Sends the replica of a group something, if its mailbox has room.
    ///
    /// Always through the one address kept here: to actix each clone of an address is a sender of its
    /// own with room for one message, so that a mailbox is never full for a fresh one.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn try_send(
        &self,
        group: GroupId,
        message: impl Into<GroupMessage>,
    ) -> Result<(), Undelivered> {
        use actix::dev::SendError;
        let groups = self.groups.read().expect("no panic while held");
        let Some(replica) = groups.get(&group) else { return Err(Undelivered::NoReplica) };
        replica.addr.try_send(message.into()).map_err(|error| match error {
            SendError::Full(_) => Undelivered::Full,
            SendError::Closed(_) => Undelivered::NoReplica,
        })
    }

    /// Takes bytes of the node's budget for requests; `false` if there are not as many left. They must
    /// be given back.
    pub fn take_request_bytes(&self, bytes: usize) -> bool {
        let taken = self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = taken.saturating_add(bytes) <= limits::REQUEST_BYTES_IN_FLIGHT_MAX;
        if !fits {
            self.give_request_bytes(bytes);
        }
        fits
    }

    /// Takes bytes of the node's budget for a part of what was admitted before.
    pub fn keep_request_bytes(&self, bytes: usize) {
        self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken.
    pub fn give_request_bytes(&self, bytes: usize) {
        self.request_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Who leads a group, as far as is known here: by its replica here, or, without a member here that
    /// has seen an election, by guess.
    pub fn leader(
        &self,
        group: GroupId,
        board: Option<&Arc<Board>>,
        routing: Option<&Routing>,
    ) -> Option<NodeId> {
        let info = routing.and_then(|routing| routing.table().groups.get(&group));
        let is_member = info.is_none_or(|info| info.replicas.contains(&self.node));
        match (board, info) {
            (Some(board), _) if board.leads() => Some(self.node),
            (Some(board), _) if is_member && board.term() > 0 => board.leader(),
            (board, None) => board?.leader(),
            (_, Some(info)) => Some(self.guesses.leader(group, info)),
        }
    }

    /// A replica was started.
    pub fn add_replica(&self, group: GroupId, replica: Replica) {
        self.groups.write().expect("no panic while held").insert(group, replica);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// A replica is no more.
    pub fn remove_replica(&self, group: GroupId) {
        self.groups.write().expect("no panic while held").remove(&group);
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// What the peer that said hello with this disk is to this node.
    pub fn kinship(&self, node: NodeId, disk: Incarnation) -> Kinship {
        self.routing().map_or(Kinship::Unknown, |routing| Kinship::of(routing.table(), node, disk))
    }

    /// What the connected peer is to this node.
    pub fn kinship_of(&self, node: NodeId) -> Kinship {
        self.links.disk(node).map_or(Kinship::Unknown, |disk| self.kinship(node, disk))
    }

    /// Messages between nodes: sent, received.
    pub fn traffic(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// The cluster as this node sees it now, for `CLUSTER ...` and INFO.
    pub fn view(&self) -> Option<ClusterView> {
        let table = self.routing()?.table().clone();
        let state = |replica: &Replica| GroupState {
            term: Term(replica.board.term()),
            leader: replica.board.leader(),
        };
        let mut groups: BTreeMap<GroupId, GroupState> =
            self.replicas().iter().map(|(group, replica)| (*group, state(replica))).collect();
        for (group, info) in &table.groups {
            let state = groups.entry(*group).or_default();
            if !info.replicas.contains(&self.node) && state.leader != Some(self.node) {
                state.leader = Some(self.guesses.leader(*group, info));
            }
        }
        let alive = self.peers.connected().into_iter().collect();
        Some(ClusterView::new(table, self.node, alive, groups))
    }

    /// Registers the routers' inboxes.
    pub fn set_workers(&self, workers: Vec<UnboundedSender<Vec<Answer>>>) {
        *self.workers.write().expect("no panic while held") = workers;
    }

    /// Sends answers where they belong. What cannot be delivered any more is dropped: its asker is gone,
    /// or asks again.
    pub fn deliver(&self, to: ReplyTo, answers: Vec<Answer>) {
        match to {
            ReplyTo::Worker(worker) => {
                let workers = self.workers.read().expect("no panic while held");
                if let Some(inbox) = workers.get(usize::from(worker)) {
                    let _ = inbox.send(answers);
                }
            }
            ReplyTo::Node(node) => {
                for answers in frames_of(answers, Answer::bytes) {
                    self.deliver_frame(node, answers);
                }
            }
        }
    }

    fn deliver_frame(&self, node: NodeId, answers: Vec<Answer>) {
        let count = answers.len() as u64;
        let message = PeerMessage::Answers(answers);
        let sent = match self.peers.control(node, &message) {
            Err(SendError::TooLong) => {
                // Only a single answer can be too long, and it would be the same the next time.
                let PeerMessage::Answers(mut answers) = message else { return };
                answers.iter_mut().for_each(shorten);
                self.peers.control(node, &PeerMessage::Answers(answers))
            }
            sent => sent,
        };
        if sent.is_err() {
            self.answers_lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Sends answers to many askers, one batch per asker.
    pub fn deliver_all(&self, answers: Vec<(ReplyTo, Answer)>) {
        let mut by_asker: BTreeMap<ReplyTo, Vec<Answer>> = BTreeMap::new();
        for (to, answer) in answers {
            by_asker.entry(to).or_default().push(answer);
        }
        for (to, answers) in by_asker {
            self.deliver(to, answers);
        }
    }
}

/// Time since the machine's boot. It never runs backwards, and goes on while the machine is suspended, so
/// that nothing that was promised for a while seems to hold afterwards.
fn since_boot() -> Duration {
    let time =
        clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux since 2.6.39 has this clock");
    Duration::from(time)
}

/// Puts an error in the place of each reply: the answer is too long for any frame.
fn shorten(answer: &mut Answer) {
    if let Outcome::Done(replies) = &mut answer.outcome {
        let most = limits::FRAME_BYTES_MAX;
        let error = ReplyError::err(format!(
            "the replies of one batch are larger than {most} bytes: writes of it are done, but their \
             replies cannot be told; ask for less at once"
        ));
        replies.fill(Reply::Error(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::message::UnitId;

    #[test]
    fn bytes_of_requests_are_bounded_and_come_back() {
        let shared = Shared::new(NodeId(1));
        assert!(shared.take_request_bytes(limits::REQUEST_BYTES_IN_FLIGHT_MAX - 1));
        assert!(!shared.take_request_bytes(2));
        assert!(shared.take_request_bytes(1));
        shared.give_request_bytes(limits::REQUEST_BYTES_IN_FLIGHT_MAX);
        assert_eq!(shared.request_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_answer_that_is_too_long_keeps_its_number_of_replies() {
        let outcome = Outcome::Done(vec![Reply::Ok, Reply::Nil]);
        let mut answer = Answer { unit: UnitId(1), outcome };
        shorten(&mut answer);
        let Outcome::Done(replies) = answer.outcome else { panic!() };
        assert_eq!(replies.len(), 2);
        assert!(replies.iter().all(|reply| matches!(reply, Reply::Error(_))));
    }

    #[test]
    fn nobody_is_sent_what_nobody_runs() {
        let shared = Shared::new(NodeId(1));
        let sent = shared.try_send(GroupId(1), GroupMessage::Panic);
        assert_eq!(sent, Err(Undelivered::NoReplica));
    }
}
