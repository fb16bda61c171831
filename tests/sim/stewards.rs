//! A node's part in moves: at each leader the driver that ships, with units of work as its hands. What the
//! node's router does for it is a guess at the leader here, corrected by refusals.

use super::coverage::Kind;
use super::properties::Held;
use super::swarm::ALL;
use super::world::{Happening, Parcel, World};
use eraft::actors::apply::Holdings;
use eraft::actors::group::event::{Event, ReplyTo};
use eraft::ids::{GroupId, NodeId, Term};
use eraft::kv::migration::drive::{
    Action, AskId, Errand, Goal, Heard, Migrator, ProposalId, Settled, Word,
};
use eraft::kv::migration::{MoveId, MoveRecord};
use eraft::kv::{Command, Reply};
use eraft::net::message::{Answer, Ask, Outcome, Refusal, Unit, UnitId, Work};
use eraft::raft::Role;
use eraft::shard::TableStamp;
use std::collections::BTreeMap;

/// No client's unit has such a number.
const FIRST_UNIT: u64 = 1 << 48;
/// A word that is refused is said so often.
const TRIES: u32 = 6;
/// Of one step in so many another copy arrives, much later.
const STRAY_ONE_IN: u64 = 2;
/// While buckets leave, one answer to a client in so many is lost.
const ANSWER_LOST_ONE_IN: u64 = 3;
/// A node's router asks another replica when nothing was heard for so long, microseconds.
const SILENCE: u64 = 2_000_000;
/// One report in so many is lost.
const REPORT_LOST_ONE_IN: u64 = 8;

/// A driver of moves, for one lead.
#[derive(Debug)]
struct Driver {
    term: Term,
    /// None: what was committed before is not applied yet, as far as is known.
    migrator: Option<Migrator>,
    told: Option<TableStamp>,
    /// Tells it from others of the same group.
    number: u64,
}

/// All of a node's drivers.
#[derive(Debug, Default)]
pub(crate) struct Steward {
    drivers: BTreeMap<GroupId, Driver>,
    /// Who seems to lead.
    guesses: BTreeMap<GroupId, NodeId>,
}

impl Steward {
    /// How its drivers stand, for people.
    pub(crate) fn describe(&self) -> String {
        let one = |(group, driver): (&GroupId, &Driver)| {
            let moves = driver.migrator.as_ref().map(Migrator::report);
            format!("drives {group} in {} by {:?}: {moves:?}; ", driver.term, driver.told)
        };
        self.drivers.iter().map(one).collect()
    }
}

/// What a unit of a driver is for.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are words")]
enum Task {
    Prepare,
    Say { ask: AskId, source: GroupId, errand: Errand, word: Word, tries: u32 },
    Propose(ProposalId),
    Nothing,
}

/// Units of drivers that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    units: BTreeMap<UnitId, (NodeId, GroupId, u64, Task)>,
    last_unit: u64,
    last_driver: u64,
}

impl Tasks {
    /// Which node waits for the answer.
    pub(crate) fn asker(&self, unit: UnitId) -> Option<NodeId> {
        self.units.get(&unit).map(|task| task.0)
    }

    /// The node is gone.
    pub(crate) fn drop_of(&mut self, node: NodeId) {
        self.units.retain(|_, task| task.0 != node);
    }
}

impl World {
    /// The node looks at what it leads: who drives, what is wanted, what the config group does not know.
    pub(crate) fn look_after_moves(&mut self, id: NodeId) {
        if self.movers.table().is_none() {
            return;
        }
        for group in ALL {
            let leads = self.node(id).status(group).filter(|status| status.role == Role::Leader);
            let Some(term) = leads.map(|status| status.term) else {
                self.node_mut(id).steward.drivers.remove(&group);
                continue;
            };
            let driver = self.node(id).steward.drivers.get(&group);
            if driver.is_none_or(|driver| driver.term != term) {
                self.prepare(id, group, term);
            }
            self.drive_moves(id, group);
            self.give_up(id, group);
            self.report(id, group);
        }
    }

    /// Any read will do: it is answered only by a leader, from all that was committed before.
    fn prepare(&mut self, id: NodeId, group: GroupId, term: Term) {
        self.tasks.last_driver += 1;
        let number = self.tasks.last_driver;
        let driver = Driver { term, migrator: None, told: None, number };
        self.node_mut(id).steward.drivers.insert(group, driver);
        let read = Work::Keys(vec![Ask { command: Command::DbSize, session: None }]);
        self.submit((id, group, number), (id, group), read, Task::Prepare);
    }

    /// The driver looks at the time, the table, and what is replicated.
    fn drive_moves(&mut self, id: NodeId, group: GroupId) {
        let now = self.node(id).clock.mono(self.now);
        let node = self.node_mut(id);
        let Some(holdings) = node.holdings(group).cloned() else { return };
        let Some(driver) = node.steward.drivers.get_mut(&group) else { return };
        let Some(migrator) = &mut driver.migrator else { return };
        migrator.observe(now, &holdings.moves);
        if let Some(table) = &node.table {
            let stamp = Some(table.stamp());
            if std::mem::replace(&mut driver.told, stamp) != stamp {
                migrator.follow(now, Goal::of(group, table));
            }
        }
        migrator.tick(now);
        self.act_for_moves(id, group);
    }

