//! The cluster: machines, network and clients in virtual time. Whatever is to happen stands in one
//! agenda; equal times are taken in the order in which they were written down, so a seed gives the same
//! run each time.

use super::chance::{Chance, Trace};
use super::checks::{Ledger, Violation};
use super::clients::Clients;
use super::faults::Faults;
use super::network::Network;
use super::node::{Death, Node, Power};
use super::plan::Plan;
use super::process::{Failure, Output, Part};
use super::start::{GROUPS, NODES};
use eraft::actors::group::event::{Event, Now, ReplyTo};
use eraft::codec;
use eraft::ids::{GroupId, Index, NodeId};
use eraft::raft::{Message, Role};
use eraft::store::disk::Crash;
use eraft::time::{MonoMillis, UnixMillis};
use std::collections::BTreeMap;

/// The clocks of the world at the start of a run.
const START_MILLIS: u64 = 1_700_000_000_000;
/// One tick of the Raft clock, microseconds.
const TICK: u64 = 50_000;
/// Ticks after which the state is brought to the disk.
const PERSIST_TICKS: u64 = 4;
/// A leader knows its voters' clocks only so long after its start, microseconds.
const CLOCKS_KNOWN: u64 = 200_000;
/// In which time everything that should happen must have happened, microseconds.
const DEADLINE: u64 = 120_000_000;

/// Something on the agenda.
#[derive(Debug)]
enum Happening {
    /// The clock of a node, in one of its lives; its how manieth tick.
    Tick(NodeId, u64, u64),
    /// A part of a node has its turn, in one of the node's lives.
    Turn(NodeId, u64, Part),
    Deliver(GroupId, Message),
    /// A client wakes up.
    Wake(usize),
    /// A node that went down starts again.
    Start(NodeId),
    /// Something goes wrong with a node.
    Fault,
}

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
    now: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    noted: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) power: Power,
    network: Network,
    chance: Chance,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
}

