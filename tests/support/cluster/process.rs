//! One life of a node: the real log, the real drivers and the real applier, with queues in between where
//! the node has threads. Each queue is worked off in turns of its own, at the times that the cluster
//! chooses.
//!
//! ```text
//!  events ──► drivers ──► writes ──► log ──► events
//!                └──────► work ────► applier ──► events, answers
//!                                       └──► commands ──► state store ──► work
//! ```

use super::outgoing::{Outgoing, Progress};
use super::secretaries::Secretaries;
use super::sink::{Mail, Told};
use super::start::Machinery;
use super::turn::{Failure, Output, Part};
use eraft::actors::apply::{ApplyCommand, Holdings};
use eraft::actors::group::driver::Driver;
use eraft::actors::group::event::{ApplyItem, Effects, Event, Now, Offer};
use eraft::actors::group::intake::Intake;
use eraft::actors::liveness::Health;
use eraft::actors::snapshots::View;
use eraft::ids::{GroupId, Incarnation, Index, NodeId, ReadyNumber};
use eraft::limits;
use eraft::net::message::{Answer, SnapshotFrame};
use eraft::raft::{Role, SnapshotNeeded};
use eraft::rows::RowGeneration;
use eraft::store::disk::SECTOR;
use eraft::store::state::{Command, StateStore};
use eraft::store::wal::{LogOp, LogWrite, Standing};
use eraft::time::MonoMillis;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// When a node says that a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledge {
    /// After the sync, as it should be.
    AfterSync,
    /// After the write, without a sync: a control that must fail.
    WithoutSync,
    /// Before anything was written: another one.
    BeforeWrite,
}

/// What comes to a group's replica.
enum Inbound {
    Event(GroupId, Event),
    Frame(NodeId, SnapshotFrame),
    Mail(Mail),
}

/// See the module's first lines.
pub(crate) struct Process {
    pub(crate) machinery: Machinery,
    pub(crate) secretaries: Secretaries,
    acknowledge: Acknowledge,
    inbox: VecDeque<Inbound>,
    writes: Vec<LogWrite>,
    /// Something was written, so the log tidies up before it writes again.
    written: bool,
    /// It is asked to sync.
    probes: bool,
    /// When groups that sleep have something to do.
    alarms: BTreeMap<GroupId, Option<MonoMillis>>,
    pub(super) work: Vec<ApplyCommand>,
    wants_apply: bool,
    /// Something was applied since the state was last brought to the disk.
    has_applied: bool,
    commands: VecDeque<Command>,
    /// Rows of snapshots for the state store, which have a lane of their own.
    bulk: VecDeque<Command>,
    bulk_next: bool,
    unpersisted: BTreeMap<GroupId, Index>,
    /// How far the state is on disk.
    persisted: BTreeMap<GroupId, Index>,
    outgoing: BTreeMap<(GroupId, NodeId), Outgoing>,
    holdings: BTreeMap<GroupId, Holdings>,
    /// Raised whenever a replica writes to its log; see [`Process::request`].
    requests: BTreeMap<GroupId, u64>,
    /// Replicas that are about to begin, and that are being destroyed.
    coming: BTreeSet<GroupId>,
    going: BTreeSet<GroupId>,
    /// Entries that were read back from the log.
    pub(crate) fetches: u64,
    /// Times that a log was cut off at its beginning.
    pub(crate) compactions: u64,
    /// Times that a snapshot on its way out went on in the middle.
    pub(crate) resumed: u64,
}

impl Process {
    pub(crate) fn new(machinery: Machinery, acknowledge: Acknowledge) -> Self {
        // What the state store has now, it had on disk.
        let persisted = machinery.applied().collect();
        Self {
            machinery,
            secretaries: Secretaries::default(),
            acknowledge,
            inbox: VecDeque::new(),
            writes: Vec::new(),
            written: false,
            probes: false,
            alarms: BTreeMap::new(),
            work: Vec::new(),
            wants_apply: true,
            has_applied: true,
            commands: VecDeque::new(),
            bulk: VecDeque::new(),
            bulk_next: false,
            unpersisted: BTreeMap::new(),
            persisted,
            outgoing: BTreeMap::new(),
            holdings: BTreeMap::new(),
            requests: BTreeMap::new(),
            coming: BTreeSet::new(),
            going: BTreeSet::new(),
            fetches: 0,
            compactions: 0,
            resumed: 0,
        }
    }

