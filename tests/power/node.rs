//! A machine: its disks, which outlive the process on it, and the ways in which it can go down.

use super::parts::{Acknowledge, Chance, Death, Disks, Failure, Machinery, Output, Part, Process};
use super::shape::{GROUPS, shape};
use eraft::actors::group::event::Now;
use eraft::ids::{GroupId, Index, NodeId};
use eraft::store::disk::SimDisk;
use eraft::store::wal::Damage;
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

/// Events that the drivers take in one turn.
const EVENTS_PER_TURN: usize = 8;

/// See the module's first lines.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disks: Disks,
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
            disks: Disks::default(),
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
        let (disks, shape) = (&self.disks, shape());
        let start = || Machinery::start(self.id, self.life, seed, disks, &shape);
        match power.feed(&disks.log, start) {
            Ok(machinery) if machinery.damage != Damage::None => {
                let (damage, places) = (&machinery.damage, &machinery.places);
                Err(Failure::DoesNotOpen(format!("{}: {damage:?} at {places}", self.id)))
            }
            Ok(machinery) => {
                self.process = Some(Process::new(machinery, acknowledge));
                Ok(())
            }
            Err(Failure::Disk(error)) if !power.is_off() && !self.is_doomed => {
                Err(Failure::DoesNotOpen(format!("{}: {error}", self.id)))
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
        self.disks.die(death, chance);
    }

    /// The power goes off elsewhere at a moment when this machine may be in the middle of a write.
    pub(crate) fn is_caught(&mut self, chance: &mut Chance) {
        let steps = chance.below(4);
        if let (Some(process), 1..) = (&mut self.process, steps) {
            self.disks.log.cut_power_at(self.disks.log.steps() + steps);
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
            Part::Drivers => drive(process, now, floors),
            Part::Log => power.feed(&self.disks.log, || process.write()).map(|_| Output::default()),
            Part::Apply => process.apply(now.mono),
            Part::State => process.store().map(|_| Output::default()),
        }
    }

    /// Nothing that was planned for its disk happens any more.
    pub(crate) fn calm(&mut self) {
        self.is_doomed = false;
        self.disks.log.cut_power_at(u64::MAX);
        self.disks.log.fail_sync_at(u64::MAX);
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
        let driver = self.process.as_ref().and_then(|process| process.driver(group));
        driver.map_or(known, |driver| driver.status().applied.max(known))
    }

    /// The rows of a group in the state store.
    pub(crate) fn rows(&self, group: GroupId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        self.disks.each_row(group, |key, value| rows.push((key.to_vec(), value.to_vec())));
        rows
    }
}

/// A turn of the drivers.
fn drive(
    process: &mut Process,
    now: Now,
    floors: &BTreeMap<GroupId, Index>,
) -> Result<Output, Failure> {
    let mut out = Output::default();
    for _ in 0..EVENTS_PER_TURN {
        let Some(one) = process.drive(now, Some(floors))? else { break };
        out.append(one);
    }
    Ok(out)
}
