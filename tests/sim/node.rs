//! A machine: its disks, its clock, and the process on it.

use super::bitrot::Bitrot;
use super::clock::Clock;
use super::cluster::{Acknowledge, Chance, Death, Disks, Failure, Machinery, Part, Process, Shape};
use eraft::actors::clocks::PeerClocks;
use eraft::actors::group::event::Now;
use eraft::ids::{GroupId, NodeId};
use eraft::raft::Status;
use std::collections::BTreeSet;

/// See the module's first lines.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disks: Disks,
    pub(crate) clock: Clock,
    /// What it has heard of the others' clocks.
    pub(crate) clocks: PeerClocks,
    /// Lives so far.
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    /// Parts whose next turn is planned already.
    planned: [bool; 4],
    /// The disk was told to fail.
    pub(crate) is_doomed: bool,
    /// The power is to go off within the next write that a disk does not write whole.
    pub(crate) cuts_large_write: bool,
    /// A damage to come, or that came.
    pub(crate) bitrot: Bitrot,
    /// Replicas that may have forgotten what they promised.
    pub(crate) silent: BTreeSet<GroupId>,
    /// It does not come back.
    pub(crate) is_lost: bool,
    pub(crate) paused_until: u64,
    pub(crate) log_slow_until: u64,
    pub(crate) state_slow_until: u64,
}

impl Node {
    /// A machine with empty disks, switched off.
    pub(crate) fn new(id: NodeId, ahead: i64) -> Self {
        Self {
            id,
            disks: Disks::default(),
            clock: Clock::new(ahead),
            clocks: PeerClocks::default(),
            life: 0,
            process: None,
            planned: [false; 4],
            is_doomed: false,
            cuts_large_write: false,
            bitrot: Bitrot::default(),
            silent: BTreeSet::new(),
            is_lost: false,
            paused_until: 0,
            log_slow_until: 0,
            state_slow_until: 0,
        }
    }

    /// Starts the process.
    pub(crate) fn start(&mut self, seed: u64, shape: &Shape, now: u64) -> Result<(), Failure> {
        self.life += 1;
        self.planned = [false; 4];
        self.clock.start(now);
        self.clocks = PeerClocks::default();
        self.paused_until = 0;
        let seed = Chance::new(seed ^ self.life << 32, u64::from(self.id.0)).next();
        let machinery = Machinery::start(self.id, self.life, seed, &self.disks, shape)?;
        let silent = shape.groups.iter().filter(|group| machinery.is_silent(**group));
        self.silent = silent.copied().collect();
        self.process = Some(Process::new(machinery, Acknowledge::AfterSync));
        Ok(())
    }

    /// Ends the process, and leaves the disks as they are then found.
    pub(crate) fn die(&mut self, death: Death, chance: &mut Chance) {
        self.process = None;
        self.is_doomed = false;
        self.cuts_large_write = false;
        self.disks.die(death, chance);
    }

    /// Whether it is up and nothing is planned against it.
    pub(crate) fn is_fine(&self) -> bool {
        self.process.is_some() && !self.is_doomed && !self.bitrot.is_on()
    }

    /// Whether a part needs a turn that is not planned yet; it is from now on.
    pub(crate) fn plan(&mut self, part: Part) -> bool {
        let has_work = self.process.as_ref().is_some_and(|process| process.has_work(part));
        has_work && !std::mem::replace(&mut self.planned[part as usize], true)
    }

    /// A part has its turn now.
    pub(crate) fn begins(&mut self, part: Part) {
        self.planned[part as usize] = false;
    }

    /// What its clocks say.
    pub(crate) fn time(&self, now: u64, voters: &[NodeId]) -> Now {
        let (mono, wall) = (self.clock.mono(now), self.clock.wall(now));
        Now { mono, median: self.clocks.median(self.id, voters, wall, mono) }
    }

    pub(crate) fn status(&self, group: GroupId) -> Option<Status> {
        Some(self.process.as_ref()?.driver(group)?.status())
    }

    /// Nothing that was planned against it happens any more.
    pub(crate) fn calm(&mut self, now: u64) {
        self.is_doomed = false;
        self.cuts_large_write = false;
        self.disks.log.cut_power_at(u64::MAX);
        self.disks.log.fail_sync_at(u64::MAX);
        self.disks.log.set_free(None);
        self.bitrot.cancel();
        self.paused_until = self.paused_until.min(now);
        self.log_slow_until = 0;
        self.state_slow_until = 0;
        self.clock.set_rate(1_000_000, now);
    }
}
