//! The router itself: units in flight, where they were sent, and when they are sent again.

mod redirects;
#[cfg(test)]
mod tests;

use self::redirects::MOVING_MILLIS;
use super::gather::Sink;
use super::sessions::Sessions;
use super::ticket::{Settled, Ticket, ticket};
use crate::actors::group::event::{Event, ReplyTo};
use crate::actors::metrics::RouterMetrics;
use crate::actors::peers::frames_of;
use crate::actors::shared::{Board, Shared, Undelivered};
use crate::actors::supervision::guarded;
use crate::ids::{Bucket, GroupId, NodeId};
use crate::kv::{Reply, ReplyError};
use crate::limits;
use crate::net::message::{Answer, Outcome, PeerMessage, Refusal, Unit, UnitId, Work};
use crate::net::quic::SendError;
use crate::shard::Routing;
use crate::time::{MonoMillis, UnixMillis};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often waiting units are looked through.
const SWEEP: Duration = Duration::from_millis(20);
/// The pause before a refused unit is sent again, milliseconds; it doubles up to the second figure.
const RETRY_MILLIS: (u64, u64) = (5, 160);
/// A forwarded unit without an answer is sent again after this long, milliseconds.
const ANSWER_MILLIS: u64 = 2_000;
/// An observer's read without an answer is put to the leader after this long, milliseconds.
const OBSERVER_MILLIS: u64 = 500;
/// The pause after a panic of the sweep.
const SWEEP_PANICKED: Duration = Duration::from_secs(1);
/// The largest unit, bytes: it must fit one entry, whose own header is a few bytes.
pub(crate) const UNIT_BYTES_MAX: usize = limits::ENTRY_BYTES_MAX - 4096;
const _: () = assert!(crate::kv::parse::COMMAND_BYTES_MAX + 4096 < UNIT_BYTES_MAX);

/// A unit's number begins with its router's, so that answers of other nodes find the right one.
const WORKER_SHIFT: u32 = 48;

/// The router that named this unit.
#[must_use]
pub fn worker_of(unit: UnitId) -> u16 {
    u16::try_from(unit.0 >> WORKER_SHIFT).expect("sixteen bits are left")
}

/// How far a unit may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To wherever the leader is, and again until the deadline (the plain port).
    Cluster,
    /// To this node's own replica, once (the cluster port, whose clients follow redirects).
    Here,
}

/// Whom a unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The group that owns this bucket, whichever that is when the unit is sent.
    Bucket(Bucket),
    /// This group.
    Group(GroupId),
}

/// See the module's first lines. Cloning gives another handle on the same router.
#[derive(Clone, Debug)]
pub struct Router(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    worker: u16,
    sessions: Sessions,
    flights: BTreeMap<UnitId, Flight>,
    last_unit: u64,
    outgoing: BTreeMap<Destination, Vec<Unit>>,
    flush_scheduled: bool,
    sweeping: bool,
    moving: Moving,
    /// Copies of what is shared, as of `revision`.
    revision: u64,
    routing: Option<Arc<Routing>>,
    nodes: Vec<NodeId>,
    boards: BTreeMap<GroupId, Arc<Board>>,
    counters: RouterMetrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Here(GroupId),
    Peer(NodeId),
}

#[derive(Debug)]
struct Flight {
    target: Target,
    work: Work,
    mode: Mode,
    sink: Sink,
    bytes: usize,
    is_read: bool,
    /// Who may answer it, if it is a read.
    observer: Observer,
    /// The group under whose session its writes were numbered.
    numbered: Option<GroupId>,
    deadline: MonoMillis,
    place: Place,
    /// Where it was sent last.
    asked: Option<NodeId>,
    /// Sendings that have not been answered: any of them may have been, or may still be, carried out.
    open: u32,
    pause_millis: u64,
    /// Times that it was sent on because its bucket had moved.
    redirects: u32,
    /// The newest reason why it was not carried out.
    refusal: Option<Refusal>,
}

/// What an observer here has to do with a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Observer {
    /// It may be asked, if there is one.
    MayAnswer,
    /// It was asked.
    Asked,
    /// It could not answer: the leader is asked.
    GaveUp,
}

