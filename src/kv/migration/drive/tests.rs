//! The migrator alone, against sources that are made up: rates, memory, and waits.

use super::bounds::{HELD_BYTES_MAX, ROUNDS_MAX};
use super::{Action, AskId, Goal, Migrator, MovePhase, ProposalId, Settled, Stall, Wanted};
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::kv::migration::{
    Handoff, Incoming, IncomingPhase, Item, MoveAnswer, MoveAsk, MoveId, MoveRecord, MoveRefusal,
    MoveReply, Moves, Outgoing, OutgoingPhase, Page, Place, Progress, Ranges,
};
use crate::shard::TableStamp;
use crate::time::{MonoMillis, UnixMillis};
use bytes::Bytes;
use std::collections::BTreeMap;

const HERE: GroupId = GroupId(9);

/// A source whose buckets hold `rows` rows of so many bytes each, and change at some speed.
#[derive(Clone)]
struct Source {
    rows: u64,
    value: Bytes,
    /// Bytes of changes that each look finds, after the rows.
    churn: usize,
    begun: u64,
    handed_off: bool,
    looks: u64,
}

impl Source {
    fn new(rows: u64, bytes: usize) -> Self {
        let value = Bytes::from(vec![0; bytes]);
        Self { rows, value, churn: 0, begun: 0, handed_off: false, looks: 0 }
    }

    fn page(&mut self, progress: &Progress, bytes_max: usize) -> Page {
        let row = || Item::Row { key: Bytes::new(), deadline: None, value: self.value.clone() };
        let handoff =
            self.handed_off.then_some(Handoff { index: Index(1 << 40), time: UnixMillis(1) });
        let place = |hash| Place { bucket: Bucket(0), hash, key: Bytes::new() };
        let (mut items, mut bytes) = (Vec::new(), 0);
        let becomes = match progress {
            Progress::Rows { behind } => {
                let mut at = behind.as_ref().map_or(0, |place| place.hash);
                while at < self.rows && (items.is_empty() || bytes + row().bytes() <= bytes_max) {
                    bytes += row().bytes();
                    items.push(row());
                    at += 1;
                }
                let is_end = at >= self.rows;
                while is_end && bytes < self.churn {
                    items.push(Item::Gone { key: Bytes::from_static(&[0; 1_000]) });
                    bytes += items[items.len() - 1].bytes();
                }
                match is_end {
                    false => Progress::Rows { behind: Some(place(at)) },
                    true => Progress::Changes { through: Index(1), within: None },
                }
            }
            Progress::Sessions { .. } => Progress::Changes { through: Index(1), within: None },
            Progress::Changes { through, .. } => match handoff {
                Some(handoff) => Progress::Changes { through: handoff.index, within: None },
                None if self.churn == 0 => progress.clone(),
                None => {
                    while bytes < self.churn {
                        items.push(Item::Gone { key: Bytes::from_static(&[0; 1_000]) });
                        bytes += items[0].bytes();
                    }
                    Progress::Changes { through: through.next(), within: None }
                }
            },
        };
        self.looks += 1;
        Page {
            items,
            becomes,
            handoff,
            bytes: bytes as u64,
            total: self.rows * self.value.len() as u64,
        }
    }
}

/// The taking group, its sources, and what is on its way.
struct Bench {
    now: MonoMillis,
    migrator: Migrator,
    moves: Moves,
    sources: BTreeMap<GroupId, Source>,
    /// One that answers nothing.
    silent: Option<GroupId>,
    asks: Vec<(MonoMillis, AskId, GroupId, MoveAsk)>,
    log: Vec<(MonoMillis, ProposalId, Vec<MoveRecord>)>,
    /// Questions of moves, by kind, with their times.
    asked: Vec<(MonoMillis, GroupId, &'static str)>,
    latency: u64,
    refuse: Option<MoveRefusal>,
    /// Bytes of chunks taken in, and the most that was held.
    taken: u64,
    most: usize,
    accepted: usize,
}

impl Bench {
    fn new(sources: &[(u32, Source)]) -> Self {
        let sources = sources.iter().map(|(id, source)| (GroupId(*id), source.clone())).collect();
        let now = MonoMillis(1_000);
        let mut migrator = Migrator::new(HERE, now);
        migrator.observe(now, &Moves::default());
        Self {
            now,
            migrator,
            moves: Moves::default(),
            sources,
            silent: None,
            asks: Vec::new(),
            log: Vec::new(),
            asked: Vec::new(),
            latency: 1,
            refuse: None,
            taken: 0,
            most: 0,
            accepted: 0,
        }
    }

    /// So many buckets of each source.
    fn goal(&self, buckets: u16) -> Goal {
        let wanted = self.sources.keys().map(|source| {
            let first = source.0 as u16 * 1_000;
            let ranges = Ranges::of((first..first + buckets).map(Bucket)).unwrap();
            Wanted { ranges, source: *source, paused: false }
        });
        Goal::new(TableStamp::of(1), wanted.collect())
    }

