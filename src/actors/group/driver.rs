//! The group driver: one replica's Raft core, the units that wait for it, and the rules that join them
//! with the disk, the peers and the state machine. A plain struct: it is told what happened, with the
//! time, and says what it wants done. The actor around it has nothing to decide.
//!
//! What must always hold:
//! - a message that promises something leaves only after the sync that covers it;
//! - only entries that this replica itself has synced are handed to the state machine, in order, once;
//! - a unit is one entry or none, so it is done as a whole or not at all;
//! - whatever is told "not done" can never be done later.

use super::caretaker::{Care, Caretaker};
use super::clock::StampClock;
use super::event::{
    Applied, ApplyItem, ConfirmedRead, Effects, Event, Lead, Leaver, Now, Offer, ReplyTo, Route,
    SnapshotUse,
};
use super::memberships::Memberships;
use super::neighbours::Neighbours;
use super::payload::{Payload, PayloadKind, speaks};
use super::proposals::Proposals;
use super::reads::Reads;
use crate::actors::liveness::Health;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Era, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term};
use crate::limits;
use crate::net::message::{Answer, Outcome, Refusal, Unit};
use crate::raft::{
    Decree, DecreeError, EntryKind, Membership, Message, ProgressState, ProposeError, Raft,
    ReadContext, ReadState, Ready, Role, SnapshotMeta, Status, StepError,
};
use crate::store::wal::{LogOp, LogWrite};
use crate::time::{MonoMillis, UnixMillis};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// While so many entries of this leader are not committed yet, further units wait to be put into one
/// entry together, until there are enough for a full one or one is urgent (RFC 896, Nagle, with entries for
/// segments).
/// That wait is what makes batches; there are no timers.
const ENTRIES_IN_FLIGHT: usize = 2;
/// So many units are worth an entry however many are in flight.
const FULL_ENTRY_UNITS: usize = 64;
/// How long the leader waits for a tick entry that expires keys before it proposes another.
const DUE_RETRY_MILLIS: u64 = 1_000;
/// A group that sleeps looks at least this often whether a key is due, if it has any that expire.
const ALARM_MILLIS_MAX: u64 = 60_000;
/// What an entry takes besides its commands, bytes: more than its header.
const ENTRY_SLACK_BYTES: usize = 1024;
/// So much log a replica keeps even if nobody is known to need it, bytes: a follower that is away for
/// some seconds finds what it has missed, and so does everybody if this replica leads next.
const LOG_FLOOR_BYTES: u64 = limits::LOG_KEPT_BYTES_MAX / 4;

/// Between two looks of the caretaker, milliseconds, unless something happens that concerns it.
const CARE_MILLIS: u64 = 100;
/// Reads that ask for somebody who wants to go; clients' reads are numbered from 1.
const LEAVING: u64 = 1 << 63;

/// See the module's first lines.
#[derive(Debug)]
pub struct Driver {
    group: GroupId,
    node: NodeId,
    generation: Generation,
    kind: PayloadKind,
    raft: Raft,
    lead: Lead,
    clock: StampClock,
    /// Units that wait to be put into an entry.
    queued: VecDeque<(ReplyTo, Unit)>,
    proposals: Proposals,
    reads: Reads,
    /// Readys whose writes are not yet synced: what to send when they are.
    unsynced: VecDeque<Unsynced>,
    /// The newest entry handed to the apply thread.
    handed_over: Index,
    next_due: Option<UnixMillis>,
    /// The entry that will expire what is due, and when it was proposed.
    due_entry: Option<(Index, MonoMillis)>,
    disk_low: bool,
    stopping: bool,
    neighbours: Neighbours,
    /// Up to when the core has counted time.
    ticked_at: Option<MonoMillis>,
    log: LogSpan,
    log_floor: u64,
    memberships: Memberships,
    caretaker: Caretaker,
    /// When the caretaker is asked again, and whether it has something to do.
    care_at: MonoMillis,
    caring: bool,
    /// Who asked to be let go, by the read that will confirm that it may.
    leaving: BTreeMap<ReadContext, Leaver>,
    last_leaving: u64,
}

#[derive(Debug)]
struct Unsynced {
    number: ReadyNumber,
    writes: bool,
    messages: Vec<Message>,
}

