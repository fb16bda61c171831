//! Replicas that come and go as the config table wishes. In some seeds an operator names other nodes for a
//! group now and then; on each node the poller that ships decides what to do about it, the replicas' own
//! caretakers do the rest, and nobody else changes a membership.
//!
//! ```text
//!  operator ─► table 7: g1 on n1 n2 n4 ─┬─► n4: begins a replica ─► "may I join?" ─► leader: learner, voter
//!                                       ├─► n1: leads g1, and hears what the table wishes
//!                                       └─► n3: "can you do without me?" ─► leader: farewell ─► destroyed
//!  n2, with a new disk ─► "know me by this" ─► table 8, and nobody listens to the old one any more
//! ```
//!
//! A replica whose disk has forgotten something goes the way of n3, and then of n4.

use super::coverage::Kind;
use super::properties::Held;
use super::properties::memberships::is_quorum;
use super::swarm::ALL;
use super::world::{Happening, Parcel, World};
use eraft::actors::group::caretaker::Wish;
use eraft::actors::group::event::Event;
use eraft::actors::identity::Kinship;
use eraft::actors::poller::follow::{Follow, Seen, Step, Told};
use eraft::ids::{GroupId, Incarnation, NodeId};
use eraft::shard::ConfigCommand;
use eraft::store::wal::Standing;
use std::collections::{BTreeMap, BTreeSet};

/// A node's poller looks at everything at one tick in so many.
const STEP_ONE_IN: u64 = 2;
/// A group never has fewer replicas by the operator's wish.
const REPLICAS_MIN: usize = 3;
/// Where all buckets are shared out, one of so many of the operator's wishes about replicas is to empty a node.
const DRAINED_ONE_IN: u64 = 4;
/// Of what is said about a new disk, one in so many is lost.
const ENLIST_LOST_ONE_IN: u64 = 4;

/// What a poller says to other nodes, or is told by them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The replica known by this disk wants to belong to the group.
    Join(GroupId, Incarnation),
    /// Can the group do without it? It may have forgotten what it promised. The request has a name.
    Leave(GroupId, Incarnation, bool, u64),
    /// It can.
    Farewell(GroupId, Incarnation, u64),
}

/// A node's poller, in one life of its process.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    follow: Follow,
    leaders: BTreeMap<GroupId, NodeId>,
    replicas: BTreeMap<GroupId, Seen>,
    /// Raised whenever these change.
    revision: u64,
    /// Something is lost in the log, and nobody knows whose.
    pub(crate) is_unsure: bool,
}

impl World {
    /// Whether replicas come and go in this seed.
    pub(crate) fn come_and_go(&self) -> bool {
        self.swarm.shape.come_and_go
    }

    /// Whether what a node says under this disk counts where another table may be known.
    pub(crate) fn counts(&self, at: NodeId, from: NodeId, disk: Incarnation) -> bool {
        let table = self.node(at).table.as_ref().filter(|_| self.come_and_go());
        table.is_none_or(|table| Kinship::of(table, from, disk).counts())
    }

    pub(crate) fn plan_placement(&mut self) {
        if let Some(pause) = self.swarm.placements {
            let after = self.wishes.between(pause / 4, 2 * pause);
            self.plan(after, Happening::Place);
        }
    }

    /// The operator names other nodes for a group.
    pub(crate) fn place(&mut self) {
        if self.swarm.shape.shared_out && self.wishes.below(DRAINED_ONE_IN) == 0 {
            return self.drain();
        }
        let group = self.wishes.pick(&self.groups());
        let node = self.wishes.pick(&self.swarm.shape.nodes);
        let replicas = self.replicas_wished(group);
        let wanted = !replicas.contains(&node);
        let drained = self.movers.table().is_some_and(|table| table.draining.contains(&node));
        if wanted && (drained || self.node(node).is_lost) {
            return;
        }
        if wanted {
            self.wish_replica(group, node, true);
            // Another one makes room for it, mostly at once.
            if self.wishes.below(3) != 0 && replicas.len() >= REPLICAS_MIN {
                let gone = self.wishes.pick(&replicas);
                self.wish_replica(group, gone, false);
            }
        } else if replicas.len() > REPLICAS_MIN {
            self.wish_replica(group, node, false);
        }
    }

