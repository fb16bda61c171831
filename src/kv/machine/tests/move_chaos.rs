//! Buckets that move to and fro between two groups while they are written, driven by chance: every step
//! of every move may be lost, come late, come again, or be made from the state of a replica that lags. One
//! oracle for each bucket, which never moves, says what every command must answer.

use super::{Dice, Replica, b, set};
use crate::ids::{Bucket, Epoch, GroupId};
use crate::kv::migration::{
    IncomingPhase, MoveId, MoveRecord, MoveReply, OutgoingPhase, Progress, Ranges,
};
use crate::kv::{
    Command, Condition, Deadline, EntryBuilder, ExpireCondition, Expiry, Reply, SessionRef,
};
use crate::limits::BUCKETS;
use crate::shard::{BucketRange, TableStamp, bucket_of};
use crate::time::UnixMillis;
use bytes::Bytes;

const TAGS: u64 = 5;
const KEYS: u64 = 8;
const CLIENTS: u64 = 3;

/// A group: a replica that leads, one that lags, and their log.
struct Group {
    leader: Replica,
    follower: Replica,
    log: Vec<Bytes>,
}

impl Group {
    fn new(group: GroupId, buckets: impl IntoIterator<Item = u16> + Clone) -> Self {
        Self {
            leader: Replica::of_group(group, buckets.clone()),
            follower: Replica::of_group(group, buckets),
            log: Vec::new(),
        }
    }

    fn propose(&mut self, entry: EntryBuilder) -> Vec<Reply> {
        let payload = entry.finish();
        self.log.push(payload.clone());
        self.leader.apply(&payload)
    }

    fn entry(&self) -> EntryBuilder {
        EntryBuilder::new(UnixMillis(self.leader.time))
    }

    fn step(&mut self, record: &MoveRecord) -> MoveReply {
        let mut entry = self.entry();
        entry.push_move(record);
        self.propose(entry)[0].decode().unwrap()
    }

    fn run(&mut self, command: &Command, session: Option<SessionRef>) -> Reply {
        let mut entry = self.entry();
        entry.push(command, session);
        self.propose(entry).pop().unwrap()
    }

    fn follow(&mut self, most: u64) {
        let from = self.follower.machine.applied().0 as usize;
        for payload in self.log[from..].iter().take(most as usize) {
            self.follower.apply(payload);
        }
    }

    fn serves(&self, bucket: Bucket) -> Option<Epoch> {
        let reply = self.leader.read(&Command::CountKeys { bucket });
        let runs = self.leader.machine.owned_runs();
        let run = runs.iter().find(|(range, _)| (range.first..=range.last).contains(&bucket));
        assert_eq!(run.is_none(), matches!(reply, Reply::Redirect(_)));
        run.map(|run| run.1)
    }
}

/// A request of a client that sends it again until it is answered, and sometimes after.
struct Request {
    command: Command,
    session: SessionRef,
    answered: Option<Reply>,
}

struct World {
    seed: u64,
    dice: Dice,
    groups: [Group; 2],
    oracles: Vec<Replica>,
    /// The highest epoch in which each tag's bucket was ever served, and by whom.
    epochs: Vec<(Epoch, usize)>,
    requests: Vec<Vec<Request>>,
    /// Steps of moves on their way to a group.
    flying: Vec<(usize, MoveRecord)>,
    moved: usize,
    cancelled: usize,
}

fn tag_bucket(tag: u64) -> Bucket {
    bucket_of(tag.to_string().as_bytes())
}

impl World {
    fn new(seed: u64) -> Self {
        let all: Vec<u16> = (0..BUCKETS).collect();
        let groups = [Group::new(GroupId(1), all), Group::new(GroupId(2), Vec::new())];
        let mut world = Self {
            seed,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            groups,
            oracles: (0..TAGS).map(|_| Replica::new()).collect(),
            epochs: vec![(Epoch(0), 0); TAGS as usize],
            requests: (0..CLIENTS).map(|_| Vec::new()).collect(),
            flying: Vec::new(),
            moved: 0,
            cancelled: 0,
        };
        for group in &mut world.groups {
            group.leader.time += world.dice.below(100);
        }
        world
    }

    fn key(&mut self, tag: u64) -> Bytes {
        b(&format!("{{{tag}}}{}", self.dice.below(KEYS)))
    }

