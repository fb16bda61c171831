//! Plots: what goes wrong in an order that chance alone hardly ever finds. One seed in eight has one; each is about
//! one group of three nodes, and little else goes wrong in it.
//!
//! ```text
//!  Rotation    n1 leads ✂   n2 leads ✂   n1 leads, one entry gets through ✂   n2 leads …
//!              (paper, figure 8: each has a tail of its own, and the one before is heard again)
//!  Late words  n1 leads, its words are held back   n2 leads ✂   n3 starts anew, and hears n1's words first
//!  Lease edge  n1, whose clock is slow, is cut off right after a heartbeat, and is read from when its lease
//!              ends, while n2 or n3 may lead and write already
//! ```

use super::cluster::{Chance, Death};
use super::coverage::Kind;
use super::swarm::GROUPS;
use super::world::{Happening, Parcel, World};
use eraft::actors::group::event::Event;
use eraft::ids::{GroupId, NodeId};
use eraft::raft::Role;

/// One seed in so many has a certain plot.
const ONE_IN: u64 = 24;
/// The group that it is about.
const GROUP: GroupId = GROUPS[0];
/// Until somebody else leads, microseconds, at the latest.
const LONG: u64 = 3_000_000;

/// What a seed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plot {
    /// Who leads falls silent, and is heard again when the next one does.
    Rotation,
    /// What a leader said is heard when another one leads, by who has just been started anew.
    LateWords,
    /// A leader with a slow clock is cut off and read from until its lease is over.
    LeaseEdge,
}

impl Plot {
    /// That of a seed.
    pub(crate) fn of(seed: u64) -> Option<Self> {
        match Chance::new(seed, 0x706c_6f74).below(ONE_IN) {
            0 => Some(Self::Rotation),
            1 => Some(Self::LateWords),
            2 => Some(Self::LeaseEdge),
            _ => None,
        }
    }
}

/// What a plot does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// This leader is heard no more.
    Silence(NodeId),
    /// Nor is this one, but what it says will be heard later.
    HoldBack(NodeId),
    /// This leader is cut off, and the other node starts anew.
    Forsake(NodeId, NodeId),
    /// What was held back is heard.
    Release,
    /// The node with the slow clock should lead, or be cut off soon.
    Arrange,
    /// It is cut off.
    CutOff,
    /// It is read from, until then.
    Read(u64),
}

/// How far the plot has come.
#[derive(Debug, Default)]
pub(crate) struct Plotter {
    /// Whose words are held back.
    held_back: Option<NodeId>,
    /// From whom, to whom, and what.
    held: Vec<(NodeId, NodeId, Parcel)>,
    /// The node with the slow clock is to be cut off after its next heartbeat.
    is_armed: bool,
    /// And is cut off until then.
    cut_until: u64,
}

impl Plotter {
    /// Takes what would be sent, if it is to be held back.
    pub(crate) fn holds(&mut self, from: NodeId, to: NodeId, parcel: &Parcel) -> bool {
        let holds = self.held_back == Some(from);
        if holds {
            self.held.push((from, to, parcel.clone()));
        }
        holds
    }
}

impl World {
    /// The plot, if there is one, begins.
    pub(crate) fn begin_plot(&mut self) {
        if self.swarm.plot == Some(Plot::LeaseEdge) {
            for node in &mut self.nodes {
                let slow = node.id == slow_node(self.seed);
                let rates = self.swarm.rates;
                node.clock.set_rate(if slow { rates[0] } else { rates[rates.len() - 1] }, 0);
            }
            self.plan(500_000, Happening::Plot(Act::Arrange));
        }
    }

    /// A node is about to say that it leads.
    pub(crate) fn plot_thickens(&mut self, id: NodeId, group: GroupId) {
        let Some(plot) = self.swarm.plot.filter(|_| group == GROUP && !self.is_calm) else {
            return;
        };
        match plot {
            Plot::Rotation => {
                self.network.free();
                let way = self.swarm.weather.delay_min + self.swarm.weather.delay_more;
                let after = match self.faults.below(8) {
                    0..=2 => 0,
                    3..=5 => self.faults.below(4 * way + 2_000),
                    6 => self.faults.below(20_000),
                    _ => self.faults.below(400_000),
                };
                match after {
                    0 => self.silence(id),
                    _ => self.plan(after, Happening::Plot(Act::Silence(id))),
                }
            }
            Plot::LateWords => match self.plotter.held_back {
                None => {
                    let after = self.faults.between(50_000, 250_000);
                    self.plan(after, Happening::Plot(Act::HoldBack(id)));
                }
                Some(old) if old != id => {
                    let others = self.nodes.iter().map(|node| node.id);
                    let third = others.filter(|other| ![id, old].contains(other)).last();
                    let after = self.faults.below(40_000);
                    self.plan(after, Happening::Plot(Act::Forsake(id, third.unwrap_or(old))));
                }
                Some(_) => {}
            },
            Plot::LeaseEdge if self.now < self.plotter.cut_until => {
                for at in self.clients.hear_of(id, group, &mut self.coverage) {
                    let after = self.chance.between(1, 2_000);
                    self.plan_wake(at, after);
                }
            }
            Plot::LeaseEdge => {}
        }
    }