    fn follow(&mut self, goal: Goal) {
        self.migrator.follow(self.now, goal);
        self.act();
    }

    fn act(&mut self) {
        self.most = self.most.max(self.migrator.held());
        for action in self.migrator.take_actions() {
            match action {
                Action::Ask { ask, source, question } => {
                    let kind = match &question {
                        MoveAsk::Begin { .. } => "begin",
                        MoveAsk::Page { bytes_max: 0, .. } => "hold",
                        MoveAsk::Page { .. } => "page",
                        MoveAsk::Handoff { .. } => "handoff",
                        MoveAsk::Cancel { .. } => "cancel",
                        MoveAsk::Accepted { .. } => "accepted",
                    };
                    self.asked.push((self.now, source, kind));
                    self.asks.push((self.now, ask, source, question));
                }
                Action::Propose { proposal, records } => {
                    self.log.push((self.now, proposal, records));
                }
            }
        }
    }

    /// Each move takes one bucket.
    fn answer(&mut self, id: GroupId, question: MoveAsk) -> MoveAnswer {
        let source = self.sources.get_mut(&id).unwrap();
        match question {
            MoveAsk::Begin { to, ranges, table } => {
                source.begun += 1;
                let outgoing = Outgoing {
                    ranges: Ranges::of(ranges.buckets().take(1)).unwrap(),
                    to,
                    table,
                    begun: Index(1),
                    began: UnixMillis(1),
                    epoch: Epoch(1),
                    phase: OutgoingPhase::Moving,
                };
                MoveAnswer::Begun { id: MoveId { source: id, number: source.begun }, outgoing }
            }
            MoveAsk::Page { id, progress: from, bytes_max } => {
                let page = source.page(&from, bytes_max as usize);
                MoveAnswer::Page { id, from, page }
            }
            MoveAsk::Handoff { id, progress: from } => {
                source.handed_off = true;
                let page = source.page(&from, 1 << 20);
                source.handed_off = false;
                MoveAnswer::HandedOff { id, handoff: page.handoff.unwrap(), from, page }
            }
            MoveAsk::Cancel { id } | MoveAsk::Accepted { id } => MoveAnswer::Over { id },
        }
    }

    fn apply(&mut self, record: MoveRecord) -> MoveReply {
        match record {
            MoveRecord::Pull { id, ranges, begun, .. } => {
                let (progress, phase) = (Progress::START, IncomingPhase::Coming);
                let incoming = Incoming { ranges, begun, progress, phase, items: 0, bytes: 0 };
                self.moves.incoming.insert(id, incoming);
            }
            MoveRecord::Chunk { id, expects, becomes, items, .. } => {
                if let Some(why) = &self.refuse {
                    return why.clone().into();
                }
                let incoming = self.moves.incoming.get_mut(&id).unwrap();
                assert_eq!(incoming.progress, expects);
                incoming.progress = becomes;
                let bytes = items.iter().map(Item::bytes).sum::<usize>() as u64;
                incoming.bytes += bytes;
                self.taken += bytes;
            }
            MoveRecord::Accept { id, .. } => {
                self.moves.incoming.get_mut(&id).unwrap().phase = IncomingPhase::Accepted;
                self.accepted += 1;
            }
            MoveRecord::Discard { id } | MoveRecord::Close { id } => {
                self.moves.incoming.remove(&id);
            }
            other => panic!("not for a taker: {other:?}"),
        }
        MoveReply::Done
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now.0 += 1;
            let (now, latency) = (self.now, self.latency);
            let asks = std::mem::take(&mut self.asks);
            for (sent, ask, source, question) in asks {
                if Some(source) == self.silent {
                    continue;
                }
                if now.since(sent) < latency {
                    self.asks.push((sent, ask, source, question));
                    continue;
                }
                let answer = self.answer(source, question);
                self.migrator.answered(now, ask, answer);
                self.act();
            }
            for (sent, proposal, records) in std::mem::take(&mut self.log) {
                if now.since(sent) < latency {
                    self.log.push((sent, proposal, records));
                    continue;
                }
                let replies = records.into_iter().map(|record| self.apply(record)).collect();
                self.migrator.observe(now, &self.moves);
                self.migrator.settled(now, proposal, Settled::Applied(replies));
                self.act();
            }
            if self.now.0.is_multiple_of(50) {
                self.migrator.tick(now);
                self.act();
            }
        }
    }

    fn count(&self, kind: &str) -> usize {
        self.asked.iter().filter(|asked| asked.2 == kind).count()
    }
}

