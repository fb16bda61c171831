//! The group actor: a shell around the driver. It carries events in and effects out, survives panics by
//! building the driver anew from the store, and decides nothing.
//!
//! Mailbox: `limits::GROUP_MAILBOX` messages, each a batch. When it is full, a peer's batch is dropped
//! and counted (Raft sends again), a client's batch is answered "busy, not done" by whoever tried to send it;
//! completions of this node's own threads are always accepted, since their number is bounded by
//! the work handed out.

use super::driver::Driver;
use super::event::{Applied, ApplyItem, Effects, Event, Lead, Now};
use super::intake::{Intake, IntakeStep};
use super::payload::PayloadKind;
use super::recovered::{goes_with, restored};
use crate::actors::apply::{ApplyCommand, ApplyInbox, Birth, Opened};
use crate::actors::metrics::GroupMetrics;
use crate::actors::outbox::Outbox;
use crate::actors::shared::{Board, Shared};
use crate::actors::snapshots;
use crate::actors::supervision::{Restarts, guarded};
use crate::ids::{Generation, GroupId, NodeId};
use crate::limits;
use crate::net::message::{Answer, GroupStatus, Outcome, Refusal, ReplicaProgress, SnapshotFrame};
use crate::raft::{self, ProgressState, Raft, Role, SnapshotMeta};
use crate::rows::RowGeneration;
use crate::store::wal::RecoveredGroup;
use crate::time::{MonoMillis, UnixMillis};
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a group actor is sent.
#[derive(Debug)]
pub enum GroupMessage {
    /// For the driver.
    Event(Event),
    /// A frame of a snapshot transfer, from a peer.
    Snapshot(NodeId, SnapshotFrame),
    /// A snapshot received here is installed in the state store; now the log must say so.
    Installed(Generation, Arrival, Result<(SnapshotMeta, Applied), String>),
    /// A view of the state is ready to be sent to a peer.
    View(raft::SnapshotNeeded, Generation, Result<snapshots::View, String>),
    /// The state machine failed; it is opened again with the replica.
    StateFailed(Generation, String),
    /// How is it going?
    Status(oneshot::Sender<Option<GroupStatus>>),
    /// Panic, so that the restart can be seen to work; only with debug commands on.
    Panic,
}

/// Which snapshot has come in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    from: NodeId,
    view: u64,
    sequence: u64,
    rows: RowGeneration,
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
    /// Its members at birth.
    pub founders: raft::Membership,
    /// The node.
    pub shared: Arc<Shared>,
    /// The log thread.
    pub log: crate::actors::threads::LogHandle,
    /// The apply thread.
    pub apply: ApplyInbox,
    /// What it publishes.
    pub board: Arc<Board>,
    /// The log has lost what this replica may have promised: it takes no part.
    pub silent: bool,
}

/// See the module's first lines.
pub struct GroupActor {
    seed: GroupSeed,
    outbox: Outbox,
    metrics: GroupMetrics,
    generation: Generation,
    core: Option<Core>,
    restarts: Restarts,
    pause: Option<Duration>,
    effects: Effects,
    /// The newest life of rows that a snapshot was ever written to: it may be on its way to the
    /// store still when the driver is built anew.
    newest_rows: RowGeneration,
    last_tick: Option<MonoMillis>,
    /// The Raft clock, while the replica is awake.
    ticking: Option<SpawnHandle>,
    /// Ticks until the metrics are published again.
    metrics_in: u32,
    /// Work was handed to the apply thread since the last tick that did not wake it.
    apply_unhurried: bool,
    /// The median of the voters' clocks, and when it was taken.
    median: Option<(MonoMillis, Option<UnixMillis>)>,
}

/// The median of the voters' clocks is taken anew after this, milliseconds; until then it goes on by itself.
const MEDIAN_MILLIS: u64 = 5;

/// Entries of which nobody waits for the replies are applied in no hurry, unless they are larger, bytes.
const UNHURRIED_BYTES_MAX: usize = 64 * 1024;

/// Ticks between two looks at what the metrics say, while the replica is awake.
const METRICS_TICKS: u32 = 20;

