//! One life of a node: the real log, the real drivers and the real applier, with queues in between where
//! the node has threads. Each queue is worked off in turns of its own, at the times that the cluster
//! chooses.
//!
//! ```text
//!  events ──► drivers ──► writes ──► log ──► events
//!                └──────► work ────► applier ──► events, answers
//!                                       └──► commands ──► state store ──► work
//! ```

use super::checks::Violation;
use super::plan::Acknowledge;
use super::start::Machinery;
use super::turn::{Failure, Output, Part};
use eraft::actors::apply::ApplyCommand;
use eraft::actors::group::driver::Driver;
use eraft::actors::group::event::{ApplyItem, Effects, Event, Now};
use eraft::ids::{GroupId, Index, ReadyNumber};
use eraft::limits;
use eraft::store::state::{Command, StateStore};
use eraft::store::wal::LogWrite;
use eraft::time::MonoMillis;
use std::collections::{BTreeMap, VecDeque};

/// Events that the drivers take in one turn.
const EVENTS_PER_TURN: usize = 8;

/// See the module's first lines.
pub(crate) struct Process {
    pub(crate) machinery: Machinery,
    acknowledge: Acknowledge,
    inbox: VecDeque<(GroupId, Event)>,
    writes: Vec<LogWrite>,
    /// Something was written, so the log tidies up before it writes again.
    written: bool,
    work: Vec<ApplyCommand>,
    wants_apply: bool,
    /// Something was applied since the state was last brought to the disk.
    has_applied: bool,
    commands: VecDeque<Command>,
    unpersisted: BTreeMap<GroupId, Index>,
    /// How far the state is on disk.
    persisted: BTreeMap<GroupId, Index>,
    /// Entries that were read back from the log.
    pub(crate) fetches: u64,
    /// Times that a log was cut off at its beginning.
    pub(crate) compactions: u64,
}

impl Process {
    pub(crate) fn new(machinery: Machinery, acknowledge: Acknowledge) -> Self {
        // What the state store has now, it had on disk.
        let persisted = machinery.applied().collect();
        Self {
            machinery,
            acknowledge,
            inbox: VecDeque::new(),
            writes: Vec::new(),
            written: false,
            work: Vec::new(),
            wants_apply: true,
            has_applied: true,
            commands: VecDeque::new(),
            unpersisted: BTreeMap::new(),
            persisted,
            fetches: 0,
            compactions: 0,
        }
    }

    /// For a driver.
    pub(crate) fn push(&mut self, group: GroupId, event: Event) {
        self.inbox.push_back((group, event));
    }

    /// The Raft clock; and the applier looks whether something is due.
    pub(crate) fn tick(&mut self) {
        for group in self.machinery.drivers.keys() {
            self.inbox.push_back((*group, Event::Tick));
        }
        self.wants_apply = true;
    }

    /// Get what was applied onto the disk, so that the log may be cut.
    pub(crate) fn persist(&mut self) {
        if std::mem::take(&mut self.has_applied) {
            self.work.push(ApplyCommand::Persist);
        }
    }

    pub(crate) fn driver(&self, group: GroupId) -> &Driver {
        &self.machinery.drivers[&group]
    }

    /// How far a group's state is on disk.
    pub(crate) fn persisted(&self, group: GroupId) -> Index {
        self.persisted.get(&group).copied().unwrap_or_default()
    }

    /// Whether a part has something to do.
    pub(crate) fn has_work(&self, part: Part) -> bool {
        match part {
            Part::Drivers => !self.inbox.is_empty(),
            Part::Log => self.written || !self.writes.is_empty(),
            Part::Apply => self.wants_apply || !self.work.is_empty(),
            Part::State => !self.commands.is_empty(),
        }
    }