    /// Ends moves that the table does not want any more.
    fn give_up(&mut self, id: NodeId, group: GroupId) {
        let node = self.node(id);
        let (Some(table), Some(holdings)) = (&node.table, node.holdings(group)) else { return };
        let desired = |bucket| table.owners.get(bucket).desired;
        for number in holdings.moves.unwanted(table.stamp(), desired) {
            let cancel = MoveRecord::Cancel { id: MoveId { source: group, number } };
            self.submit((id, group, 0), (id, group), Work::Steps(vec![cancel]), Task::Nothing);
        }
    }

    /// Tells the config group what it does not know.
    fn report(&mut self, id: NodeId, group: GroupId) {
        let node = self.node(id);
        let (Some(table), Some(holdings)) = (&node.table, node.holdings(group)) else { return };
        let claims = holdings.claims(group, table);
        if !claims.is_empty() && self.wishes.below(REPORT_LOST_ONE_IN) != 0 {
            let after = self.wishes.between(500, 50_000);
            self.plan(after, Happening::Report(claims));
        }
    }

    /// Does what a driver wants done.
    fn act_for_moves(&mut self, id: NodeId, group: GroupId) {
        let Some(driver) = self.node_mut(id).steward.drivers.get_mut(&group) else { return };
        let number = driver.number;
        let actions = driver.migrator.as_mut().map(Migrator::take_actions).unwrap_or_default();
        for action in actions {
            match action {
                Action::Ask { ask, source, question } => {
                    let (errand, word) = Errand::new(question);
                    let task = Task::Say { ask, source, errand, word, tries: 0 };
                    self.say((id, group, number), task);
                }
                Action::Propose { proposal, records } => {
                    let work = Work::Steps(records);
                    let task = Task::Propose(proposal);
                    self.submit((id, group, number), (id, group), work, task);
                }
            }
        }
    }

    /// Says the word of an errand to whoever seems to lead its source.
    fn say(&mut self, by: (NodeId, GroupId, u64), task: Task) {
        let Task::Say { source, word, tries, .. } = &task else { return };
        let work = match word.clone() {
            Word::Look(look) => Work::Look(look),
            Word::Step(record) => Work::Steps(vec![record]),
        };
        let (source, tries) = (*source, *tries);
        if tries == 0 && self.wishes.below(4) == 0 {
            // Nobody may have answered the last one, for ever.
            let any = self.wishes.pick(&self.swarm.shape.nodes);
            self.node_mut(by.0).steward.guesses.insert(source, any);
        }
        let to = *self.node(by.0).steward.guesses.get(&source).unwrap_or(&by.0);
        self.submit(by, (to, source), work, task);
    }

    fn submit(
        &mut self,
        (by, group, number): (NodeId, GroupId, u64),
        (to, target): (NodeId, GroupId),
        work: Work,
        task: Task,
    ) {
        self.tasks.last_unit += 1;
        let unit = Unit { id: UnitId(FIRST_UNIT + self.tasks.last_unit), group: target, work };
        let says = matches!(task, Task::Say { .. });
        self.tasks.units.insert(unit.id, (by, group, number, task));
        if says && self.is_calm {
            self.plan_silence(unit.id);
        }
        self.perhaps_stray(to, &unit);
        if to == by {
            let Some(process) = &mut self.node_mut(by).process else { return };
            if process.driver(target).is_none() {
                return self.not_delivered(by, unit.id);
            }
            process.push(target, Event::Units(ReplyTo::Worker(1), vec![unit]));
            return self.plan_turns(by);
        }
        let (now, coverage) = (self.now, &mut self.coverage);
        for at in self.network.arrivals(by, to, now, coverage).into_iter().flatten() {
            let parcel = Parcel::Unit(unit.clone());
            self.agenda.note(at, Happening::Deliver(to, parcel));
        }
    }

    /// A question that nobody answers is asked elsewhere. While things go wrong it may wait much longer than in
    /// a node, so that moves stand open under all that happens; from now on no longer.
    pub(crate) fn end_silences(&mut self) {
        let says = |(unit, task): (&UnitId, &(_, _, _, Task))| {
            matches!(task.3, Task::Say { .. }).then_some(*unit)
        };
        for unit in self.tasks.units.iter().filter_map(says).collect::<Vec<_>>() {
            self.plan_silence(unit);
        }
    }

    /// If it is answered first, this is passed over.
    fn plan_silence(&mut self, unit: UnitId) {
        self.plan(SILENCE, Happening::Answer(Answer { unit, outcome: Outcome::Unknown }));
    }

    fn perhaps_stray(&mut self, to: NodeId, unit: &Unit) {
        if matches!(unit.work, Work::Steps(_)) && self.wishes.below(STRAY_ONE_IN) == 0 {
            self.tasks.last_unit += 1;
            let copy = Unit { id: UnitId(FIRST_UNIT + self.tasks.last_unit), ..unit.clone() };
            let after = self.wishes.between(1_000, 3_000_000);
            self.plan(after, Happening::Deliver(to, Parcel::Unit(copy)));
        }
    }