impl Cluster {
    /// Three machines with empty disks, switched off.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            now: 0,
            agenda: BTreeMap::new(),
            noted: 0,
            nodes: NODES.into_iter().map(Node::new).collect(),
            clients: Clients::new(plan.seed, plan.tasks),
            power: Power::default(),
            network: Network::new(plan.seed),
            chance: Chance::new(plan.seed, 1),
            faults: Faults::new(plan.seed),
            ledger: Ledger::default(),
            trace: Trace::new(),
            plan,
        }
    }

    /// Switches everything on.
    pub(crate) fn power_up(&mut self, cut_at: Option<u64>) -> Result<Stop, Violation> {
        self.power = Power { steps: 0, cut_at };
        self.agenda.clear();
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
            let ((at, _), happening) = self.agenda.pop_first().expect("clocks always tick");
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
        let status = |node: &Node| Some(node.process.as_ref()?.driver(group).status());
        let leader = self.nodes.iter().filter_map(status).find(|s| s.role == Role::Leader)?.id;
        let agrees = |node: &Node| status(node).is_some_and(|status| status.leader == Some(leader));
        self.nodes.iter().all(agrees).then_some(leader)
    }

    /// Whether every node has all of every group on disk.
    pub(crate) fn is_settled(&self) -> bool {
        GROUPS.into_iter().all(|group| {
            let Some(leader) = self.leader(group) else { return false };
            let last = self.node(leader).process.as_ref().map(|p| p.driver(group).status().last);
            self.nodes.iter().all(|node| node.process.as_ref().map(|p| p.persisted(group)) == last)
        })
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    pub(crate) fn lost_messages(&self) -> u64 {
        self.network.lost
    }

    fn plan_at(&mut self, after: u64, happening: Happening) {
        self.noted += 1;
        self.agenda.insert((self.now + after, self.noted), happening);
    }

    fn plan_wake(&mut self, at: usize) {
        let after = self.clients.all[at].wake_at.saturating_sub(self.now);
        self.plan_at(after, Happening::Wake(at));
    }

    fn plan_fault(&mut self) {
        let after = self.faults.pause();
        self.plan_at(after, Happening::Fault);
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
                self.plan_at(u64::from(id.0) * 7_001, Happening::Tick(id, life, 1));
                self.plan_turns(id);
                Ok(Stop::Reached)
            }
            Err(Failure::Violation(violation)) => Err(violation),
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

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Tick(id, life, count) => {
                let node = self.node_mut(id);
                if let (true, Some(process)) = (node.life == life, &mut node.process) {
                    process.tick();
                    if count.is_multiple_of(PERSIST_TICKS) {
                        process.persist();
                    }
                    self.plan_at(TICK, Happening::Tick(id, life, count + 1));
                    self.plan_turns(id);
                }
            }
            Happening::Turn(id, life, part) if self.node(id).life == life => self.turn(id, part)?,
            Happening::Turn(..) => {}
            Happening::Deliver(group, message) => self.deliver(group, message),
            Happening::Wake(at) if self.clients.all[at].wake_at <= self.now => self.wake(at),
            Happening::Wake(_) => {}
            Happening::Start(id) => {
                self.start(id)?;
            }
            Happening::Fault => {
                if self.plan.faults {
                    if let Some(id) = self.faults.strike(&mut self.nodes) {
                        self.goes_down(id);
                    }
                    self.plan_fault();
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, group: GroupId, message: Message) {
        let (from, to) = (message.from, message.to);
        self.trace.note(self.now, || format!("{group} {from} to {to}: {message}"), &codec::encode(&message));
        if let Some(process) = &mut self.node_mut(to).process {
            process.push(group, Event::Peer(vec![message]));
            self.plan_turns(to);
        }
    }

    fn wake(&mut self, at: usize) {
        if let Some((id, unit)) = self.clients.wake(at, self.now, self.wall()) {
            let (now, bytes) = (self.now, codec::encode(&unit));
            self.trace.note(now, || format!("client {at} to {id}: {:?}", unit.id), &bytes);
            if let Some(process) = &mut self.node_mut(id).process {
                process.push(unit.group, Event::Units(ReplyTo::Worker(0), vec![unit]));
                self.plan_turns(id);
            } else {
                self.clients.was_not_sent(at, self.now);
            }
        }
        self.plan_wake(at);
    }

    fn turn(&mut self, id: NodeId, part: Part) -> Result<(), Violation> {
        let median = (self.now > CLOCKS_KNOWN).then_some(self.wall());
        let now = Now { mono: MonoMillis(self.now / 1000), median };
        let floor = |group| self.nodes.iter().map(|node| node.reached(group)).min();
        let floors: BTreeMap<GroupId, Index> = match part {
            Part::Drivers => GROUPS.into_iter().filter_map(|g| Some((g, floor(g)?))).collect(),
            _ => BTreeMap::new(),
        };
        let node = &mut self.nodes[id.0 as usize - 1];
        match node.turn(part, now, &floors, &mut self.power) {
            Ok(output) => self.carry_out(id, output)?,
            Err(Failure::Violation(violation)) => return Err(violation.about(&id.to_string())),
            Err(Failure::Disk(error)) if self.power.is_off() => {
                self.trace.note(self.now, || format!("{id}: {error}"), &[]);
            }
            Err(Failure::Disk(error)) if !node.is_doomed => {
                return Err(Violation::Failed(format!("{id}: {error}")));
            }
            Err(Failure::Disk(_)) => self.goes_down(id),
        }
        self.plan_turns(id);
        Ok(())
    }

    fn carry_out(&mut self, id: NodeId, output: Output) -> Result<(), Violation> {
        for lead in output.leads.iter().filter(|lead| lead.role == Role::Leader) {
            self.trace.note(self.now, || format!("{id} leads {} in {}", lead.group, lead.term), &[]);
            self.ledger.leads(lead.group, lead.term, id)?;
        }
        for (group, entry) in output.committed {
            let committed = self.ledger.committed(group, &entry);
            if self.plan.watch_log {
                committed.map_err(|violation| violation.about(&id.to_string()))?;
            }
        }
        for answer in output.answers {
            let bytes = codec::encode(&answer);
            self.trace.note(self.now, || format!("{id} answers {:?}", answer.unit), &bytes);
            if let Some(at) = self.clients.answer(answer, self.now)? {
                self.plan_wake(at);
            }
        }
        for (group, message) in output.messages {
            if let Some(delay) = self.network.delay(&message) {
                self.plan_at(delay, Happening::Deliver(group, message));
            }
        }
        Ok(())
    }

    fn plan_turns(&mut self, id: NodeId) {
        for part in Part::ALL {
            let node = &mut self.nodes[id.0 as usize - 1];
            if node.plan(part) {
                let life = node.life;
                let after = match part {
                    Part::Drivers => self.chance.between(1, 100),
                    Part::Log => self.chance.between(50, 2_000),
                    Part::Apply => self.chance.between(5, 300),
                    Part::State => self.chance.between(200, 20_000),
                };
                self.plan_at(after, Happening::Turn(id, life, part));
            }
        }
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(START_MILLIS + self.now / 1000)
    }

    fn describe(&self) -> String {
        let one = |node: &Node| match &node.process {
            None => format!("{} is down", node.id),
            Some(process) => GROUPS
                .map(|group| {
                    let status = process.driver(group).status();
                    format!(
                        "{} {group} {} {} last {} commit {} applied {}",
                        node.id, status.role, status.term, status.last, status.commit, status.applied
                    )
                })
                .join("; "),
        };
        self.nodes.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
