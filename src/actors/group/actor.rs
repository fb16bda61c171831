//! The group actor: a shell around the driver. It carries events in and effects out, survives panics by
//! building the driver anew from the store, and decides nothing.
//!
//! Mailbox: `limits::GROUP_MAILBOX` messages, each a batch. When it is full, a peer's batch is dropped
//! and counted (Raft sends again), a client's batch is answered "busy, not done" by whoever tried to send it;
//! completions of this node's own threads are always accepted, since their number is bounded by
//! the work handed out.

mod figures;

use super::caretaker::Wish;
use super::driver::Driver;
use super::era::Line;
use super::event::{Applied, ApplyItem, Effects, Event, Lead, Leaver, Now};
use super::intake::Intake;
use super::payload::PayloadKind;
use super::recovered::{goes_with, restored};
use super::recovery::Standing;
use crate::actors::apply::{ApplyCommand, ApplyInbox, Birth, Opened};
use crate::actors::metrics::GroupMetrics;
use crate::actors::outbox::{Outbox, Speaker};
use crate::actors::shared::{Board, Shared};
use crate::actors::snapshots;
use crate::actors::supervision::{Restarts, guarded};
use crate::ids::{Era, Generation, GroupId, Incarnation, NodeId};
use crate::limits;
use crate::net::message::{Answer, GroupStatus, Outcome, PeerMessage, Refusal, SnapshotFrame};
use crate::raft::{self, Raft, Role, SnapshotMeta};
use crate::rows::RowGeneration;
use crate::store::wal::{self, RecoveredGroup};
use crate::time::{MonoMillis, UnixMillis};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What a group actor is sent.
#[derive(Debug)]
pub enum GroupMessage {
    /// For the driver.
    Event(Event),
    /// Messages of a peer.
    Peer {
        /// Its node.
        from: NodeId,
        /// The era of the group that it speaks from.
        era: Era,
        /// The disk by which its replica is known.
        disk: Incarnation,
        /// What it says.
        messages: Vec<raft::Message>,
    },
    /// A peer says that the group was recovered without this replica, and who leads it.
    LeftBehind(Era, Option<NodeId>),
    /// How does it stand, should it have to go on alone?
    Stand(oneshot::Sender<Option<Standing>>),
    /// Go on alone, standing as this token says, in this era.
    Recover(String, Era, oneshot::Sender<Result<(), String>>),
    /// A frame of a snapshot transfer, from a peer.
    Snapshot(NodeId, SnapshotFrame),
    /// A snapshot received here is installed in the state store; now the log must say so.
    Installed(Generation, Arrival, Result<(SnapshotMeta, Applied), String>),
    /// A view of the state is ready to be sent to a peer, whose turn it is.
    View(raft::SnapshotNeeded, Generation, Result<snapshots::View, String>, OwnedSemaphorePermit),
    /// The state machine failed; it is opened again with the replica.
    StateFailed(Generation, String),
    /// How is it going?
    Status(oneshot::Sender<Option<GroupStatus>>),
    /// The replica with this disk does not belong to its group any more: a majority has said so, after this
    /// request.
    Farewell(Incarnation, u64),
    /// Panic, so that the restart can be seen to work; only with debug commands on.
    Panic,
    /// A chunk of a snapshot, written to this life of the rows, is in the store.
    Stored(Generation, RowGeneration, u64),
}

/// Which snapshot has come in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub(super) from: NodeId,
    pub(super) view: u64,
    pub(super) taken: u64,
    pub(super) rows: RowGeneration,
}

impl Message for GroupMessage {
    type Result = ();
}