/// Costs of the entries in the log, coarsely, to decide what may be forgotten.
#[derive(Debug, Default)]
struct LogSpan {
    /// (last index of the piece, bytes of the piece)
    pieces: VecDeque<(Index, u64)>,
    bytes: u64,
}

/// A log piece is closed when it has grown to this many bytes.
const LOG_PIECE_BYTES: u64 = 1024 * 1024;

impl LogSpan {
    fn push(&mut self, index: Index, bytes: u64) {
        self.bytes += bytes;
        match self.pieces.back_mut() {
            Some(last) if last.1 < LOG_PIECE_BYTES => {
                last.0 = last.0.max(index);
                last.1 += bytes;
            }
            _ => self.pieces.push_back((index, bytes)),
        }
    }

    fn forget_through(&mut self, index: Index) {
        while self.pieces.front().is_some_and(|first| first.0 <= index) {
            self.bytes -= self.pieces.pop_front().expect("just seen").1;
        }
    }

    /// The newest index such that the log behind it is still at least `keep` bytes.
    fn index_before(&self, keep: u64) -> Option<Index> {
        let mut over = self.bytes.saturating_sub(keep);
        let mut index = None;
        for (last, bytes) in &self.pieces {
            if *bytes > over {
                break;
            }
            over -= bytes;
            index = Some(*last);
        }
        index
    }
}

impl Driver {
    /// A driver over a core that was just restored, whose state machine stands at `applied`.
    #[must_use]
    pub fn new(
        group: GroupId,
        node: NodeId,
        generation: Generation,
        kind: PayloadKind,
        raft: Raft,
        applied: Applied,
    ) -> Self {
        let status = raft.status();
        Self {
            group,
            node,
            generation,
            kind,
            lead: Lead { group, role: status.role, leader: status.leader, term: status.term },
            memberships: Memberships::new(applied.index.max(status.base), status.membership),
            raft,
            clock: StampClock::new(applied.time),
            queued: VecDeque::new(),
            proposals: Proposals::default(),
            reads: Reads::default(),
            unsynced: VecDeque::new(),
            handed_over: applied.index,
            next_due: applied.next_due,
            due_entry: None,
            disk_low: false,
            stopping: false,
            neighbours: Neighbours::new(group, node),
            ticked_at: None,
            log: LogSpan::default(),
            log_floor: LOG_FLOOR_BYTES,
            caretaker: Caretaker::default(),
            care_at: MonoMillis(0),
            caring: false,
            leaving: BTreeMap::new(),
            last_leaving: 0,
        }
    }

    /// Keeps at least so many bytes of log, whoever needs them; 64 MiB unless this is called. With 0
    /// the log goes as soon as nobody known to be there needs it.
    pub fn set_log_floor(&mut self, bytes: u64) {
        self.log_floor = bytes;
    }

