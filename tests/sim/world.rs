//! The world of one run: machines, network, clients, and the agenda of all that is still to happen.

use super::clients::Clients;
use super::cluster::{Agenda, Chance, Death, Failure, Part, Trace};
use super::coverage::{Coverage, Kind};
use super::network::Network;
use super::node::Node;
use super::properties::{Held, Properties, Violation};
use super::swarm::{GROUPS, Swarm};
use eraft::actors::group::event::Event;
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::{Answer, SnapshotFrame, Unit};
use eraft::raft::{Message, Role};
use eraft::time::UnixMillis;

/// Something that travels.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    Raft(GroupId, Message),
    Snapshot(NodeId, SnapshotFrame),
    /// A node says what its clock shows.
    Health(NodeId, UnixMillis),
    /// From a client.
    Unit(Unit),
}

/// Something on the agenda.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The Raft clock of a node, in one of its lives.
    Tick(NodeId, u64),
    /// A node tells its clock to the others.
    Health(NodeId, u64),
    /// A part of a node has its turn, in one of the node's lives.
    Turn(NodeId, u64, Part),
    Deliver(NodeId, Parcel),
    /// To a client.
    Answer(Answer),
    /// A client wakes up.
    Wake(usize),
    /// A node that is down starts.
    Start(NodeId),
    /// Something goes wrong.
    Fault,
    /// Something goes wrong with this node.
    Ambush(NodeId),
}

/// See the module's first lines.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) swarm: Swarm,
    /// True time, microseconds.
    pub(crate) now: u64,
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) clients: Clients,
    pub(crate) properties: Properties,
    pub(crate) coverage: Coverage,
    pub(crate) chance: Chance,
    pub(crate) faults: Chance,
    pub(crate) trace: Trace,
    /// Nothing goes wrong any more.
    pub(crate) is_calm: bool,
    pub(crate) events: u64,
}

impl World {
    /// Machines with empty disks, about to be switched on.
    pub(crate) fn new(seed: u64, tell: bool) -> Self {
        let swarm = Swarm::new(seed);
        let mut chance = Chance::new(seed, 1);
        let skew = swarm.skew;
        let node = |id: &NodeId| {
            let ahead = chance.below(2 * skew + 1).cast_signed() - skew.cast_signed();
            Node::new(*id, ahead)
        };
        let nodes: Vec<_> = swarm.shape.nodes.iter().map(node).collect();
        let mut world = Self {
            seed,
            now: 0,
            agenda: Agenda::default(),
            network: Network::new(seed, nodes.len(), swarm.weather),
            clients: Clients::new(seed, &swarm),
            properties: Properties::new(nodes.len()),
            coverage: Coverage::default(),
            chance,
            faults: Chance::new(seed, 2),
            trace: Trace::new(tell),
            is_calm: false,
            events: 0,
            nodes,
            swarm,
        };
        for id in world.swarm.shape.nodes.clone() {
            world.plan(u64::from(id.0) * 3_001, Happening::Start(id));
        }
        for at in 0..world.clients.count() {
            world.plan_wake(at, 20_000 + at as u64 * 777);
        }
        world.plan_fault();
        world
    }

    /// Lets time pass until something is so, as it is looked at now and then.
    pub(crate) fn run(
        &mut self,
        deadline: u64,
        until: impl Fn(&Self) -> bool,
    ) -> Result<bool, Violation> {
        loop {
            let (at, happening) = self.agenda.next().expect("nodes start or tick for ever");
            if at > deadline {
                self.agenda.note(at, happening);
                self.now = deadline;
                return Ok(until(self));
            }
            self.now = at;
            let look = matches!(happening, Happening::Tick(..) | Happening::Answer(_));
            self.events += 1;
            self.happen(happening)?;
            if look && until(self) {
                return Ok(true);
            }
        }
    }

    /// So many microseconds from now.
    pub(crate) fn plan(&mut self, after: u64, happening: Happening) {
        self.agenda.note(self.now + after, happening);
    }

    /// Wakes a client then; an earlier plan is off.
    pub(crate) fn plan_wake(&mut self, at: usize, after: u64) {
        self.clients.wakes_at(at, self.now + after);
        self.plan(after, Happening::Wake(at));
    }

    pub(crate) fn plan_fault(&mut self) {
        let after = self.faults.between(self.swarm.pause / 4, 2 * self.swarm.pause);
        self.plan(after, Happening::Fault);
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    /// Notes what happens.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String, bytes: &[u8]) {
        self.trace.note(self.now, what, bytes);
    }

