//! The cluster: machines, network and clients in virtual time. Whatever is to happen stands in one
//! agenda; equal times are taken in the order in which they were written down, so a seed gives the same
//! run each time.

use super::checks::{Ledger, Violation};
use super::clients::Clients;
use super::faults::Faults;
use super::happen::Happening;
use super::network::Network;
use super::node::{Node, Power};
use super::parts::{Agenda, Chance, Death, Failure, Trace};
use super::plan::Plan;
use super::shape::{GROUPS, NODES};
use eraft::ids::{GroupId, NodeId};
use eraft::raft::{Role, Status};
use eraft::store::disk::Crash;
use eraft::time::UnixMillis;

/// The clocks of the world at the start of a run.
const START_MILLIS: u64 = 1_700_000_000_000;
/// In which time everything that should happen must have happened, microseconds.
const DEADLINE: u64 = 120_000_000;

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What was waited for is there.
    Reached,
    /// The power went off.
    PowerOff,
}

/// See the module's first lines.
pub(crate) struct Cluster {
    pub(crate) plan: Plan,
    /// Microseconds.
    pub(crate) now: u64,
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) power: Power,
    pub(crate) network: Network,
    pub(crate) chance: Chance,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
}

impl Cluster {
    /// Three machines with empty disks, switched off.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            now: 0,
            agenda: Agenda::default(),
            nodes: NODES.into_iter().map(Node::new).collect(),
            clients: Clients::new(plan.seed, plan.tasks),
            power: Power::default(),
            network: Network::new(plan.seed),
            chance: Chance::new(plan.seed, 1),
            faults: Faults::new(plan.seed),
            ledger: Ledger::default(),
            trace: Trace::new(std::env::var_os("POWER_TRACE").is_some()),
            plan,
        }
    }

    /// Switches everything on.
    pub(crate) fn power_up(&mut self, cut_at: Option<u64>) -> Result<Stop, Violation> {
        self.power = Power { steps: 0, cut_at };
        self.agenda = Agenda::default();
        self.wake_clients();
        if self.plan.faults {
            self.plan_fault();
        }
        for node in NODES {
            if self.start(node)? == Stop::PowerOff {
                return Ok(Stop::PowerOff);
            }
        }
        Ok(Stop::Reached)
    }

    /// All machines have lost their power, some of them in the middle of a write.
    pub(crate) fn power_down(&mut self, crash: Crash) {
        let crash = |node: &Node| match crash {
            Crash::Mixed(seed) => Crash::Mixed(seed ^ u64::from(node.id.0) << 32),
            other => other,
        };
        for node in &mut self.nodes {
            node.is_caught(&mut self.chance);
            let crash = crash(node);
            node.die(Death::Power(crash), &mut self.chance);
        }
        self.clients.lost(None, self.now);
    }

    /// Lets time pass until something is reached, or the power goes off.
    pub(crate) fn run(&mut self, until: impl Fn(&Self) -> bool) -> Result<Stop, Violation> {
        let deadline = self.now + DEADLINE;
        while !until(self) {
            let (at, happening) = self.agenda.next().expect("clocks always tick");
            if at > deadline {
                return Err(Violation::Stuck(self.describe()));
            }
            self.now = at;
            self.happen(happening)?;
            if self.power.is_off() {
                return Ok(Stop::PowerOff);
            }
        }
        Ok(Stop::Reached)
    }

    /// Wakes all clients, in case they have something to do.
    pub(crate) fn wake_clients(&mut self) {
        for at in 0..self.clients.all.len() {
            self.clients.all[at].wake_at = self.now + 1 + at as u64;
            self.plan_wake(at);
        }
    }

    /// The node that leads a group, if all agree.
    pub(crate) fn leader(&self, group: GroupId) -> Option<NodeId> {
        let status = |node: &Node| status(node, group);
        let leader = self.nodes.iter().filter_map(status).find(|s| s.role == Role::Leader)?.id;
        let agrees = |node: &Node| status(node).is_some_and(|status| status.leader == Some(leader));
        self.nodes.iter().all(agrees).then_some(leader)
    }

    /// Whether every node has all of every group on disk.
    pub(crate) fn is_settled(&self) -> bool {
        GROUPS.into_iter().all(|group| {
            let Some(leader) = self.leader(group) else { return false };
            let last = status(self.node(leader), group).map(|status| status.last);
            self.nodes.iter().all(|node| node.process.as_ref().map(|p| p.persisted(group)) == last)
        })
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    /// Starts a node's process.
    pub(crate) fn start(&mut self, id: NodeId) -> Result<Stop, Violation> {
        let (now, seed, acknowledge) = (self.now, self.plan.seed, self.plan.acknowledge);
        let node = &mut self.nodes[id.0 as usize - 1];
        let started = node.start(seed, acknowledge, &mut self.power);
        let life = node.life;
        self.trace.note(now, || format!("{id} starts, life {life}: {started:?}"), &[id.0 as u8]);
        match started {
            Ok(()) => {
                self.plan_at(u64::from(id.0) * 7_001, Happening::Tick(id, life));
                self.plan_turns(id);
                Ok(Stop::Reached)
            }
            Err(Failure::DoesNotOpen(story)) => Err(Violation::DoesNotOpen(story)),
            Err(Failure::Broken(story)) => Err(Violation::Failed(story)),
            Err(Failure::Disk(_)) if self.power.is_off() => Ok(Stop::PowerOff),
            Err(Failure::Disk(_)) => {
                self.goes_down(id);
                Ok(Stop::Reached)
            }
        }
    }

    /// A node goes down alone, and comes back after a while.
    pub(crate) fn goes_down(&mut self, id: NodeId) {
        let death = self.faults.death();
        self.trace.note(self.now, || format!("{id} goes down: {death:?}"), &[id.0 as u8]);
        self.nodes[id.0 as usize - 1].die(death, &mut self.chance);
        self.clients.lost(Some(id), self.now);
        self.wake_clients();
        let after = self.faults.rest();
        self.plan_at(after, Happening::Start(id));
    }

    /// What all clocks show.
    pub(crate) fn wall(&self) -> UnixMillis {
        UnixMillis(START_MILLIS + self.now / 1000)
    }

    fn describe(&self) -> String {
        let one = |node: &Node| match &node.process {
            None => format!("{} is down", node.id),
            Some(_) => GROUPS
                .map(|group| {
                    let Some(status) = status(node, group) else { return String::new() };
                    format!(
                        "{} {group} {} {} last {} commit {} applied {}",
                        node.id,
                        status.role,
                        status.term,
                        status.last,
                        status.commit,
                        status.applied
                    )
                })
                .join("; "),
        };
        self.nodes.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// How a replica stands.
fn status(node: &Node, group: GroupId) -> Option<Status> {
    Some(node.process.as_ref()?.driver(group)?.status())
}