impl From<Event> for GroupMessage {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// Everything a replica is built from, again and again.
#[derive(Clone)]
pub struct GroupSeed {
    /// The group.
    pub group: GroupId,
    /// Its kind.
    pub kind: PayloadKind,
    /// What its state is at birth.
    pub birth: Birth,
    /// This node should lead the group.
    pub preferred: bool,
    /// Its members at birth, if this disk is among them; else none.
    pub founders: raft::Membership,
    /// The node's disk.
    pub disk: Incarnation,
    /// The node.
    pub shared: Arc<Shared>,
    /// The log thread.
    pub log: crate::actors::threads::LogHandle,
    /// The apply thread.
    pub apply: ApplyInbox,
    /// What it publishes.
    pub board: Arc<Board>,
    /// It is a copy for reading, and no member.
    pub observer: bool,
}

/// See the module's first lines.
pub struct GroupActor {
    pub(super) seed: GroupSeed,
    outbox: Outbox,
    pub(super) metrics: GroupMetrics,
    pub(super) generation: Generation,
    pub(super) core: Option<Core>,
    restarts: Restarts,
    pause: Option<Duration>,
    effects: Effects,
    /// The newest life of rows that a snapshot was ever written to: it may be on its way to the
    /// store still when the driver is built anew.
    pub(super) newest_rows: RowGeneration,
    last_tick: Option<MonoMillis>,
    /// The Raft clock, while the replica is awake.
    ticking: Option<SpawnHandle>,
    /// Ticks until the metrics are published again.
    metrics_in: u32,
    /// Work was handed to the apply thread since the last tick that did not wake it.
    apply_unhurried: bool,
    /// The median of the voters' clocks, and when it was taken.
    median: Option<(MonoMillis, Option<UnixMillis>)>,
    /// It is being destroyed, or is.
    gone: bool,
    /// The group's era.
    pub(super) line: Line,
    /// An era that was told before this replica knew its own.
    pub(super) heard_era: Option<Era>,
    /// When peers of an earlier era were last told so.
    pub(super) told_era: BTreeMap<NodeId, MonoMillis>,
}

/// The median of the voters' clocks is taken anew after this, milliseconds; until then it goes on by itself.
const MEDIAN_MILLIS: u64 = 5;

/// Entries of which nobody waits for the replies are applied in no hurry, unless they are larger, bytes.
const UNHURRIED_BYTES_MAX: usize = 64 * 1024;

/// What a panic throws away.
pub(super) struct Core {
    pub(super) driver: Driver,
    line: Line,
    voters: Vec<NodeId>,
    pub(super) intake: Intake,
    pub(super) opened: Opened,
    /// The disk by which the replica is known to its group.
    disk: Incarnation,
}

impl Core {
    fn belongs(&self, own: NodeId) -> bool {
        self.driver.membership().holds(own, self.disk)
    }
}

impl GroupActor {
    /// A replica that will be built when the actor starts.
    #[must_use]
    pub fn new(seed: GroupSeed, outbox: Outbox) -> Self {
        let metrics = GroupMetrics::new(seed.group);
        Self {
            seed,
            outbox,
            metrics,
            generation: Generation(0),
            core: None,
            restarts: Restarts::default(),
            pause: None,
            effects: Effects::default(),
            newest_rows: RowGeneration(0),
            last_tick: None,
            ticking: None,
            metrics_in: 0,
            apply_unhurried: false,
            median: None,
            gone: false,
            line: Line::Unknown,
            heard_era: None,
            told_era: BTreeMap::new(),
        }
    }