    /// A tick of a node that may have sent heartbeats.
    pub(crate) fn plot_ticks(&mut self, id: NodeId) {
        if self.plotter.is_armed && id == slow_node(self.seed) && self.leads(id) {
            self.plotter.is_armed = false;
            let after = self.faults.between(1_000, 8_000);
            self.plan(after, Happening::Plot(Act::CutOff));
        }
    }

    /// The plot goes on.
    pub(crate) fn act(&mut self, act: Act) {
        if self.is_calm {
            return;
        }
        match act {
            Act::Silence(id) if self.leads(id) => self.silence(id),
            Act::HoldBack(id) if self.leads(id) => {
                self.note(|| format!("the words of {id} are held back"), &[11, id.0 as u8]);
                self.plotter.held_back = Some(id);
                self.cut_off(id, LONG, [false, true]);
            }
            Act::Silence(_) | Act::HoldBack(_) => {}
            Act::Forsake(leader, other) => self.forsake(leader, other),
            Act::Release => self.release(),
            Act::Arrange => self.arrange(),
            Act::CutOff => self.cut_off_lease(),
            Act::Read(until) if self.now < until => {
                for at in self.clients.loyal_to(slow_node(self.seed), GROUP) {
                    self.plan_wake(at, 1);
                }
                let after = self.faults.between(1_000, 4_000);
                self.plan(after, Happening::Plot(act));
            }
            Act::Read(_) => {}
        }
    }

    /// All that is held back is heard.
    pub(crate) fn release(&mut self) {
        self.plotter.held_back = None;
        for (from, to, parcel) in std::mem::take(&mut self.plotter.held) {
            self.send(from, to, parcel);
        }
    }

    fn silence(&mut self, id: NodeId) {
        self.coverage.count(Kind::Silenced);
        let is_deaf = self.faults.below(3) == 0;
        self.note(|| format!("{id} falls silent"), &[12, id.0 as u8]);
        self.cut_off(id, LONG, [true, is_deaf]);
    }

    /// The newest leader is cut off, the words of the one before it are heard again, first of all by a node
    /// that starts anew.
    fn forsake(&mut self, leader: NodeId, other: NodeId) {
        self.coverage.count(Kind::LateWords);
        self.note(|| format!("{leader} is forsaken"), &[13, leader.0 as u8]);
        let length = self.faults.between(800_000, 2_500_000);
        self.network.free();
        self.cut_off(leader, length, [true, true]);
        let mut after = 0;
        if self.node(other).is_fine() {
            self.dies(other, Death::Process);
            after = self.faults.between(1_000, 20_000);
            self.plan(after, Happening::Start(other));
        }
        self.plan(after + 1, Happening::Plot(Act::Release));
    }

    fn arrange(&mut self) {
        let slow = slow_node(self.seed);
        let leaders = self.nodes.iter().map(|node| node.id).filter(|id| self.leads(*id));
        let leader = leaders.max_by_key(|id| self.node(*id).status(GROUP).map(|one| one.term));
        if self.now >= self.plotter.cut_until {
            match leader {
                Some(leader) if leader == slow => self.plotter.is_armed = true,
                Some(leader) => {
                    if let Some(process) = &mut self.node_mut(leader).process {
                        process.push(GROUP, Event::Transfer(slow));
                    }
                    self.plan_turns(leader);
                }
                None => {}
            }
        }
        let after = self.faults.between(100_000, 250_000);
        self.plan(after, Happening::Plot(Act::Arrange));
    }

    fn cut_off_lease(&mut self) {
        let slow = slow_node(self.seed);
        if !self.leads(slow) {
            return;
        }
        self.coverage.count(Kind::LeaseEdges);
        self.note(|| format!("{slow} is cut off with its lease"), &[14, slow.0 as u8]);
        let time_out = u64::from(self.swarm.shape.config.election_ticks) * 50_000;
        let length = time_out + self.faults.between(200_000, 400_000);
        self.plotter.cut_until = self.now + length;
        self.cut_off(slow, length, [true, true]);
        let until = self.now + time_out * 6 / 5;
        self.plan(time_out * 7 / 10, Happening::Plot(Act::Read(until)));
    }

    /// What this node says is lost for a while, or what is said to it, or both.
    fn cut_off(&mut self, id: NodeId, length: u64, [says, hears]: [bool; 2]) {
        let until = self.now + length;
        for other in self.swarm.shape.nodes.clone().into_iter().filter(|other| *other != id) {
            if says {
                self.network.cut(id, other, until);
            }
            if hears {
                self.network.cut(other, id, until);
            }
        }
    }

    /// Whether a node leads the group that the plot is about.
    fn leads(&self, id: NodeId) -> bool {
        self.node(id).status(GROUP).is_some_and(|status| status.role == Role::Leader)
    }
}

/// Whose clock is slow.
fn slow_node(seed: u64) -> NodeId {
    NodeId((seed / ONE_IN % 3) as u32 + 1)
}
