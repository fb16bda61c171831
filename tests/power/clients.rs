//! The clients: a few logical ones, each with one command under way at a time and a memory of what it
//! was told, so that every answer can be judged.
//!
//! Commands that count (append, increment) go under a session and are sent again until they are answered,
//! whatever goes down meanwhile. Plain writes are given up when their outcome is unknown.

use super::checks::{Register, Story, Total, Violation};
use super::parts::{Chance, hash_tag};
use super::shape::{GROUPS, NODES};
use super::task::Task;
use eraft::ids::{GroupId, NodeId};
use eraft::kv::SessionRef;
use eraft::net::message::{Answer, Outcome, Refusal, Unit, UnitId};
use eraft::time::UnixMillis;
use std::collections::{BTreeMap, VecDeque};

/// Clients of each group.
const CLIENTS_PER_GROUP: u64 = 3;
/// How long a client waits for an answer, microseconds.
const PATIENCE: u64 = 4_000_000;
/// How long a request may be remembered, milliseconds.
const SESSION_MILLIS: u64 = 9 * 60 * 1000;

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    number: u64,
    pub(crate) group: GroupId,
    /// Whom it believes to lead.
    target: usize,
    /// When it wants to be woken.
    pub(crate) wake_at: u64,
    tasks: u32,
    /// What it does when there are no tasks left.
    last: VecDeque<Task>,
    sequence: u64,
    doing: Option<Doing>,
    pair: Register,
    story: Story,
}

#[derive(Debug)]
struct Doing {
    task: Task,
    session: Option<SessionRef>,
    /// The unit under way, to whom, since when.
    sent: Option<(UnitId, NodeId, u64)>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) all: Vec<Client>,
    totals: BTreeMap<GroupId, Total>,
    chance: Chance,
    units: BTreeMap<UnitId, usize>,
    last_unit: u64,
    /// Writes that were answered as done.
    pub(crate) acknowledged: u64,
    /// Answers that said "not done".
    pub(crate) refused: u64,
    /// Commands of which the outcome was not known.
    pub(crate) unknown: u64,
}

impl Clients {
    /// Clients with so many tasks each.
    pub(crate) fn new(seed: u64, tasks: u32) -> Self {
        let client = |(position, group)| Client {
            number: position as u64 + 1,
            group,
            target: position % NODES.len(),
            wake_at: 0,
            tasks,
            last: VecDeque::new(),
            sequence: 0,
            doing: None,
            pair: Register::new(),
            story: Story::default(),
        };
        let groups = GROUPS.into_iter().cycle().take(GROUPS.len() * CLIENTS_PER_GROUP as usize);
        Self {
            all: groups.enumerate().map(client).collect(),
            totals: GROUPS.into_iter().map(|group| (group, Total::default())).collect(),
            chance: Chance::new(seed, 0x63_6c69),
            units: BTreeMap::new(),
            last_unit: 0,
            acknowledged: 0,
            refused: 0,
            unknown: 0,
        }
    }

    /// Each client has so many tasks more, and then reads what it knows about.
    pub(crate) fn close(&mut self, tasks: u32) {
        for client in &mut self.all {
            client.tasks += tasks;
            client.last.extend([Task::ReadPair, Task::ReadStory]);
        }
    }

    /// One client of each group reads what all have counted.
    pub(crate) fn audit(&mut self) {
        for client in self.all.iter_mut().take(GROUPS.len()) {
            client.last.push_back(Task::ReadTotal);
        }
    }

    /// Whether nobody wants anything any more.
    pub(crate) fn are_idle(&self) -> bool {
        self.all
            .iter()
            .all(|client| client.tasks == 0 && client.last.is_empty() && client.doing.is_none())
    }

    /// Wakes a client: perhaps it has something to send.
    pub(crate) fn wake(&mut self, at: usize, now: u64, wall: UnixMillis) -> Option<(NodeId, Unit)> {
        let client = &mut self.all[at];
        if let Some(Doing { sent: Some((_, _, since)), .. }) = &client.doing {
            if now < since + PATIENCE {
                client.wake_at = since + PATIENCE;
                return None;
            }
            self.give_up(at);
        }
        let client = &mut self.all[at];
        if client.doing.is_none() {
            client.begin(&mut self.chance, &self.totals[&client.group], wall);
        }
        client.wake_at = now + PATIENCE;
        let doing = client.doing.as_mut()?;
        self.last_unit += 1;
        let (id, node) = (UnitId(self.last_unit), NODES[client.target]);
        doing.sent = Some((id, node, now));
        self.units.insert(id, at);
        let work = doing.task.work(client.number, &hash_tag(client.group), doing.session);
        Some((node, Unit { id, group: client.group, work }))
    }

