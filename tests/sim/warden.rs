//! What a node does at each tick besides ticking: it looks at its disk and its peers, tells its replicas how
//! the nodes are, and sends pulses. The decisions are those of the shipped watches.

use super::coverage::Kind;
use super::world::{Parcel, World};
use eraft::actors::group::event::Event;
use eraft::actors::liveness::{DiskWatch, Health, LogPulse, PeerHealth, PeerState, Watch};
use eraft::ids::{BootId, GroupId, NodeId, Term};
use eraft::limits;
use eraft::net::message::Pulse;
use eraft::raft::Role;
use eraft::shard::TableStamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Within how many ticks the elections of a lost node's groups begin.
const SPREAD_TICKS: u32 = 2;

/// A node's warden, in one life of its process.
#[derive(Debug, Default)]
pub(crate) struct Warden {
    pub(crate) watch: Watch,
    pub(crate) log: LogPulse,
    pub(crate) health: Arc<Health>,
    disk: DiskWatch,
    ticks: u32,
    /// What the node leads, in which term.
    led: BTreeMap<GroupId, Term>,
}

impl World {
    /// A tick of a node's warden.
    pub(crate) fn watch(&mut self, id: NodeId) {
        let others: Vec<NodeId> =
            self.swarm.shape.nodes.iter().copied().filter(|other| *other != id).collect();
        let node = &mut self.nodes[id.0 as usize - 1];
        let (now, wall, life) = (node.clock.mono(self.now), node.clock.wall(self.now), node.life);
        let (warden, Some(process)) = (&mut node.warden, &mut node.process) else { return };
        let disk = warden.disk.step(now, warden.log.look(now));
        if disk.probe {
            process.probe();
        }
        let turn = warden.watch.step(now, &others, disk.slow, disk.stuck);
        let groups: Vec<GroupId> = process.machinery.drivers.keys().copied().collect();
        if let Some(health) = turn.health {
            for group in &groups {
                let driver = process.driver(*group).expect("it is one of these");
                let leader = driver.status().leader.filter(|_| driver.is_asleep());
                let (was, is) = (&warden.health, &health);
                let is_gone = leader.is_some_and(|leader| {
                    let is_lost = |health: &PeerHealth| health.state == PeerState::Lost;
                    is.peers.get(&leader).is_some_and(is_lost)
                        || was.boot(leader) != is.boot(leader)
                });
                if is_gone {
                    self.coverage.count(Kind::Bereaved);
                }
                let event = Event::Health { health: health.clone(), spread_ticks: SPREAD_TICKS };
                process.push(*group, event);
            }
            warden.health = health;
        }
        for ended in turn.ended {
            let (leader, term) = (ended.leader, ended.term);
            process.push(ended.group, Event::LeadEnded { leader, term });
        }
        let pulse = Pulse {
            boot: BootId(u64::from(id.0) << 32 | life),
            beat: disk.beat,
            disk_slow: disk.slow,
            disk_low: false,
            clock: wall,
            table: TableStamp::default(),
            ended: warden.watch.told_ended(),
        };
        warden.ticks += 1;
        if warden.ticks.is_multiple_of(limits::PULSE_TICKS) {
            for other in others {
                self.send(id, other, Parcel::Pulse(id, pulse.clone()));
            }
        }
    }

    /// A replica of this node has another role now.
    pub(crate) fn lead_changed(&mut self, id: NodeId, group: GroupId, role: Role, term: Term) {
        let node = &mut self.nodes[id.0 as usize - 1];
        let now = node.clock.mono(self.now);
        let warden = &mut node.warden;
        if role == Role::Leader {
            warden.led.insert(group, term);
        } else if let Some(led) = warden.led.remove(&group) {
            warden.watch.lead_ended(group, led, now);
            if warden.health.slow {
                self.coverage.count(Kind::SlowLeadsLost);
            }
        }
    }
}
