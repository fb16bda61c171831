//! What goes wrong, and how. Which of these a seed knows is its swarm's choice.
//!
//! Disks are lost (by damage, or because they are wiped) only as long as every group keeps a majority, so
//! that the cluster must go on; everything that passes may strike all nodes at once.

use super::bitrot::Bitrot;
use super::cluster::Death;
use super::coverage::Kind;
use super::network::Weather;
use super::swarm::ALL;
use super::world::{Happening, World};
use eraft::actors::group::event::Event;
use eraft::ids::NodeId;
use eraft::store::disk::Crash;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process of a node is killed.
    Kill,
    /// A node loses its power.
    PowerLoss,
    /// All of them do.
    PowerLossOfAll,
    /// A node loses its power within a write.
    CutInWrite,
    /// A sync fails.
    FailedSync,
    SlowLog,
    SlowState,
    /// The log's disk is full: nothing can be added to it.
    FullDisk,
    /// Nearly full: writes that grow the data are refused.
    LowDisk,
    /// A bit of the log flips.
    BitFlip,
    /// A node loses its disk, or has lost it, and comes back with an empty one, or never. Under that one its
    /// name counts for nothing until its groups have admitted it again.
    Wipe,
    Pause,
    LongPause,
    ClockJump,
    ClockRate,
    /// A node hears nobody, and nobody hears it.
    Isolate,
    /// Two parts that do not hear each other.
    Split,
    /// A node hears nobody, or nobody hears it.
    OneWay,
    /// Every node hears its neighbours only.
    Ring,
    /// Links are clogged one by one, and freed in another order.
    Swizzle,
    Storm,
    Transfer,
    /// No client wants anything for a while.
    Lull,
}

impl Fault {
    pub(crate) const ALL: [Self; 23] = [
        Self::Kill,
        Self::PowerLoss,
        Self::PowerLossOfAll,
        Self::CutInWrite,
        Self::FailedSync,
        Self::SlowLog,
        Self::SlowState,
        Self::FullDisk,
        Self::LowDisk,
        Self::BitFlip,
        Self::Wipe,
        Self::Pause,
        Self::LongPause,
        Self::ClockJump,
        Self::ClockRate,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Ring,
        Self::Swizzle,
        Self::Storm,
        Self::Transfer,
        Self::Lull,
    ];

    /// Those that leave a plot its course.
    pub(crate) const PLOTTED: [Self; 6] = [
        Self::Kill,
        Self::PowerLoss,
        Self::SlowState,
        Self::Pause,
        Self::ClockJump,
        Self::Transfer,
    ];
}

impl World {
    /// Something goes wrong.
    pub(crate) fn strike(&mut self) {
        if self.swarm.faults.is_empty() {
            return;
        }
        let fault = self.faults.pick(&self.swarm.faults);
        let id = self.any_node();
        self.note(|| format!("{fault:?} strikes, perhaps {id}"), &[fault as u8, id.0 as u8]);
        match fault {
            Fault::PowerLossOfAll => self.power_loss_of_all(),
            Fault::Isolate | Fault::Split | Fault::OneWay | Fault::Ring => {
                self.partition(fault, id)
            }
            Fault::Swizzle => self.swizzle(),
            Fault::Storm => self.storm(),
            Fault::Transfer => self.transfer(),
            Fault::Lull => {
                self.coverage.count(Kind::Lulls);
                let length = self.faults.between(400_000, 2_500_000);
                self.lull_until = self.now + length;
                // Whoever leads now may be struck when everybody is asleep.
                let group = self.faults.pick(&self.groups());
                if let Some((leader, _)) = self.some_leader(group)
                    && self.faults.below(3) != 0
                {
                    self.plan(length * 3 / 4, Happening::Ambush(leader));
                }
            }
            Fault::ClockJump => self.clock_jump(id),
            Fault::ClockRate => {
                self.coverage.count(Kind::ClockRates);
                let rate = self.faults.pick(self.swarm.rates);
                let now = self.now;
                self.node_mut(id).clock.set_rate(rate, now);
            }
            Fault::BitFlip | Fault::Wipe => self.lose_disk(fault, id),
            _ if !self.node(id).is_fine() => {}
            Fault::Kill => self.strike_down(id, Death::Process),
            Fault::PowerLoss if self.faults.below(3) != 0 => self.trouble(Fault::CutInWrite, id),
            Fault::PowerLoss => {
                let crash = self.choose_crash();
                self.strike_down(id, Death::Power(crash));
            }
            _ => self.trouble(fault, id),
        }
    }

    /// A node that has just begun something may be struck soon.
    pub(crate) fn perhaps_ambush(&mut self, id: NodeId, within: u64) {
        if self.faults.permille(self.swarm.ambushes) {
            let after = self.faults.below(within);
            self.plan(after, Happening::Ambush(id));
        }
    }

