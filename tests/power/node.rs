//! A machine: its disks, which outlive the process on it, and the ways in which it can go down.

use super::chance::Chance;
use super::checks::Violation;
use super::plan::Acknowledge;
use super::process::Process;
use super::start::{GROUPS, Machinery};
use super::turn::{Failure, Output, Part};
use eraft::actors::group::event::Now;
use eraft::ids::{GroupId, Index, NodeId};
use eraft::rows::{RowGeneration, generation_prefix, prefix_end};
use eraft::store::disk::{Crash, SimDisk};
use eraft::store::state::{ModelStore, StateStore};
use std::collections::BTreeMap;

/// The mains, which all machines share. It may go off after so many steps of I/O.
#[derive(Debug, Default)]
pub(crate) struct Power {
    /// Steps since it came on.
    pub(crate) steps: u64,
    /// At this step it goes off.
    pub(crate) cut_at: Option<u64>,
}

impl Power {
    pub(crate) fn is_off(&self) -> bool {
        self.cut_at.is_some_and(|at| self.steps >= at)
    }

    /// Lets a machine work with its disk until the power goes off.
    fn feed<T>(&mut self, disk: &SimDisk, act: impl FnOnce() -> T) -> T {
        let before = disk.steps();
        if let Some(at) = self.cut_at {
            disk.cut_power_at(before + at.saturating_sub(self.steps));
        }
        let result = act();
        self.steps += disk.steps() - before;
        result
    }
}

/// How a machine goes down.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    /// It loses its power.
    Power(Crash),
    /// Only the process dies; the page cache survives.
    Process,
}

/// See the module's first lines.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disk: SimDisk,
    store: ModelStore,
    /// Lives so far.
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    /// Parts whose next turn is planned already.
    planned: [bool; 4],
    /// The disk was told to fail.
    pub(crate) is_doomed: bool,
    /// How far each group was ever applied here; the log has all of it.
    reached: BTreeMap<GroupId, Index>,
    /// Counted over all earlier lives.
    fetches: u64,
    compactions: u64,
}

impl Node {
    /// A machine with empty disks, switched off.
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            disk: SimDisk::new(),
            store: ModelStore::default(),
            life: 0,
            process: None,
            planned: [false; 4],
            is_doomed: false,
            reached: GROUPS.into_iter().map(|group| (group, Index(0))).collect(),
            fetches: 0,
            compactions: 0,
        }
    }

    /// Starts the process. A disk that fails without having been told to is damage.
    pub(crate) fn start(
        &mut self,
        seed: u64,
        acknowledge: Acknowledge,
        power: &mut Power,
    ) -> Result<(), Failure> {
        self.life += 1;
        self.planned = [false; 4];
        let seed = Chance::new(seed ^ self.life << 32, u64::from(self.id.0)).next();
        let (disk, store) = (&self.disk, &self.store);
        let started = power.feed(disk, || Machinery::start(self.id, self.life, seed, disk, store));
        match started {
            Ok(machinery) => {
                self.process = Some(Process::new(machinery, acknowledge));
                Ok(())
            }
            Err(Failure::Disk(error)) if !power.is_off() && !self.is_doomed => {
                let story = format!("{}: {error}", self.id);
                Err(Failure::Violation(Violation::DoesNotOpen(story)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Ends the process, and leaves the disks as they are then found.
    pub(crate) fn die(&mut self, death: Death, chance: &mut Chance) {
        if let Some(process) = self.process.take() {
            for (group, index) in process.machinery.applied() {
                let reached = self.reached.entry(group).or_default();
                *reached = index.max(*reached);
            }
            self.fetches += process.fetches;
            self.compactions += process.compactions;
        }
        self.is_doomed = false;
        match death {
            Death::Process => {
                self.disk = self.disk.killed();
                self.store.crash(usize::MAX);
            }
            Death::Power(crash) => {
                self.disk = self.disk.crash(crash);
                let writes = self.store.unpersisted();
                self.store.crash(match crash {
                    Crash::Drop => 0,
                    Crash::Keep => writes,
                    Crash::Mixed(_) => chance.below(writes as u64 + 1) as usize,
                });
            }
        }
    }

    /// The power goes off elsewhere at a moment when this machine may be in the middle of a write.
    pub(crate) fn is_caught(&mut self, chance: &mut Chance) {
        let steps = chance.below(4);
        if let (Some(process), 1..) = (&mut self.process, steps) {
            self.disk.cut_power_at(self.disk.steps() + steps);
            process.write_into_the_dark();
        }
    }

    /// Whether a part needs a turn that is not planned yet; it is from now on.
    pub(crate) fn plan(&mut self, part: Part) -> bool {
        let has_work = self.process.as_ref().is_some_and(|process| process.has_work(part));
        has_work && !std::mem::replace(&mut self.planned[part as usize], true)
    }

    /// Gives a part its turn.
    pub(crate) fn turn(
        &mut self,
        part: Part,
        now: Now,
        floors: &BTreeMap<GroupId, Index>,
        power: &mut Power,
    ) -> Result<Output, Failure> {
        self.planned[part as usize] = false;
        let Some(process) = &mut self.process else { return Ok(Output::default()) };
        match part {
            Part::Drivers => process.drive(now, floors),
            Part::Log => power.feed(&self.disk, || process.write()).map(|()| Output::default()),
            Part::Apply => process.apply(now.mono),
            Part::State => process.store().map(|()| Output::default()),
        }
    }

    /// Nothing that was planned for its disk happens any more.
    pub(crate) fn calm(&mut self) {
        self.is_doomed = false;
        self.disk.cut_power_at(u64::MAX);
        self.disk.fail_sync_at(u64::MAX);
    }

    /// Entries that were read back from the log.
    pub(crate) fn fetches(&self) -> u64 {
        self.fetches + self.process.as_ref().map_or(0, |process| process.fetches)
    }

    /// Times that a log was cut off at its beginning.
    pub(crate) fn compactions(&self) -> u64 {
        self.compactions + self.process.as_ref().map_or(0, |process| process.compactions)
    }

    /// How far a group was ever applied here.
    pub(crate) fn reached(&self, group: GroupId) -> Index {
        let known = self.reached[&group];
        let now = self.process.as_ref().map(|process| process.driver(group).status().applied);
        now.unwrap_or_default().max(known)
    }

    /// The rows of a group in the state store.
    pub(crate) fn rows(&self, group: GroupId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let from = generation_prefix(group, RowGeneration(1));
        let mut rows = Vec::new();
        let read = self.store.range(&from, &prefix_end(&from), &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            true
        });
        read.expect("a store in memory reads");
        rows
    }
}