    /// Starts the actor, supervised, on an arbiter.
    #[must_use]
    pub fn start_on(arbiter: &ArbiterHandle, seed: GroupSeed) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| {
            let outbox = Outbox::of_this_thread(&seed.shared);
            Self::new(seed, outbox)
        })
    }

    /// Builds the driver from what is on disk. First both threads finish the dead generation's work, so
    /// that nothing it promised can come to light afterwards.
    pub(super) fn rebuild(&mut self, context: &mut Context<Self>) {
        if self.gone || self.seed.board.failed.load(Relaxed) {
            return;
        }
        self.generation.0 += 1;
        let (seed, generation) = (self.seed.clone(), self.generation);
        let building = async move { build(seed, generation).await };
        let building = futures_catch(building).into_actor(self).map(move |built, actor, context| {
            if actor.generation != generation {
                return;
            }
            match built {
                Ok(Ok(core)) => actor.begin(core, context),
                Ok(Err(BuildError::Forgotten(disk))) => actor.fall_silent(disk),
                Ok(Err(BuildError::LeftBehind(era, disk))) => {
                    actor.end_in(era, None, context);
                    actor.seed.board.set_disk(disk);
                    actor.seed.shared.lead_changes.fetch_add(1, Relaxed);
                }
                Ok(Err(BuildError::Final(trouble))) => {
                    tracing::error!(group = %actor.seed.group, "the replica cannot start: {trouble}");
                    actor.seed.board.failed.store(true, Relaxed);
                }
                Ok(Err(BuildError::Again(trouble))) => {
                    actor.died(&format!("it cannot start: {trouble}"), context);
                }
                Err(words) => actor.died(&format!("it panicked: {words}"), context),
            }
        });
        context.spawn(building);
    }

    fn begin(&mut self, mut core: Core, context: &mut Context<Self>) {
        self.newest_rows = self.newest_rows.max(core.opened.newest_rows);
        core.intake = Intake::new(self.seed.group, self.newest_rows);
        let status = core.driver.status();
        tracing::info!(
            group = %self.seed.group,
            term = %status.term,
            last = %status.last,
            applied = %status.applied,
            voters = ?status.membership.voters.iter().map(|v| v.0).collect::<Vec<_>>(),
            "replica is up"
        );
        self.seed.board.belongs.store(core.belongs(self.seed.shared.node), Relaxed);
        self.set_line(core.line);
        // Nobody speaks for it before all that is known, and the poller looks when a lead is published.
        self.seed.board.set_disk(core.disk);
        self.publish(core.driver.lead());
        self.core = Some(core);
        self.median = None;
        if let Some(era) = self.heard_era.take() {
            self.left_behind(era, None, context);
        }
        self.keep_time(context);
        let health = self.seed.shared.health();
        self.run(Event::Health { health, spread_ticks: 1 }, context);
        if let Some(routing) = self.seed.shared.routing()
            && let Some(wish) = Wish::of(routing.table(), self.seed.group)
        {
            self.run(Event::Wish(wish), context);
        }
        // What it was not told while it was built.
        if let Some(helpers) = self.helpers() {
            self.run(helpers, context);
        }
        if self.seed.shared.disk_low.load(Relaxed) {
            self.run(Event::DiskLow(true), context);
        }
        if self.seed.shared.stopping.load(Relaxed) {
            self.run(Event::Stop, context);
        }
        let alone = status.membership.voters == [self.seed.shared.node];
        if alone {
            // Nobody to wait for.
            self.run(Event::Tick, context);
        }
    }

    /// The group's helpers, as the newest table names them.
    fn helpers(&self) -> Option<Event> {
        let routing = self.seed.shared.routing()?;
        let info = routing.table().groups.get(&self.seed.group)?;
        let (observers, secretaries) = (info.observers.clone(), info.secretaries.clone());
        Some(Event::Helpers { observers, secretaries })
    }

    /// The newest config table that this node knows; 0 for none.
    fn table_version(&self) -> u64 {
        self.seed.shared.routing().map_or(0, |routing| routing.table().version.0)
    }

    /// Its disk has forgotten what it promised: it takes no part until its group has let it go.
    fn fall_silent(&mut self, disk: Incarnation) {
        tracing::error!(
            group = %self.seed.group,
            "the log is damaged, and this replica may have forgotten what it promised: it stays silent until \
             its group, by a majority without it, has removed it; then it begins anew and gets all data again"
        );
        let board = &self.seed.board;
        board.belongs.store(false, Relaxed);
        board.forgotten.store(true, Relaxed);
        board.failed.store(true, Relaxed);
        board.set_disk(disk);
        self.seed.shared.lead_changes.fetch_add(1, Relaxed);
    }

    /// Its group has let it go: a death record, so that it never takes part again, and then the rows.
    ///
    /// Not if the log has grown since the request that is granted: whom its group has let in again is of use
    /// to it only with the entry that says so, or a later one.
    fn destroy(&mut self, disk: Incarnation, request: u64, context: &mut Context<Self>) {
        let board = &self.seed.board;
        if self.gone || board.disk() != Some(disk) || board.request() != request {
            return;
        }
        tracing::info!(
            group = %self.seed.group, version = self.table_version(),
            "the group goes on without this replica: it is destroyed"
        );
        self.gone = true;
        if let Some(mut core) = self.core.take() {
            self.abandon(&mut core.driver);
        }
        self.stop_time(context);
        self.generation.0 += 1;
        let (seed, generation, newest_rows) =
            (self.seed.clone(), self.generation, self.newest_rows);
        let destroying = async move {
            seed.log.died(seed.group, generation).await?;
            // The apply thread has done with whatever this life handed to it before.
            seed.apply.reset(seed.group, newest_rows).await
        };
        let destroying = destroying.into_actor(self).map(|done, actor, context| {
            match done {
                Ok(()) => actor.seed.shared.remove_replica(actor.seed.group),
                Err(trouble) => {
                    let group = actor.seed.group;
                    tracing::error!(%group, "the replica is not destroyed yet: {trouble}");
                    actor.gone = false;
                }
            }
            context.stop();
        });
        context.spawn(destroying);
    }

    pub(super) fn died(&mut self, words: &str, context: &mut Context<Self>) {
        if let Some(mut core) = self.core.take() {
            self.abandon(&mut core.driver);
        }
        self.seed.board.set_observes(false);
        self.seed.shared.transfers.lead_lost(self.seed.group);
        self.stop_time(context);
        self.metrics.restarts.increment(1);
        self.seed.board.restarts.fetch_add(1, Relaxed);
        self.publish(Lead {
            group: self.seed.group,
            role: Role::Follower,
            leader: None,
            term: crate::ids::Term(self.seed.board.term()),
        });
        self.pause = self.restarts.died(self.seed.shared.mono());
        match self.pause {
            Some(pause) => tracing::error!(
                group = %self.seed.group, restarts = self.restarts.total(), ?pause,
                "the replica is rebuilt from disk: {words}"
            ),
            None => tracing::error!(
                group = %self.seed.group, restarts = self.restarts.total(),
                "the replica failed too often and is given up until the node restarts: {words}"
            ),
        }
        if self.pause.is_none() {
            self.seed.board.failed.store(true, Relaxed);
        } else {
            context.stop();
        }
    }

    /// Tells the units that wait for a driver that has failed what is known of them.
    pub(super) fn abandon(&mut self, driver: &mut Driver) {
        let effects = std::mem::take(&mut self.effects);
        let mut answers = effects.answers;
        for item in effects.apply {
            match item {
                ApplyItem::Entries(entries) => {
                    let routes = entries.into_iter().flat_map(|(_, routes)| routes);
                    answers.extend(routes.map(|route| {
                        (route.to, Answer { unit: route.unit, outcome: Outcome::Unknown })
                    }));
                }
                ApplyItem::Reads { reads, .. } => answers.extend(reads.into_iter().map(|read| {
                    let outcome = Outcome::NotDone(Refusal::NoReplica);
                    (read.to, Answer { unit: read.unit, outcome })
                })),
            }
        }
        // What failed once may fail again; then the askers find out by waiting.
        let told = guarded(|| {
            driver.abandon(&mut answers);
            self.seed.shared.deliver_all(std::mem::take(&mut answers));
        });
        if let Err(panicked) = told {
            tracing::error!(group = %self.seed.group, "not all units were answered: {}", panicked.0);
        }
    }

    pub(super) fn run(&mut self, event: Event, context: &mut Context<Self>) {
        let now = self.now();
        let Some(core) = &mut self.core else {
            self.refuse(event);
            return;
        };
        let effects = &mut self.effects;
        let handled = guarded(|| core.driver.handle(event, now, effects));
        match handled.and_then(|()| guarded(|| self.carry_out(context))) {
            Ok(()) => {
                self.seed.board.set_observes(core_observes(self.core.as_ref()));
                self.keep_time(context);
            }
            Err(panicked) => self.died(&format!("it panicked: {}", panicked.0), context),
        }
    }

    /// The clock runs exactly while the replica is awake: what sleeps has no timer, and costs nothing.
    fn keep_time(&mut self, context: &mut Context<Self>) {
        let Some(core) = &self.core else { return };
        let shared = &self.seed.shared;
        match (core.driver.is_asleep(), self.ticking) {
            (false, None) => {
                self.ticking = Some(context.run_interval(limits::TICK, Self::tick));
                shared.awake.fetch_add(1, Relaxed);
                shared.alarms.set(self.seed.group, None);
            }
            (true, Some(_)) if !core.driver.knows(&shared.health()) => {
                // It was not told, because its mailbox was full.
                let health = shared.health();
                self.run(Event::Health { health, spread_ticks: 1 }, context);
            }
            (true, Some(_)) => {
                self.stop_time(context);
                if std::mem::take(&mut self.apply_unhurried) {
                    self.seed.apply.hurry();
                }
                self.publish_metrics();
                self.set_alarm();
            }
            // It was only looked at.
            (true, None) => self.set_alarm(),
            (false, Some(_)) => {}
        }
    }

    pub(super) fn stop_time(&mut self, context: &mut Context<Self>) {
        if let Some(ticking) = self.ticking.take() {
            context.cancel_future(ticking);
            self.seed.shared.awake.fetch_sub(1, Relaxed);
        }
    }

    fn set_alarm(&mut self) {
        let now = self.now();
        let Some(core) = &self.core else { return };
        self.seed.shared.alarms.set(self.seed.group, core.driver.wants_waking(now));
    }

    /// Tells who leads; the peers are told if it is this replica no more.
    pub(super) fn publish(&self, lead: Lead) {
        let (board, shared) = (&self.seed.board, &self.seed.shared);
        if board.leads() && lead.role != Role::Leader {
            let term = crate::ids::Term(board.term());
            shared.watch().lead_ended(self.seed.group, term, shared.mono());
        }
        board.publish(lead);
        shared.lead_changes.fetch_add(1, Relaxed);
    }

    fn now(&mut self) -> Now {
        let mono = self.seed.shared.mono();
        let Some(core) = &self.core else { return Now { mono, median: None } };
        let median = match self.median {
            Some((at, median)) if mono.since(at) < MEDIAN_MILLIS => {
                median.map(|median| UnixMillis(median.0 + mono.since(at)))
            }
            _ => {
                let shared = &self.seed.shared;
                let median = shared.clocks.median(shared.node, &core.voters, shared.wall(), mono);
                self.median = Some((mono, median));
                median
            }
        };
        Now { mono, median }
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        let now = self.seed.shared.mono();
        // After a stall all the ticks that were missed come at once: it is one.
        let half = limits::TICK / 2;
        let early =
            self.last_tick.is_some_and(|last| Duration::from_millis(now.since(last)) < half);
        if early {
            return;
        }
        self.last_tick = Some(now);
        if std::mem::take(&mut self.apply_unhurried) {
            self.seed.apply.hurry();
        }
        if self.core.is_some() {
            self.run(Event::Tick, context);
        }
        self.metrics_in = self.metrics_in.saturating_sub(1);
        if self.metrics_in == 0 {
            self.metrics_in = limits::METRICS_TICKS;
            if let Err(panicked) = guarded(|| self.publish_metrics()) {
                self.died(&format!("it panicked: {}", panicked.0), context);
            }
        }
    }

    /// While there is no driver, clients are told so, and peers are left to send again.
    fn refuse(&self, event: Event) {
        match event {
            Event::Units(to, units) => {
                let answer = |unit: crate::net::message::Unit| Answer {
                    unit: unit.id,
                    outcome: Outcome::NotDone(Refusal::NoReplica),
                };
                self.seed.shared.deliver(to, units.into_iter().map(answer).collect());
            }
            Event::Peer(_, messages) => self.overhear(&messages),
            _ => {}
        }
    }

    /// A replica that takes no part still sees who leads, so that requests find there from here.
    fn overhear(&self, messages: &[raft::Message]) {
        use raft::MessageBody::{Append, Heartbeat};
        let board = &self.seed.board;
        for message in messages {
            let leads = matches!(message.body, Append { .. } | Heartbeat { .. });
            let news = message.term.0 > board.term() || board.leader().is_none();
            if leads && news && message.term.0 >= board.term() {
                let (group, term) = (self.seed.group, message.term);
                let leader = Some(message.from);
                self.publish(Lead { group, role: Role::Follower, leader, term });
            }
        }
    }

    fn carry_out(&mut self, context: &mut Context<Self>) {
        let effects = std::mem::take(&mut self.effects);
        let group = self.seed.group;
        if !effects.messages.is_empty() {
            self.metrics.messages_out.increment(effects.messages.len() as u64);
            let bytes: usize = effects.messages.iter().map(raft::Message::entry_bytes).sum();
            if bytes > 0 {
                self.metrics.append_bytes.increment(bytes as u64);
            }
            let own = self.core.as_ref().map(|core| core.disk);
            let disk = own.filter(|disk| *disk != self.seed.disk);
            self.outbox.push(Speaker { group, era: self.line.era(), disk }, effects.messages);
        }
        for write in effects.log {
            if write.changes_log() {
                self.seed.board.void_request();
            }
            self.seed.log.submit(write);
        }
        if !effects.apply.is_empty() {
            self.count(&effects.apply);
            let items = effects.apply;
            let awaited = self.seed.kind == PayloadKind::Config || items.iter().any(is_awaited);
            let work = ApplyCommand::Work { group, generation: self.generation, items };
            if awaited {
                self.seed.apply.push(work);
            } else {
                self.apply_unhurried = true;
                self.seed.apply.push_unhurried(work);
            }
        }
        if !effects.answers.is_empty() {
            self.seed.shared.deliver_all(effects.answers);
        }
        self.metrics.messages_rejected.increment(effects.rejected);
        if effects.leased > 0 {
            self.seed.shared.lease_reads_served.fetch_add(effects.leased, Relaxed);
        }
        for alarm in effects.alarms {
            tracing::error!(%group, "a replica has forgotten what it promised: {alarm}");
        }
        for needed in effects.snapshots {
            self.send_snapshot(needed, context);
        }
        for fetch in effects.fetches {
            self.fetch(fetch, context);
        }
        if let Some(membership) = effects.membership {
            let version = self.table_version();
            tracing::info!(%group, version, ?membership, "membership changed");
            self.set_line(Line::In(self.line.era().max(membership.era)));
            if let Some(core) = &mut self.core {
                core.voters = membership.voters;
                self.seed.board.belongs.store(core.belongs(self.seed.shared.node), Relaxed);
                self.seed.shared.lead_changes.fetch_add(1, Relaxed);
            }
            self.median = None;
        }
        for Leaver { node, disk, request } in effects.farewells {
            let farewell = PeerMessage::Farewell { group, disk, request };
            // Lost: it asks again.
            let _ = self.seed.shared.peers.control(node, &farewell);
        }
        for (offer, wanted) in effects.offers {
            self.offered(&offer, wanted, context);
        }
        if let Some(lead) = effects.lead {
            if lead.role != Role::Leader {
                self.seed.shared.transfers.lead_lost(group);
            }
            self.publish(lead);
            if lead.role == Role::Leader {
                self.tell_those_left_behind();
            }
            self.metrics.lead_changes.increment(1);
            self.metrics.leads.set(f64::from(u8::from(lead.role == Role::Leader)));
            tracing::info!(
                %group, role = %lead.role, term = %lead.term,
                leader = lead.leader.map(|node| node.0), "lead changed"
            );
        }
    }

    pub(super) fn set_line(&mut self, line: Line) {
        self.line = line;
        self.seed.board.set_era(line.era());
    }

    fn count(&self, items: &[ApplyItem]) {
        for item in items {
            if let ApplyItem::Entries(entries) = item {
                let proposed = entries.iter().filter(|(_, routes)| !routes.is_empty());
                let (mut count, mut units) = (0, 0);
                for (_, routes) in proposed {
                    count += 1;
                    units += routes.len() as u64;
                }
                self.metrics.proposals.increment(count);
                self.metrics.proposed_units.increment(units);
            }
        }
    }

    /// Reads old entries back, on a thread that may block.
    fn fetch(&self, fetch: raft::Fetch, context: &mut Context<Self>) {
        let (reader, group, generation) =
            (self.seed.log.reader(), self.seed.group, self.generation);
        let (addr, peer) = (context.address(), fetch.to);
        tokio::task::spawn_blocking(move || {
            let entries = reader
                .read(group, fetch.from_index, fetch.bytes_max)
                .unwrap_or_else(|error| {
                    tracing::warn!(%group, from = %fetch.from_index, "cannot read the log back: {error}");
                    Vec::new()
                });
            addr.do_send(Event::Fetched { generation, peer, entries }.into());
        });
    }
}