    /// Strikes a node that has just begun something.
    pub(crate) fn ambush(&mut self, id: NodeId) {
        if !self.node(id).is_fine() {
            return;
        }
        self.coverage.count(Kind::Ambushes);
        self.note(|| format!("{id} is ambushed"), &[7, id.0 as u8]);
        match self.faults.below(6) {
            0 => self.strike_down(id, Death::Process),
            1 if self.faults.below(2) == 0 => self.trouble(Fault::CutInWrite, id),
            1 | 2 => {
                let crash = self.choose_crash();
                self.strike_down(id, Death::Power(crash));
            }
            3 => self.partition(Fault::Isolate, id),
            4 => self.trouble(Fault::LongPause, id),
            _ => {
                // What it has to say comes late.
                self.coverage.count(Kind::Muffled);
                for to in self.swarm.shape.nodes.clone() {
                    let until = self.now + self.faults.between(300_000, 2_500_000);
                    self.network.clog(id, to, until);
                }
            }
        }
    }

    /// Trouble of a node that goes on for now.
    fn trouble(&mut self, fault: Fault, id: NodeId) {
        let now = self.now;
        let steps = self.faults.between(1, 6);
        let syncs = self.faults.between(1, 6);
        let length = self.faults.between(50_000, 1_500_000);
        let pause = self.faults.between(1_000, 400_000);
        let long = self.faults.between(900_000, 3_500_000);
        let room = self.faults.below(12) * 1024;
        // Only a write of several sectors can be torn, and few are so large without padding.
        let within_large = self.swarm.padding > 0;
        let node = &mut self.nodes[id.0 as usize - 1];
        let kind = match fault {
            // The first three are counted when they happen, if ever: see `World::goes_down`.
            Fault::CutInWrite => {
                node.is_doomed = true;
                node.cuts_large_write = within_large;
                if !within_large {
                    node.disks.log.cut_power_at(node.disks.log.steps() + steps);
                }
                return;
            }
            Fault::FailedSync => {
                node.is_doomed = true;
                node.disks.log.fail_sync_at(node.disks.log.syncs() + syncs);
                return;
            }
            Fault::FullDisk => {
                node.is_doomed = true;
                node.disks.log.set_free(Some(room));
                return;
            }
            Fault::SlowLog => {
                node.log_slow_until = now + length;
                Kind::SlowSyncs
            }
            Fault::SlowState => {
                node.state_slow_until = now + length;
                Kind::SlowStates
            }
            Fault::Pause => {
                node.paused_until = now + pause;
                Kind::Pauses
            }
            Fault::LongPause => {
                node.paused_until = now + long;
                Kind::LongPauses
            }
            Fault::LowDisk => {
                self.low_disk(id);
                Kind::DisksLow
            }
            other => unreachable!("{other:?} is not trouble of one node"),
        };
        self.coverage.count(kind);
    }

    fn low_disk(&mut self, id: NodeId) {
        let low = self.faults.below(3) != 0;
        if let Some(process) = &mut self.nodes[id.0 as usize - 1].process {
            for group in ALL {
                process.push(group, Event::DiskLow(low));
            }
        }
    }

    fn any_node(&mut self) -> NodeId {
        NodeId(self.faults.below(self.nodes.len() as u64) as u32 + 1)
    }

    fn choose_crash(&mut self) -> Crash {
        let seed = self.faults.next();
        match self.faults.below(6) {
            0 | 1 => Crash::Drop,
            2 => Crash::Keep,
            _ => Crash::Mixed(seed),
        }
    }

    /// What a node dies of whose disk has failed, or was without power.
    pub(crate) fn choose_death(&mut self, why: &str) -> Death {
        if why.contains("the power is off") {
            // Most of all in the middle of a write, a part of it reaches the disk.
            return Death::Power(Crash::Mixed(self.faults.next()));
        }
        if self.faults.below(3) == 0 {
            return Death::Process;
        }
        Death::Power(self.choose_crash())
    }

    pub(crate) fn strike_down(&mut self, id: NodeId, death: Death) {
        let steps = self.faults.below(4);
        let node = &mut self.nodes[id.0 as usize - 1];
        if let (Some(process), Death::Power(_), 1..) = (&mut node.process, death, steps) {
            // It may be in the middle of a write.
            node.disks.log.cut_power_at(node.disks.log.steps() + steps);
            process.write_into_the_dark();
        }
        self.note(|| format!("{id} goes down: {death:?}"), &[id.0 as u8, 5]);
        self.dies(id, death);
        let after = self.faults.between(1_000, 1_500_000);
        self.plan(after, Happening::Start(id));
    }

    /// It goes on with the damage for a moment.
    pub(crate) fn goes_down_later(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.is_doomed = true;
        let steps = node.disks.log.steps();
        let more = self.faults.between(1, 10);
        self.node_mut(id).disks.log.cut_power_at(steps + more);
    }

    fn power_loss_of_all(&mut self) {
        self.coverage.count(Kind::PowerLossesOfAll);
        let crash = self.choose_crash();
        for at in 0..self.nodes.len() {
            let id = NodeId(at as u32 + 1);
            if self.node(id).process.is_none() {
                continue;
            }
            let crash = match crash {
                Crash::Mixed(seed) => Crash::Mixed(seed ^ u64::from(id.0) << 32),
                other => other,
            };
            self.strike_down(id, Death::Power(crash));
        }
    }

