//! The clients, each with one unit under way at a time, and the history of all that they were told.

use super::client::{Client, Doing, Habit};
use super::clock::Clock;
use super::cluster::Chance;
use super::coverage::{Coverage, Kind};
use super::linearizability::History;
use super::linearizability::redis::{Reply as Told, Request};
use super::operation::{Answered, Operation};
use super::properties::{Held, Properties, Violation};
use super::swarm::{GROUPS, Swarm};
use eraft::ids::{GroupId, NodeId};
use eraft::kv::{Redirect, Reply, SessionRef};
use eraft::net::message::{Answer, Outcome, Refusal, Unit, UnitId};
use eraft::time::UnixMillis;
use std::collections::{BTreeMap, VecDeque};

/// How long a client waits for an answer, microseconds.
const PATIENCE: u64 = 700_000;
/// A client of its own, for what happens by itself.
const NOBODY: u64 = 0;

/// See the module's first lines.
pub(crate) struct Clients {
    all: Vec<Client>,
    chance: Chance,
    nodes: usize,
    /// Those that may be members of a group; the others observe.
    members: usize,
    thought: u64,
    padding: u64,
    session_millis: u64,
    stray_one_in: u64,
    units: BTreeMap<UnitId, usize>,
    last_unit: u64,
    history: History<Request, Told>,
    /// Operations called.
    pub(crate) operations: u64,
    /// Late copies to be sent.
    strays: Vec<(NodeId, Unit)>,
}

impl Clients {
    pub(crate) fn new(seed: u64, swarm: &Swarm) -> Self {
        let nodes = swarm.shape.nodes.len();
        let helpers = swarm.shape.helpers.len();
        // With observers, each node is asked about each group.
        let turn = if helpers == 0 { 1 } else { GROUPS.len() };
        let client = |position: usize| Client {
            number: position as u64 + 1,
            group: GROUPS[position % GROUPS.len()],
            at: GROUPS[position % GROUPS.len()],
            habit: if position >= swarm.clients {
                Habit::Loyal
            } else if (position / GROUPS.len()).is_multiple_of(2) {
                Habit::Session
            } else {
                Habit::Plain
            },
            target: position / turn % nodes,
            units: swarm.units,
            last: VecDeque::new(),
            sequence: 0,
            doing: None,
            wake_at: 0,
        };
        Self {
            all: (0..swarm.clients + swarm.readers).map(client).collect(),
            chance: Chance::new(seed, 0x63_6c69),
            nodes,
            members: nodes - helpers,
            thought: swarm.thought,
            padding: swarm.padding,
            session_millis: swarm.session_millis,
            stray_one_in: swarm.stray_one_in,
            units: BTreeMap::new(),
            last_unit: 0,
            history: History::default(),
            operations: 0,
            strays: Vec::new(),
        }
    }

    /// A client is to be woken then, and at no other time.
    pub(crate) fn wakes_at(&mut self, at: usize, when: u64) {
        self.all[at].wake_at = when;
    }