fn core_observes(core: Option<&Core>) -> bool {
    core.is_some_and(|core| core.driver.can_observe())
}

/// Whether somebody waits for this work, or it is so large that it should not wait for other work.
fn is_awaited(item: &ApplyItem) -> bool {
    match item {
        ApplyItem::Reads { .. } => true,
        ApplyItem::Entries(entries) => {
            let bytes = entries.iter().map(|(entry, _)| entry.data.len()).sum::<usize>();
            bytes > UNHURRIED_BYTES_MAX || entries.iter().any(|(_, routes)| !routes.is_empty())
        }
    }
}

/// Why a replica could not be built.
enum BuildError {
    /// It may go better another time.
    Again(String),
    /// It never will on this disk: the log does not hold what the replica has promised.
    Final(String),
    /// The log has lost something. The disk by which the replica is known, as far as can be told.
    Forgotten(Incarnation),
    /// The group was recovered without it, and is in this era. The disk by which it was known.
    LeftBehind(Era, Incarnation),
}

impl From<String> for BuildError {
    fn from(trouble: String) -> Self {
        Self::Again(trouble)
    }
}

/// Makes sure that the replica lives in the log, and answers the disk by which it is known if that is not the
/// node's. One that lived here before is born as somebody else, who has promised nothing: without members, so
/// that it takes no part until its group has let it in.
async fn live(seed: &GroupSeed, generation: Generation) -> Result<Option<Incarnation>, BuildError> {
    let group = seed.group;
    match seed.log.standing(group).await? {
        (wal::Standing::Alive, identity) => Ok(identity),
        (wal::Standing::Damaged, identity) => {
            Err(BuildError::Forgotten(identity.unwrap_or(seed.disk)))
        }
        (wal::Standing::Unknown, _) => {
            seed.log.born(group, generation, seed.founders.clone(), None).await?;
            Ok(None)
        }
        (wal::Standing::Dead, _) => {
            seed.apply.reset(group, RowGeneration(0)).await?;
            let random = getrandom::u64().map_err(|error| error.to_string())?;
            let identity = Some(Incarnation(random.max(1)));
            let nobody = raft::Membership::default();
            seed.log.born(group, generation, nobody, identity).await?;
            Ok(identity)
        }
    }
}