#[test]
fn the_rate_is_kept() {
    for (rate, rows) in [(20_000, 100), (300_000, 1_000), (5_000_000, 400), (80_000_000, 9_000)] {
        for sources in [1, 4] {
            let many: Vec<_> = (1..=sources).map(|id| (id, Source::new(1 << 30, rows))).collect();
            let mut bench = Bench::new(&many);
            let goal = Goal { bytes_per_second: Some(rate), ..bench.goal(9) };
            bench.follow(goal);
            bench.run(2_000);
            let before = bench.taken;
            bench.run(10_000);
            let taken = bench.taken - before;
            let off = taken.abs_diff(10 * rate) as f64 / (10 * rate) as f64;
            assert!(off < 0.1, "{taken} of {} from {sources}", 10 * rate);
            let report = bench.migrator.report();
            let sum: u64 = report.iter().map(|report| report.rate).sum();
            assert!(sum.abs_diff(rate) < rate / 3, "{sum} is shown for {rate}");
            assert!(report.iter().all(|report| report.eta_millis.is_some()));
        }
    }
}

#[test]
fn a_rate_of_nothing_moves_nothing_and_a_new_rate_counts_at_once() {
    let mut bench = Bench::new(&[(1, Source::new(1 << 30, 1_000))]);
    let goal = Goal { bytes_per_second: Some(0), ..bench.goal(9) };
    bench.follow(goal.clone());
    bench.run(3_000);
    assert_eq!(bench.taken, 0);
    bench.follow(Goal { bytes_per_second: Some(1_000_000), ..goal });
    bench.run(1_000);
    assert!((800_000..1_200_000).contains(&bench.taken), "{}", bench.taken);
}

#[test]
fn no_more_is_held_than_allowed_and_large_values_come_all_the_same() {
    const MIB: usize = 1024 * 1024;
    let many: Vec<_> = [24, 40, 3, 63, 1, 60, 30, 8]
        .into_iter()
        .zip(1..)
        .map(|(mib, id)| (id, Source::new(4, mib * MIB)))
        .collect();
    let all: u64 = many.iter().map(|(_, source)| 4 * source.value.len() as u64).sum();
    let mut bench = Bench::new(&many);
    bench.latency = 7;
    let goal = bench.goal(1);
    bench.follow(goal);
    bench.run(9_000);
    println!("{} bytes held at most", bench.most);
    assert!(bench.most <= HELD_BYTES_MAX, "{}", bench.most);
    assert!(bench.taken >= all && bench.accepted == 8, "{} {}", bench.taken, bench.accepted);
    assert_eq!(bench.migrator.held(), 0);
}

#[test]
fn so_many_moves_at_a_time_and_so_many_of_a_source() {
    let many: Vec<_> = (1..=3).map(|id| (id, Source::new(1 << 30, 1_000))).collect();
    let mut bench = Bench::new(&many);
    let goal = bench.goal(20);
    bench.follow(goal.clone());
    bench.run(300);
    let of = |bench: &Bench, source| {
        bench.moves.incoming().filter(|(id, _)| id.source == GroupId(source)).count()
    };
    assert_eq!(bench.moves.incoming().count(), 8);
    assert!((1..=3).all(|source| (2..=4).contains(&of(&bench, source))));
    // Those that stand still make room for others.
    let mut paused = goal;
    paused.wanted[0].paused = true;
    let before = of(&bench, 1);
    bench.follow(paused);
    bench.run(300);
    assert_eq!(bench.moves.incoming().count(), 8 + before);
    assert_eq!(of(&bench, 1), before, "begun before, and none began since");
    let shown = bench.migrator.report();
    assert!(shown.iter().filter(|one| one.stall == Some(Stall::Paused)).count() == before);
}

#[test]
fn a_silent_source_is_asked_less_and_less_and_holds_nobody_up() {
    let mut bench = Bench::new(&[(1, Source::new(10, 1_000)), (2, Source::new(1 << 30, 1_000))]);
    let goal = bench.goal(4);
    bench.follow(goal);
    bench.run(100);
    bench.silent = Some(GroupId(2));
    bench.run(2_500);
    assert_eq!(bench.accepted, 4);
    assert!(bench.migrator.report().iter().all(|one| one.stall == Some(Stall::Source)));
    let from = bench.asked.len();
    bench.run(40_000);
    let asked = bench.asked[from..].iter().filter(|asked| asked.1 == GroupId(2)).count();
    assert!((8..40).contains(&asked), "{asked} questions of four moves in forty seconds");
    bench.silent = None;
    let before = bench.taken;
    bench.run(70_000);
    assert!(bench.taken > before);
}

#[test]
fn what_takes_longer_than_writers_should_wait_is_waited_for_all_the_same() {
    let mut bench = Bench::new(&[(1, Source::new(10, 1_000))]);
    bench.latency = 1_500;
    let goal = bench.goal(1);
    bench.follow(goal);
    bench.run(60_000);
    assert_eq!(bench.accepted, 1);
}