    /// The life of this driver: completions of another are dropped.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How the core stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.raft.status()
    }

    /// What lets this replica go on alone in a later era; see [`Raft::decree`].
    ///
    /// # Errors
    /// When it cannot.
    pub fn decree(&self, era: Era) -> Result<Decree, DecreeError> {
        self.raft.decree(self.raft.membership().disk(self.node), era)
    }

    /// Who leads, as far as this replica knows.
    #[must_use]
    pub fn lead(&self) -> Lead {
        self.lead
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The newest membership in force.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.raft.membership()
    }

    /// What a view of the state at `applied`, where `membership` is in force, stands for, if the log still
    /// knows.
    #[must_use]
    pub fn snapshot_meta(&self, applied: Index, membership: Membership) -> Option<SnapshotMeta> {
        let term = self.raft.term_at(applied)?;
        Some(SnapshotMeta { index: applied, term, membership })
    }

    /// Whether a snapshot of this leader is of use here.
    #[must_use]
    pub fn use_of_snapshot(&self, from: NodeId, term: Term, meta: &SnapshotMeta) -> SnapshotUse {
        let leader = self.raft.leader();
        let is_current = term == self.raft.term() && leader == Some(from);
        // A leader of the past that does not lead now either will not come back with it.
        let is_past = term < self.raft.term() && leader.is_some_and(|leader| leader != from);
        match self.raft.check_snapshot(meta) {
            Ok(()) if is_current => SnapshotUse::Wanted,
            Ok(()) if !is_past => SnapshotUse::NotNow,
            _ => SnapshotUse::Never,
        }
    }

    /// Whether a snapshot is to be sent to this peer, as far as the core knows.
    #[must_use]
    pub fn owes_snapshot(&self, peer: NodeId) -> bool {
        let owes = |state| matches!(state, ProgressState::Snapshot(_));
        self.raft.status().peers.iter().any(|one| one.id == peer && owes(one.state))
    }

    fn snapshot_offered(&mut self, offer: Offer, out: &mut Effects) {
        match self.raft.snapshot_offered(offer.from, offer.term, &offer.meta) {
            Ok(wanted) => out.offers.push((offer, wanted)),
            Err(_) => out.rejected += 1,
        }
    }

    /// Takes an event in, and says what is to be done.
    pub fn handle(&mut self, event: Event, now: Now, out: &mut Effects) {
        self.raft.set_clock(now.mono.0);
        self.catch_up(now.mono);
        match event {
            Event::Tick => self.tick(now),
            Event::Peer(disk, messages) => self.step(disk, messages, out),
            // The turn sees to it.
            Event::Alarm => {}
            Event::Units(from, units) => self.take(from, units, out),
            Event::Persisted(generation, number) if generation == self.generation => {
                self.persisted(number, out);
            }
            Event::Applied(applied) if applied.generation == self.generation => {
                self.applied(applied);
            }
            Event::Fetched { generation, peer, entries } if generation == self.generation => {
                self.raft.fetched(peer, entries);
            }
            Event::Persisted(..) | Event::Applied(_) | Event::Fetched { .. } => {}
            Event::StatePersisted(index) => self.state_persisted(index, out),
            Event::SnapshotSent { peer, installed } => self.raft.report_snapshot(peer, installed),
            Event::SnapshotInstalled(meta, applied) => {
                self.snapshot_installed(meta, applied, out);
            }
            Event::SnapshotOffered(offer) => self.snapshot_offered(offer, out),
            // While it sleeps nothing is on its way that could be lost.
            Event::Unreachable(_) if self.raft.is_quiet() => {}
            Event::Unreachable(peer) => self.raft.report_unreachable(peer),
            Event::Transfer(to) => self.transfer(to),
            Event::Change { token, change } => {
                out.changes.push((token, self.raft.propose_change(&change)));
            }
            Event::Wish(wish) => {
                self.caretaker.wishes(wish);
                self.care_at = now.mono;
            }
            Event::Arrived { node, disk } => {
                self.caretaker.arrived(node, disk, now.mono);
                self.care_at = now.mono;
            }
            Event::Leaving { node, disk, forgotten, request } => {
                if forgotten {
                    self.caretaker.forgotten(node, disk, now.mono);
                    self.care_at = now.mono;
                }
                #[cfg(feature = "controls")]
                if active(Control::FarewellUnasked) && !self.raft.membership().holds(node, disk) {
                    out.farewells.push(Leaver { node, disk, request });
                }
                self.let_go(Leaver { node, disk, request });
            }
            Event::DiskLow(low) => self.disk_low = low,
            Event::Helpers { observers, secretaries } => {
                self.raft.set_observers(&observers);
                self.raft.set_secretaries(&secretaries);
            }
            Event::Stop => {
                self.stopping = true;
                self.raft.step_down();
            }
            Event::Health { health, spread_ticks } => {
                self.neighbours.learn(&mut self.raft, health, spread_ticks);
            }
            Event::LeadEnded { leader, term } => {
                self.neighbours.lead_ended(&mut self.raft, leader, term);
            }
        }
        self.care(now);
        self.turn(now, out);
        self.neighbours.keep_watch(&mut self.raft);
    }

    /// Whether nothing has to be done here until something happens: no ticks are needed.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.raft.is_quiet()
            && self.raft.applied_index() == self.raft.last_index()
            && self.unsynced.is_empty()
            && self.queued.is_empty()
            && self.reads.units() == 0
            && self.due_entry.is_none()
            && !self.caring
            && self.leaving.is_empty()
    }

    /// Whether it may be asked to read, though it does not lead.
    #[must_use]
    pub fn can_observe(&self) -> bool {
        self.raft.can_observe()
    }

    /// Whether this is how it takes the nodes to be.
    #[must_use]
    pub fn knows(&self, health: &Arc<Health>) -> bool {
        self.neighbours.knows(health)
    }

    /// When a leader that sleeps has to expire a key, by the clock of `now`.
    #[must_use]
    pub fn wants_waking(&self, now: Now) -> Option<MonoMillis> {
        let due = self.next_due.filter(|_| self.lead.role == Role::Leader)?;
        let wait = now.median.map_or(0, |median| due.0.saturating_sub(median.0));
        // Clocks are set now and then.
        Some(MonoMillis(now.mono.0.saturating_add(wait.clamp(1, ALARM_MILLIS_MAX))))
    }

    /// A core that sleeps is not ticked, but it promised things for so many ticks.
    fn catch_up(&mut self, now: MonoMillis) {
        let tick = u64::try_from(limits::TICK.as_millis()).expect("a tick is short");
        let missed = self.ticked_at.map_or(0, |at| now.since(at)) / tick;
        if self.raft.is_quiet() && missed > 0 {
            for _ in 0..missed.min(u64::from(limits::ELECTION_TICKS)) {
                self.raft.tick();
            }
            self.ticked_at = Some(now);
        }
    }

    /// Hands the lead over, unless the target is silent or behind: it would hold up every proposal for an
    /// election time-out and then not lead. Who wants the transfer asks again.
    fn transfer(&mut self, to: NodeId) {
        let status = self.raft.status();
        let target = status.peers.iter().find(|peer| peer.id == to);
        if target
            .is_some_and(|peer| peer.state == ProgressState::Replicate && peer.next > status.last)
        {
            // Refused when it makes no sense (another transfer, no voter): then nothing changes.
            let _ = self.raft.transfer_leader(to);
        }
    }

    /// As the leader: one step towards what the config table wishes.
    fn care(&mut self, now: Now) {
        if self.lead.role != Role::Leader || self.stopping {
            self.caring = false;
            return;
        }
        if now.mono < self.care_at {
            return;
        }
        self.care_at = MonoMillis(now.mono.0.saturating_add(CARE_MILLIS));
        let care = self.caretaker.step(&self.raft.status(), now.mono);
        self.caring = care != Care::Rest;
        if self.caring {
            self.raft.wake();
        }
        match care {
            Care::Rest | Care::Wait => {}
            // Refused while another is under way: it is decided anew at the next look.
            Care::Change(change) => drop(self.raft.propose_change(&change)),
            Care::HandOver(to) => self.transfer(to),
        }
    }

    /// A replica asks to be let go. Whether the membership here is the newest that is committed, a majority
    /// has to say.
    fn let_go(&mut self, leaver: Leaver) {
        if self.lead.role != Role::Leader
            || self.raft.membership().holds(leaver.node, leaver.disk)
            || self.leaving.len() >= limits::MEMBERS_MAX
        {
            return;
        }
        self.last_leaving += 1;
        let context = ReadContext(LEAVING | self.last_leaving);
        self.raft.wake();
        if self.raft.read_index(context).is_ok() {
            self.leaving.insert(context, leaver);
        }
    }

    fn confirmed(&mut self, state: ReadState, out: &mut Effects) {
        match self.leaving.remove(&state.context) {
            // What is not handed over yet may have let it in again. It asks once more.
            Some(leaver) => {
                let is_out = !self.raft.membership().holds(leaver.node, leaver.disk);
                if is_out && state.index <= self.handed_over {
                    out.farewells.push(leaver);
                }
            }
            None => self.reads.confirm(state),
        }
    }

    fn tick(&mut self, now: Now) {
        if !self.raft.is_quiet() {
            self.raft.tick();
            self.ticked_at = Some(now.mono);
        }
        // An entry whose lead was lost may never come: do not wait for it for ever.
        if self.due_entry.is_some_and(|(_, at)| now.mono.since(at) > DUE_RETRY_MILLIS) {
            self.due_entry = None;
        }
    }

    fn step(&mut self, disk: Incarnation, messages: Vec<Message>, out: &mut Effects) {
        for message in messages {
            let is_stranger = !self.raft.membership().means(message.from, Some(disk));
            if is_stranger && message.counts_for_sender() {
                // Under that name the group knows another disk: this one has promised nothing.
                out.rejected += 1;
                continue;
            }
            match self.raft.step(message) {
                Ok(()) => {}
                Err(
                    error @ (StepError::LogForgotten { .. }
                    | StepError::ConflictsWithCommitted { .. }),
                ) => {
                    out.alarms.push(error);
                }
                Err(_) => out.rejected += 1,
            }
        }
    }

    fn take(&mut self, from: ReplyTo, units: Vec<Unit>, out: &mut Effects) {
        let waiting = self.queued.len() + self.proposals.units() + self.reads.units();
        let room = limits::GROUP_REQUESTS_MAX.saturating_sub(waiting);
        for (position, unit) in units.into_iter().enumerate() {
            // A write is not an observer's business, and neither is what it cannot answer soon.
            let is_here =
                self.lead.role == Role::Leader || (unit.work.is_read() && self.raft.can_observe());
            let refusal = if !is_here {
                Some(Refusal::NotLeader(self.lead.leader.filter(|leader| *leader != self.node)))
            } else if self.stopping {
                Some(Refusal::Stopping)
            } else if position >= room {
                Some(Refusal::Busy)
            } else if !speaks(self.kind, &unit.work) {
                Some(Refusal::NoReplica)
            } else if unit.work.bytes() + ENTRY_SLACK_BYTES > limits::ENTRY_BYTES_MAX {
                Some(Refusal::TooLarge)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                refuse(from, &unit, refusal, out);
            } else if unit.work.is_read() {
                self.reads.gather(ConfirmedRead { to: from, unit: unit.id, work: unit.work });
            } else if self.disk_low && self.kind.grows(&unit.work) {
                refuse(from, &unit, Refusal::DiskLow, out);
            } else {
                self.queued.push_back((from, unit));
            }
        }
    }

    fn persisted(&mut self, number: ReadyNumber, out: &mut Effects) {
        let mut newest = None;
        while let Some(first) = self.unsynced.front() {
            // What writes nothing is durable as soon as everything before it is.
            if first.number > number && first.writes {
                break;
            }
            newest = Some(first.number);
            let mut first = self.unsynced.pop_front().expect("just seen");
            out.messages.append(&mut first.messages);
        }
        if let Some(newest) = newest {
            self.raft.persisted(newest);
        }
    }

    fn applied(&mut self, applied: Applied) {
        self.next_due = applied.next_due;
        self.clock.observe(applied.time);
        if self.due_entry.is_some_and(|(index, _)| index <= applied.index) {
            self.due_entry = None;
        }
        // The state may have jumped to a snapshot that the core had no use for any more; what it covers
        // is still handed over, and skipped.
        self.raft.applied(applied.index.min(self.handed_over));
    }

    /// Forgets the log up to what the state has on disk, except what followers may still need.
    fn state_persisted(&mut self, persisted: Index, out: &mut Effects) {
        let status = self.raft.status();
        let mut through = persisted.min(status.applied);
        #[cfg(feature = "controls")]
        if active(Control::CompactBeforePersisted) {
            through = status.applied;
        }
        if self.log_floor > 0 {
            through = through.min(self.log.index_before(self.log_floor).unwrap_or_default());
        }
        if let Some(needed) =
            status.peers.iter().filter(|peer| peer.active).map(|p| p.matched).min()
        {
            let must_go = self.log.index_before(limits::LOG_KEPT_BYTES_MAX).unwrap_or_default();
            through = through.min(needed.max(must_go));
        }
        // A mark without the membership at its index would be worse than a longer log.
        if through <= status.base || !self.memberships.knows(through) {
            return;
        }
        let through = self.raft.compact(through);
        let Some(term) = self.raft.term_at(through) else { return };
        self.log.forget_through(through);
        let Some(membership) = self.memberships.cut(through) else { return };
        out.log.push(LogWrite {
            group: self.group,
            generation: self.generation,
            number: ReadyNumber(0),
            entries: Vec::new(),
            hard_state: None,
            op: Some(LogOp::Compacted(SnapshotMeta { index: through, term, membership })),
            must_sync: false,
        });
    }

    fn snapshot_installed(&mut self, meta: SnapshotMeta, applied: Applied, out: &mut Effects) {
        let (index, membership) = (meta.index, meta.membership.clone());
        if self.raft.snapshot_installed(meta).is_err() {
            return;
        }
        self.memberships.restart(index, membership.clone());
        out.membership = Some(membership);
        self.proposals.forget_through(index, &mut out.answers);
        self.log.forget_through(index);
        self.handed_over = self.handed_over.max(index);
        self.applied(applied);
    }

    /// The replica is given up: tells every unit that waits here what is known of it. The driver must
    /// not be used any more.
    pub fn abandon(&mut self, answers: &mut Vec<(ReplyTo, Answer)>) {
        // A unit that was not proposed is in no log, and a read changes nothing.
        let not_done =
            |unit: &Unit| Answer { unit: unit.id, outcome: Outcome::NotDone(Refusal::NoReplica) };
        answers.extend(self.queued.drain(..).map(|(to, unit)| (to, not_done(&unit))));
        self.reads.abandon(Refusal::NoReplica, answers);
        self.proposals.abandon(answers);
    }

    /// Ends a turn: units into entries, reads to the core, and the core's wishes carried out.
    fn turn(&mut self, now: Now, out: &mut Effects) {
        loop {
            self.expire_due(now);
            self.propose_queued(now, out);
            self.ask_reads(now, out);
            if !self.raft.has_ready() {
                break;
            }
            let ready = self.raft.ready();
            self.carry_out(ready, out);
        }
        let reads = self.reads.take_ready(self.handed_over);
        if !reads.is_empty() {
            let clock = now.median.unwrap_or_default();
            out.apply.push(ApplyItem::Reads { reads, clock, until: None });
        }
    }

    /// A key whose time has come is expired by an entry, so that it never comes back.
    fn expire_due(&mut self, now: Now) {
        let (Some(due), None) = (self.next_due, self.due_entry) else { return };
        if self.lead.role != Role::Leader || now.median.is_none_or(|median| median < due) {
            return;
        }
        let Some(time) = self.clock.stamp(now.median, now.mono) else { return };
        if time < due {
            return;
        }
        if let Ok((index, _)) = self.raft.propose(self.kind.tick(time)) {
            self.due_entry = Some((index, now.mono));
        }
    }

    fn propose_queued(&mut self, now: Now, out: &mut Effects) {
        if self.queued.is_empty() {
            return;
        }
        if self.lead.role != Role::Leader {
            self.refuse_queued(Refusal::NotLeader(self.lead.leader), out);
            return;
        }
        let is_urgent = |(_, unit): &(ReplyTo, Unit)| unit.work.is_urgent();
        if self.proposals.entries() >= ENTRIES_IN_FLIGHT
            && self.queued.len() < FULL_ENTRY_UNITS
            && !self.queued.iter().any(is_urgent)
        {
            return;
        }
        let Some(time) = self.clock.stamp(now.median, now.mono) else {
            self.refuse_queued(Refusal::ClockUnsure, out);
            return;
        };
        while !self.queued.is_empty() {
            let mut payload = Payload::new(self.kind, time);
            let mut routes = Vec::new();
            while let Some((_, unit)) = self.queued.front() {
                if !payload.is_empty() && !payload.fits(&unit.work) {
                    break;
                }
                let (to, unit) = self.queued.pop_front().expect("just seen");
                payload.push(&unit.work);
                routes.push(Route { to, unit: unit.id, replies: unit.work.replies() });
            }
            match self.raft.propose(payload.finish()) {
                Ok((index, term)) => self.proposals.push(index, term, routes),
                Err(error) => {
                    let refusal = match error {
                        ProposeError::NotLeader { leader } => Refusal::NotLeader(leader),
                        _ => Refusal::Busy,
                    };
                    out.answers.extend(routes.iter().map(|route| {
                        let outcome = Outcome::NotDone(refusal);
                        (route.to, Answer { unit: route.unit, outcome })
                    }));
                    // The rest would not fare better, and must not overtake.
                    self.refuse_queued(refusal, out);
                }
            }
        }
    }

    fn ask_reads(&mut self, now: Now, out: &mut Effects) {
        if !self.reads.has_gathered() {
            return;
        }
        if self.lead.role != Role::Leader && !self.raft.is_observer() {
            self.reads.refuse_all(Refusal::NotLeader(self.lead.leader), &mut out.answers);
            return;
        }
        // Keys that are due count as expired: the read waits for the entry that says so.
        let overdue =
            self.next_due.is_some_and(|due| now.median.is_some_and(|median| median >= due));
        let least = match self.due_entry {
            Some((index, _)) if overdue => index,
            _ => Index(0),
        };
        if self.read_by_lease(now, least, out) {
            return;
        }
        let context = self.reads.ask(least);
        if self.raft.read_index(context).is_err() {
            self.reads.lost(context, Refusal::NotLeader(self.lead.leader), &mut out.answers);
        }
    }

    /// Hands what was gathered over at once, if a quorum's word is still good and nothing has to be waited
    /// for. The answers are prepared elsewhere, so whether it still is good is asked again there.
    ///
    /// Not while the disk is slow: who may lose the lead at any moment had better ask.
    fn read_by_lease(&mut self, now: Now, least: Index, out: &mut Effects) -> bool {
        if self.neighbours.own_disk_is_slow() {
            return false;
        }
        let Ok(read) = self.raft.lease_read(now.mono.0) else { return false };
        if self.handed_over < read.index.max(least) {
            return false;
        }
        let reads = self.reads.take_gathered();
        out.leased += reads.len() as u64;
        let clock = now.median.unwrap_or_default();
        let until = Some(MonoMillis(read.until()));
        out.apply.push(ApplyItem::Reads { reads, clock, until });
        true
    }

    fn carry_out(&mut self, mut ready: Ready, out: &mut Effects) {
        if let Some(soft) = ready.soft {
            self.lead_changed(
                Lead { group: self.group, role: soft.role, leader: soft.leader, term: soft.term },
                out,
            );
        }
        out.messages.append(&mut ready.messages);
        let (writes, needs_persist) = (ready.must_sync, ready.needs_persist());
        if writes {
            self.proposals.overwrite(&ready.entries);
            for entry in &ready.entries {
                self.log.push(entry.index, entry.cost() as u64);
            }
            out.log.push(LogWrite {
                group: self.group,
                generation: self.generation,
                number: ready.number,
                entries: std::mem::take(&mut ready.entries),
                hard_state: ready.hard_state,
                op: ready.restart.take().map(LogOp::SnapshotInstalled),
                must_sync: true,
            });
        }
        if needs_persist {
            let (number, messages) = (ready.number, ready.after_persist);
            self.unsynced.push_back(Unsynced { number, writes, messages });
            let is_durable = !writes && self.unsynced.len() == 1;
            #[cfg(feature = "controls")]
            let is_durable = is_durable || active(Control::AcknowledgeBeforeSync);
            if is_durable {
                self.persisted(number, out);
            }
        }
        self.hand_over(ready.committed, out);
        for state in ready.read_states {
            self.confirmed(state, out);
        }
        for context in ready.reads_lost {
            self.leaving.remove(&context);
            let refusal = Refusal::NotLeader(self.lead.leader);
            self.reads.lost(context, refusal, &mut out.answers);
        }
        out.snapshots.append(&mut ready.snapshots);
        out.fetches.append(&mut ready.fetches);
    }

    fn hand_over(&mut self, committed: Vec<crate::raft::Entry>, out: &mut Effects) {
        if committed.is_empty() {
            return;
        }
        let mut entries = Vec::with_capacity(committed.len());
        for entry in committed {
            assert_eq!(
                entry.index,
                self.handed_over.next(),
                "{}: entries are applied in order, each once",
                self.group
            );
            self.handed_over = entry.index;
            if entry.kind == EntryKind::Membership {
                self.change_membership(entry.index, &entry.data, out);
            }
            let routes = self.proposals.committed(entry.index, entry.term, &mut out.answers);
            entries.push((entry, routes));
        }
        out.apply.push(ApplyItem::Entries(entries));
    }

    /// What cannot be made has no effect, on any replica.
    fn change_membership(&mut self, index: Index, data: &[u8], out: &mut Effects) {
        if let Ok(membership) = self.raft.apply_change(data) {
            self.memberships.push(index, membership.clone());
            out.membership = Some(membership.clone());
        }
    }

    fn lead_changed(&mut self, lead: Lead, out: &mut Effects) {
        let led = self.lead.role == Role::Leader;
        self.lead = lead;
        out.lead = Some(lead);
        if led && lead.role != Role::Leader {
            self.clock.reset();
            self.due_entry = None;
            self.leaving.clear();
            let refusal = Refusal::NotLeader(lead.leader);
            self.refuse_queued(refusal, out);
            self.reads.refuse_all(refusal, &mut out.answers);
        }
    }

    fn refuse_queued(&mut self, refusal: Refusal, out: &mut Effects) {
        for (to, unit) in std::mem::take(&mut self.queued) {
            refuse(to, &unit, refusal, out);
        }
    }
}

fn refuse(to: ReplyTo, unit: &Unit, refusal: Refusal, out: &mut Effects) {
    out.answers.push((to, Answer { unit: unit.id, outcome: Outcome::NotDone(refusal) }));
}
