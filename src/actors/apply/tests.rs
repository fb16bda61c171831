//! The applier on a store whose reads can be made to fail and whose writes can be held back.

use super::{Applier, ApplyCommand, ApplySink, Birth, Live, Opened, Stats};
use crate::actors::group::event::{Applied, ApplyItem, ConfirmedRead, ReplyTo, Route};
use crate::ids::{Bucket, Generation, GroupId, Index, NodeId, Term};
use crate::kv::{Command as Keys, EntryBuilder, Genesis, Reply, SessionLimits};
use crate::limits;
use crate::net::message::{Answer, Ask, Outcome, Refusal, UnitId, Work};
use crate::raft::{ChangeKind, Entry, EntryKind, Membership, MembershipChange, SnapshotMeta};
use crate::rows::{RowGeneration, generation_prefix};
use crate::shard::Table;
use crate::store::state::{
    Batch, BatchNumber, Command, ModelStore, Overlay, StateError, StateStats, StateStore, StateView,
};
use crate::time::{MonoMillis, UnixMillis};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);
const LIFE: Generation = Generation(1);

#[derive(Default)]
struct Flaky {
    store: ModelStore,
    broken: AtomicBool,
}

impl Flaky {
    fn check(&self) -> Result<(), StateError> {
        if self.broken.load(Relaxed) {
            Err(StateError::Fatal("a bad sector".into()))
        } else {
            Ok(())
        }
    }
}

impl StateStore for Flaky {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.check()?;
        self.store.get(key)
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        self.check()?;
        self.store.range(from, to, each)
    }

    fn write(&self, batches: &[Arc<Batch>]) -> Result<(), StateError> {
        self.store.write(batches)
    }

    fn persist(&self) -> Result<(), StateError> {
        self.store.persist()
    }

    fn view(&self) -> Box<dyn StateView> {
        self.store.view()
    }

    fn maintain(&self) -> Result<(), StateError> {
        self.store.maintain()
    }

    fn reclaim(&self) -> Result<(), StateError> {
        self.store.reclaim()
    }

    fn stats(&self) -> StateStats {
        self.store.stats()
    }
}

#[derive(Default)]
struct Heard {
    clock: MonoMillis,
    answers: Vec<(ReplyTo, Answer)>,
    applied: Vec<(GroupId, Index)>,
    failed: Vec<GroupId>,
    commands: VecDeque<Command>,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

impl ApplySink for Ear {
    fn clock(&mut self) -> MonoMillis {
        self.0.lock().unwrap().clock
    }

    fn answers(&mut self, mut answers: Vec<(ReplyTo, Answer)>) {
        self.0.lock().unwrap().answers.append(&mut answers);
    }

    fn applied(&mut self, group: GroupId, applied: Applied, _: Stats) {
        self.0.lock().unwrap().applied.push((group, applied.index));
    }

    fn table(&mut self, _: &Arc<Table>) {}

    fn persisted(&mut self, _: Vec<(GroupId, Index)>) {}

    fn failed(&mut self, group: GroupId, _: Generation, _: String) {
        self.0.lock().unwrap().failed.push(group);
    }

    fn submit(&mut self, command: Command) {
        self.0.lock().unwrap().commands.push_back(command);
    }

    fn pump(&mut self) {}

    fn worked(&mut self, _: u64, _: u64, _: usize) {}
}

struct Bench {
    store: Arc<Flaky>,
    ear: Ear,
    live: Arc<Live>,
    applier: Applier<Ear>,
    now: u64,
}

impl Bench {
    fn on(store: Arc<Flaky>) -> Self {
        let ear = Ear::default();
        let overlay = Overlay::new(store.clone());
        let live = Arc::new(Live::default());
        let applier = Applier::new(overlay, live.clone(), ear.clone());
        Self { store, ear, live, applier, now: 0 }
    }

    fn turn(&mut self, commands: Vec<ApplyCommand>) {
        self.now += 1;
        self.applier.turn(commands, MonoMillis(self.now));
    }

    fn open(&mut self, group: GroupId) -> Result<Opened, String> {
        let (send, receive) = mpsc::channel();
        let reply = Box::new(move |opened| send.send(opened).unwrap());
        let genesis = Genesis {
            hash_key: [3; 16],
            buckets: (0..limits::BUCKETS).map(Bucket).collect(),
            time: UnixMillis(0),
            value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT as u64,
            sessions: SessionLimits { sessions: 10, replies: 10, bytes: 1_000 },
        };
        let birth = Birth::Keys(Box::new(genesis));
        let founders = Membership::of_voters([NodeId(1)]);
        self.turn(vec![ApplyCommand::Open { group, generation: LIFE, birth, founders, reply }]);
        receive.try_recv().unwrap()
    }

