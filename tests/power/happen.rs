//! What each thing on the agenda does to the cluster.

use super::checks::Violation;
use super::cluster::Cluster;
use super::parts::{Failure, Output, Part};
use super::shape::GROUPS;
use eraft::actors::group::event::{Event, Now, ReplyTo};
use eraft::codec;
use eraft::ids::{GroupId, Incarnation, Index, NodeId};
use eraft::raft::{Message, Role};
use eraft::time::MonoMillis;
use std::collections::BTreeMap;

/// One tick of the Raft clock, microseconds.
const TICK: u64 = 50_000;
/// The state is brought to the disk at one tick in so many, …
const PERSIST_ONE_TICK_IN: u64 = 4;
/// … and before one turn of the applier in so many, so that at times the state is quicker than the log.
const PERSIST_ONE_TURN_IN: u64 = 16;
/// One turn in so many takes much longer than the others: each part sees each other one late at times.
const SLOW_ONE_IN: u64 = 20;
/// A leader knows its voters' clocks only so long after the start of the run, microseconds.
const CLOCKS_KNOWN: u64 = 200_000;

/// Something on the agenda.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The clock of a node, in one of its lives.
    Tick(NodeId, u64),
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

impl Cluster {
    /// One thing from the agenda.
    pub(crate) fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Tick(id, life) => {
                let persists = self.chance.below(PERSIST_ONE_TICK_IN) == 0;
                let node = self.node_mut(id);
                if let (true, Some(process)) = (node.life == life, &mut node.process) {
                    process.tick();
                    if persists {
                        process.persist();
                    }
                    self.plan_at(TICK, Happening::Tick(id, life));
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
                    if let Some(id) =
                        self.faults.strike(&mut self.nodes, &mut self.network, self.now)
                    {
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
        self.trace.note(
            self.now,
            || format!("{group} {from} to {to}: {message}"),
            &codec::encode(&message),
        );
        if let Some(process) = &mut self.node_mut(to).process {
            let disk = Incarnation(u64::from(from.0));
            process.push(group, Event::Peer(disk, vec![message]));
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
        let persists = part == Part::Apply && self.chance.below(PERSIST_ONE_TURN_IN) == 0;
        let node = &mut self.nodes[id.0 as usize - 1];
        if let (true, Some(process)) = (persists, &mut node.process) {
            process.persist();
        }
        match node.turn(part, now, &floors, &mut self.power) {
            Ok(output) => self.carry_out(id, output)?,
            Err(Failure::DoesNotOpen(story)) => return Err(Violation::DoesNotOpen(story)),
            Err(Failure::Broken(story)) => {
                return Err(Violation::Failed(story).about(&id.to_string()));
            }
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
        if let Some((group, needed)) = output.snapshots.first() {
            return Err(Violation::Stuck(format!("{} needs a snapshot of {group}", needed.to)));
        }
        for lead in output.leads.iter().filter(|lead| lead.role == Role::Leader) {
            self.trace.note(
                self.now,
                || format!("{id} leads {} in {}", lead.group, lead.term),
                &[],
            );
            self.ledger.leads(lead.group, lead.term, id)?;
        }
        for (group, entry, _) in output.committed {
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
            if let Some(delay) = self.network.delay(&message, self.now) {
                self.plan_at(delay, Happening::Deliver(group, message));
            }
        }
        Ok(())
    }

    /// Every part that has something to do gets a turn soon.
    pub(crate) fn plan_turns(&mut self, id: NodeId) {
        for part in Part::ALL {
            let node = &mut self.nodes[id.0 as usize - 1];
            if node.plan(part) {
                let life = node.life;
                let slow = self.chance.below(SLOW_ONE_IN) == 0;
                let (from, to) = match part {
                    Part::Drivers => (1, 100),
                    Part::Log if slow => (5_000, 60_000),
                    Part::Log => (50, 2_000),
                    Part::Apply => (5, 300),
                    Part::State if slow => (2_000, 20_000),
                    Part::State => (20, 500),
                };
                let after = self.chance.between(from, to);
                self.plan_at(after, Happening::Turn(id, life, part));
            }
        }
    }

    /// So many microseconds from now.
    pub(crate) fn plan_at(&mut self, after: u64, happening: Happening) {
        self.agenda.note(self.now + after, happening);
    }

    pub(crate) fn plan_wake(&mut self, at: usize) {
        let after = self.clients.all[at].wake_at.saturating_sub(self.now);
        self.plan_at(after, Happening::Wake(at));
    }

    pub(crate) fn plan_fault(&mut self) {
        let after = self.faults.pause();
        self.plan_at(after, Happening::Fault);
    }
}