/// Recovers the log and the state, and puts a driver on top.
async fn build(seed: GroupSeed, generation: Generation) -> Result<Core, BuildError> {
    let group = seed.group;
    let identity = live(&seed, generation).await?;
    let disk = identity.unwrap_or(seed.disk);
    let founders = match identity {
        None => seed.founders.clone(),
        Some(_) => raft::Membership::default(),
    };
    let opened = seed.apply.open(group, generation, seed.birth.clone(), founders).await?;
    let applied = opened.applied.index;
    let recovered = seed.log.recover(group, applied).await?;
    let recovered =
        recovered.ok_or_else(|| "the log has lost a group that it just took".to_owned())?;
    if let Some(era) = recovered.left_behind {
        return Err(BuildError::LeftBehind(era, disk));
    }
    let recovered = finish_install(&seed, generation, &opened, recovered).await?;
    if opened.applied.index < recovered.base.index {
        // Its log starts behind its state: only a snapshot can help. It votes, and asks for one.
        tracing::warn!(
            %group, applied = %opened.applied.index, log = %recovered.base.index,
            "the state is older than the log's start; waiting for a snapshot from the leader"
        );
    }
    if opened.applied.index > recovered.last {
        return Err(BuildError::Final(format!(
            "the state is at {}, ahead of the log's end {}: the log has lost entries; start this \
             node with an empty data directory, and the group gives it everything again",
            opened.applied.index, recovered.last
        )));
    }
    let node = seed.shared.node;
    let random = getrandom::u64().map_err(|error| error.to_string())?;
    let mut config = raft::Config::new(node, random);
    // Followers serve no reads, so they need not hear of each commit at once.
    config.eager_commit = false;
    config.quiet_ticks = Some(limits::QUIET_TICKS);
    config.observer = seed.observer;
    config.promotion_lag_max = Some(limits::PROMOTION_LAG_MAX);
    config.disk = Some(disk);
    if seed.shared.lease_reads.load(Relaxed) {
        let millis = u64::try_from(limits::LEASE.as_millis()).expect("a lease is short");
        config.lease = Some(raft::Lease { millis });
    }
    let restored = restored(recovered, opened.applied.index, opened.membership.clone());
    let (line, voters) = (Line::of(&restored), restored.membership.voters.clone());
    let mut raft =
        Raft::new(config, restored).map_err(|error| BuildError::Final(error.to_string()))?;
    if seed.preferred {
        // At birth, and after a start of the whole cluster, leads begin where they belong. A leader that
        // is there is heard long before this.
        raft.set_election_timeout(limits::ELECTION_TICKS / 2);
    }
    let driver = Driver::new(group, node, generation, seed.kind, raft, opened.applied);
    let intake = Intake::new(group, opened.newest_rows);
    Ok(Core { driver, line, voters, intake, opened, disk })
}