#[test]
fn a_source_that_is_written_faster_than_copied_is_handed_off_in_the_end() {
    let mut source = Source::new(10, 1_000);
    source.churn = 500_000;
    let mut bench = Bench::new(&[(1, source)]);
    let goal = Goal { bytes_per_second: Some(400_000), ..bench.goal(1) };
    bench.follow(goal);
    bench.run(9_000);
    assert_eq!(bench.accepted, 1);
    let pages = bench.count("page") as u32;
    assert!((ROUNDS_MAX..ROUNDS_MAX + 3).contains(&pages), "{pages}");
}

#[test]
fn what_finds_no_room_waits_before_the_hand_off() {
    let mut bench = Bench::new(&[(1, Source::new(10, 1_000))]);
    bench.refuse = Some(MoveRefusal::NoRoom);
    let goal = bench.goal(1);
    bench.follow(goal);
    bench.run(10_000);
    assert_eq!(bench.count("handoff"), 0);
    assert!(bench.count("page") < 20, "{}", bench.count("page"));
    let stall = bench.migrator.report()[0].stall.clone();
    assert_eq!(stall, Some(Stall::Refused(MoveRefusal::NoRoom)));
    bench.refuse = None;
    bench.run(2_500);
    assert_eq!(bench.accepted, 1);
}

#[test]
fn how_long_writers_waited_is_known() {
    let mut bench = Bench::new(&[(1, Source::new(10, 1_000))]);
    bench.latency = 7;
    let goal = bench.goal(1);
    bench.follow(goal);
    let id = MoveId { source: GroupId(1), number: 1 };
    while bench.count("handoff") == 0 {
        bench.run(1);
    }
    // A refused question has stopped nobody.
    let (_, ask, ..) = bench.asks.pop().unwrap();
    let why = MoveRefusal::Incomplete(id);
    let refused = MoveAnswer::Refused { id: Some(id), why };
    bench.migrator.answered(bench.now, ask, refused);
    bench.act();
    assert_eq!(bench.migrator.pause(id), None);
    while bench.accepted == 0 {
        bench.run(1);
    }
    assert_eq!(bench.count("handoff"), 2);
    assert_eq!(bench.migrator.pause(id), Some(2 * bench.latency));
}

#[test]
fn a_move_that_is_wanted_no_more_is_given_up_unless_it_is_handed_off() {
    let mut bench = Bench::new(&[(1, Source::new(1 << 30, 1_000))]);
    let goal = bench.goal(1);
    bench.follow(goal.clone());
    bench.run(100);
    bench.follow(Goal { wanted: Vec::new(), ..goal.clone() });
    assert_eq!(bench.migrator.report()[0].phase, MovePhase::Ending);
    bench.run(100);
    assert!(bench.count("cancel") == 1 && bench.moves.is_empty());
    // A source that has handed off can only go on.
    let mut bench = Bench::new(&[(1, Source::new(1, 1_000))]);
    bench.follow(goal.clone());
    while bench.count("handoff") == 0 {
        bench.run(1);
    }
    bench.follow(Goal { wanted: Vec::new(), ..goal });
    bench.run(100);
    assert!(bench.count("cancel") == 0 && bench.accepted == 1 && bench.moves.is_empty());
}

#[test]
fn a_paused_move_is_named_to_its_source_now_and_then() {
    let mut bench = Bench::new(&[(1, Source::new(1 << 30, 1_000))]);
    let mut goal = bench.goal(1);
    bench.follow(goal.clone());
    bench.run(100);
    goal.wanted[0].paused = true;
    bench.follow(goal.clone());
    bench.run(50);
    let (pages, taken) = (bench.count("page"), bench.taken);
    bench.run(200_000);
    assert_eq!((bench.count("page"), bench.taken, bench.count("hold")), (pages, taken, 3));
    // A new leader knows of no answer: it asks at once.
    let mut next = Migrator::new(HERE, bench.now);
    next.observe(bench.now, &bench.moves);
    next.follow(bench.now, goal.clone());
    assert_eq!(next.take_actions().len(), 1);
    goal.wanted[0].paused = false;
    bench.follow(goal);
    bench.run(50);
    assert!(bench.taken > taken);
}

#[test]
fn a_source_that_gives_no_answer_is_asked_again() {
    let mut bench = Bench::new(&[(1, Source::new(1, 1_000))]);
    let goal = bench.goal(1);
    bench.follow(goal);
    let (_, ask, ..) = bench.asks.remove(0);
    bench.migrator.lost(bench.now, ask);
    bench.act();
    assert!(bench.asks.is_empty());
    bench.run(40);
    assert_eq!(bench.count("begin"), 1);
    bench.run(200);
    assert!(bench.count("begin") == 2 && bench.accepted == 1);
}