    /// Only as long as every group keeps a majority.
    fn lose_disk(&mut self, fault: Fault, id: NodeId) {
        let node = self.node(id);
        // Where replicas repair themselves, only one that never starts has nothing left to lose.
        let is_lost = node.is_lost || (node.bitrot.is_done() && !self.come_and_go());
        let may_go = is_lost || (node.is_fine() && (self.helps(id) || self.can_lose(id)));
        if !may_go || (fault == Fault::BitFlip && is_lost) {
            return;
        }
        let mut chance = self.faults.clone();
        self.faults.next();
        if fault == Fault::BitFlip {
            let node = &mut self.nodes[id.0 as usize - 1];
            node.bitrot = Bitrot::plan(&node.disks.log, node.batches, &mut chance);
            return;
        }
        if !is_lost && self.faults.below(2) == 0 {
            return;
        }
        self.wipe(id, chance.below(4) == 0);
    }

    /// A node loses its disk, perhaps for good.
    pub(crate) fn wipe(&mut self, id: NodeId, for_good: bool) {
        self.coverage.count(Kind::WipedDisks);
        if self.is_observer(id) {
            self.coverage.count(Kind::ObserversWiped);
        }
        self.note(|| format!("{id} loses its disk"), &[8, id.0 as u8]);
        if self.node(id).process.is_some() {
            self.dies(id, Death::Process);
        }
        self.node_mut(id).replace_disk();
        for group in ALL {
            self.properties.wiped((id, group));
        }
        if for_good {
            self.node_mut(id).is_lost = true;
        } else {
            self.coverage.count(Kind::DisksReplaced);
            let after = self.faults.between(1_000, 1_000_000);
            self.plan(after, Happening::Start(id));
        }
    }

    fn clock_jump(&mut self, id: NodeId) {
        self.coverage.count(Kind::ClockJumps);
        let far = self.faults.pick(&[20, 2_000, 400_000, 100_000_000_000]);
        let millis = self.faults.between(1, far).cast_signed();
        let forward = self.faults.below(2) == 0;
        self.node_mut(id).clock.jump(if forward { millis } else { -millis });
    }

    /// The lead of a group goes to another node, if that one is ready for it.
    fn transfer(&mut self) {
        let group = self.faults.pick(&self.groups());
        let to = self.any_node();
        let leader = self.some_leader(group).map(|(leader, _)| leader);
        let Some(leader) = leader.filter(|leader| *leader != to) else { return };
        if let Some(process) = &mut self.node_mut(leader).process {
            process.push(group, Event::Transfer(to));
        }
        self.plan_turns(leader);
    }

    fn partition(&mut self, fault: Fault, id: NodeId) {
        let nodes = self.nodes.len() as u64;
        let until = self.now + self.faults.between(100_000, 3_000_000);
        let side = self.faults.below(1 << nodes);
        let inbound = self.faults.below(2) == 0;
        let cuts = |from: u64, to: u64| match fault {
            Fault::Isolate => from == u64::from(id.0) || to == u64::from(id.0),
            Fault::Split => (side >> (from - 1) ^ side >> (to - 1)) & 1 == 1,
            Fault::OneWay => (if inbound { to } else { from }) == u64::from(id.0),
            // Of three nodes each is a neighbour of each: there one link is cut.
            _ if nodes == 3 => from != u64::from(id.0) && to != u64::from(id.0),
            _ => !matches!((from + nodes - to) % nodes, 1) && (to + nodes - from) % nodes != 1,
        };
        self.coverage.count(match fault {
            Fault::Isolate => Kind::Isolations,
            Fault::Split => Kind::Splits,
            Fault::OneWay => Kind::OneWays,
            _ => Kind::Rings,
        });
        for (from, to) in pairs(nodes) {
            if cuts(from, to) {
                self.network.cut(NodeId(from as u32), NodeId(to as u32), until);
            }
        }
    }

    fn swizzle(&mut self) {
        self.coverage.count(Kind::Swizzles);
        let chosen = self.faults.next();
        for (at, (from, to)) in pairs(self.nodes.len() as u64).enumerate() {
            if chosen >> (at % 64) & 1 == 1 {
                let after = self.faults.below(1_500_000);
                let length = self.faults.between(20_000, 2_500_000);
                let link = (NodeId(from as u32), NodeId(to as u32));
                self.plan(after, Happening::Clog(link, length));
            }
        }
    }

    fn storm(&mut self) {
        self.coverage.count(Kind::Storms);
        let until = self.now + self.faults.between(100_000, 1_500_000);
        let weather = Weather {
            delay_min: 1_000,
            delay_more: self.faults.pick(&[5_000, 60_000]),
            lost: self.faults.below(400),
            duplicated: self.faults.below(500),
            delayed: self.faults.below(200),
        };
        self.network.storm(until, weather);
    }
}

/// All links, both ways.
fn pairs(nodes: u64) -> impl Iterator<Item = (u64, u64)> {
    (1..=nodes).flat_map(move |from| (1..=nodes).map(move |to| (from, to))).filter(|(a, b)| a != b)
}