    /// For a driver; dropped if the group's replica is silent.
    pub(crate) fn push(&mut self, group: GroupId, event: Event) {
        self.inbox.push_back(Inbound::Event(group, event));
    }

    /// A frame of a snapshot.
    pub(crate) fn push_frame(&mut self, from: NodeId, frame: SnapshotFrame) {
        self.inbox.push_back(Inbound::Frame(from, frame));
    }

    /// The Raft clock; and the applier looks whether something is due.
    pub(crate) fn tick(&mut self) {
        for group in self.machinery.drivers.keys() {
            self.inbox.push_back(Inbound::Event(*group, Event::Tick));
        }
        self.wants_apply = true;
    }

    /// The Raft clock of a group that is awake. One that sleeps looks whether it may go on doing so.
    pub(crate) fn tick_unless_asleep(&mut self, group: GroupId, now: Now, health: &Arc<Health>) {
        self.wants_apply = true;
        let Some(driver) = self.machinery.drivers.get(&group) else { return };
        if driver.is_asleep() {
            if !driver.knows(health) {
                let event = Event::Health { health: health.clone(), spread_ticks: 1 };
                self.inbox.push_back(Inbound::Event(group, event));
            }
            let alarm = self.alarms.entry(group).or_insert_with(|| driver.wants_waking(now));
            if alarm.is_some_and(|at| at <= now.mono) {
                self.alarms.remove(&group);
                self.inbox.push_back(Inbound::Event(group, Event::Alarm));
            }
            return;
        }
        self.alarms.remove(&group);
        self.inbox.push_back(Inbound::Event(group, Event::Tick));
    }

    /// The log is to sync, though there may be nothing to write.
    pub(crate) fn probe(&mut self) {
        self.probes = true;
    }

    /// Get what was applied onto the disk, so that the log may be cut.
    pub(crate) fn persist(&mut self) {
        if std::mem::take(&mut self.has_applied) {
            self.work.push(ApplyCommand::Persist);
        }
    }

    pub(crate) fn driver(&self, group: GroupId) -> Option<&Driver> {
        self.machinery.drivers.get(&group)
    }

    /// What a group owns here, and what moves.
    pub(crate) fn holdings(&self, group: GroupId) -> Option<&Holdings> {
        self.holdings.get(&group)
    }

    /// How far a group's state is on disk.
    pub(crate) fn persisted(&self, group: GroupId) -> Index {
        self.persisted.get(&group).copied().unwrap_or_default()
    }

    /// Names the request to be let go that a replica would make now.
    pub(crate) fn request(&self, group: GroupId) -> u64 {
        self.requests.get(&group).copied().unwrap_or(self.machinery.generation.0 << 32)
    }

    /// A replica is to begin here, if there is none.
    pub(crate) fn begin(&mut self, group: GroupId) {
        if self.machinery.identities.contains_key(&group) || !self.coming.insert(group) {
            return;
        }
        if self.machinery.log.standing(group).0 == Standing::Dead {
            // The rows of the one before may have outlived it.
            self.reset(group, RowGeneration(0), Mail::Blank);
        } else {
            self.inbox.push_back(Inbound::Mail(Mail::Blank(group)));
        }
    }