    /// Sends a parcel from one node to another.
    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, parcel: Parcel) {
        let (now, coverage) = (self.now, &mut self.coverage);
        if matches!(parcel, Parcel::Snapshot(..)) {
            if let Some(at) = self.network.arrival_in_order(from, to, now, coverage) {
                self.agenda.note(at, Happening::Deliver(to, parcel));
            }
            return;
        }
        let [first, second] = self.network.arrivals(from, to, now, coverage);
        if let Some(at) = second {
            self.agenda.note(at, Happening::Deliver(to, parcel.clone()));
        }
        if let Some(at) = first {
            self.agenda.note(at, Happening::Deliver(to, parcel));
        }
    }

    /// Starts a node's process, unless it runs or never will.
    pub(crate) fn start(&mut self, id: NodeId) -> Held {
        let (now, seed, shape) = (self.now, self.seed, self.swarm.shape.clone());
        let node = self.node_mut(id);
        if node.process.is_some() || node.is_lost {
            return Ok(());
        }
        let started = node.start(seed, &shape, now);
        let life = node.life;
        self.note(|| format!("{id} starts, life {life}: {started:?}"), &[id.0 as u8, 1]);
        match started {
            Ok(()) => self.started(id),
            Err(_) if self.node(id).bitrot.is_done() => {
                // Not even the log, or not the state that goes with it: nothing but a new disk helps.
                self.coverage.count(Kind::SilentReplicas);
                self.node_mut(id).is_lost = true;
                for group in GROUPS {
                    self.properties.silent((id, group));
                }
                Ok(())
            }
            Err(Failure::Disk(why)) if self.node(id).is_doomed => {
                self.goes_down(id, &why);
                Ok(())
            }
            Err(Failure::Disk(why) | Failure::DoesNotOpen(why) | Failure::Broken(why)) => {
                Err(Violation::new("every disk opens", format!("{id}: {why}")))
            }
        }
    }

    fn started(&mut self, id: NodeId) -> Held {
        let node = &self.nodes[id.0 as usize - 1];
        let life = node.life;
        let machinery = &node.process.as_ref().expect("just started").machinery;
        if machinery.torn {
            self.coverage.count(Kind::TornTails);
        }
        if life > 1 {
            self.coverage.count(Kind::Restarts);
        }
        for group in GROUPS {
            if let Some(remembered) = machinery.remembered.get(&group) {
                self.properties.started((id, group), remembered)?;
            } else if !node.bitrot.is_done() {
                let story = format!("{id}: {:?} at {}", machinery.damage, machinery.places);
                return Err(Violation::new("no damage without a cause", story));
            } else {
                self.coverage.count(Kind::SilentReplicas);
                self.properties.silent((id, group));
            }
        }
        let first_tick = 1 + self.chance.below(50_000);
        self.plan(first_tick, Happening::Tick(id, life));
        self.plan(0, Happening::Health(id, life));
        // They notice that there is a connection again.
        for other in self.swarm.shape.nodes.clone() {
            if other != id && self.node(other).process.is_some() {
                let clock = self.node(other).clock.wall(self.now);
                self.send(other, id, Parcel::Health(other, clock));
            }
        }
        self.plan_turns(id);
        Ok(())
    }

    /// A node goes down by itself, and comes back after a while.
    pub(crate) fn goes_down(&mut self, id: NodeId, why: &str) {
        let death = self.choose_death(why);
        self.note(|| format!("{id} goes down: {why}; {death:?}"), &[id.0 as u8, 2]);
        self.dies(id, death);
        let after = self.faults.between(1_000, 1_500_000);
        self.plan(after, Happening::Start(id));
    }

    /// A node dies.
    pub(crate) fn dies(&mut self, id: NodeId, death: Death) {
        let mut chance = self.faults.clone();
        self.faults.next();
        let node = &mut self.nodes[id.0 as usize - 1];
        match death {
            Death::Process => self.coverage.count(Kind::Kills),
            Death::Power(_) => {
                self.coverage.count(Kind::PowerLosses);
                if node.disks.log.unsynced_pages() > 0 {
                    self.coverage.count(Kind::LogUnsynced);
                }
                if node.disks.state.unpersisted() > 0 {
                    self.coverage.count(Kind::StateUnsynced);
                }
            }
        }
        if let Some(process) = &node.process {
            self.coverage.add(Kind::Fetches, process.fetches);
            self.coverage.add(Kind::Compactions, process.compactions);
            self.coverage.add(Kind::SnapshotsResumed, process.resumed);
        }
        node.die(death, &mut chance);
        node.disks.log.set_free(None);
        for at in self.clients.lost(id, &mut self.coverage) {
            let after = self.chance.between(1_000, 60_000);
            self.plan_wake(at, after);
        }
    }

    /// The node that leads a group, if all that take part agree.
    pub(crate) fn leader(&self, group: GroupId) -> Option<NodeId> {
        let statuses = || self.nodes.iter().filter_map(|node| node.status(group));
        let leader = statuses().find(|status| status.role == Role::Leader)?.id;
        statuses().all(|status| status.leader == Some(leader)).then_some(leader)
    }

    /// Whether every replica that takes part has all of its group, in its state store and on disk.
    pub(crate) fn is_settled(&self) -> bool {
        GROUPS.into_iter().all(|group| {
            let Some(leader) = self.leader(group) else { return false };
            let Some(last) = self.node(leader).status(group).map(|status| status.last) else {
                return false;
            };
            self.nodes.iter().all(|node| {
                node.status(group).is_none_or(|status| {
                    let persisted = node.process.as_ref().map(|process| process.persisted(group));
                    status.last == last && status.applied == last && persisted == Some(last)
                })
            })
        })
    }

    /// A client has something to do again.
    pub(crate) fn wake_client(&mut self, at: usize) {
        self.plan_wake(at, 1);
    }

    /// There is room on all disks.
    pub(crate) fn end_low_disks(&mut self) {
        for node in &mut self.nodes {
            let Some(process) = &mut node.process else { continue };
            for group in GROUPS {
                process.push(group, Event::DiskLow(false));
            }
        }
    }

    /// Whether every node that can be is up.
    pub(crate) fn all_are_up(&self) -> bool {
        self.nodes.iter().all(|node| node.process.is_some() || node.is_lost)
    }

    /// How everybody stands, for people.
    pub(crate) fn describe(&self) -> String {
        let mut story = String::new();
        for node in &self.nodes {
            let id = node.id;
            if node.process.is_none() {
                story += &format!("{id} is down{}; ", if node.is_lost { " for good" } else { "" });
            }
            for status in GROUPS.into_iter().filter_map(|group| Some((group, node.status(group)?)))
            {
                let (group, status) = status;
                story += &format!(
                    "{id} {group} {} {} base {} last {} commit {} applied {}; ",
                    status.role,
                    status.term,
                    status.base,
                    status.last,
                    status.commit,
                    status.applied
                );
            }
        }
        story
    }
}
