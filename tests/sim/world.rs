//! The world of one run: machines, network, clients, and the agenda of all that is still to happen.

use super::clients::Clients;
use super::cluster::{Agenda, Chance, Death, Failure, Part, Shape, Trace};
use super::coverage::{Coverage, Kind};
use super::helpers::Helpers;
use super::movers::Movers;
use super::network::Network;
use super::node::Node;
use super::plots::{Act, Plotter};
use super::pollers::Word;
use super::properties::{Held, Properties, Violation};
use super::reconfigure::Prospects;
use super::scanners::Scanners;
use super::stewards::Tasks;
use super::swarm::{ALL, GROUPS, LATE, Swarm};
use eraft::actors::group::event::Event;
use eraft::ids::{GroupId, Incarnation, NodeId};
use eraft::net::message::{Answer, Pulse, SnapshotFrame, Unit};
use eraft::raft::{Message, Role, Status};
use eraft::shard::{OwnerClaim, Table};
use std::sync::Arc;

/// Of the messages that do not get through a cut link, one in so many is noticed.
const NOTICED_ONE_IN: u64 = 8;

/// Something that travels.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// Of the replica known by this disk, from the first of these disks to the second: to another one there is
    /// no connection.
    Raft(GroupId, Message, Incarnation, [Incarnation; 2]),
    /// From a node, from the first of these disks to the second.
    Snapshot(NodeId, SnapshotFrame, [Incarnation; 2]),
    /// A node's sign of life.
    Pulse(NodeId, Pulse),
    /// What a node's poller says, from the first of these disks to the second.
    Word(NodeId, Word, [Incarnation; 2]),
    /// From a client.
    Unit(Unit),
}

