//! Tests of the whole machine, over rows in memory.

mod budget;
mod counters;
mod expiry;
mod keyspace;
mod model;
mod move_chaos;
mod move_drive;
mod moves;
mod replay;
mod scan;
mod strings;

use crate::ids::{Bucket, GroupId};
use crate::kv::migration::{MoveRecord, MoveReply};
use crate::kv::{Command, EntryBuilder, Genesis, Machine, Reply, SessionLimits, SessionRef};
use crate::limits::BUCKETS;
use crate::rows::{RowGeneration, Rows, generation_prefix, home, prefix_end};
use crate::shard::BucketRange;
use crate::time::UnixMillis;
use bytes::Bytes;
use std::cell::Cell;
use std::collections::BTreeMap;

/// A small generator of numbers (xorshift); its seed must not be 0.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// Rows in memory. Counts what is asked of it.
#[derive(Clone, Debug, Default)]
struct MemoryRows {
    rows: BTreeMap<Vec<u8>, Bytes>,
    gets: Cell<usize>,
    ranges: Cell<usize>,
    puts: usize,
}

impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.gets.set(self.gets.get() + 1);
        self.rows.get(key).cloned()
    }

    fn range(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.ranges.set(self.ranges.get() + 1);
        for (key, value) in self.rows.range(from.to_vec()..to.to_vec()) {
            if !each(key, value) {
                return;
            }
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.puts += 1;
        self.rows.insert(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.rows.remove(&key);
    }
}

const GROUP: GroupId = GroupId(3);
const GENERATION: RowGeneration = RowGeneration(1);
const VALUE_BYTES_MAX: u64 = 100;
const START: u64 = 1_000_000;

/// A machine with its rows, driven as a replica would.
struct Replica {
    group: GroupId,
    rows: MemoryRows,
    machine: Machine,
    time: u64,
}

fn genesis(buckets: impl IntoIterator<Item = u16>) -> Genesis {
    Genesis {
        hash_key: [7; 16],
        buckets: buckets.into_iter().map(Bucket).collect(),
        time: UnixMillis(START),
        value_bytes_max: VALUE_BYTES_MAX,
        sessions: SessionLimits { sessions: 10, replies: 10, bytes: 10_000 },
    }
}

impl Replica {
    fn new() -> Self {
        Self::with_buckets(0..BUCKETS)
    }

    fn with_buckets(buckets: impl IntoIterator<Item = u16>) -> Self {
        Self::of_group(GROUP, buckets)
    }

    fn of_group(group: GroupId, buckets: impl IntoIterator<Item = u16>) -> Self {
        let mut rows = MemoryRows::default();
        let machine = Machine::create(group, GENERATION, &mut rows, &genesis(buckets));
        Self { group, rows, machine, time: START }
    }

    fn apply(&mut self, payload: &[u8]) -> Vec<Reply> {
        let index = self.machine.applied().next();
        self.machine.apply(&mut self.rows, index, payload).unwrap()
    }

    fn run(&mut self, command: Command) -> Reply {
        self.run_under(command, None)
    }

    fn run_under(&mut self, command: Command, session: Option<SessionRef>) -> Reply {
        let mut entry = EntryBuilder::new(UnixMillis(self.time));
        entry.push(&command, session);
        self.apply(&entry.finish()).pop().unwrap()
    }

    /// Time moves on and an entry says so.
    fn tick(&mut self, millis: u64) {
        self.time += millis;
        let mut entry = EntryBuilder::new(UnixMillis(self.time));
        entry.push_tick();
        assert_eq!(self.apply(&entry.finish()), []);
    }

    fn read(&self, command: &Command) -> Reply {
        self.machine.read(&self.rows, command, UnixMillis(self.time))
    }

    /// A snapshot under another generation, opened.
    fn copied(&mut self, generation: RowGeneration) -> Self {
        self.machine.flush_meta(&mut self.rows);
        let (from, to) =
            (generation_prefix(self.group, GENERATION), generation_prefix(self.group, generation));
        let mut rows = MemoryRows::default();
        for (key, value) in self.rows.rows.range(from.clone()..prefix_end(&from)) {
            let mut copy = to.clone();
            copy.extend_from_slice(&key[from.len()..]);
            rows.put(copy, value.clone());
        }
        let machine = Machine::open(self.group, generation, &rows).unwrap().unwrap();
        Self { group: self.group, rows, machine, time: self.time }
    }

    fn reopened(mut self) -> Self {
        self.machine.flush_meta(&mut self.rows);
        self.machine = Machine::open(self.group, GENERATION, &self.rows).unwrap().unwrap();
        self
    }

    /// All rows without their generation, with the meta rows written.
    fn dump(&mut self) -> Vec<(Vec<u8>, Bytes)> {
        self.machine.flush_meta(&mut self.rows);
        self.rows.rows.iter().map(|(key, value)| (key[8..].to_vec(), value.clone())).collect()
    }

    /// Carries a step of a move out.
    fn step(&mut self, record: &MoveRecord) -> MoveReply {
        let mut entry = EntryBuilder::new(UnixMillis(self.time));
        entry.push_move(record);
        self.apply(&entry.finish()).pop().unwrap().decode().unwrap()
    }

    /// Whether the compaction filter may drop the row.
    fn is_forgotten(&self, row: &[u8]) -> bool {
        let home = home(row).unwrap();
        home.marks.is_some_and(|number| self.machine.live_marks().forgotten(number))
            || home.bucket.is_some_and(|(bucket, epoch)| {
                epoch < self.machine.live_epochs()[usize::from(bucket.0)]
            })
    }

    /// Drops what the compaction filter may drop.
    fn compact(&mut self) {
        let gone: Vec<_> =
            self.rows.rows.keys().filter(|row| self.is_forgotten(row)).cloned().collect();
        gone.into_iter().for_each(|row| self.rows.delete(row));
    }

    /// How many rows have a meta name that begins so.
    fn meta_rows(&self, name: &str) -> usize {
        let is_one = |key: &&Vec<u8>| key[8] == 0 && key[9..].starts_with(name.as_bytes());
        self.rows.rows.keys().filter(is_one).count()
    }

    fn data_rows(&self) -> usize {
        self.rows.rows.keys().filter(|key| key[8] == 1).count()
    }
}

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(b(text))
}

fn get(key: &str) -> Command {
    Command::Get { key: b(key) }
}

fn set(key: &str, value: &str) -> Command {
    use crate::kv::{Condition, Expiry};
    let (condition, expiry) = (Condition::Always, Expiry::Clear);
    Command::Set { key: b(key), value: b(value), condition, expiry, get: false }
}

fn set_for(key: &str, value: &str, millis: i64) -> Command {
    use crate::kv::{Condition, Deadline, Expiry};
    let (condition, expiry) = (Condition::Always, Expiry::Set(Deadline::After(millis)));
    Command::Set { key: b(key), value: b(value), condition, expiry, get: false }
}

fn del(key: &str) -> Command {
    Command::Del { keys: vec![b(key)] }
}

/// What FLUSHALL answers where these buckets are served.
fn flushed(first: u16, last: u16) -> Reply {
    Reply::encoded(&[BucketRange { first: Bucket(first), last: Bucket(last) }].to_vec())
}

fn pttl(key: &str) -> Command {
    Command::Ttl { key: b(key), unit: crate::kv::TtlUnit::MillisLeft }
}

fn error(reply: &Reply) -> String {
    match reply {
        Reply::Error(error) => error.to_string(),
        Reply::Redirect(redirect) => redirect.to_error().to_string(),
        other => panic!("no error: {other:?}"),
    }
}