    /// The operator wants a node emptied, or filled again.
    fn drain(&mut self) {
        let node = self.wishes.pick(&self.swarm.shape.nodes);
        let Some(table) = self.movers.table() else { return };
        let (undo, planned_on) = (table.draining.contains(&node), table.version);
        // Its heirs could be nodes that never come back, and the table does not know.
        if !undo && self.nodes.iter().any(|node| node.is_lost) {
            return;
        }
        self.coverage.add(Kind::NodesDrained, u64::from(!undo));
        self.change_table(&ConfigCommand::DrainNode { node, undo, planned_on });
    }

    /// Nobody is waited for any more who never comes.
    pub(crate) fn place_for_good(&mut self) {
        if !self.come_and_go() {
            return;
        }
        let draining = self.movers.table().map(|table| table.draining.clone());
        for node in draining.unwrap_or_default() {
            let planned_on = self.movers.table().expect("it was there").version;
            self.change_table(&ConfigCommand::DrainNode { node, undo: true, planned_on });
        }
        for group in self.groups() {
            for lost in self.replicas_wished(group) {
                if !self.node(lost).is_lost {
                    continue;
                }
                let wished = self.replicas_wished(group);
                let mut living = self.nodes.iter().filter(|node| !node.is_lost).map(|node| node.id);
                let heir = living.find(|id| !wished.contains(id));
                if let Some(heir) = heir {
                    self.wish_replica(group, heir, true);
                }
                if heir.is_some() || wished.len() > REPLICAS_MIN {
                    self.wish_replica(group, lost, false);
                }
            }
        }
    }

    fn wish_replica(&mut self, group: GroupId, node: NodeId, wanted: bool) {
        self.coverage.count(Kind::ReplicasWished);
        self.change_table(&ConfigCommand::Replica { group, node, wanted });
    }

    /// The nodes that the newest table names for a group.
    fn replicas_wished(&self, group: GroupId) -> Vec<NodeId> {
        let table = self.movers.table();
        let info = table.and_then(|table| table.groups.get(&group));
        info.map(|info| info.replicas.clone()).unwrap_or_default()
    }

    /// Whether every group is where the table wishes it, as far as that can be.
    pub(crate) fn are_placed(&self) -> bool {
        !self.come_and_go()
            || self.groups().into_iter().all(|group| {
                let can_be = |ids: &[NodeId]| -> BTreeSet<NodeId> {
                    ids.iter().copied().filter(|id| !self.node(*id).is_lost).collect()
                };
                let membership = self.properties.membership(group);
                let wished = can_be(&self.replicas_wished(group));
                let all = |node: &super::node::Node| {
                    node.is_lost || wished.contains(&node.id) == node.hosts(group)
                };
                !membership.is_joint()
                    && can_be(&membership.voters) == wished
                    && can_be(&membership.everyone()) == wished
                    && self.nodes.iter().all(all)
            })
    }

    /// Whether every group can go on without the disk of this node, whatever the caretakers do next: they
    /// never have fewer than three voters, unless one has forgotten everything, so one may be lost if all
    /// others are well.
    pub(crate) fn can_lose_by_wish(&self, id: NodeId) -> bool {
        self.groups().into_iter().all(|group| {
            let newest = self.properties.membership(group);
            let is_well = |member: NodeId| {
                let node = self.node(member);
                let disk = newest.disk(member);
                let has_heard = node.status(group).is_some_and(|at| at.membership == *newest);
                let knows = self.properties.knows_newest((member, group));
                node.is_whole(group, disk) && knows && has_heard
            };
            let others = newest.everyone().into_iter().filter(|member| *member != id);
            let comes = self.replicas_wished(group).into_iter().filter(|node| *node != id);
            !newest.is_joint()
                && newest.voters.len() >= REPLICAS_MIN
                && others.into_iter().all(is_well)
                && comes.into_iter().all(|node| {
                    let node = self.node(node);
                    !node.is_lost && !node.bitrot.is_on() && node.silent.is_empty()
                })
                && is_quorum(newest, |member, _| member != id)
        })
    }