/// A snapshot whose rows are installed but whose mark did not reach the log before a crash.
async fn finish_install(
    seed: &GroupSeed,
    generation: Generation,
    opened: &Opened,
    recovered: RecoveredGroup,
) -> Result<RecoveredGroup, String> {
    match &opened.installed {
        Some(meta) if !goes_with(&recovered, meta) => {
            seed.log.mark_installed(seed.group, generation, meta.clone()).await?;
            let again = seed.log.recover(seed.group, opened.applied.index).await?;
            again.ok_or_else(|| "the log has lost a group that it just took".to_owned())
        }
        _ => Ok(recovered),
    }
}

/// A future whose panic is an error.
async fn futures_catch<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match guarded(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => std::task::Poll::Ready(Err(panicked.0)),
    })
    .await
}

impl Actor for GroupActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(limits::GROUP_MAILBOX);
        if self.gone {
            // Somebody still holds its address.
            return;
        }
        match self.pause.take() {
            None => self.rebuild(context),
            Some(pause) => {
                context.run_later(pause, Self::rebuild);
            }
        }
    }
}

impl Supervised for GroupActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        // `started` runs next, and rebuilds. The context, and every timer in it, is a new one.
        self.core = None;
        if self.ticking.take().is_some() {
            self.seed.shared.awake.fetch_sub(1, Relaxed);
        }
    }
}