    /// The node was down: the unit was not even sent.
    pub(crate) fn was_not_sent(&mut self, at: usize, now: u64) {
        let client = &mut self.all[at];
        client.target = (client.target + 1) % NODES.len();
        client.not_done(&mut self.chance, now);
    }

    /// Nothing will be heard any more from this node (from any, if none is named).
    pub(crate) fn lost(&mut self, node: Option<NodeId>, now: u64) {
        for at in 0..self.all.len() {
            let sent = self.all[at].doing.as_ref().and_then(|doing| doing.sent);
            if sent.is_some_and(|(_, to, _)| node.is_none_or(|node| node == to)) {
                self.give_up(at);
                self.all[at].wake_at = now + self.chance.between(1_000, 50_000);
            }
        }
    }

    /// What became of the command is not known.
    fn give_up(&mut self, at: usize) {
        let client = &mut self.all[at];
        let Some(doing) = &mut client.doing else { return };
        self.unknown += 1;
        client.target = (client.target + 1) % NODES.len();
        if let Some((unit, _, _)) = doing.sent.take() {
            self.units.remove(&unit);
        }
        if doing.task.is_plain() {
            client.doing = None;
        }
    }

    /// An answer arrives.
    pub(crate) fn answer(&mut self, answer: Answer, now: u64) -> Result<Option<usize>, Violation> {
        let Some(at) = self.units.remove(&answer.unit) else { return Ok(None) };
        let client = &mut self.all[at];
        match answer.outcome {
            Outcome::Unknown => {
                self.give_up(at);
                self.all[at].wake_at = now + 1_000;
            }
            Outcome::NotDone(refusal) => {
                self.refused += 1;
                client.target = match refusal {
                    Refusal::NotLeader(Some(leader)) => leader.0 as usize - 1,
                    Refusal::NotLeader(None) => (client.target + 1) % NODES.len(),
                    _ => client.target,
                };
                client.not_done(&mut self.chance, now);
            }
            Outcome::Done(replies) => {
                let doing = client.doing.take().expect("its unit was known");
                self.acknowledged += u64::from(doing.task.is_write());
                let total = self.totals.get_mut(&client.group).expect("one of each group");
                doing.task.judge(&replies, &mut client.pair, &mut client.story, total).map_err(
                    |violation| {
                        violation.about(&format!("client {} of {}", client.number, client.group))
                    },
                )?;
                client.wake_at = now + self.chance.below(3_000);
            }
        }
        Ok(Some(at))
    }
}

impl Client {
    fn begin(&mut self, chance: &mut Chance, total: &Total, wall: UnixMillis) {
        let task = if self.tasks > 0 {
            self.tasks -= 1;
            self.sequence += 1;
            Task::choose(self.number, self.sequence, total, chance)
        } else if let Some(task) = self.last.pop_front() {
            task
        } else {
            return;
        };
        if let Task::Pair(value) = &task {
            self.pair.trying(value);
        }
        let session = task.is_counted().then_some(SessionRef {
            client: self.number,
            sequence: self.sequence,
            lowest_unanswered: self.sequence,
            expires: UnixMillis(wall.0 + SESSION_MILLIS),
        });
        self.doing = Some(Doing { task, session, sent: None });
    }

    /// It was certainly not done: the same again, but a plain write with another value, so that it can
    /// be told if the first one is done after all.
    fn not_done(&mut self, chance: &mut Chance, now: u64) {
        self.wake_at = now + chance.between(2_000, 40_000);
        let Some(doing) = &mut self.doing else { return };
        doing.sent = None;
        if let Task::Pair(value) = &doing.task {
            self.pair.refused(value);
            self.doing = None;
            self.tasks += 1;
        }
    }
}