    fn command(&mut self) -> Command {
        let tag = self.dice.below(TAGS);
        let (key, other) = (self.key(tag), self.key(tag));
        let value = b(&"v".repeat(self.dice.below(9) as usize));
        let deadline = Deadline::After(self.dice.below(400).cast_signed());
        match self.dice.below(12) {
            0 => Command::Set {
                key,
                value,
                condition: Condition::Always,
                expiry: Expiry::Set(deadline),
                get: true,
            },
            1 | 2 => Command::Append { key, value },
            3 => Command::IncrBy { key, by: 3 },
            4 => Command::Del { keys: vec![key, other] },
            5 => Command::Expire { key, deadline, condition: ExpireCondition::default() },
            6 => Command::Persist { key },
            7 => Command::Rename { from: key, to: other, if_absent: false },
            8 => Command::MSet { pairs: vec![(key, value.clone()), (other, value)] },
            9 => Command::GetDel { key },
            _ => set(std::str::from_utf8(&key).unwrap(), "plain"),
        }
    }

    fn carry_out(&mut self, at: usize, command: &Command, session: Option<SessionRef>) -> Reply {
        self.groups[at].run(command, session)
    }

    /// What a group answered is what the bucket's oracle answers.
    fn confirm(&mut self, at: usize, command: &Command, reply: &Reply) {
        let bucket = command.bucket().unwrap();
        let tag = (0..TAGS).find(|tag| tag_bucket(*tag) == bucket).unwrap();
        let oracle = &mut self.oracles[tag as usize];
        oracle.time = self.groups[at].leader.machine.time().0;
        let expected = oracle.run(command.clone());
        assert_eq!(*reply, expected, "seed {}: {command:?}", self.seed);
    }

    fn write(&mut self) {
        let at = self.dice.below(2) as usize;
        if self.dice.chance(40) {
            let served: Vec<_> = (0..TAGS)
                .filter(|tag| self.groups[at].serves(tag_bucket(*tag)).is_some())
                .collect();
            let reply = self.groups[at].run(&Command::Flush, None);
            let flushed: Vec<BucketRange> = reply.decode().unwrap();
            let is_in = |tag: &u64| {
                let bucket = tag_bucket(*tag);
                flushed.iter().any(|range| range.first <= bucket && bucket <= range.last)
            };
            assert_eq!((0..TAGS).filter(is_in).collect::<Vec<_>>(), served);
            for tag in served {
                let oracle = &mut self.oracles[tag as usize];
                oracle.time = self.groups[at].leader.machine.time().0;
                oracle.run(Command::Flush);
            }
            return;
        }
        if self.dice.chance(3) {
            let command = self.command();
            let reply = self.carry_out(at, &command, None);
            if !matches!(reply, Reply::Redirect(_)) {
                self.confirm(at, &command, &reply);
            }
            return;
        }
        let client = self.dice.below(CLIENTS) as usize;
        let known = self.requests[client].len();
        let ask_again = self.requests[client].last().is_some_and(|last| last.answered.is_none());
        if !ask_again && (known == 0 || !self.dice.chance(3)) {
            let command = self.command();
            let open = self.requests[client].iter().rev().take(3).count() as u64;
            let sequence = known as u64 + 1;
            let session = SessionRef {
                client: client as u64,
                sequence,
                lowest_unanswered: sequence - self.dice.below(open + 1),
                expires: UnixMillis(super::START + 500_000),
            };
            // Replies that are acknowledged stay so.
            let low = self.requests[client]
                .last()
                .map_or(1, |last| last.session.lowest_unanswered)
                .max(session.lowest_unanswered);
            let session = SessionRef { lowest_unanswered: low, ..session };
            self.requests[client].push(Request { command, session, answered: None });
        }
        let newest = self.requests[client].len() - 1;
        let which = if ask_again || self.dice.chance(2) {
            newest
        } else {
            newest - self.dice.below(newest as u64 + 1).min(4) as usize
        };
        let Request { command, session, answered } = &self.requests[client][which];
        let (command, session, answered) = (command.clone(), *session, answered.clone());
        let reply = self.carry_out(at, &command, Some(session));
        match (&reply, answered) {
            (Reply::Redirect(_), _) => {}
            (_, None) => {
                self.confirm(at, &command, &reply);
                self.requests[client][which].answered = Some(reply);
            }
            (Reply::Error(error), Some(_)) if error.code == "UNKNOWN" => {}
            (_, Some(first)) => {
                assert_eq!(reply, first, "seed {}: a retry of {command:?}", self.seed);
            }
        }
    }

