//! A replicated counter on the Raft core, without the rest of this program.
//!
//! Three replicas in one process: their disks are [`MemoryStorage`], their network is a queue, their
//! clock a loop. `cargo run --release --example counter` elects a leader, counts, loses the leader with
//! everything that it had in memory, goes on counting with the other two, and brings it back.
//!
//! What a real program does otherwise: it syncs, sends and applies on threads of its own, and calls
//! `persisted` and `applied` when they are done; the numbered duties are in the docs of `eraft::raft`.

use bytes::Bytes;
use eraft::ids::{Index, NodeId};
use eraft::raft::storage::{MemoryStorage, Storage};
use eraft::raft::{Config, EntryKind, Message, ProposeError, Raft, ReadContext};
use std::collections::{BTreeMap, VecDeque};

/// The state machine, and how far it has come.
#[derive(Clone, Default)]
struct Counter {
    value: i64,
    applied: Index,
}

struct Replica {
    raft: Raft,
    disk: MemoryStorage,
    counter: Counter,
    /// Reads that may be answered once the counter has applied so far.
    reads: Vec<(ReadContext, Index)>,
}

impl Replica {
    fn start(id: NodeId, life: u64, disk: MemoryStorage) -> Self {
        let restored = disk.restore().expect("memory can be read");
        let config = Config::new(id, u64::from(id.0) << 32 | life);
        let raft = Raft::new(config, restored).expect("what the disk remembers belongs together");
        // The counter is not on the disk: it is counted again from the log.
        Self { raft, disk, counter: Counter::default(), reads: Vec::new() }
    }

    /// Does all that the core asks for; answers what is to be sent.
    fn work(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        while self.raft.has_ready() {
            let ready = self.raft.ready();
            let needs_persist = ready.needs_persist();
            sent.extend(ready.messages);
            let (restart, hard_state) = (ready.restart.as_ref(), ready.hard_state.as_ref());
            self.disk.write(restart, hard_state, &ready.entries).expect("memory takes it");
            if needs_persist {
                self.raft.persisted(ready.number);
                sent.extend(ready.after_persist);
            }
            for entry in ready.committed {
                match entry.kind {
                    EntryKind::Membership => {
                        let _ = self.raft.apply_change(&entry.data);
                    }
                    EntryKind::Normal => {
                        let text = std::str::from_utf8(&entry.data).unwrap_or_default();
                        // The first entry of a term is empty.
                        self.counter.value += text.parse::<i64>().unwrap_or_default();
                    }
                }
                self.counter.applied = entry.index;
                self.raft.applied(entry.index);
            }
            for fetch in ready.fetches {
                let entries = self.disk.read(fetch.from_index, fetch.bytes_max);
                self.raft.fetched(fetch.to, entries.expect("memory can be read"));
            }
            self.reads.extend(ready.read_states.into_iter().map(|read| (read.context, read.index)));
        }
        sent
    }
}

#[derive(Default)]
struct Cluster {
    replicas: BTreeMap<NodeId, Replica>,
    wire: VecDeque<Message>,
}

impl Cluster {
    /// Time passes until `done`.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            for replica in self.replicas.values_mut() {
                replica.raft.tick();
            }
            self.deliver();
            if done(self) {
                return;
            }
        }
        panic!("it never happened");
    }

    fn deliver(&mut self) {
        loop {
            for replica in self.replicas.values_mut() {
                self.wire.extend(replica.work());
            }
            let Some(message) = self.wire.pop_front() else { return };
            if let Some(replica) = self.replicas.get_mut(&message.to) {
                // An error says that somebody is wrong about something: a real program counts it.
                let _ = replica.raft.step(message);
            }
        }
    }

    fn leader(&self) -> Option<NodeId> {
        let leads = self.replicas.iter().filter(|(_, replica)| replica.raft.is_leader());
        leads.max_by_key(|(_, replica)| replica.raft.term()).map(|(id, _)| *id)
    }

    /// Adds to the counter, at whoever leads, and waits until that is done.
    fn add(&mut self, number: i64) {
        self.run_until(|cluster| cluster.leader().is_some());
        let leader = self.leader().expect("just seen");
        let replica = self.replicas.get_mut(&leader).expect("it leads");
        match replica.raft.propose(Bytes::from(number.to_string())) {
            Ok((index, _)) => self.run_until(|cluster| {
                let replica = cluster.replicas.get(&leader);
                replica.is_some_and(|replica| replica.counter.applied >= index)
            }),
            // Certainly not done: it may be tried again.
            Err(ProposeError::NotLeader { .. }) => self.add(number),
            Err(error) => panic!("refused: {error}"),
        }
    }

    /// Reads the counter, linearizably, through any replica.
    fn read(&mut self, id: NodeId) -> i64 {
        let context = ReadContext(1);
        let replica = self.replicas.get_mut(&id).expect("it is up");
        replica.reads.clear();
        if replica.raft.read_index(context).is_err() {
            // It knows no leader yet.
            self.run_until(|cluster| cluster.replicas[&id].raft.leader().is_some());
            return self.read(id);
        }
        self.run_until(|cluster| {
            let replica = &cluster.replicas[&id];
            replica.reads.iter().any(|(_, index)| replica.counter.applied >= *index)
        });
        self.replicas[&id].counter.value
    }
}

fn main() {
    let ids = [1, 2, 3].map(NodeId);
    let mut cluster = Cluster::default();
    for id in ids {
        cluster.replicas.insert(id, Replica::start(id, 1, MemoryStorage::newborn(ids)));
    }
    cluster.add(40);
    let first = cluster.leader().expect("somebody did it");
    println!("{first} leads, {} reads {}", ids[2], cluster.read(ids[2]));

    let dead = cluster.replicas.remove(&first).expect("it was up");
    println!("{first} is gone, with all that it had in memory");
    cluster.add(2);
    let second = cluster.leader().expect("somebody did it");
    println!("{second} leads, and reads {}", cluster.read(second));

    cluster.replicas.insert(first, Replica::start(first, 2, dead.disk));
    let value = cluster.read(first);
    println!("{first} is back, and reads {value}");
    assert_eq!(value, 42);
}