    pub(crate) fn wake_is_due(&self, at: usize, now: u64) -> bool {
        self.all[at].wake_at == now
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody wants anything any more.
    pub(crate) fn are_idle(&self) -> bool {
        self.all.iter().all(Client::is_idle)
    }

    /// The faults are over: nobody begins more than a few things.
    pub(crate) fn hurry(&mut self, units: u32) {
        for client in &mut self.all {
            client.hurry(units);
        }
    }

    /// One client of each group writes something, which must succeed, and then reads everything.
    pub(crate) fn audit(&mut self) {
        for client in self.all.iter_mut().take(GROUPS.len()) {
            client.habit = Habit::Session;
            let last = Operation::last(client.group, &format!("last.{};", client.number));
            client.last.extend([vec![last], Operation::audit(client.group)]);
        }
    }

    /// All that was called, for the checker.
    pub(crate) fn history(self) -> History<Request, Told> {
        self.history
    }

    /// A client wakes: perhaps it has something to send. Answers when to wake it again.
    pub(crate) fn wake(
        &mut self,
        at: usize,
        now: u64,
        coverage: &mut Coverage,
    ) -> (Option<(NodeId, Unit)>, Option<u64>) {
        if let Some(Doing { sent: Some((_, _, since)), .. }) = &self.all[at].doing {
            if now < since + PATIENCE {
                return (None, Some(since + PATIENCE));
            }
            self.give_up(at, coverage);
        }
        if self.all[at].doing.is_none() {
            self.begin(at, now, coverage);
        }
        let client = &mut self.all[at];
        let Some(doing) = &mut client.doing else { return (None, None) };
        self.last_unit += 1;
        let (id, node) = (UnitId(self.last_unit), NodeId(client.target as u32 + 1));
        doing.sent = Some((id, node, now));
        doing.attempts += 1;
        if doing.attempts > 1 && doing.is_write {
            coverage.count(Kind::Retries);
        }
        self.units.insert(id, at);
        (Some((node, doing.unit(id, client.at))), Some(now + PATIENCE))
    }

    fn begin(&mut self, at: usize, now: u64, coverage: &mut Coverage) {
        let client = &mut self.all[at];
        let Some(operations) = client.next(self.padding, &mut self.chance) else { return };
        let first = client.sequence + 1;
        client.sequence += operations.len() as u64;
        let is_write = operations.iter().any(|operation| operation.command.is_write());
        let lag = if self.chance.below(3) == 0 { self.chance.below(4) } else { 0 };
        let session = (client.habit == Habit::Session).then(|| SessionRef {
            client: client.number,
            sequence: first,
            lowest_unanswered: first.saturating_sub(lag).max(1),
            expires: UnixMillis(Clock::true_wall(now).0 + self.session_millis),
        });
        let mut calls = Vec::new();
        for operation in &operations {
            calls.push(self.history.call(client.number, operation.request.clone(), now));
            if operation.expires {
                coverage.count(Kind::Expiries);
                self.history.call(NOBODY, operation.expiry(), now);
            }
        }
        self.operations += operations.len() as u64;
        client.doing =
            Some(Doing { operations, calls, session, sent: None, attempts: 0, is_write });
    }

    /// What became of the unit is not known.
    fn give_up(&mut self, at: usize, coverage: &mut Coverage) {
        let client = &mut self.all[at];
        client.turn_to((client.target + 1) % self.nodes);
        let Some(doing) = &mut client.doing else { return };
        if let Some((unit, _, _)) = doing.sent.take() {
            self.units.remove(&unit);
        }
        if doing.session.is_none() {
            coverage.add(Kind::Unknown, doing.operations.len() as u64);
            client.doing = None;
        }
    }

    /// Nothing will be heard any more from this node. Answers who should be woken.
    pub(crate) fn lost(&mut self, node: NodeId, coverage: &mut Coverage) -> Vec<usize> {
        let waits = |client: &Client| {
            client.doing.as_ref().and_then(|doing| doing.sent).is_some_and(|sent| sent.1 == node)
        };
        let waiting: Vec<_> = (0..self.all.len()).filter(|at| waits(&self.all[*at])).collect();
        for at in &waiting {
            self.give_up(*at, coverage);
        }
        waiting
    }

    /// The node was down: the unit was not even sent.
    pub(crate) fn was_not_sent(&mut self, unit: UnitId, coverage: &mut Coverage) -> Option<usize> {
        let at = self.units.remove(&unit)?;
        let client = &mut self.all[at];
        client.turn_to((client.target + 1) % self.nodes);
        self.not_done(at, coverage);
        Some(at)
    }

    /// An answer arrives. Answers who it was for, and after how long to wake that one.
    pub(crate) fn answer(
        &mut self,
        answer: Answer,
        now: u64,
        properties: &mut Properties,
        coverage: &mut Coverage,
    ) -> Result<Option<(usize, u64)>, Violation> {
        let Some(at) = self.units.remove(&answer.unit) else { return Ok(None) };
        let client = &mut self.all[at];
        let wait = match answer.outcome {
            Outcome::Unknown => {
                self.give_up(at, coverage);
                1_000
            }
            Outcome::NotDone(refusal) => {
                coverage.count(Kind::Refused);
                client.turn_to(match refusal {
                    // Who was removed from the group may name another who was, for ever.
                    Refusal::NotLeader(_) if self.chance.below(4) == 0 => {
                        self.chance.below(self.nodes as u64) as usize
                    }
                    Refusal::NotLeader(Some(leader)) => leader.0 as usize - 1,
                    Refusal::NotLeader(None) | Refusal::NoReplica => {
                        (client.target + 1) % self.nodes
                    }
                    _ => client.target,
                });
                self.not_done(at, coverage);
                self.chance.between(20_000, 250_000)
            }
            Outcome::Done(replies)
                if replies.iter().any(|one| matches!(one, Reply::Redirect(_))) =>
            {
                coverage.count(Kind::Redirected);
                self.redirected(at, &replies)?;
                self.not_done(at, coverage);
                self.chance.between(500, 30_000)
            }
            Outcome::Done(replies) => {
                self.done(at, answer.unit, &replies, now, properties, coverage)?;
                self.chance.below(self.thought)
            }
        };
        Ok(Some((at, wait)))
    }

    /// The keys, which are all in one bucket, are elsewhere. What is answered nevertheless, because the reply
    /// is remembered, will be so again where they are.
    fn redirected(&mut self, at: usize, replies: &[Reply]) -> Held {
        for reply in replies {
            let client = &mut self.all[at];
            let Reply::Redirect(redirect) = reply else {
                if client.habit == Habit::Session {
                    continue;
                }
                let story = format!("a part is redirected, and another is answered {reply:?}");
                return Err(Violation::new("answers", story));
            };
            let other = GROUPS[usize::from(client.at == GROUPS[0])];
            client.at = match *redirect {
                Redirect::Moved { to, .. } => to,
                // Perhaps it stays where it was.
                Redirect::NotYet { .. } if self.chance.below(4) != 0 => client.at,
                Redirect::NotYet { .. } | Redirect::NotHere { .. } => other,
            };
        }
        Ok(())
    }

    /// This attempt was certainly not done.
    fn not_done(&mut self, at: usize, coverage: &mut Coverage) {
        let client = &mut self.all[at];
        let Some(doing) = &mut client.doing else { return };
        doing.sent = None;
        // Of a session's attempts another one may be done still.
        if doing.session.is_none() {
            for call in &doing.calls {
                self.history.not_done(*call);
            }
            client.doing = None;
            coverage.count(Kind::Refused);
        }
    }

    fn done(
        &mut self,
        at: usize,
        unit: UnitId,
        replies: &[Reply],
        now: u64,
        properties: &mut Properties,
        coverage: &mut Coverage,
    ) -> Held {
        let client = &mut self.all[at];
        let doing = client.doing.take().expect("its unit was known");
        if doing.is_write {
            properties.acknowledged(unit)?;
            coverage.count(Kind::Acknowledged);
        } else {
            coverage.count(Kind::Reads);
            if doing.sent.is_some_and(|(_, node, _)| node.0 as usize > self.members) {
                coverage.count(Kind::ObserverReads);
            }
        }
        // A late copy of what was not done may be done.
        let mut told = doing.operations.iter().zip(replies).map(|(one, reply)| one.told(reply));
        let is_done = told.all(|told| !matches!(told, Answered::NotDone));
        if doing.session.is_some()
            && doing.is_write
            && is_done
            && self.chance.below(self.stray_one_in) == 0
        {
            let node = NodeId(self.chance.below(self.nodes as u64) as u32 + 1);
            self.last_unit += 1;
            self.strays.push((node, doing.unit(UnitId(self.last_unit), client.at)));
        }
        for ((operation, call), reply) in doing.operations.iter().zip(doing.calls).zip(replies) {
            match operation.told(reply) {
                Answered::Told(told) => {
                    if let Told::Text(Some(text)) = &told {
                        properties.read(text)?;
                    }
                    self.history.returned(call, told, now);
                }
                // An earlier attempt may have been done.
                Answered::NotDone if doing.attempts == 1 => self.history.not_done(call),
                Answered::NotDone | Answered::Unknown => coverage.count(Kind::Unknown),
                Answered::Strange(reply) => {
                    let story = format!("{:?} is answered {reply}", operation.request);
                    return Err(Violation::new("answers", story));
                }
            }
        }
        Ok(())
    }

    /// Who asks this node and no other about a group, and waits for nothing at the moment.
    pub(crate) fn loyal_to(&self, node: NodeId, group: GroupId) -> Vec<usize> {
        let is_one = |client: &Client| {
            client.habit == Habit::Loyal
                && client.group == group
                && client.target == node.0 as usize - 1
                && client.doing.is_none()
        };
        (0..self.all.len()).filter(|at| is_one(&self.all[*at])).collect()
    }

    /// Whoever asks about a group hears that this node leads it, and waits for no other one any more. Answers
    /// who they are.
    pub(crate) fn hear_of(
        &mut self,
        leader: NodeId,
        group: GroupId,
        coverage: &mut Coverage,
    ) -> Vec<usize> {
        let is_one = |client: &Client| client.habit != Habit::Loyal && client.group == group;
        let all: Vec<usize> = (0..self.all.len()).filter(|at| is_one(&self.all[*at])).collect();
        for at in &all {
            if self.all[*at].doing.as_ref().is_some_and(|doing| doing.sent.is_some()) {
                self.give_up(*at, coverage);
            }
            self.all[*at].turn_to(leader.0 as usize - 1);
        }
        all
    }

    /// Late copies of units that were answered.
    pub(crate) fn take_strays(&mut self) -> Vec<(NodeId, Unit)> {
        std::mem::take(&mut self.strays)
    }
}