    /// All moves, with their source.
    fn moves(&self) -> Vec<(usize, MoveId)> {
        let mut ids = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            let source = group.leader.group;
            for (number, _) in group.leader.machine.moves().outgoing() {
                ids.push((at, MoveId { source, number }));
            }
            for (id, _) in group.leader.machine.moves().incoming() {
                ids.push((1 - at, id));
            }
        }
        ids.sort();
        ids.dedup();
        ids
    }

    /// A driver of some leader looks at the state and sends something that is right by what it sees.
    fn drive(&mut self) {
        if self.dice.chance(6) {
            let at = self.dice.below(2) as usize;
            let mut buckets: Vec<_> =
                (0..TAGS).filter(|_| self.dice.chance(2)).map(tag_bucket).collect();
            buckets.sort_unstable();
            if let Some(ranges) = Ranges::of(buckets) {
                let to = self.groups[1 - at].leader.group;
                let record = MoveRecord::BeginMove { ranges, to, table: TableStamp::of(1) };
                self.flying.push((at, record));
            }
            return;
        }
        let moves = self.moves();
        if moves.is_empty() {
            return;
        }
        let (source, id) = moves[self.dice.below(moves.len() as u64) as usize];
        let lagging = self.dice.chance(3);
        let bytes = self.dice.below(120) as usize;
        let cancels = self.dice.chance(25);
        let from =
            if lagging { &self.groups[source].follower } else { &self.groups[source].leader };
        let to = &self.groups[1 - source].leader;
        let known = to.machine.moves().coming(id);
        if let (Some(known), true) = (known, from.machine.moves().is_over(id.number)) {
            let record = match known.phase {
                IncomingPhase::Coming => MoveRecord::Discard { id },
                IncomingPhase::Accepted => MoveRecord::Close { id },
            };
            self.flying.push((1 - source, record));
            return;
        }
        let Some(outgoing) = from.machine.moves().leaving(id.number) else { return };
        let Some(known) = known else {
            let (ranges, epoch) = (outgoing.ranges.clone(), outgoing.epoch);
            let (to, begun) = (outgoing.to, outgoing.begun);
            self.flying.push((1 - source, MoveRecord::Pull { id, to, ranges, epoch, begun }));
            return;
        };
        if known.phase == IncomingPhase::Accepted {
            self.flying.push((source, MoveRecord::Forget { id }));
            return;
        }
        if cancels {
            self.flying.push((source, MoveRecord::Cancel { id }));
            return;
        }
        let expects = known.progress.clone();
        if expects.is_catching_up() && outgoing.phase == OutgoingPhase::Moving && bytes < 30 {
            self.flying.push((source, MoveRecord::Handoff { id, destination: expects.clone() }));
        }
        if let OutgoingPhase::HandedOff(handoff) = outgoing.phase
            && bytes < 60
        {
            self.flying.push((1 - source, MoveRecord::Accept { id, handoff }));
        }
        let page = from.machine.page(&from.rows, id, &expects, bytes).unwrap();
        assert!(page.becomes >= expects, "seed {}", self.seed);
        let (becomes, frozen, items) = (page.becomes, page.handoff.is_some(), page.items);
        let chunk = MoveRecord::Chunk { id, expects, becomes, frozen, items };
        self.flying.push((1 - source, chunk));
    }

    fn deliver(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let which = match self.dice.chance(2) {
            true => self.flying.len() - 1,
            false => self.dice.below(self.flying.len() as u64) as usize,
        };
        let (at, record) = match self.dice.below(8) {
            0 => self.flying[which].clone(),
            1 => {
                self.flying.swap_remove(which);
                return;
            }
            _ => self.flying.swap_remove(which),
        };
        let reply = self.groups[at].step(&record);
        match (&record, reply) {
            (MoveRecord::Accept { .. }, MoveReply::Done) => self.moved += 1,
            (MoveRecord::Cancel { .. }, MoveReply::Done) => self.cancelled += 1,
            _ => {}
        }
        if self.flying.len() > 12 {
            self.flying.remove(0);
        }
    }

    fn check(&mut self) {
        for tag in 0..TAGS {
            let bucket = tag_bucket(tag);
            let owners: Vec<_> = (0..2)
                .filter_map(|at| self.groups[at].serves(bucket).map(|epoch| (epoch, at)))
                .collect();
            assert!(owners.len() <= 1, "seed {}: two owners of {bucket}", self.seed);
            if let Some(&(epoch, at)) = owners.first() {
                let last = &mut self.epochs[tag as usize];
                let grown = if at == last.1 { epoch >= last.0 } else { epoch > last.0 };
                assert!(grown, "seed {}: {epoch} of {at} after {last:?}", self.seed);
                *last = (epoch, at);
            }
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..=7 => self.write(),
            8..=12 => self.drive(),
            13..=16 => self.deliver(),
            17 => {
                let at = self.dice.below(2) as usize;
                self.groups[at].leader.time += self.dice.below(60);
                let mut tick = self.groups[at].entry();
                tick.push_tick();
                self.groups[at].propose(tick);
            }
            18 => {
                let (at, most) = (self.dice.below(2) as usize, self.dice.below(40));
                self.groups[at].follow(most);
            }
            _ => {
                let at = self.dice.below(2) as usize;
                match self.dice.below(12) {
                    0 => {
                        let group = &mut self.groups[at];
                        let empty = Replica::of_group(group.leader.group, []);
                        group.leader = std::mem::replace(&mut group.leader, empty).reopened();
                    }
                    _ => self.groups[at].leader.compact(),
                }
            }
        }
        self.check();
    }

    /// Everything comes to an end: no faults any more.
    fn settle(&mut self) {
        self.flying.clear();
        for _ in 0..2_000 {
            let Some((source, id)) = self.moves().first().copied() else { break };
            let (from, to) = (&self.groups[source].leader, &self.groups[1 - source].leader);
            let outgoing = from.machine.moves().leaving(id.number).cloned();
            let known = to.machine.moves().coming(id).cloned();
            let (at, record) = match (outgoing, known) {
                (None, Some(known)) if known.phase == IncomingPhase::Accepted => {
                    (1 - source, MoveRecord::Close { id })
                }
                (None, _) => (1 - source, MoveRecord::Discard { id }),
                (Some(_), Some(known)) if known.phase == IncomingPhase::Accepted => {
                    (source, MoveRecord::Forget { id })
                }
                (Some(outgoing), None) => {
                    let (ranges, to) = (outgoing.ranges, outgoing.to);
                    let (epoch, begun) = (outgoing.epoch, outgoing.begun);
                    if outgoing.phase == OutgoingPhase::Moving {
                        (source, MoveRecord::Cancel { id })
                    } else {
                        (1 - source, MoveRecord::Pull { id, to, ranges, epoch, begun })
                    }
                }
                (Some(outgoing), Some(known)) => {
                    let page = from.machine.page(&from.rows, id, &known.progress, 1_000).unwrap();
                    let expects: Progress = known.progress;
                    match outgoing.phase {
                        OutgoingPhase::HandedOff(handoff) if page.becomes == expects => {
                            (1 - source, MoveRecord::Accept { id, handoff })
                        }
                        OutgoingPhase::Moving
                            if page.items.is_empty() && expects.is_catching_up() =>
                        {
                            (source, MoveRecord::Handoff { id, destination: expects })
                        }
                        _ => {
                            let (becomes, items) = (page.becomes, page.items);
                            let frozen = page.handoff.is_some();
                            let chunk = MoveRecord::Chunk { id, expects, becomes, frozen, items };
                            (1 - source, chunk)
                        }
                    }
                }
            };
            let reply = self.groups[at].step(&record);
            assert!(
                !matches!(reply, MoveReply::Refused(_)),
                "seed {}: {record:?} {reply:?}",
                self.seed
            );
            self.check();
        }
        assert!(self.moves().is_empty(), "seed {}", self.seed);
    }

    /// Each key is where it belongs, once, as its oracle has it.
    fn compare(&mut self) {
        let mut keys = [0; 2];
        for tag in 0..TAGS {
            let bucket = tag_bucket(tag);
            let owner = (0..2).find(|at| self.groups[*at].serves(bucket).is_some()).unwrap();
            for number in 0..KEYS {
                let key = b(&format!("{{{tag}}}{number}"));
                for command in [
                    Command::Get { key: key.clone() },
                    Command::Ttl { key, unit: crate::kv::TtlUnit::Millis },
                ] {
                    let reply = self.carry_out(owner, &command, None);
                    self.confirm(owner, &command, &reply);
                }
            }
            let oracle = &mut self.oracles[tag as usize];
            keys[owner] += oracle.machine.stats().keys;
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            // What is due is swept a little with each entry.
            for _ in 0..20 {
                let mut tick = group.entry();
                tick.push_tick();
                group.propose(tick);
            }
            group.leader.compact();
            assert_eq!(group.leader.machine.stats().keys, group.leader.data_rows() as u64);
            assert!(group.leader.machine.stats().keys <= keys[at], "seed {}", self.seed);
            assert!(group.leader.rows.rows.keys().all(|row| row[8] != 2), "marks are left");
            group.follow(u64::MAX);
            group.follower.compact();
            assert_eq!(group.leader.dump(), group.follower.dump(), "seed {}", self.seed);
        }
    }
}

#[test]
fn buckets_move_to_and_fro_and_nothing_is_lost_or_doubled() {
    let (mut moved, mut cancelled, mut answered) = (0, 0, 0);
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        for _ in 0..1_500 {
            world.step();
        }
        world.settle();
        world.compare();
        (moved, cancelled) = (moved + world.moved, cancelled + world.cancelled);
        let requests = world.requests.iter().flatten();
        answered += requests.filter(|request| request.answered.is_some()).count();
    }
    println!("{moved} acceptances, {cancelled} cancels, {answered} requests under sessions");
    assert!(moved > 40 && cancelled > 10 && answered > 400, "{moved} {cancelled} {answered}");
}

const SEEDS: u64 = 24;