    fn work(&mut self, group: GroupId, items: Vec<ApplyItem>) {
        self.turn(vec![ApplyCommand::Work { group, generation: LIFE, items }]);
    }

    /// The state thread does one thing of what it was told; whether there was any.
    fn store_one(&mut self) -> bool {
        let command = self.ear.0.lock().unwrap().commands.pop_front();
        match command {
            Some(Command::Write(frozen)) => {
                self.store.write(&[frozen.batch]).unwrap();
                self.turn(vec![ApplyCommand::Written(BatchNumber(frozen.number.0))]);
            }
            Some(Command::Bulk { batch, done }) => {
                self.store.write(&[batch]).unwrap();
                done();
            }
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// Time passes and everything reaches the store.
    fn settle(&mut self) {
        self.now += 1_000;
        self.turn(Vec::new());
        while self.store_one() {}
    }

    fn outcomes(&self) -> Vec<(u64, Outcome)> {
        let answers = std::mem::take(&mut self.ear.0.lock().unwrap().answers);
        answers.into_iter().map(|(_, answer)| (answer.unit.0, answer.outcome)).collect()
    }
}

fn set(index: u64, value: &str) -> (Entry, Vec<Route>) {
    let command = Keys::SetRange {
        key: Bytes::from_static(b"k"),
        offset: 0,
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    entry(index, &[command])
}

/// An entry whose unit is called like its index.
fn entry(index: u64, commands: &[Keys]) -> (Entry, Vec<Route>) {
    let mut builder = EntryBuilder::new(UnixMillis(1));
    commands.iter().for_each(|command| builder.push(command, None));
    let (kind, data) = (EntryKind::Normal, builder.finish());
    let entry = Entry { index: Index(index), term: Term(1), kind, data };
    let route = Route { to: ReplyTo::Worker(0), unit: UnitId(index), replies: commands.len() };
    (entry, vec![route])
}

fn read(unit: u64, key: &'static str) -> ConfirmedRead {
    let command = Keys::Get { key: Bytes::from_static(key.as_bytes()) };
    let work = Work::Keys(vec![Ask { command, session: None }]);
    ConfirmedRead { to: ReplyTo::Worker(0), unit: UnitId(unit), work }
}

fn not_done() -> Outcome {
    Outcome::NotDone(Refusal::NoReplica)
}

#[test]
fn a_state_that_cannot_be_read_is_not_overwritten() {
    let store = Arc::new(Flaky::default());
    let mut bench = Bench::on(store.clone());
    bench.open(ONE).unwrap();
    bench.work(ONE, vec![ApplyItem::Entries(vec![set(1, "a"), set(2, "b")])]);
    bench.settle();

    let mut bench = Bench::on(store.clone());
    store.broken.store(true, Relaxed);
    assert!(bench.open(ONE).unwrap_err().contains("bad sector"));
    store.broken.store(false, Relaxed);
    bench.settle();
    let opened = Bench::on(store.clone()).open(ONE).unwrap();
    assert_eq!(opened.applied.index, Index(2), "of another process");
    assert_eq!(bench.open(ONE).unwrap().applied.index, Index(2), "and of the same one");
}

/// A learner comes, and something that cannot be made has no effect.
fn changes(first: u64) -> Vec<(Entry, Vec<Route>)> {
    [MembershipChange::one(ChangeKind::Learner, NodeId(2)), MembershipChange::leave()]
        .into_iter()
        .zip(first..)
        .map(|(change, index)| {
            let (kind, data) = (EntryKind::Membership, change.encode());
            (Entry { index: Index(index), term: Term(1), kind, data }, Vec::new())
        })
        .collect()
}

#[test]
fn the_membership_belongs_to_the_state() {
    let store = Arc::new(Flaky::default());
    let mut bench = Bench::on(store.clone());
    let born = bench.open(ONE).unwrap().membership;
    assert_eq!(born, Membership::of_voters([NodeId(1)]));
    bench.work(ONE, vec![ApplyItem::Entries([vec![set(1, "a")], changes(2)].concat())]);
    let changed = Membership { learners: vec![NodeId(2)], ..born.clone() };
    assert_eq!(bench.open(ONE).unwrap().membership, changed);
    let opened = Bench::on(store.clone()).open(ONE).unwrap();
    assert_eq!((opened.applied.index, opened.membership), (Index(0), born), "nothing was stored");

    bench.settle();
    let opened = Bench::on(store).open(ONE).unwrap();
    assert_eq!((opened.applied.index, opened.membership), (Index(3), changed));
}

#[test]
fn a_state_that_fails_forgets_the_membership_with_the_rest() {
    let store = Arc::new(Flaky::default());
    let mut bench = Bench::on(store.clone());
    let born = bench.open(ONE).unwrap().membership;
    bench.settle();
    bench.work(ONE, vec![ApplyItem::Entries(changes(1))]);
    store.broken.store(true, Relaxed);
    bench.work(ONE, vec![ApplyItem::Entries(vec![set(3, "a")])]);
    store.broken.store(false, Relaxed);
    let opened = bench.open(ONE).unwrap();
    assert_eq!((opened.applied.index, opened.membership), (Index(0), born));
}

#[test]
fn a_life_of_rows_that_was_begun_is_known_after_a_restart() {
    let store = Arc::new(Flaky::default());
    let mut bench = Bench::on(store.clone());
    let opened = bench.open(ONE).unwrap();
    assert_eq!((opened.row_generation, opened.newest_rows), (RowGeneration(1), RowGeneration(1)));
    for life in [4, 9] {
        bench.turn(vec![ApplyCommand::Ingest {
            group: ONE,
            row_generation: RowGeneration(life),
            rows: vec![(Bytes::from_static(b"x"), Bytes::new()); 3],
            done: Box::new(|| {}),
        }]);
    }
    bench.open(TWO).unwrap();
    bench.settle();
    let opened = Bench::on(store).open(ONE).unwrap();
    assert_eq!((opened.row_generation, opened.newest_rows), (RowGeneration(1), RowGeneration(9)));
}

#[test]
fn a_read_that_fails_takes_no_other_answer_with_it() {
    let mut bench = Bench::on(Arc::new(Flaky::default()));
    bench.open(ONE).unwrap();
    bench.open(TWO).unwrap();
    bench.settle();
    let work = |group, items| ApplyCommand::Work { group, generation: LIFE, items };
    let write = work(ONE, vec![ApplyItem::Entries(vec![set(1, "a")])]);
    let reads = vec![read(21, "k"), read(22, "l")];
    let read = work(
        TWO,
        vec![
            ApplyItem::Reads { reads, clock: UnixMillis(1), until: None },
            ApplyItem::Entries(vec![set(1, "z")]),
            ApplyItem::Reads { reads: vec![read(23, "k")], clock: UnixMillis(1), until: None },
        ],
    );
    bench.turn(vec![write]);
    bench.store.broken.store(true, Relaxed);
    bench.turn(vec![read]);
    let outcomes = bench.outcomes();
    assert_eq!(outcomes[0], (1, Outcome::Done(vec![Reply::Integer(1)])));
    assert_eq!(outcomes[1..3], [(21, not_done()), (22, not_done())]);
    // What stood behind it in line is told as much as is known.
    assert_eq!(outcomes[3..], [(1, Outcome::Unknown), (23, not_done())]);
    assert_eq!(bench.ear.0.lock().unwrap().failed, [TWO]);
}

#[test]
fn a_read_by_lease_is_not_answered_once_the_lease_has_ended() {
    let mut bench = Bench::on(Arc::new(Flaky::default()));
    bench.open(ONE).unwrap();
    bench.settle();
    let reads = |unit| ApplyItem::Reads {
        reads: vec![read(unit, "k")],
        clock: UnixMillis(1),
        until: Some(MonoMillis(700)),
    };
    let clock = |bench: &Bench, millis| bench.ear.0.lock().unwrap().clock = MonoMillis(millis);
    clock(&bench, 699);
    bench.work(ONE, vec![reads(1)]);
    // The turn began in time, but the answer was not ready in time.
    clock(&bench, 700);
    bench.work(ONE, vec![reads(2)]);
    let late = Outcome::NotDone(Refusal::NotLeader(None));
    assert_eq!(bench.outcomes(), [(1, Outcome::Done(vec![Reply::Nil])), (2, late)]);
}

#[test]
fn an_entry_that_is_applied_already_is_told_and_skipped() {
    let mut bench = Bench::on(Arc::new(Flaky::default()));
    bench.open(ONE).unwrap();
    bench.work(ONE, vec![ApplyItem::Entries(vec![set(1, "a")])]);
    bench.ear.0.lock().unwrap().applied.clear();
    bench.work(ONE, vec![ApplyItem::Entries(vec![set(1, "b")])]);
    assert_eq!(bench.outcomes()[1], (1, Outcome::Unknown));
    assert_eq!(bench.ear.0.lock().unwrap().applied, [(ONE, Index(1))]);
}

#[test]
fn apply_stops_between_entries_while_the_store_is_behind() {
    let mut bench = Bench::on(Arc::new(Flaky::default()));
    bench.open(ONE).unwrap();
    bench.settle();
    // Each entry is small and writes 8 MiB, all of them 320.
    let grow = |index: u64| {
        let value = Bytes::from_static(b"x");
        let (key, offset) = (Bytes::from(index.to_string()), 8 * 1024 * 1024 - 1);
        entry(index, &[Keys::SetRange { key, offset, value }])
    };
    let last = Index(40);
    let entries = (1..=last.0).map(grow).collect();
    bench.work(
        ONE,
        vec![
            ApplyItem::Entries(entries),
            ApplyItem::Reads { reads: vec![read(99, "1")], clock: UnixMillis(1), until: None },
        ],
    );
    let newest = |bench: &Bench| bench.ear.0.lock().unwrap().applied.last().map(|one| one.1);
    assert!(newest(&bench).is_some_and(|index| index < Index(10)), "{:?}", newest(&bench));
    let mut writes = 0;
    while bench.store_one() {
        writes += 1;
    }
    assert!(writes > 4, "{writes}");
    assert_eq!(newest(&bench), Some(last));
    let units: Vec<u64> = bench.outcomes().into_iter().map(|(unit, _)| unit).collect();
    assert_eq!(units, (1..=last.0).chain([99]).collect::<Vec<_>>(), "in order, each once");
}

#[test]
fn a_snapshot_for_an_earlier_life_of_the_replica_is_refused() {
    let mut bench = Bench::on(Arc::new(Flaky::default()));
    bench.open(ONE).unwrap();
    let refused = |bench: &mut Bench, generation| {
        let (send, receive) = mpsc::channel();
        let meta = SnapshotMeta { index: Index(7), ..SnapshotMeta::default() };
        bench.turn(vec![ApplyCommand::Install {
            group: ONE,
            generation,
            row_generation: RowGeneration(2),
            meta,
            reply: Box::new(move |installed| send.send(installed).unwrap()),
        }]);
        receive.try_recv().unwrap().unwrap_err()
    };
    assert!(refused(&mut bench, Generation(0)).contains("rebuilt"));
    // Of this life, but its rows are not there: they are not made up either.
    assert!(refused(&mut bench, LIFE).contains("should be at"));
    bench.settle();
    let mut found = 0;
    let from = generation_prefix(ONE, RowGeneration(2));
    let to = generation_prefix(ONE, RowGeneration(3));
    bench
        .store
        .range(&from, &to, &mut |_, _| {
            found += 1;
            true
        })
        .unwrap();
    assert_eq!(found, 0);
}

#[test]
fn rows_that_are_forgotten_stay_so_and_the_next_life_begins_with_none() {
    let store = Arc::new(Flaky::default());
    let mut bench = Bench::on(store.clone());
    let reset = |bench: &mut Bench, group, newest: u32| {
        let (send, receive) = mpsc::channel();
        let reply = Box::new(move |done| send.send(done).unwrap());
        let newest_rows = RowGeneration(newest);
        bench.turn(vec![ApplyCommand::Reset { group, newest_rows, reply }]);
        receive
    };
    assert_eq!(reset(&mut bench, TWO, 0).try_recv(), Ok(Ok(())), "there is nothing");
    bench.open(ONE).unwrap();
    bench.work(ONE, vec![ApplyItem::Entries(vec![set(1, "a")])]);
    bench.settle();
    bench.work(ONE, vec![ApplyItem::Entries(vec![set(2, "b")])]);
    let done = reset(&mut bench, ONE, 4);
    assert!(done.try_recv().is_err(), "not before it is synced");
    bench.settle();
    // The bench's state thread does not say that it has persisted.
    bench.turn(vec![ApplyCommand::Persisted(1, Vec::new())]);
    assert_eq!(done.try_recv(), Ok(Ok(())));
    assert_eq!(
        bench.live.so_far().groups,
        1,
        "its space may come back, though it was never published"
    );
    for bench in [&mut bench, &mut Bench::on(store.clone())] {
        let opened = bench.open(ONE).unwrap();
        assert_eq!(opened.applied.index, Index(0));
        assert_eq!(opened.row_generation, RowGeneration(5));
        assert_eq!(opened.membership, Membership::default(), "nobody lets it vote");
    }
}