    /// The group has let the replica go that is known by this disk: first the record that it died, and when
    /// that is synced its rows. Answers what those are told that waited for it.
    pub(crate) fn destroy(
        &mut self,
        group: GroupId,
        disk: Incarnation,
        request: u64,
    ) -> Option<Vec<Answer>> {
        let is_meant =
            self.machinery.identities.get(&group) == Some(&disk) && self.request(group) == request;
        if !is_meant || !self.going.insert(group) {
            return None;
        }
        let mut answers = Vec::new();
        if let Some(mut driver) = self.machinery.drivers.remove(&group) {
            driver.abandon(&mut answers);
        }
        self.outgoing.retain(|(of, _), _| *of != group);
        self.alarms.remove(&group);
        self.writes.push(LogWrite {
            group,
            generation: self.machinery.generation_of(group),
            number: ReadyNumber(0),
            entries: Vec::new(),
            hard_state: None,
            op: Some(LogOp::Dead),
            must_sync: true,
        });
        Some(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn reset(&mut self, group: GroupId, newest_rows: RowGeneration, then: fn(GroupId) -> Mail) {
        let sink = self.machinery.sink.clone();
        let reply = Box::new(move |done: Result<(), String>| {
            done.expect("a store in memory forgets");
            sink.post(then(group));
        });
        self.work.push(ApplyCommand::Reset { group, newest_rows, reply });
    }

    /// Whether a part has something to do.
    pub(crate) fn has_work(&self, part: Part) -> bool {
        match part {
            Part::Drivers => !self.inbox.is_empty() || self.secretaries.has_work(),
            Part::Log => self.written || self.probes || !self.writes.is_empty(),
            Part::Apply => self.wants_apply || !self.work.is_empty(),
            Part::State => !self.commands.is_empty() || !self.bulk.is_empty(),
        }
    }

    /// Whom the next event is for.
    pub(crate) fn next_group(&self) -> Option<GroupId> {
        Some(match self.inbox.front()? {
            Inbound::Event(group, _) => *group,
            Inbound::Frame(_, frame) => frame.group(),
            Inbound::Mail(Mail::View(group, ..) | Mail::Stored(group, ..)) => *group,
            Inbound::Mail(Mail::Installed(group, ..)) => *group,
            Inbound::Mail(Mail::Blank(group) | Mail::Forgotten(group)) => *group,
        })
    }

    /// One event, if there is one. With `floors`, no log is cut behind its group's floor, nor behind what
    /// its leader knows the others to have, so that nobody ever needs a snapshot.
    pub(crate) fn drive(
        &mut self,
        now: Now,
        floors: Option<&BTreeMap<GroupId, Index>>,
    ) -> Result<Option<Output>, Failure> {
        let Some(inbound) = self.inbox.pop_front() else { return Ok(None) };
        let mut out = Output::default();
        let (group, mut event) = match inbound {
            Inbound::Event(group, event) => (group, event),
            Inbound::Frame(from, frame) => match self.frame(from, frame, now.mono, &mut out)? {
                Some(told) => told,
                None => return Ok(Some(out)),
            },
            Inbound::Mail(mail) => match self.read(mail, now.mono, &mut out)? {
                Some(told) => told,
                None => return Ok(Some(out)),
            },
        };
        let Some(driver) = self.machinery.drivers.get_mut(&group) else { return Ok(Some(out)) };
        if let (Event::StatePersisted(index), Some(floors)) = (&mut event, floors) {
            let known = driver.status().peers.iter().map(|peer| peer.matched).min();
            *index = known.map_or(*index, |known| known.min(*index)).min(floors[&group]);
        }
        let is_tick = matches!(event, Event::Tick);
        let mut effects = Effects::default();
        driver.handle(event, now, &mut effects);
        out.touched = Some(group);
        self.carry_out(group, effects, now.mono, &mut out)?;
        if is_tick {
            self.send_all(group, now.mono, &mut out)?;
        }
        Ok(Some(out))
    }

    fn carry_out(
        &mut self,
        group: GroupId,
        effects: Effects,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let generation = self.machinery.generation_of(group);
        if effects.lead.is_some_and(|lead| lead.role != Role::Leader) {
            let own = self.outgoing.iter_mut().filter(|((of, _), _)| *of == group);
            own.for_each(|(_, transfer)| transfer.lead_lost(now));
        }
        out.changes.extend(effects.changes);
        out.farewells.extend(effects.farewells.into_iter().map(|leaver| (group, leaver)));
        out.leased += effects.leased;
        for (offer, wanted) in &effects.offers {
            self.offered(group, offer, *wanted, out);
        }
        for needed in effects.snapshots {
            out.snapshots.push((group, needed));
            if self.renew(group, needed, now, out)? {
                continue;
            }
            let sink = self.machinery.sink.clone();
            let reply = Box::new(move |view| sink.post(Mail::View(group, needed, view)));
            self.work.push(ApplyCommand::View { group, reply });
        }
        out.messages.extend(effects.messages.into_iter().map(|message| (group, message)));
        out.answers.extend(effects.answers.into_iter().map(|(_, answer)| answer));
        out.leads.extend(effects.lead);
        for write in effects.log {
            self.compactions += u64::from(write.number == ReadyNumber(0));
            if self.acknowledge == Acknowledge::BeforeWrite && write.number != ReadyNumber(0) {
                let done = Event::Persisted(write.generation, write.number);
                self.inbox.push_back(Inbound::Event(group, done));
            }
            if write.changes_log() {
                let next = self.request(group) + 1;
                self.requests.insert(group, next);
            }
            out.written.push(write.clone());
            self.writes.push(write);
        }
        for item in &effects.apply {
            if let ApplyItem::Entries(entries) = item {
                out.committed.extend(entries.iter().map(|(entry, routes)| {
                    let units = routes.iter().map(|route| route.unit).collect();
                    (group, entry.clone(), units)
                }));
            }
        }
        if !effects.apply.is_empty() {
            self.work.push(ApplyCommand::Work { group, generation, items: effects.apply });
        }
        for fetch in effects.fetches {
            let read = self.machinery.log.reader().read(group, fetch.from_index, fetch.bytes_max);
            let entries = read.map_err(|error| Failure::Disk(error.to_string()))?;
            self.fetches += 1;
            let fetched = Event::Fetched { generation, peer: fetch.to, entries };
            self.inbox.push_back(Inbound::Event(group, fetched));
        }
        Ok(())
    }

    /// A frame of a snapshot: an offer or a chunk, or the answer to one.
    fn frame(
        &mut self,
        from: NodeId,
        frame: SnapshotFrame,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<Option<(GroupId, Event)>, Failure> {
        let group = frame.group();
        match frame {
            SnapshotFrame::Offer { term, view, meta, .. } => {
                let offer = Offer { from, term, view, meta };
                return Ok(Some((group, Event::SnapshotOffered(offer))));
            }
            SnapshotFrame::Chunk { .. } => self.chunk(from, frame, out),
            answer => {
                if let Some(transfer) = self.outgoing.get_mut(&(group, from)) {
                    transfer.heard(&answer, now);
                    self.send(group, from, now, out)?;
                }
            }
        }
        Ok(None)
    }

    fn read(
        &mut self,
        mail: Mail,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<Option<(GroupId, Event)>, Failure> {
        match mail {
            Mail::View(group, needed, view) => self.transfer(group, needed, view, now, out),
            Mail::Stored(group, rows, sequence) => {
                self.stored(group, rows, sequence, out);
                Ok(None)
            }
            Mail::Installed(group, arrival, installed) => {
                Ok(self.installed(group, arrival, installed, out).map(|event| (group, event)))
            }
            Mail::Blank(group) => {
                self.coming.remove(&group);
                self.machinery.bear(group)?;
                out.begun.push(group);
                Ok(None)
            }
            Mail::Forgotten(group) => {
                self.going.remove(&group);
                self.machinery.bury(group);
                self.holdings.remove(&group);
                self.persisted.remove(&group);
                out.ended.push(group);
                Ok(None)
            }
        }
    }

    /// A view is there to be sent, if it still fits what the peer needs.
    fn transfer(
        &mut self,
        group: GroupId,
        needed: SnapshotNeeded,
        view: Result<View, String>,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<Option<(GroupId, Event)>, Failure> {
        let peer = needed.to;
        let Some(driver) = self.machinery.drivers.get(&group) else { return Ok(None) };
        let fitting = view.ok().filter(|view| view.applied >= needed.index_min);
        let fitting = fitting.and_then(|view| {
            let meta = driver.snapshot_meta(view.applied, view.membership.clone())?;
            Some((view, meta))
        });
        let Some((view, meta)) = fitting else {
            return Ok(Some((group, Event::SnapshotSent { peer, installed: false })));
        };
        if !driver.owes_snapshot(peer) {
            return Ok(None);
        }
        let term = driver.status().term;
        // Views are numbered in each life of the node.
        let name = self.machinery.generation.0 << 32 | view.id;
        let transfer = Outgoing::new(group, peer, term, meta, (name, view), now);
        self.outgoing.insert((group, peer), transfer);
        self.send(group, peer, now, out)?;
        Ok(None)
    }

    /// Whether a snapshot that is on its way goes on for a peer that needs one in a new term.
    fn renew(
        &mut self,
        group: GroupId,
        needed: SnapshotNeeded,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<bool, Failure> {
        let Some(driver) = self.machinery.drivers.get(&group) else { return Ok(false) };
        let transfer = self.outgoing.get_mut(&(group, needed.to));
        let Some(transfer) = transfer.filter(|one| one.meta.index >= needed.index_min) else {
            return Ok(false);
        };
        transfer.renewed(driver.status().term);
        self.send(group, needed.to, now, out)?;
        Ok(true)
    }

    /// Sends what may be sent of a snapshot.
    fn send(
        &mut self,
        group: GroupId,
        to: NodeId,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let Some(transfer) = self.outgoing.get_mut(&(group, to)) else { return Ok(()) };
        let (frames, progress) =
            transfer.frames(self.machinery.chunk_bytes, now).map_err(Failure::Disk)?;
        out.frames.extend(frames.into_iter().map(|frame| (to, frame)));
        if let Progress::Ended { installed } = progress {
            self.resumed += transfer.resumed();
            self.outgoing.remove(&(group, to));
            let ended = Event::SnapshotSent { peer: to, installed };
            self.inbox.push_back(Inbound::Event(group, ended));
        }
        Ok(())
    }

    fn send_all(
        &mut self,
        group: GroupId,
        now: MonoMillis,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let own: Vec<_> = self.outgoing.keys().filter(|(of, _)| *of == group).copied().collect();
        own.into_iter().try_for_each(|(_, to)| self.send(group, to, now, out))
    }

    /// A turn of the log thread: one write and one sync for all that came meanwhile, or tidying up after
    /// it. The completions are on their way while it tidies up. Answers what is synced.
    pub(crate) fn write(&mut self) -> Result<Vec<LogWrite>, Failure> {
        if std::mem::take(&mut self.written) {
            self.machinery.log.maintain()?;
            return Ok(Vec::new());
        }
        if std::mem::take(&mut self.probes) && self.writes.is_empty() {
            self.machinery.log.probe()?;
            return Ok(Vec::new());
        }
        let batch = self.take_batch();
        self.machinery.log.write(&batch)?;
        self.written = true;
        for write in batch.iter().filter(|write| matches!(write.op, Some(LogOp::Dead))) {
            let newest_rows = self.machinery.intakes.get(&write.group).map(Intake::newest_rows);
            self.reset(write.group, newest_rows.unwrap_or_default(), Mail::Forgotten);
        }
        if self.acknowledge != Acknowledge::BeforeWrite {
            for write in batch.iter().filter(|write| write.number != ReadyNumber(0)) {
                let done = Event::Persisted(write.generation, write.number);
                self.inbox.push_back(Inbound::Event(write.group, done));
            }
        }
        Ok(batch)
    }

    /// Whether the next write is larger than what a disk writes whole.
    pub(crate) fn next_write_may_tear(&self) -> bool {
        !self.written && self.writes.iter().map(LogWrite::cost).sum::<usize>() > SECTOR
    }

    fn take_batch(&mut self) -> Vec<LogWrite> {
        let mut bytes = 0;
        let fits = self.writes.iter().take_while(|write| {
            bytes += write.cost();
            bytes <= limits::WAL_BATCH_BYTES_MAX
        });
        let count = fits.count().max(1).min(self.writes.len());
        let mut batch: Vec<_> = self.writes.drain(..count).collect();
        for write in &mut batch {
            write.must_sync &= self.acknowledge != Acknowledge::WithoutSync;
        }
        batch
    }

    /// The log thread is in the middle of a write when the power goes off. Nobody hears of it.
    pub(crate) fn write_into_the_dark(&mut self) {
        if !self.writes.is_empty() {
            let batch = self.take_batch();
            // It fails, or it was through just before.
            let _ = self.machinery.log.write(&batch);
        }
    }

    /// A turn of the apply thread.
    pub(crate) fn apply(&mut self, now: MonoMillis) -> Result<Output, Failure> {
        self.wants_apply = false;
        let work = std::mem::take(&mut self.work);
        self.machinery.sink.set_clock(now);
        self.machinery.applier.turn(work, now);
        self.hear()
    }

    /// What the applier and the store have told.
    fn hear(&mut self) -> Result<Output, Failure> {
        let Told { answers, events, has_applied, commands, mail, holdings, failed, .. } =
            self.machinery.sink.take();
        if let Some(why) = failed {
            return Err(Failure::Broken(why));
        }
        self.has_applied |= has_applied;
        self.inbox.extend(events.into_iter().map(|(group, event)| Inbound::Event(group, event)));
        self.inbox.extend(mail.into_iter().map(Inbound::Mail));
        for command in commands {
            match command {
                Command::Bulk { .. } => self.bulk.push_back(command),
                command => self.commands.push_back(command),
            }
        }
        let groups = holdings.iter().map(|(group, _)| *group).collect();
        self.holdings.extend(holdings);
        Ok(Output { answers, holdings: groups, ..Output::default() })
    }

    /// A turn of the state thread: one command. The two lanes take turns. Answers up to where the groups
    /// are applied in what was written.
    pub(crate) fn store(&mut self) -> Result<Vec<(GroupId, Index)>, Failure> {
        let store = &self.machinery.disks.state;
        let failed = |error: eraft::store::state::StateError| Failure::Disk(error.to_string());
        self.bulk_next = !self.bulk_next;
        let (first, second) = match self.bulk_next {
            true => (&mut self.bulk, &mut self.commands),
            false => (&mut self.commands, &mut self.bulk),
        };
        let command = first.pop_front().or_else(|| second.pop_front());
        let mut written = Vec::new();
        match command {
            Some(Command::Write(frozen)) => {
                store.write(std::slice::from_ref(&frozen.batch)).map_err(failed)?;
                written
                    .extend(frozen.batch.applied().iter().map(|(group, index)| (*group, *index)));
                self.unpersisted.extend(frozen.batch.applied());
                self.work.push(ApplyCommand::Written(frozen.number));
            }
            Some(Command::Bulk { batch, done }) => {
                store.write(std::slice::from_ref(&batch)).map_err(failed)?;
                self.unpersisted.extend(batch.applied());
                done();
            }
            Some(Command::Persist { token }) => {
                store.persist().map_err(failed)?;
                let applied: Vec<_> = std::mem::take(&mut self.unpersisted).into_iter().collect();
                self.persisted.extend(applied.iter().copied());
                self.work.push(ApplyCommand::Persisted(token, applied));
            }
            Some(Command::View { reply }) => reply(store.view()),
            other => unreachable!("{other:?} is never asked for here"),
        }
        self.hear()?;
        Ok(written)
    }
}
