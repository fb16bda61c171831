//! The router itself: units in flight, where they were sent, and when they are sent again.

use super::sessions::Sessions;
use super::ticket::{Settled, Slot, Ticket, ticket};
use crate::actors::group::event::{Event, ReplyTo};
use crate::actors::shared::{Replica, Shared};
use crate::ids::{Bucket, GroupId, NodeId};
use crate::limits;
use crate::net::message::{Answer, Outcome, PeerMessage, Refusal, Unit, UnitId, Work};
use crate::shard::Routing;
use crate::time::MonoMillis;
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
    /// Copies of what is shared, as of `revision`.
    revision: u64,
    routing: Option<Arc<Routing>>,
    replicas: BTreeMap<GroupId, Replica>,
    counters: super::super::metrics::RouterMetrics,
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
    slot: Slot,
    bytes: usize,
    deadline: MonoMillis,
    place: Place,
    /// Sendings that have not been answered: any of them may have been, or may still be, carried out.
    open: u32,
    pause_millis: u64,
    /// The newest reason why it was not carried out.
    refusal: Option<Refusal>,
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
            revision: 0,
            routing: None,
            replicas: BTreeMap::new(),
            counters: super::super::metrics::RouterMetrics::new(),
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
            inner.admit(target, work, mode, slot, now);
        }
        drop(inner);
        self.schedule_flush();
        ticket
    }

    /// Answers have come in.
    pub fn answered(&self, answers: Vec<Answer>) {
        let mut inner = self.0.borrow_mut();
        let now = inner.shared.mono();
        for answer in answers {
            inner.answered(answer, now);
        }
        drop(inner);
        self.schedule_sweep();
    }

    /// The connection to a peer is gone, and with it what was on its way.
    pub fn disconnected(&self, peer: NodeId) {
        let mut inner = self.0.borrow_mut();
        let now = inner.shared.mono();
        for flight in inner.flights.values_mut() {
            if matches!(flight.place, Place::Sent(Destination::Peer(to), _) if to == peer) {
                flight.place = Place::Waiting(now);
            }
        }
        drop(inner);
        self.schedule_sweep();
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
            router.0.borrow_mut().flush();
            router.schedule_sweep();
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
            loop {
                tokio::time::sleep(SWEEP).await;
                let mut inner = router.0.borrow_mut();
                inner.sweep();
                if inner.flights.is_empty() {
                    inner.sweeping = false;
                    return;
                }
            }
        });
    }
}

impl Inner {
    fn refresh(&mut self) {
        let revision = self.shared.revision();
        if revision != self.revision {
            self.revision = revision;
            self.routing = self.shared.routing();
            self.replicas = self.shared.replicas();
        }
    }

    fn group(&self, target: Target) -> Option<GroupId> {
        match target {
            Target::Group(group) => Some(group),
            Target::Bucket(bucket) => self.routing.as_ref()?.group_of(bucket),
        }
    }

    fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.replicas.get(&group)?.board.leader()
    }

    fn admit(&mut self, target: Target, work: Work, mode: Mode, slot: Slot, now: MonoMillis) {
        use std::sync::atomic::Ordering::Relaxed;
        let bytes = bytes_of(&work);
        let held = self.shared.request_bytes.fetch_add(bytes, Relaxed);
        let full = held + bytes > limits::REQUEST_BYTES_IN_FLIGHT_MAX;
        let stopping = self.shared.stopping.load(Relaxed);
        if full || stopping {
            self.shared.request_bytes.fetch_sub(bytes, Relaxed);
            let refusal = if stopping { Refusal::Stopping } else { Refusal::Busy };
            slot.settle(Settled { outcome: Outcome::NotDone(refusal), hint: None });
            return;
        }
        self.last_unit += 1;
        let id = UnitId(self.last_unit);
        let timeout = u64::try_from(limits::REQUEST_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        let flight = Flight {
            target,
            work,
            mode,
            slot,
            bytes,
            deadline: MonoMillis(now.0 + timeout),
            place: Place::Waiting(now),
            open: 0,
            pause_millis: RETRY_MILLIS.0,
            refusal: None,
        };
        self.flights.insert(id, flight);
        self.send(id, now);
    }

    /// Puts a unit into the outgoing batch of the leader's node, or lets it wait.
    fn send(&mut self, id: UnitId, now: MonoMillis) {
        let Some(flight) = self.flights.get(&id) else { return };
        let group = self.group(flight.target);
        let mode = flight.mode;
        let destination = group.and_then(|group| {
            let replica = self.replicas.get(&group);
            match (mode, replica.and_then(|replica| replica.board.leader())) {
                (_, Some(leader)) if leader == self.shared.node => Some(Destination::Here(group)),
                (Mode::Here, _) => None,
                (Mode::Cluster, Some(leader)) => Some(Destination::Peer(leader)),
                (Mode::Cluster, None) => None,
            }
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
        let wall = self.shared.wall();
        let flight = self.flights.get_mut(&id).expect("just seen");
        if matches!(destination, Destination::Peer(_)) {
            self.sessions.number(&mut flight.work, wall);
        }
        flight.place = Place::Sent(destination, now);
        let unit = Unit { id, group, work: flight.work.clone() };
        self.outgoing.entry(destination).or_default().push(unit);
    }

    fn flush(&mut self) {
        self.flush_scheduled = false;
        let now = self.shared.mono();
        for (destination, units) in std::mem::take(&mut self.outgoing) {
            let ids: Vec<UnitId> = units.iter().map(|unit| unit.id).collect();
            let refusal = match destination {
                Destination::Here(group) => {
                    let event = Event::Units(ReplyTo::Worker(self.worker), units);
                    match self.replicas.get(&group) {
                        None => Some(Refusal::NoReplica),
                        Some(replica) if replica.addr.try_send(event.into()).is_err() => {
                            Some(Refusal::Busy)
                        }
                        Some(_) => None,
                    }
                }
                Destination::Peer(node) => {
                    self.counters.forwarded(units.len());
                    let sent = self.shared.peers.control(node, &PeerMessage::Forward(units));
                    sent.err().map(|_| Refusal::Busy)
                }
            };
            for id in ids {
                match (refusal, self.flights.get_mut(&id)) {
                    (Some(refusal), _) => self.refused(id, refusal, now),
                    (None, Some(flight)) => flight.open += 1,
                    (None, None) => {}
                }
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
                self.refused(answer.unit, refusal, now);
            }
            Outcome::Unknown => {
                if flight.mode == Mode::Cluster && sessions_cover(&flight.work) {
                    flight.place = Place::Waiting(now);
                } else {
                    self.settle(answer.unit, Outcome::Unknown);
                }
            }
            done @ Outcome::Done(_) => self.settle(answer.unit, done),
        }
    }

    /// A refusal is definite for the attempt it answers; an earlier attempt may still be on its way.
    fn refused(&mut self, id: UnitId, refusal: Refusal, now: MonoMillis) {
        let Some(flight) = self.flights.get(&id) else { return };
        if flight.mode == Mode::Cluster && refusal != Refusal::DiskLow {
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
        let mut due = Vec::new();
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
                    if moved || now.since(at) > ANSWER_MILLIS {
                        due.push(*id);
                    }
                }
                Place::Waiting(_) | Place::Sent(Destination::Here(_), _) => {}
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
        self.shared.request_bytes.fetch_sub(flight.bytes, std::sync::atomic::Ordering::Relaxed);
        self.sessions.settle(&flight.work);
        let hint = match (&outcome, self.group(flight.target)) {
            (Outcome::Done(_), _) => None,
            (_, Some(group)) => Some(format!("group {group}")),
            (_, None) => Some("no group owns this bucket yet".into()),
        };
        flight.slot.settle(Settled { outcome, hint });
    }
}

/// "Not done" is said only when no sending of it is left that could still be carried out.
fn not_done(flight: &Flight, refusal: Refusal) -> Outcome {
    if flight.open > 0 && !flight.work.is_read() {
        Outcome::Unknown
    } else {
        Outcome::NotDone(refusal)
    }
}

fn bytes_of(work: &Work) -> usize {
    match work {
        Work::Keys(asks) => asks.iter().map(|ask| 64 + ask.command.bytes()).sum(),
        Work::Change(bytes) | Work::Query(bytes) => 64 + bytes.len(),
    }
}

/// Whether sending it again can do no harm: reads, and writes under a session.
fn sessions_cover(work: &Work) -> bool {
    match work {
        Work::Keys(asks) => {
            asks.iter().all(|ask| !ask.command.is_write() || ask.session.is_some())
        }
        // Changes name the version they were planned on, or are idempotent.
        Work::Change(_) | Work::Query(_) => true,
    }
}