impl Flight {
    /// It waits for its bucket to be somewhere.
    fn awaits_bucket(&self) -> bool {
        self.redirects > 0 && matches!(self.place, Place::Waiting(_))
    }

    /// The observer that was asked does not answer: wherever the read came in, the leader does.
    fn give_up_observer(&mut self) {
        if self.observer == Observer::Asked {
            (self.observer, self.mode) = (Observer::GaveUp, Mode::Cluster);
        }
    }
}

/// Units that wait for their bucket to be somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moving {
    /// There may be none.
    None,
    /// There are some since a moment ago.
    Wanted,
    /// They are sent again every few milliseconds.
    LookedAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be sent when this time has come.
    Waiting(MonoMillis),
    /// Sent.
    Sent(Destination, MonoMillis),
}

impl Router {
    /// A router for one worker thread.
    #[must_use]
    pub fn new(shared: Arc<Shared>, worker: u16, client: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            shared,
            worker,
            sessions: Sessions::new(client),
            flights: BTreeMap::new(),
            last_unit: u64::from(worker) << WORKER_SHIFT,
            outgoing: BTreeMap::new(),
            flush_scheduled: false,
            sweeping: false,
            moving: Moving::None,
            revision: 0,
            routing: None,
            nodes: Vec::new(),
            boards: BTreeMap::new(),
            counters: RouterMetrics::new(),
        })))
    }

    /// What all threads share.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        self.0.borrow().shared.clone()
    }

    /// The newest table, expanded.
    #[must_use]
    pub fn routing(&self) -> Option<Arc<Routing>> {
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        inner.routing.clone()
    }

    /// The group that owns a bucket.
    #[must_use]
    pub fn group_of(&self, bucket: Bucket) -> Option<GroupId> {
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        inner.owner(bucket)
    }

    /// Whether this node leads the group that owns a bucket, as far as it knows.
    #[must_use]
    pub fn leads(&self, bucket: Bucket) -> bool {
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        let leader = inner.group(Target::Bucket(bucket)).and_then(|group| inner.leader(group));
        leader == Some(inner.shared.node)
    }

    /// Whether a read of this bucket may be answered by an observer here.
    #[must_use]
    pub fn observes(&self, bucket: Bucket) -> bool {
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        inner.group(Target::Bucket(bucket)).is_some_and(|group| inner.observes(group))
    }

    /// The largest value that may be stored, bytes.
    #[must_use]
    pub fn value_bytes_max(&self) -> usize {
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        inner.routing.as_ref().map_or(limits::VALUE_BYTES_MAX_DEFAULT, |routing| {
            usize::try_from(routing.table().limits.value_bytes_max).unwrap_or(usize::MAX)
        })
    }

    /// The node that leads a group, as far as this node knows.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        inner.leader(group)
    }

    /// Sends units on their way. They leave at the end of this turn of the event loop.
    pub fn submit(&self, units: Vec<(Target, Work)>, mode: Mode) -> Ticket {
        let (ticket, slots) = ticket(units.len());
        let mut inner = self.0.borrow_mut();
        inner.refresh();
        let now = inner.shared.mono();
        for ((target, work), slot) in units.into_iter().zip(slots) {
            inner.admit(target, work, mode, Sink::Asker(slot), now);
        }
        drop(inner);
        self.schedule_flush();
        ticket
    }

    /// Answers have come in. A panic over one of them does not keep the others from their askers.
    pub fn answered(&self, answers: Vec<Answer>) {
        let now = self.0.borrow().shared.mono();
        for answer in answers {
            self.guarded("an answer", |inner| inner.answered(answer, now));
        }
        self.schedule_moving();
        self.schedule_flush();
    }

    /// The connection to a peer is gone, and with it what was on its way.
    pub fn disconnected(&self, peer: NodeId) {
        self.guarded("a lost connection", |inner| {
            let now = inner.shared.mono();
            for flight in inner.flights.values_mut() {
                if matches!(flight.place, Place::Sent(Destination::Peer(to), _) if to == peer) {
                    flight.place = Place::Waiting(now);
                }
            }
        });
        self.schedule_sweep();
    }

    /// Runs one piece of work; `false` when it panicked. Whatever is left half done then concerns one
    /// unit, or units that the sweep looks after: nothing is called "not done" that may have been sent.
    fn guarded(&self, what: &str, work: impl FnOnce(&mut Inner)) -> bool {
        match guarded(|| work(&mut self.0.borrow_mut())) {
            Ok(()) => true,
            Err(panicked) => {
                tracing::error!("the router panicked over {what}: {}", panicked.0);
                false
            }
        }
    }

    fn schedule_flush(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.flush_scheduled || inner.outgoing.is_empty() {
            drop(inner);
            self.schedule_sweep();
            return;
        }
        inner.flush_scheduled = true;
        drop(inner);
        let router = self.clone();
        tokio::task::spawn_local(async move {
            // Behind everything that is ready now: that is the batch.
            tokio::task::yield_now().await;
            router.guarded("what is to be sent", Inner::flush);
            router.schedule_sweep();
        });
    }

    /// While a bucket is between two groups, nobody serves it: its units are looked after more often.
    fn schedule_moving(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.moving != Moving::Wanted {
            return;
        }
        inner.moving = Moving::LookedAfter;
        drop(inner);
        let router = self.clone();
        tokio::task::spawn_local(async move {
            let ends =
                |router: &Self| !router.0.borrow().flights.values().any(Flight::awaits_bucket);
            loop {
                tokio::time::sleep(Duration::from_millis(MOVING_MILLIS)).await;
                if !router.guarded("units on the move", Inner::sweep) || ends(&router) {
                    break;
                }
            }
            router.0.borrow_mut().moving = Moving::None;
        });
    }

    fn schedule_sweep(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.sweeping || inner.flights.is_empty() {
            return;
        }
        inner.sweeping = true;
        drop(inner);
        let router = self.clone();
        tokio::task::spawn_local(async move {
            let sweeping = Sweeping(router);
            loop {
                tokio::time::sleep(SWEEP).await;
                if !sweeping.0.guarded("waiting units", Inner::sweep) {
                    tokio::time::sleep(SWEEP_PANICKED).await;
                }
                if sweeping.0.0.borrow().flights.is_empty() {
                    return;
                }
            }
        });
    }
}