/// Something on the agenda.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most of what happens is a delivery")]
pub(crate) enum Happening {
    /// The Raft clock of a node, in one of its lives.
    Tick(NodeId, u64),
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
    /// The operator looks at the groups.
    Operate,
    /// Observers and secretaries are named, or struck.
    Helpers,
    /// A node hears of the list of that number.
    Hear(NodeId, usize),
    /// Something goes wrong with this node.
    Ambush(NodeId),
    /// What is sent from one node to another waits from now on for so long, microseconds.
    Clog((NodeId, NodeId), u64),
    /// The plot goes on.
    Plot(Act),
    /// The operator has another wish about who should own what.
    Wish,
    /// The operator names other nodes for a group.
    Place,
    /// A node's new disk is told to the config group.
    Enlist(NodeId, Incarnation),
    /// A version of the table reaches a node.
    News(NodeId, Arc<Table>),
    /// A node's report of who owns what reaches the config group.
    Report(Vec<OwnerClaim>),
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
    pub(crate) prospects: Prospects,
    pub(crate) plotter: Plotter,
    pub(crate) movers: Movers,
    pub(crate) tasks: Tasks,
    pub(crate) scanners: Scanners,
    pub(crate) helpers: Helpers,
    pub(crate) coverage: Coverage,
    pub(crate) chance: Chance,
    pub(crate) faults: Chance,
    pub(crate) wishes: Chance,
    pub(crate) trace: Trace,
    /// Nothing goes wrong any more.
    pub(crate) is_calm: bool,
    /// No client wants anything before this.
    pub(crate) lull_until: u64,
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
            properties: Properties::new(swarm.shape.founders.clone()),
            prospects: Prospects::default(),
            plotter: Plotter::default(),
            movers: swarm.wishes.map(|_| movers_of(&swarm.shape)).unwrap_or_default(),
            tasks: Tasks::default(),
            scanners: swarm.wishes.map(|_| Scanners::new(&swarm.shape)).unwrap_or_default(),
            helpers: Helpers::new(seed),
            coverage: Coverage::default(),
            chance,
            faults: Chance::new(seed, 2),
            wishes: Chance::new(seed, 3),
            trace: Trace::new(tell),
            is_calm: false,
            lull_until: 0,
            events: 0,
            nodes,
            swarm,
        };
        for id in world.swarm.shape.nodes.clone() {
            world.plan(u64::from(id.0) * 3_001, Happening::Start(id));
            if world.come_and_go() {
                // The table by which the groups were founded.
                world.node_mut(id).table = world.movers.table().cloned();
            }
        }
        for at in 0..world.clients.count() {
            world.plan_wake(at, 20_000 + at as u64 * 777);
        }
        world.plan_fault();
        world.plan_operator();
        world.plan_wish();
        world.plan_placement();
        world.begin_plot();
        world.begin_helpers();
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

    pub(crate) fn plan_operator(&mut self) {
        if let Some(pause) = self.swarm.operator {
            let after = self.faults.between(pause / 4, 2 * pause);
            self.plan(after, Happening::Operate);
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    /// The groups that there are by now.
    pub(crate) fn groups(&self) -> Vec<GroupId> {
        let is_born = self.movers.table().is_some_and(|table| table.groups.contains_key(&LATE));
        GROUPS.into_iter().chain(is_born.then_some(LATE)).collect()
    }

    /// Notes what happens.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String, bytes: &[u8]) {
        self.trace.note(self.now, what, bytes);
    }

    /// The disk that a node has at the moment.
    pub(crate) fn disk(&self, id: NodeId) -> Incarnation {
        self.node(id).disks.incarnation(id)
    }

    /// The disk by which a replica is known.
    pub(crate) fn identity(&self, id: NodeId, group: GroupId) -> Incarnation {
        let own = self.node(id).identities.get(&group);
        own.copied().unwrap_or_else(|| self.disk(id))
    }

    /// What a node has of a group's state, in one number, without what the group has forgotten: nothing is
    /// where no bucket moves.
    pub(crate) fn digest(&self, id: NodeId, group: GroupId) -> u64 {
        let disks = &self.node(id).disks;
        match self.movers.table() {
            None => disks.digest(group),
            Some(_) => disks.digest_of_living(group),
        }
    }

    /// Sends a parcel from one node to another.
    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, parcel: Parcel) {
        if self.plotter.holds(from, to, &parcel) {
            return;
        }
        let (now, coverage) = (self.now, &mut self.coverage);
        if matches!(parcel, Parcel::Snapshot(..)) {
            if let Some(at) = self.network.arrival_in_order(from, to, now, coverage) {
                self.agenda.note(at, Happening::Deliver(to, parcel));
            }
            return;
        }
        let [first, second] = self.network.arrivals(from, to, now, coverage);
        if first.is_none() && self.network.is_cut(from, to, now) {
            self.perhaps_noticed(from, to, &parcel);
        }
        if let Some(at) = second {
            self.agenda.note(at, Happening::Deliver(to, parcel.clone()));
        }
        if let Some(at) = first {
            self.agenda.note(at, Happening::Deliver(to, parcel));
        }
    }

    /// Now and then a node notices that nothing gets through.
    fn perhaps_noticed(&mut self, from: NodeId, to: NodeId, parcel: &Parcel) {
        let Parcel::Raft(group, ..) = parcel else { return };
        if self.chance.below(NOTICED_ONE_IN) == 0
            && let Some(process) = &mut self.node_mut(from).process
        {
            process.push(*group, Event::Unreachable(to));
            self.coverage.count(Kind::Unreachable);
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
        let damage = node.process.as_ref().map(|process| process.machinery.damage.clone());
        let story = || format!("{id} starts, life {life}: {started:?}, {damage:?}");
        self.note(story, &[id.0 as u8, 1]);
        match started {
            Ok(()) => self.started(id),
            Err(_) if self.node(id).bitrot.is_done() => {
                // Not even the log, or not the state that goes with it: nothing but a new disk helps.
                self.coverage.count(Kind::SilentReplicas);
                self.node_mut(id).is_lost = true;
                for group in ALL {
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
        for group in ALL {
            let Some(disk) = machinery.identities.get(&group) else {
                self.properties.wiped((id, group));
                continue;
            };
            if let Some(remembered) = machinery.remembered.get(&group) {
                self.properties.started((id, group), *disk, remembered)?;
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
        self.send_table(id);
        self.name_helpers_anew(id);
        self.plan_turns(id);
        Ok(())
    }

    /// A node goes down by itself, and comes back after a while.
    pub(crate) fn goes_down(&mut self, id: NodeId, why: &str) {
        let causes = [
            ("the power is off", Kind::CutsInWrites),
            ("the sync failed", Kind::SyncFailures),
            ("no storage space", Kind::DisksFull),
        ];
        if let Some((_, kind)) = causes.into_iter().find(|(words, _)| why.contains(words)) {
            self.coverage.count(kind);
        }
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
            self.coverage.add(Kind::SecretariesLost, process.secretaries.count());
        }
        let life = node.life;
        node.die(death, &mut chance);
        self.prospects.died(id, life);
        self.tasks.drop_of(id);
        let node = &mut self.nodes[id.0 as usize - 1];
        node.disks.log.set_free(None);
        for at in self.clients.lost(id, &mut self.coverage) {
            let after = self.chance.between(1_000, 60_000);
            self.plan_wake(at, after);
        }
    }

    /// The replica that leads a group, and all that belong to the group or observe it and take part, if
    /// these agree.
    pub(crate) fn leader(&self, group: GroupId) -> Option<(NodeId, Vec<Status>)> {
        let statuses = self.nodes.iter().filter_map(|node| node.status(group));
        let leader =
            statuses.filter(|status| status.role == Role::Leader).max_by_key(|s| s.term)?;
        let membership = &leader.membership;
        let takes_part = |id: &NodeId| self.node(*id).takes_part(group, membership.disk(*id));
        let members = membership.everyone().into_iter().filter(takes_part);
        let members = members.chain(self.observers(group));
        let members = members.map(|id| self.node(id).status(group)).collect::<Option<Vec<_>>>()?;
        let agrees =
            |status: &Status| status.leader == Some(leader.id) && status.membership == *membership;
        members.iter().all(agrees).then_some((leader.id, members))
    }

    /// Whether every node that can be is up, and every replica that takes part has all of its group, in its
    /// state store and on disk.
    pub(crate) fn is_settled(&self) -> bool {
        self.all_are_up()
            && self.nothing_moves()
            && self.are_placed()
            && self.groups().into_iter().all(|group| {
                let Some((leader, members)) = self.leader(group) else { return false };
                let Some(last) = members.iter().find(|one| one.id == leader).map(|one| one.last)
                else {
                    return false;
                };
                members.iter().all(|status| {
                    let process = self.node(status.id).process.as_ref();
                    let persisted = process.map(|process| process.persisted(group));
                    status.last == last && status.applied == last && persisted == Some(last)
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
            for group in ALL {
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
            for status in ALL.into_iter().filter_map(|group| Some((group, node.status(group)?))) {
                let (group, status) = status;
                story += &format!(
                    "{id} {group} {} {} under {:?} base {} last {} on disk {} commit {} applied {}{}; ",
                    status.role,
                    status.term,
                    status.leader,
                    status.base,
                    status.last,
                    status.persisted,
                    status.commit,
                    status.applied,
                    if status.quiet { " asleep" } else { "" },
                );
            }
        }
        for node in &self.nodes {
            story += &node.steward.describe();
        }
        for group in self.groups() {
            story += &format!("{group} is {:?}; ", self.properties.membership(group));
        }
        story
    }
}

/// The config table's keeper, for a cluster in which buckets move.
fn movers_of(shape: &Shape) -> Movers {
    let founders = match shape.come_and_go {
        true => shape.founders.voters.len(),
        false => shape.nodes.len(),
    };
    Movers::new(shape, founders)
}