    /// While buckets leave, some answers do not reach their clients, who then ask again where the buckets
    /// are by now.
    pub(crate) fn loses_answer(&mut self, id: NodeId) -> bool {
        let leaves = |group| {
            let holdings = self.node(id).holdings(group);
            holdings.is_some_and(|holdings| holdings.moves.outgoing().next().is_some())
        };
        let some_leave = ALL.into_iter().any(leaves);
        some_leave && !self.is_calm && self.wishes.below(ANSWER_LOST_ONE_IN) == 0
    }

    /// An answer to a driver's unit leaves a node.
    pub(crate) fn send_to_driver(&mut self, from: NodeId, to: NodeId, answer: Answer) {
        if from == to {
            return self.plan(10, Happening::Answer(answer));
        }
        let (now, coverage) = (self.now, &mut self.coverage);
        for at in self.network.arrivals(from, to, now, coverage).into_iter().flatten() {
            self.agenda.note(at, Happening::Answer(answer.clone()));
        }
    }

    /// An answer to a driver's unit arrives.
    pub(crate) fn hear_for_moves(&mut self, answer: Answer) {
        let Some((id, group, number, task)) = self.tasks.units.remove(&answer.unit) else { return };
        let now = self.node(id).clock.mono(self.now);
        let holdings = self.node(id).holdings(group).cloned();
        let driver = self.node_mut(id).steward.drivers.get_mut(&group);
        let Some(driver) = driver.filter(|driver| driver.number == number) else { return };
        match (task, answer.outcome) {
            (Task::Prepare, Outcome::Done(_)) => driver.migrator = Some(Migrator::new(group, now)),
            (Task::Prepare, _) => {
                self.node_mut(id).steward.drivers.remove(&group);
                return;
            }
            (task, outcome) => {
                let Some(migrator) = &mut driver.migrator else { return };
                if let Some(holdings) = holdings {
                    // What an entry did is seen before its result.
                    migrator.observe(now, &holdings.moves);
                }
                match task {
                    Task::Propose(proposal) => {
                        let settled = match outcome {
                            Outcome::Done(replies) => settled(&replies),
                            Outcome::NotDone(_) | Outcome::Unknown => Settled::NotNow,
                        };
                        migrator.settled(now, proposal, settled);
                    }
                    Task::Say { .. } => {
                        return self.hear_for_errand((id, group, number), task, outcome);
                    }
                    Task::Prepare | Task::Nothing => {}
                }
            }
        }
        self.drive_moves(id, group);
    }

    fn hear_for_errand(&mut self, by: (NodeId, GroupId, u64), task: Task, outcome: Outcome) {
        let (id, group, _) = by;
        let Task::Say { ask, source, mut errand, word, tries } = task else { return };
        let heard = match outcome {
            Outcome::Done(replies) => replies.first().map(|reply| errand.heard(reply)),
            Outcome::NotDone(Refusal::NotLeader(Some(leader))) => {
                self.node_mut(id).steward.guesses.insert(source, leader);
                None
            }
            Outcome::NotDone(_) | Outcome::Unknown => {
                let any = self.wishes.pick(&self.swarm.shape.nodes);
                self.node_mut(id).steward.guesses.insert(source, any);
                None
            }
        };
        match heard {
            None if tries < TRIES => {
                return self.say(by, Task::Say { ask, source, errand, word, tries: tries + 1 });
            }
            Some(Heard::Say(word)) => {
                return self.say(by, Task::Say { ask, source, errand, word, tries: 0 });
            }
            _ => {}
        }
        let now = self.node(id).clock.mono(self.now);
        let driver = self.node_mut(id).steward.drivers.get_mut(&group);
        let Some(migrator) = driver.and_then(|driver| driver.migrator.as_mut()) else { return };
        match heard {
            Some(Heard::Answer(answer)) => migrator.answered(now, ask, answer),
            _ => migrator.lost(now, ask),
        }
        self.act_for_moves(id, group);
    }

    /// A replica has news of what its group holds.
    pub(crate) fn held(&mut self, id: NodeId, group: GroupId, holdings: &Holdings) -> Held {
        if self.movers.table().is_none() {
            return Ok(());
        }
        let news = self.properties.held((id, group), holdings)?;
        self.coverage.add(Kind::HandOffs, news.handed_off);
        self.coverage.add(Kind::MovesBeside, news.beside);
        self.coverage.add(Kind::Acceptances, news.accepted);
        self.coverage.add(Kind::GivenUp, news.given_up);
        if !holdings.moves.is_empty() {
            self.note(|| format!("{id} {group} holds {holdings:?}"), &[12, id.0 as u8]);
            self.perhaps_ambush(id, 10_000);
        }
        self.drive_moves(id, group);
        Ok(())
    }
}

fn settled(replies: &[Reply]) -> Settled {
    let replies = replies.iter().map(|reply| reply.decode().ok()).collect::<Option<Vec<_>>>();
    replies.map_or(Settled::NotNow, Settled::Applied)
}