impl Handler<GroupMessage> for GroupActor {
    type Result = ();

    fn handle(&mut self, message: GroupMessage, context: &mut Self::Context) {
        let handled = guarded(|| self.take(message, context));
        if let Err(panicked) = handled {
            self.died(&format!("it panicked: {}", panicked.0), context);
        }
    }
}

impl GroupActor {
    fn take(&mut self, message: GroupMessage, context: &mut Context<Self>) {
        match message {
            GroupMessage::Event(event) => self.run(event, context),
            GroupMessage::Peer { from, era, disk, messages } => {
                if self.is_of_era(from, era, context) {
                    self.run(Event::Peer(disk, messages), context);
                }
            }
            GroupMessage::LeftBehind(era, leader) => self.left_behind(era, leader, context),
            GroupMessage::Stand(reply) => self.stand(reply),
            GroupMessage::Recover(token, era, reply) => self.recover(&token, era, reply, context),
            GroupMessage::Snapshot(from, frame) => self.snapshot_frame(from, frame, context),
            GroupMessage::Installed(generation, arrival, installed)
                if generation == self.generation =>
            {
                self.installed(arrival, installed, context);
            }
            GroupMessage::View(needed, generation, view, turn) if generation == self.generation => {
                self.transfer(needed, view, turn, context);
            }
            GroupMessage::Stored(generation, rows, sequence) if generation == self.generation => {
                self.stored(rows, sequence, context);
            }
            GroupMessage::StateFailed(generation, why)
                if generation == self.generation && self.core.is_some() =>
            {
                self.died(&format!("its state failed: {why}"), context);
            }
            GroupMessage::Installed(..)
            | GroupMessage::View(..)
            | GroupMessage::Stored(..)
            | GroupMessage::StateFailed(..) => {}
            GroupMessage::Status(reply) => {
                let _ = reply.send(self.status());
            }
            GroupMessage::Farewell(disk, request) => self.destroy(disk, request, context),
            GroupMessage::Panic => panic!("asked to, by a debug command"),
        }
    }
}