    /// The poller of a node has its turn now and then.
    pub(crate) fn poll(&mut self, id: NodeId) {
        if !self.come_and_go() || self.wishes.below(STEP_ONE_IN) != 0 {
            return;
        }
        let connected: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.process.is_some())
            .map(|node| node.id)
            .filter(|other| *other != id)
            .collect();
        let node = &mut self.nodes[id.0 as usize - 1];
        let Some(process) = &node.process else { return };
        let identities = &process.machinery.identities;
        let seen = |(group, disk): (&GroupId, &Incarnation)| {
            let status = process.driver(*group).map(|driver| driver.status());
            let seen = Seen {
                belongs: status.is_some_and(|status| status.membership.holds(id, *disk)),
                forgotten: node.silent.contains(group),
                disk: Some(*disk),
                ..Seen::default()
            };
            (*group, seen)
        };
        let mut replicas: BTreeMap<_, _> = identities.iter().map(seen).collect();
        let leader = |group: GroupId| Some((group, process.driver(group)?.status().leader?));
        let mut leaders: BTreeMap<_, _> = ALL.into_iter().filter_map(leader).collect();
        let config = node.table.as_ref().and_then(|table| table.groups.get(&GroupId::CONFIG));
        if let Some(config) = config.filter(|config| config.replicas.contains(&id)) {
            // Of this group nothing is here, and all is well with it.
            let disk = Some(node.disks.incarnation(id));
            replicas.insert(GroupId::CONFIG, Seen { belongs: true, disk, ..Seen::default() });
            leaders.insert(GroupId::CONFIG, config.preferred_leader);
        }
        let knows = |group: &GroupId| process.machinery.log.standing(*group).0 != Standing::Unknown;
        let own = ALL.into_iter().filter(knows);
        let began = own.chain([GroupId::CONFIG]).collect();
        let poller = &mut node.poller;
        if (&poller.replicas, &poller.leaders) != (&replicas, &leaders) {
            poller.revision += 1;
            (poller.replicas, poller.leaders) = (replicas, leaders);
        }
        if let Some(table) = &node.table {
            poller.follow.learn(table.clone());
        }
        let told = Told {
            now: node.clock.mono(self.now),
            node: id,
            disk: node.disks.incarnation(id),
            // Those have been started with the process.
            living: &BTreeSet::new(),
            began: &began,
            unsure: poller.is_unsure,
            connected: &connected,
            health: &node.warden.health,
            disk_low: false,
            leaders: &poller.leaders,
            replicas: &poller.replicas,
            secretaries: &BTreeSet::new(),
            revision: poller.revision,
        };
        for step in poller.follow.step(&told) {
            self.take_step(id, step, &connected);
        }
    }

    fn take_step(&mut self, id: NodeId, step: Step, connected: &[NodeId]) {
        let node = &mut self.nodes[id.0 as usize - 1];
        let process = node.process.as_mut().expect("it has its turn");
        match step {
            Step::Adopt(table) => {
                for group in ALL {
                    if let Some(wish) = Wish::of(&table, group) {
                        process.push(group, Event::Wish(wish));
                    }
                }
            }
            Step::Start(group) => process.begin(group),
            Step::Join { group, disk, aloud } => {
                self.speak(id, group, aloud, connected, Word::Join(group, disk));
            }
            Step::Leave { group, disk, forgotten, aloud } => {
                let word = Word::Leave(group, disk, forgotten, process.request(group));
                self.speak(id, group, aloud, connected, word);
            }
            Step::Enlist => {
                let disk = node.disks.incarnation(id);
                if self.wishes.below(ENLIST_LOST_ONE_IN) != 0 {
                    let after = self.wishes.between(500, 200_000);
                    self.plan(after, Happening::Enlist(id, disk));
                }
            }
            Step::Mend => match process.machinery.log.mend() {
                Ok(done) => {
                    node.poller.is_unsure = !done;
                    node.heals();
                }
                // The log says so at its next turn, too.
                Err(error) => self.note(|| format!("{id} cannot mend its log: {error}"), &[17]),
            },
            Step::Transfer(group, to) => process.push(group, Event::Transfer(to)),
            Step::TellHelpers(group, helpers) => {
                let (observers, secretaries) =
                    (helpers.observers.clone(), helpers.secretaries.clone());
                process.push(group, Event::Helpers { observers, secretaries });
                node.poller.follow.told_helpers(group, helpers);
            }
            // Tables arrive by themselves, and there are no secretaries.
            Step::Ask(_) | Step::Employ(_) | Step::Dismiss(_) => {}
        }
        self.plan_turns(id);
    }

    /// To the nodes that may lead the group.
    fn speak(&mut self, id: NodeId, group: GroupId, aloud: bool, connected: &[NodeId], word: Word) {
        let node = self.node(id);
        let leader = node.status(group).and_then(|status| status.leader);
        let info = node.table.as_ref().and_then(|table| table.groups.get(&group).cloned());
        let named = |node: NodeId| {
            info.as_ref().is_some_and(|info| {
                info.replicas.contains(&node) || info.founders.iter().any(|one| one.0 == node)
            })
        };
        for to in connected.iter().copied() {
            if aloud || leader == Some(to) || named(to) {
                self.send_word(id, to, word);
            }
        }
    }

    pub(crate) fn send_word(&mut self, from: NodeId, to: NodeId, word: Word) {
        self.note(|| format!("{from} says to {to}: {word:?}"), &[18, from.0 as u8]);
        let disks = [self.disk(from), self.disk(to)];
        self.send(from, to, Parcel::Word(from, word, disks));
    }

    /// A node hears what another one says, if that one counts for something.
    pub(crate) fn hear_word(
        &mut self,
        to: NodeId,
        from: NodeId,
        word: Word,
        disk: Incarnation,
    ) -> Held {
        if !self.counts(to, from, disk) {
            self.coverage.count(Kind::Strangers);
            return Ok(());
        }
        let node = self.node_mut(to);
        let Some(process) = &mut node.process else { return Ok(()) };
        match word {
            Word::Join(group, disk) => process.push(group, Event::Arrived { node: from, disk }),
            Word::Leave(group, disk, forgotten, request) => {
                let leaving = Event::Leaving { node: from, disk, forgotten, request };
                process.push(group, leaving);
            }
            Word::Farewell(group, disk, request) => {
                let Some(answers) = process.destroy(group, disk, request) else { return Ok(()) };
                self.note(|| format!("{to} destroys its replica of {group}"), &[19, to.0 as u8]);
                self.send_answers(to, answers);
                self.properties.let_go((to, group), disk)?;
            }
        }
        Ok(())
    }

    /// A node's new disk is told to the config group.
    pub(crate) fn enlisted(&mut self, id: NodeId, disk: Incarnation) {
        let Some(table) = self.movers.table().filter(|_| self.disk(id) == disk) else { return };
        if Kinship::of(table, id, disk) == Kinship::Stranger {
            self.coverage.count(Kind::DisksAdopted);
            let info = super::movers::info_of(id, disk);
            self.change_table(&ConfigCommand::AdoptDisk { node: id, info });
        }
    }

    /// A replica has begun on a node.
    pub(crate) fn begun(&mut self, id: NodeId, group: GroupId) -> Held {
        let node = &mut self.nodes[id.0 as usize - 1];
        let process = node.process.as_mut().expect("it has its turn");
        let machinery = &process.machinery;
        let disk = machinery.identities[&group];
        let remembered = machinery.remembered[&group].clone();
        node.identities.insert(group, disk);
        let is_reborn = machinery.disks.incarnation(id) != disk;
        if let Some(wish) = node.table.as_ref().and_then(|table| Wish::of(table, group)) {
            process.push(group, Event::Wish(wish));
        }
        let health = node.warden.health.clone();
        process.push(group, Event::Health { health, spread_ticks: 1 });
        self.coverage.count(if is_reborn { Kind::ReplicasReborn } else { Kind::ReplicasBegun });
        self.note(|| format!("{id} begins a replica of {group}, {disk}"), &[20, id.0 as u8]);
        self.properties.started((id, group), disk, &remembered)
    }

    /// Nothing is left of a replica.
    pub(crate) fn ended(&mut self, id: NodeId, group: GroupId) {
        self.coverage.count(Kind::ReplicasDestroyed);
        self.note(|| format!("{id} has destroyed its replica of {group}"), &[21, id.0 as u8]);
        self.properties.wiped((id, group));
        let node = self.node_mut(id);
        node.identities.remove(&group);
        if node.silent.remove(&group) {
            self.coverage.count(Kind::ReplicasRepaired);
        }
        self.node_mut(id).heals();
    }
}