/// Lets another sweep begin, however this one ends.
struct Sweeping(Router);

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Ok(mut inner) = self.0.0.try_borrow_mut() {
            inner.sweeping = false;
        }
    }
}

impl Inner {
    fn refresh(&mut self) {
        let revision = self.shared.revision();
        if revision != self.revision {
            self.revision = revision;
            self.routing = self.shared.routing();
            self.boards = self.shared.boards();
            let table = self.routing.as_ref().map(|routing| routing.table());
            self.nodes = table.map_or_else(Vec::new, |table| table.nodes.keys().copied().collect());
            if let Some(table) = table {
                self.shared.hints.forget(table);
            }
        }
    }

    /// What most nodes take for the time: this node's own clock may be the one that is wrong.
    fn clock(&self, now: MonoMillis) -> UnixMillis {
        let wall = self.shared.wall();
        self.shared.clocks.median(self.shared.node, &self.nodes, wall, now).unwrap_or(wall)
    }

    fn group(&self, target: Target) -> Option<GroupId> {
        match target {
            Target::Group(group) => Some(group),
            Target::Bucket(bucket) => self.owner(bucket),
        }
    }

    fn owner(&self, bucket: Bucket) -> Option<GroupId> {
        self.shared.hints.group_of(bucket).or_else(|| self.routing.as_ref()?.group_of(bucket))
    }

    fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.shared.leader(group, self.boards.get(&group), self.routing.as_deref())
    }

    /// Where a unit goes. What was refused again and again goes by guess: the replica here may be one that
    /// the group has done without for long.
    fn leader_for(&self, group: GroupId, flight: &Flight) -> Option<NodeId> {
        let known = self.leader(group);
        let news = known.is_some() && known != flight.asked;
        if flight.pause_millis < RETRY_MILLIS.1 || news || known == Some(self.shared.node) {
            return known;
        }
        let info = self.routing.as_ref()?.table().groups.get(&group);
        info.map(|info| self.shared.guesses.leader(group, info)).or(known)
    }

    /// Whether a read of this group may be answered by an observer here.
    fn observes(&self, group: GroupId) -> bool {
        self.boards.get(&group).is_some_and(|board| board.observes())
    }

    /// The node where a unit was sent does not lead its group, or cannot be asked.
    fn asked_in_vain(&self, id: UnitId, named: Option<NodeId>) {
        let Some(flight) = self.flights.get(&id) else { return };
        let asked = match flight.place {
            Place::Sent(Destination::Peer(peer), _) => peer,
            Place::Sent(Destination::Here(_), _) => self.shared.node,
            Place::Waiting(_) => return,
        };
        let named = named.filter(|named| *named != self.shared.node);
        let (Some(group), Some(routing)) = (self.group(flight.target), &self.routing) else {
            return;
        };
        if let Some(info) = routing.table().groups.get(&group) {
            self.shared.guesses.wrong(group, info, asked, named);
        }
    }

    fn admit(&mut self, target: Target, work: Work, mode: Mode, sink: Sink, now: MonoMillis) {
        let bytes = work.bytes();
        let refusal = if self.shared.stopping.load(std::sync::atomic::Ordering::Relaxed) {
            Some(Refusal::Stopping)
        } else if bytes > UNIT_BYTES_MAX {
            Some(Refusal::TooLarge)
        } else if self.shared.take_request_bytes(bytes) {
            None
        } else {
            Some(Refusal::Busy)
        };
        if let Some(refusal) = refusal {
            sink.settle(Settled { outcome: Outcome::NotDone(refusal), hint: None });
            return;
        }
        let timeout = u64::try_from(limits::REQUEST_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        let flight = Flight {
            target,
            is_read: work.is_read(),
            observer: Observer::MayAnswer,
            work,
            mode,
            sink,
            bytes,
            numbered: None,
            deadline: MonoMillis(now.0 + timeout),
            place: Place::Waiting(now),
            asked: None,
            open: 0,
            pause_millis: RETRY_MILLIS.0,
            redirects: 0,
            refusal: None,
        };
        let id = self.insert(flight);
        self.send(id, now);
    }

    fn insert(&mut self, flight: Flight) -> UnitId {
        self.last_unit += 1;
        let id = UnitId(self.last_unit);
        self.flights.insert(id, flight);
        id
    }

    /// Puts a unit into the outgoing batch of the leader's node, or lets it wait.
    fn send(&mut self, id: UnitId, now: MonoMillis) {
        let Some(flight) = self.flights.get(&id) else { return };
        let group = self.group(flight.target);
        let mode = flight.mode;
        let may_observe = flight.is_read && flight.observer != Observer::GaveUp;
        let mut observer = flight.observer;
        let destination = group.and_then(|group| match (mode, self.leader_for(group, flight)) {
            (_, Some(leader)) if leader == self.shared.node => Some(Destination::Here(group)),
            _ if may_observe && self.observes(group) => {
                observer = Observer::Asked;
                Some(Destination::Here(group))
            }
            (Mode::Here, _) => None,
            (Mode::Cluster, Some(leader)) => Some(Destination::Peer(leader)),
            (Mode::Cluster, None) => None,
        });
        let (Some(group), Some(destination)) = (group, destination) else {
            if mode == Mode::Here {
                let leader = group.and_then(|group| self.leader(group));
                self.settle(id, Outcome::NotDone(Refusal::NotLeader(leader)));
            } else {
                self.pause(id, Refusal::NotLeader(None), now);
            }
            return;
        };
        let forwarded = matches!(destination, Destination::Peer(_));
        let time =
            (forwarded && !flight.is_read && flight.numbered.is_none()).then(|| self.clock(now));
        let flight = self.flights.get_mut(&id).expect("just seen");
        if let Some(time) = time {
            self.sessions.number(group, &mut flight.work, time);
            flight.numbered = Some(group);
        }
        (flight.place, flight.observer) = (Place::Sent(destination, now), observer);
        flight.asked = Some(match destination {
            Destination::Here(_) => self.shared.node,
            Destination::Peer(peer) => peer,
        });
        let unit = Unit { id, group, work: flight.work.clone() };
        self.outgoing.entry(destination).or_default().push(unit);
    }

    fn flush(&mut self) {
        self.flush_scheduled = false;
        let now = self.shared.mono();
        for (destination, mut units) in std::mem::take(&mut self.outgoing) {
            // What has settled since, perhaps as "not done", must not leave any more.
            units.retain(|unit| self.flights.contains_key(&unit.id));
            if units.is_empty() {
                continue;
            }
            match destination {
                Destination::Here(group) => {
                    let ids = self.open(&units);
                    let event = Event::Units(ReplyTo::Worker(self.worker), units);
                    let sent =
                        self.shared.try_send(group, event).map_err(|trouble| match trouble {
                            Undelivered::NoReplica => Refusal::NoReplica,
                            Undelivered::Full => Refusal::Busy,
                        });
                    self.sent(ids, sent, now);
                }
                Destination::Peer(node) => {
                    self.counters.forwarded(units.len());
                    for units in frames_of(units, |unit| unit.work.bytes()) {
                        let ids = self.open(&units);
                        let sent = self.shared.peers.control(node, &PeerMessage::Forward(units));
                        if let (Err(SendError::NotConnected), Some(id)) = (&sent, ids.first()) {
                            self.asked_in_vain(*id, None);
                        }
                        let sent = sent.map_err(|error| match error {
                            SendError::TooLong => Refusal::TooLarge,
                            SendError::Full | SendError::NotConnected => Refusal::Busy,
                        });
                        self.sent(ids, sent, now);
                    }
                }
            }
        }
    }

    /// Counts a sending of each unit before it leaves: should anything panic now, it may have left.
    fn open(&mut self, units: &[Unit]) -> Vec<UnitId> {
        let ids: Vec<UnitId> = units.iter().map(|unit| unit.id).collect();
        for id in &ids {
            if let Some(flight) = self.flights.get_mut(id) {
                flight.open += 1;
            }
        }
        ids
    }

    fn sent(&mut self, ids: Vec<UnitId>, sent: Result<(), Refusal>, now: MonoMillis) {
        let Err(refusal) = sent else { return };
        for id in ids {
            if let Some(flight) = self.flights.get_mut(&id) {
                flight.open = flight.open.saturating_sub(1);
                self.refused(id, refusal, now);
            }
        }
    }

    fn answered(&mut self, answer: Answer, now: MonoMillis) {
        let Some(flight) = self.flights.get_mut(&answer.unit) else {
            return; // A second answer, or one that came after the deadline.
        };
        match answer.outcome {
            Outcome::NotDone(refusal) => {
                flight.open = flight.open.saturating_sub(1);
                match refusal {
                    Refusal::NotLeader(named) => self.asked_in_vain(answer.unit, named),
                    Refusal::NoReplica | Refusal::Stopping => self.asked_in_vain(answer.unit, None),
                    _ => {}
                }
                self.refused(answer.unit, refusal, now);
            }
            Outcome::Unknown => {
                if flight.mode == Mode::Cluster && sessions_cover(&flight.work) {
                    flight.place = Place::Waiting(now);
                } else {
                    self.settle(answer.unit, Outcome::Unknown);
                }
            }
            Outcome::Done(replies) => {
                flight.open = flight.open.saturating_sub(1);
                let Some(replies) = self.redirected(answer.unit, replies, now) else { return };
                let Some(flight) = self.flights.get(&answer.unit) else { return };
                let has_copies = flight.open > 0 && flight.numbered.is_some();
                if !self.renewed(answer.unit, &replies, now) {
                    let replies = if has_copies { doubted(replies) } else { replies };
                    self.settle(answer.unit, Outcome::Done(replies));
                }
            }
        }
    }

    /// Numbers anew what the group did not carry out because of our session there (it holds too many
    /// replies) or of where the bucket is. Only if nothing of it was done and no copy is on its way.
    fn renewed(&mut self, id: UnitId, replies: &[Reply], now: MonoMillis) -> bool {
        let Some(flight) = self.flights.get_mut(&id) else { return false };
        let Some(group) = flight.numbered else { return false };
        let refused =
            |reply: &Reply| matches!(reply, Reply::Error(error) if error.code == "TRYAGAIN");
        let whole = flight.open == 0
            && replies.len() == flight.work.replies()
            && replies.iter().all(refused)
            && self.sessions.covers(group, &flight.work);
        if whole {
            self.sessions.withdraw(group, &mut flight.work);
            flight.numbered = None;
            self.pause(id, Refusal::Busy, now);
        }
        whole
    }

    /// A refusal is definite for the attempt it answers; an earlier attempt may still be on its way.
    fn refused(&mut self, id: UnitId, refusal: Refusal, now: MonoMillis) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.give_up_observer();
        let is_final = matches!(refusal, Refusal::DiskLow | Refusal::TooLarge);
        if flight.mode == Mode::Cluster && !is_final {
            self.pause(id, refusal, now);
        } else {
            let outcome = not_done(flight, refusal);
            self.settle(id, outcome);
        }
    }

    fn pause(&mut self, id: UnitId, refusal: Refusal, now: MonoMillis) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.refusal = Some(refusal);
        flight.place = Place::Waiting(MonoMillis(now.0 + flight.pause_millis));
        flight.pause_millis = (flight.pause_millis * 2).min(RETRY_MILLIS.1);
    }

    fn sweep(&mut self) {
        self.refresh();
        let now = self.shared.mono();
        let mut late = Vec::new();
        let (mut due, mut slow) = (Vec::new(), Vec::new());
        for (id, flight) in &self.flights {
            if now >= flight.deadline {
                late.push(*id);
                continue;
            }
            match flight.place {
                Place::Waiting(at) if now >= at => due.push(*id),
                Place::Sent(Destination::Peer(node), at) => {
                    let leader = self.group(flight.target).and_then(|group| self.leader(group));
                    let moved = leader.is_some_and(|leader| leader != node) && now.since(at) > 100;
                    let late = now.since(at) > ANSWER_MILLIS;
                    if late {
                        self.asked_in_vain(*id, None);
                    }
                    if moved || late {
                        due.push(*id);
                    }
                }
                // It may have lost its leader, or lag.
                Place::Sent(Destination::Here(_), at)
                    if flight.observer == Observer::Asked && now.since(at) > OBSERVER_MILLIS =>
                {
                    slow.push(*id);
                }
                Place::Waiting(_) | Place::Sent(Destination::Here(_), _) => {}
            }
        }
        for id in slow {
            if let Some(flight) = self.flights.get_mut(&id) {
                flight.give_up_observer();
                due.push(id);
            }
        }
        for id in late {
            self.expire(id);
        }
        for id in due {
            self.counters.retried();
            self.send(id, now);
        }
        self.flush();
    }

    /// The deadline has passed: say what is known.
    fn expire(&mut self, id: UnitId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let outcome = not_done(flight, flight.refusal.unwrap_or(Refusal::NotLeader(None)));
        self.settle(id, outcome);
    }

    fn settle(&mut self, id: UnitId, outcome: Outcome) {
        let Some(flight) = self.flights.remove(&id) else { return };
        self.shared.give_request_bytes(flight.bytes);
        if let Some(group) = flight.numbered {
            self.sessions.settle(group, &flight.work);
        }
        let hint = match (&outcome, self.group(flight.target)) {
            (Outcome::Done(_), _) => None,
            (_, Some(group)) => Some(format!("group {group}")),
            (_, None) => Some("no group owns this bucket yet".into()),
        };
        flight.sink.settle(Settled { outcome, hint });
    }
}

/// Replies to a unit of which a copy is still on its way: what this one did not do, that one may.
fn doubted(replies: Vec<Reply>) -> Vec<Reply> {
    let doubt = |reply| match reply {
        Reply::Error(error) if error.code == "TRYAGAIN" => {
            let why = error.text.trim_end_matches(" (not done)");
            let why = format!("{why}; an earlier copy of the request is still on its way");
            Reply::Error(ReplyError::outcome_unknown(why))
        }
        reply => reply,
    };
    replies.into_iter().map(doubt).collect()
}

/// "Not done" is said only when no sending of it is left that could still be carried out.
fn not_done(flight: &Flight, refusal: Refusal) -> Outcome {
    if flight.open > 0 && !flight.is_read { Outcome::Unknown } else { Outcome::NotDone(refusal) }
}

/// Whether sending it again can do no harm: reads, and writes under a session.
fn sessions_cover(work: &Work) -> bool {
    match work {
        Work::Keys(asks) => asks.iter().all(|ask| !ask.command.is_write() || ask.session.is_some()),
        // Changes name the version they were planned on, or are idempotent, as all steps of moves are.
        Work::Change(_) | Work::Query(_) | Work::Steps(_) | Work::Look(_) => true,
    }
}