    /// A turn of the drivers. No log is cut behind its group's floor, nor behind what its leader knows the
    /// others to have: so nobody ever needs a snapshot, which there is none of here.
    pub(crate) fn drive(
        &mut self,
        now: Now,
        floors: &BTreeMap<GroupId, Index>,
    ) -> Result<Output, Failure> {
        let mut out = Output::default();
        for _ in 0..EVENTS_PER_TURN {
            let Some((group, mut event)) = self.inbox.pop_front() else { break };
            let driver = self.machinery.drivers.get_mut(&group).expect("a group of this node");
            if let Event::StatePersisted(index) = &mut event {
                let known = driver.status().peers.iter().map(|peer| peer.matched).min();
                *index = known.map_or(*index, |known| known.min(*index)).min(floors[&group]);
            }
            let mut effects = Effects::default();
            driver.handle(event, now, &mut effects);
            self.carry_out(group, effects, &mut out)?;
        }
        Ok(out)
    }

    fn carry_out(
        &mut self,
        group: GroupId,
        effects: Effects,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if let Some(needed) = effects.snapshots.first() {
            let story = format!("{} needs a snapshot of {group}", needed.to);
            return Err(Failure::Violation(Violation::Stuck(story)));
        }
        out.messages.extend(effects.messages.into_iter().map(|message| (group, message)));
        out.answers.extend(effects.answers.into_iter().map(|(_, answer)| answer));
        out.leads.extend(effects.lead);
        for write in effects.log {
            self.compactions += u64::from(write.op.is_some());
            if self.acknowledge == Acknowledge::BeforeWrite && write.number != ReadyNumber(0) {
                self.inbox.push_back((group, Event::Persisted(write.generation, write.number)));
            }
            self.writes.push(write);
        }
        for item in &effects.apply {
            if let ApplyItem::Entries(entries) = item {
                out.committed.extend(entries.iter().map(|(entry, _)| (group, entry.clone())));
            }
        }
        let generation = self.machinery.generation;
        if !effects.apply.is_empty() {
            self.work.push(ApplyCommand::Work { group, generation, items: effects.apply });
        }
        for fetch in effects.fetches {
            let read = self.machinery.log.reader().read(group, fetch.from_index, fetch.bytes_max);
            let entries = read.map_err(|error| Failure::Disk(error.to_string()))?;
            self.fetches += 1;
            self.inbox.push_back((group, Event::Fetched { generation, peer: fetch.to, entries }));
        }
        Ok(())
    }

    /// A turn of the log thread: one write and one sync for all that came meanwhile, or tidying up after
    /// it. The completions are on their way while it tidies up.
    pub(crate) fn write(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.written) {
            return Ok(self.machinery.log.maintain()?);
        }
        let batch = self.take_batch();
        self.machinery.log.write(&batch)?;
        self.written = true;
        if self.acknowledge != Acknowledge::BeforeWrite {
            for write in batch.iter().filter(|write| write.number != ReadyNumber(0)) {
                let event = Event::Persisted(write.generation, write.number);
                self.inbox.push_back((write.group, event));
            }
        }
        Ok(())
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
        self.machinery.applier.turn(work, now);
        let told = self.machinery.sink.take();
        if let Some(why) = told.failed {
            return Err(Failure::Violation(Violation::Failed(why)));
        }
        self.has_applied |= told.has_applied;
        self.inbox.extend(told.events);
        self.commands.extend(told.commands);
        Ok(Output { answers: told.answers, ..Output::default() })
    }

    /// A turn of the state thread: one command.
    pub(crate) fn store(&mut self) -> Result<(), Failure> {
        let store = &self.machinery.store;
        let failed = |error: eraft::store::state::StateError| Failure::Disk(error.to_string());
        match self.commands.pop_front() {
            Some(Command::Write(frozen)) => {
                store.write(std::slice::from_ref(&frozen.batch)).map_err(failed)?;
                self.unpersisted.extend(frozen.batch.applied());
                self.work.push(ApplyCommand::Written(frozen.number));
            }
            Some(Command::Persist { token }) => {
                store.persist().map_err(failed)?;
                let applied: Vec<_> = std::mem::take(&mut self.unpersisted).into_iter().collect();
                self.persisted.extend(applied.iter().copied());
                self.work.push(ApplyCommand::Persisted(token, applied));
            }
            other => unreachable!("{other:?} belongs to snapshots"),
        }
        Ok(())
    }
}