/// What a panic throws away.
struct Core {
    driver: Driver,
    voters: Vec<NodeId>,
    intake: Intake,
    opened: Opened,
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
    fn rebuild(&mut self, context: &mut Context<Self>) {
        if self.seed.silent || self.seed.board.failed.load(Relaxed) {
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
        self.seed.board.publish(core.driver.lead());
        self.core = Some(core);
        self.median = None;
        self.keep_time(context);
        let health = self.seed.shared.health();
        self.run(Event::Health { health, spread_ticks: 1 }, context);
        // What it was not told while it was built.
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

    fn died(&mut self, words: &str, context: &mut Context<Self>) {
        if let Some(mut core) = self.core.take() {
            self.abandon(&mut core.driver);
        }
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
    fn abandon(&mut self, driver: &mut Driver) {
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
                ApplyItem::Reads(reads, _) => answers.extend(reads.into_iter().map(|read| {
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

    fn run(&mut self, event: Event, context: &mut Context<Self>) {
        let now = self.now();
        let Some(core) = &mut self.core else {
            self.refuse(event);
            return;
        };
        let effects = &mut self.effects;
        let handled = guarded(|| core.driver.handle(event, now, effects));
        match handled.and_then(|()| guarded(|| self.carry_out(context))) {
            Ok(()) => self.keep_time(context),
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

    fn stop_time(&mut self, context: &mut Context<Self>) {
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
    fn publish(&self, lead: Lead) {
        let (board, shared) = (&self.seed.board, &self.seed.shared);
        if board.leads() && lead.role != Role::Leader {
            let term = crate::ids::Term(board.term());
            shared.watch().lead_ended(self.seed.group, term, shared.mono());
        }
        board.publish(lead);
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
            self.metrics_in = METRICS_TICKS;
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
            Event::Peer(messages) => self.overhear(&messages),
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
                board.publish(Lead { group, role: Role::Follower, leader, term });
            }
        }
    }

    fn carry_out(&mut self, context: &mut Context<Self>) {
        let effects = std::mem::take(&mut self.effects);
        let group = self.seed.group;
        if !effects.messages.is_empty() {
            self.metrics.messages_out.increment(effects.messages.len() as u64);
            self.outbox.push(group, effects.messages);
        }
        for write in effects.log {
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
        for alarm in effects.alarms {
            tracing::error!(%group, "a replica has forgotten what it promised: {alarm}");
        }
        for needed in effects.snapshots {
            self.send_snapshot(needed, context);
        }
        for fetch in effects.fetches {
            self.fetch(fetch, context);
        }
        if let Some(lead) = effects.lead {
            self.publish(lead);
            self.metrics.lead_changes.increment(1);
            tracing::info!(
                %group, role = %lead.role, term = %lead.term,
                leader = lead.leader.map(|node| node.0), "lead changed"
            );
        }
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

    /// Asks for a view of the state; it comes back as [`GroupMessage::View`].
    fn send_snapshot(&self, needed: raft::SnapshotNeeded, context: &mut Context<Self>) {
        let (addr, generation) = (context.address(), self.generation);
        self.seed.apply.push(ApplyCommand::View {
            group: self.seed.group,
            reply: Box::new(move |view| addr.do_send(GroupMessage::View(needed, generation, view))),
        });
    }

    fn transfer(
        &mut self,
        needed: raft::SnapshotNeeded,
        view: Result<snapshots::View, String>,
        context: &mut Context<Self>,
    ) {
        let Some(core) = &self.core else { return };
        let peer = needed.to;
        let meta = view.and_then(|view| {
            if view.applied < needed.index_min {
                return Err(format!("the state is at {} only", view.applied));
            }
            let meta = core.driver.snapshot_meta(view.applied);
            meta.map(|meta| (view, meta)).ok_or_else(|| "the log has moved on".to_owned())
        });
        match meta {
            Ok((view, meta)) => {
                let term = core.driver.status().term;
                let transfer = snapshots::Transfer {
                    shared: self.seed.shared.clone(),
                    group: self.seed.group,
                    peer,
                    term,
                    meta,
                    view,
                };
                let (addr, metrics) = (context.address(), self.metrics.clone());
                actix_rt::spawn(async move {
                    let installed = transfer.run().await;
                    if installed {
                        metrics.snapshots_sent.increment(1);
                    } else {
                        metrics.snapshots_failed.increment(1);
                    }
                    addr.do_send(Event::SnapshotSent { peer, installed }.into());
                });
            }
            Err(trouble) => {
                tracing::warn!(group = %self.seed.group, %peer, "no snapshot to send: {trouble}");
                self.metrics.snapshots_failed.increment(1);
                self.run(Event::SnapshotSent { peer, installed: false }, context);
            }
        }
    }

    fn snapshot_frame(&mut self, from: NodeId, frame: SnapshotFrame, context: &mut Context<Self>) {
        let Some(core) = &mut self.core else { return };
        let (group, generation) = (self.seed.group, self.generation);
        let (driver, live) = (&core.driver, core.opened.row_generation);
        let wanted = |term, meta: &SnapshotMeta| driver.wants_snapshot(from, term, meta);
        let step = core.intake.handle(from, frame, live, wanted);
        self.newest_rows = core.intake.newest_rows();
        match step {
            IntakeStep::Ignore => {}
            IntakeStep::Refuse { view } => {
                let frame = SnapshotFrame::Refused { group, view };
                snapshots::answer(&self.seed.shared, from, &frame);
            }
            IntakeStep::Write { view, sequence, row_generation, rows, install } => {
                let (shared, apply) = (self.seed.shared.clone(), self.seed.apply.clone());
                let addr = context.address();
                let done = move || {
                    let frame = SnapshotFrame::Received { group, view, sequence, installed: false };
                    snapshots::answer(&shared, from, &frame);
                    // All rows are in the store now.
                    if let Some(meta) = install {
                        let arrival = Arrival { from, view, sequence, rows: row_generation };
                        let reply = Box::new(move |installed| {
                            addr.do_send(GroupMessage::Installed(generation, arrival, installed));
                        });
                        apply.push(ApplyCommand::Install {
                            group,
                            generation,
                            row_generation,
                            meta,
                            reply,
                        });
                    }
                };
                self.seed.apply.push(ApplyCommand::Ingest {
                    group,
                    row_generation,
                    rows,
                    done: Box::new(done),
                });
            }
        }
    }

    /// The state store has the snapshot, synced. Now the log must say so, synced, before anybody hears.
    fn installed(
        &mut self,
        arrival: Arrival,
        installed: Result<(SnapshotMeta, Applied), String>,
        context: &mut Context<Self>,
    ) {
        let Some(core) = &mut self.core else { return };
        let group = self.seed.group;
        let Arrival { from, view, sequence, rows } = arrival;
        core.intake.ended(rows);
        match installed {
            Err(trouble) => {
                tracing::error!(%group, %from, "the snapshot could not be installed: {trouble}");
                let frame = SnapshotFrame::Refused { group, view };
                snapshots::answer(&self.seed.shared, from, &frame);
            }
            Ok((meta, applied)) => {
                tracing::info!(%group, index = %meta.index, "snapshot installed");
                self.metrics.snapshots_installed.increment(1);
                core.opened.row_generation = rows;
                let frame = SnapshotFrame::Received { group, view, sequence, installed: true };
                snapshots::answer(&self.seed.shared, from, &frame);
                // The core's next Ready writes the mark; its acknowledgement leaves after the sync.
                self.run(Event::SnapshotInstalled(meta, applied), context);
            }
        }
    }

    fn status(&self) -> Option<GroupStatus> {
        let core = self.core.as_ref()?;
        let status = core.driver.status();
        let stats = self.seed.board.stats();
        Some(GroupStatus {
            group: self.seed.group,
            role: status.role.to_string(),
            term: status.term,
            leader: status.leader,
            voters: status.membership.voters.clone(),
            commit: status.commit,
            applied: status.applied,
            last: status.last,
            first: status.base.next(),
            keys: stats.keys,
            bytes: stats.bytes,
            buckets: stats.buckets,
            restarts: self.restarts.total(),
            progress: status
                .peers
                .iter()
                .map(|peer| ReplicaProgress {
                    node: peer.id,
                    matched: peer.matched,
                    state: match peer.state {
                        ProgressState::Probe => "probe",
                        ProgressState::Replicate => "replicate",
                        ProgressState::Snapshot(_) => "snapshot",
                    }
                    .into(),
                    active: peer.active,
                })
                .collect(),
        })
    }

    fn publish_metrics(&self) {
        let Some(core) = &self.core else { return };
        let status = core.driver.status();
        let gauge = crate::actors::metrics::as_f64;
        self.metrics.term.set(gauge(status.term.0));
        self.metrics.leads.set(f64::from(u8::from(status.role == Role::Leader)));
        self.metrics.commit.set(gauge(status.commit.0));
        self.metrics.applied.set(gauge(status.applied.0));
        self.metrics.last.set(gauge(status.last.0));
        let stats = self.seed.board.stats();
        self.metrics.keys.set(gauge(stats.keys));
        self.metrics.bytes.set(gauge(stats.bytes));
        self.metrics.sessions.set(gauge(stats.sessions));
        for peer in &status.peers {
            self.metrics.lag(peer.id, status.last.0.saturating_sub(peer.matched.0));
        }
    }
}

/// Whether somebody waits for this work, or it is so large that it should not wait for other work.
fn is_awaited(item: &ApplyItem) -> bool {
    match item {
        ApplyItem::Reads(..) => true,
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
}

impl From<String> for BuildError {
    fn from(trouble: String) -> Self {
        Self::Again(trouble)
    }
}

/// Recovers the log and the state, and puts a driver on top.
async fn build(seed: GroupSeed, generation: Generation) -> Result<Core, BuildError> {
    let group = seed.group;
    let opened = seed.apply.open(group, generation, seed.birth.clone()).await?;
    let recovered = match seed.log.recover(group).await? {
        Some(recovered) => recovered,
        None => {
            seed.log.born(group, generation, seed.founders.clone()).await?;
            let born = seed.log.recover(group).await?;
            born.ok_or_else(|| "the log has lost a group that it just took".to_owned())?
        }
    };
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
            "the state is at {}, ahead of the log's end {}: the log has lost entries; move this \
             node's data directory away and add the node again",
            opened.applied.index, recovered.last
        )));
    }
    let node = seed.shared.node;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    let mut config = raft::Config::new(node, u64::from_le_bytes(random));
    // Followers serve no reads, so they need not hear of each commit at once.
    config.eager_commit = false;
    config.quiet_ticks = Some(limits::QUIET_TICKS);
    let voters = recovered.base.membership.voters.clone();
    let mut raft = Raft::new(config, restored(recovered, opened.applied.index))
        .map_err(|error| BuildError::Final(error.to_string()))?;
    if seed.preferred {
        // At birth, and after a start of the whole cluster, leads begin where they belong. A leader that
        // is there is heard long before this.
        raft.set_election_timeout(limits::ELECTION_TICKS / 2);
    }
    let driver = Driver::new(group, node, generation, seed.kind, raft, opened.applied);
    let intake = Intake::new(group, opened.newest_rows);
    Ok(Core { driver, voters, intake, opened })
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
            let again = seed.log.recover(seed.group).await?;
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
        if self.seed.silent {
            tracing::error!(
                group = %self.seed.group,
                "the log has lost what this replica may have promised: it stays silent. Replace this \
                 node's disk and add the node again under a new id"
            );
            self.seed.board.failed.store(true, Relaxed);
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
            GroupMessage::Snapshot(from, frame) => self.snapshot_frame(from, frame, context),
            GroupMessage::Installed(generation, arrival, installed)
                if generation == self.generation =>
            {
                self.installed(arrival, installed, context);
            }
            GroupMessage::View(needed, generation, view) if generation == self.generation => {
                self.transfer(needed, view, context);
            }
            GroupMessage::StateFailed(generation, why)
                if generation == self.generation && self.core.is_some() =>
            {
                self.died(&format!("its state failed: {why}"), context);
            }
            GroupMessage::Installed(..)
            | GroupMessage::View(..)
            | GroupMessage::StateFailed(..) => {}
            GroupMessage::Status(reply) => {
                let _ = reply.send(self.status());
            }
            GroupMessage::Panic => panic!("asked to, by a debug command"),
        }
    }
}
