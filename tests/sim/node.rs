//! A machine: its disks, its clock, and the process on it.

use super::bitrot::Bitrot;
use super::clock::Clock;
use super::cluster::{Acknowledge, Chance, Death, Disks, Failure, Machinery, Part, Process, Shape};
use super::pollers::Poller;
use super::stewards::Steward;
use super::swarm::{ALL, GROUPS};
use super::warden::Warden;
use eraft::actors::apply::Holdings;
use eraft::actors::clocks::PeerClocks;
use eraft::actors::group::event::Now;
use eraft::ids::{GroupId, Incarnation, NodeId};
use eraft::raft::Status;
use eraft::shard::Table;
use eraft::store::wal::Damage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module's first lines.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disks: Disks,
    pub(crate) clock: Clock,
    /// What it has heard of the others' clocks.
    pub(crate) clocks: PeerClocks,
    pub(crate) warden: Warden,
    pub(crate) steward: Steward,
    pub(crate) poller: Poller,
    /// The replicas on its disks, and the disk by which each is known to its group.
    pub(crate) identities: BTreeMap<GroupId, Incarnation>,
    /// The newest that it has heard of.
    pub(crate) table: Option<Arc<Table>>,
    /// Lives so far.
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    /// Groups that sleep here.
    asleep: BTreeSet<GroupId>,
    /// Parts whose next turn is planned already.
    planned: [bool; 4],
    /// The disk was told to fail.
    pub(crate) is_doomed: bool,
    /// The power is to go off within the next write that a disk does not write whole.
    pub(crate) cuts_large_write: bool,
    /// Batches that its log has written, in all its lives.
    pub(crate) batches: u64,
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
        let disks = Disks::default();
        Self {
            id,
            identities: all_by(disks.incarnation(id)),
            disks,
            clock: Clock::new(ahead),
            clocks: PeerClocks::default(),
            warden: Warden::default(),
            steward: Steward::default(),
            poller: Poller::default(),
            table: None,
            asleep: BTreeSet::new(),
            life: 0,
            process: None,
            planned: [false; 4],
            is_doomed: false,
            cuts_large_write: false,
            batches: 0,
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
        self.warden = Warden::default();
        self.steward = Steward::default();
        self.poller = Poller::default();
        self.asleep.clear();
        self.paused_until = 0;
        let seed = Chance::new(seed ^ self.life << 32, u64::from(self.id.0)).next();
        let machinery = Machinery::start(self.id, self.life, seed, &self.disks, shape)?;
        self.identities = machinery.identities.clone();
        let silent = self.identities.keys().filter(|group| machinery.is_silent(**group));
        self.silent = silent.copied().collect();
        self.poller.is_unsure = machinery.damage == Damage::All;
        if shape.come_and_go {
            self.heals();
        }
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

    /// An empty disk takes the place of the one that was lost.
    pub(crate) fn replace_disk(&mut self) {
        self.process = None;
        self.disks = self.disks.replaced();
        self.identities = all_by(self.disks.incarnation(self.id));
        self.table = None;
        self.bitrot = Bitrot::default();
        self.silent.clear();
        (self.is_lost, self.is_doomed, self.cuts_large_write) = (false, false, false);
    }

    /// Whether its disk is the one by which it is known, and its replica of a group takes part.
    pub(crate) fn takes_part(&self, group: GroupId, known: Option<Incarnation>) -> bool {
        let own = self.identities.get(&group);
        let is_known = own.is_some_and(|own| known.is_none_or(|known| known == *own));
        is_known && !self.is_lost && !self.silent.contains(&group)
    }

    /// Whether a replica of a group is on its disks.
    pub(crate) fn hosts(&self, group: GroupId) -> bool {
        self.identities.contains_key(&group)
    }

    /// If nothing is left of what its log has lost, it is well again.
    pub(crate) fn heals(&mut self) {
        if self.bitrot.is_known(self.life) && self.silent.is_empty() && !self.poller.is_unsure {
            self.bitrot = Bitrot::default();
        }
    }

    /// Whether besides it will go on taking part, as far as can be told.
    pub(crate) fn is_whole(&self, group: GroupId, known: Option<Incarnation>) -> bool {
        self.takes_part(group, known) && !self.bitrot.is_on()
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

    /// What its clocks say, for the next event.
    pub(crate) fn time(&self, now: u64) -> Now {
        self.time_of(self.process.as_ref().and_then(Process::next_group), now)
    }

    fn time_of(&self, group: Option<GroupId>, now: u64) -> Now {
        let (mono, wall) = (self.clock.mono(now), self.clock.wall(now));
        let driver = group.and_then(|group| self.process.as_ref()?.driver(group));
        let voters = driver.map_or(&[][..], |driver| &driver.membership().voters);
        Now { mono, median: self.clocks.median(self.id, voters, wall, mono) }
    }

    /// The Raft clock moves on. Who sleeps is not ticked.
    pub(crate) fn tick(&mut self, now: u64) {
        for group in ALL {
            let at = self.time_of(Some(group), now);
            if let Some(process) = &mut self.process {
                process.tick_unless_asleep(group, at, &self.warden.health);
            }
        }
    }

    /// Whether a group slept here; now it does, or does not.
    pub(crate) fn sleeps(&mut self, group: GroupId, asleep: bool) -> bool {
        if asleep { !self.asleep.insert(group) } else { self.asleep.remove(&group) }
    }

    pub(crate) fn status(&self, group: GroupId) -> Option<Status> {
        Some(self.process.as_ref()?.driver(group)?.status())
    }

    /// What its replica of a group owns, and what moves there.
    pub(crate) fn holdings(&self, group: GroupId) -> Option<&Holdings> {
        self.process.as_ref()?.holdings(group)
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

/// A replica of each group, all known by one disk.
fn all_by(disk: Incarnation) -> BTreeMap<GroupId, Incarnation> {
    GROUPS.into_iter().map(|group| (group, disk)).collect()
}
