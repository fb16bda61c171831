//! The Raft core beside the `raft` crate (raft-rs): commits per second, and allocations per commit.
//!
//! Three replicas each, in memory, in one thread, with a queue for a network. A batch of proposals of
//! 128 bytes goes to the leader; the round ends when all three have applied it. Both cores get the same
//! payloads, keep the same kind of log, and are driven by the same loop; they take turns, and the medians of
//! all turns are printed. `cargo bench -p eraft-bench --bench raft_rs`
//!
//! Allocations are counted without those that make a payload (ours are shared bytes, as they come from a
//! socket; theirs are vectors). It fails if ours is less than twice as fast, or allocates per entry.

mod ours {
    use bytes::Bytes;
    use eraft::ids::{Index, NodeId};
    use eraft::raft::storage::{MemoryStorage, Storage};
    use eraft::raft::{Config, Message, Raft};
    use std::collections::VecDeque;

    struct Replica {
        raft: Raft,
        disk: MemoryStorage,
        applied: u64,
    }

    pub struct Cluster {
        replicas: Vec<Replica>,
        wire: VecDeque<Message>,
    }

    impl Cluster {
        pub fn new() -> Self {
            let ids = [1, 2, 3].map(NodeId);
            let replicas = ids.map(|id| {
                let disk = MemoryStorage::newborn(ids);
                let restored = disk.restore().expect("memory can be read");
                let raft = Raft::new(Config::new(id, id.0.into()), restored).expect("a newborn");
                Replica { raft, disk, applied: 0 }
            });
            let mut cluster = Self { replicas: replicas.into(), wire: VecDeque::new() };
            cluster.replicas[0].raft.campaign();
            cluster.settle();
            assert!(cluster.replicas[0].raft.is_leader());
            cluster
        }

        pub fn commit(&mut self, payloads: Vec<Bytes>) {
            let goal = self.replicas[0].applied + payloads.len() as u64;
            for payload in payloads {
                self.replicas[0].raft.propose(payload).expect("a leader with room");
            }
            self.settle();
            assert!(self.replicas.iter().all(|replica| replica.applied == goal));
        }

        fn settle(&mut self) {
            loop {
                let mut moved = false;
                for replica in &mut self.replicas {
                    moved |= replica.work(&mut self.wire);
                }
                while let Some(message) = self.wire.pop_front() {
                    let to = message.to.0 as usize - 1;
                    self.replicas[to].raft.step(message).expect("a healthy cluster");
                    moved = true;
                }
                if !moved {
                    return;
                }
            }
        }

        /// The log may not grow for ever.
        pub fn compact(&mut self) {
            for replica in &mut self.replicas {
                let through = replica.raft.compact(Index(replica.raft.applied_index().0 - 1));
                let term = replica.raft.term_at(through).expect("it was just there");
                let membership = replica.raft.membership().clone();
                let meta = eraft::raft::SnapshotMeta { index: through, term, membership };
                replica.disk.compact(&meta).expect("memory can");
            }
        }
    }

    impl Replica {
        fn work(&mut self, wire: &mut VecDeque<Message>) -> bool {
            let mut moved = false;
            while self.raft.has_ready() {
                moved = true;
                let ready = self.raft.ready();
                let needs_persist = ready.needs_persist();
                wire.extend(ready.messages);
                let (restart, hard) = (ready.restart.as_ref(), ready.hard_state.as_ref());
                self.disk.write(restart, hard, &ready.entries).expect("memory takes it");
                if needs_persist {
                    self.raft.persisted(ready.number);
                    wire.extend(ready.after_persist);
                }
                if let Some(last) = ready.committed.last() {
                    self.applied +=
                        ready.committed.iter().filter(|e| !e.data.is_empty()).count() as u64;
                    self.raft.applied(last.index);
                }
            }
            moved
        }
    }
}

mod theirs {
    use bytes::Bytes;
    use raft::eraftpb::{ConfState, Message};
    use raft::storage::MemStorage;
    use raft::{Config, RawNode, StateRole};
    use std::collections::VecDeque;

    struct Replica {
        node: RawNode<MemStorage>,
        applied: u64,
        last: u64,
    }

    pub struct Cluster {
        replicas: Vec<Replica>,
        wire: VecDeque<Message>,
    }

    impl Cluster {
        pub fn new() -> Self {
            let logger = slog::Logger::root(slog::Discard, slog::o!());
            let replicas = [1, 2, 3].map(|id| {
                let config = Config {
                    id,
                    election_tick: 16,
                    heartbeat_tick: 2,
                    max_size_per_msg: 1024 * 1024,
                    max_inflight_msgs: 256,
                    pre_vote: true,
                    check_quorum: true,
                    ..Config::default()
                };
                let members = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
                let storage = MemStorage::new_with_conf_state(members);
                let node = RawNode::new(&config, storage, &logger).expect("a newborn");
                Replica { node, applied: 0, last: 0 }
            });
            let mut cluster = Self { replicas: replicas.into(), wire: VecDeque::new() };
            cluster.replicas[0].node.campaign().expect("it may");
            cluster.settle();
            assert_eq!(cluster.replicas[0].node.raft.state, StateRole::Leader);
            cluster
        }

        pub fn commit(&mut self, payloads: Vec<Bytes>) {
            let goal = self.replicas[0].applied + payloads.len() as u64;
            for payload in payloads {
                // Its proposals are vectors; ours are shared bytes.
                self.replicas[0].node.propose(Vec::new(), payload.into()).expect("a leader");
            }
            self.settle();
            assert!(self.replicas.iter().all(|replica| replica.applied == goal));
        }

        fn settle(&mut self) {
            loop {
                let mut moved = false;
                for replica in &mut self.replicas {
                    moved |= replica.work(&mut self.wire);
                }
                while let Some(message) = self.wire.pop_front() {
                    let to = message.to as usize - 1;
                    self.replicas[to].node.step(message).expect("a healthy cluster");
                    moved = true;
                }
                if !moved {
                    return;
                }
            }
        }

        pub fn compact(&mut self) {
            for replica in &mut self.replicas {
                let store = replica.node.raft.raft_log.store.clone();
                store.wl().compact(replica.last).expect("it was applied");
            }
        }
    }

    impl Replica {
        fn work(&mut self, wire: &mut VecDeque<Message>) -> bool {
            let mut moved = false;
            while self.node.has_ready() {
                moved = true;
                let mut ready = self.node.ready();
                wire.extend(ready.take_messages());
                self.apply(ready.take_committed_entries());
                let store = self.node.raft.raft_log.store.clone();
                if !ready.entries().is_empty() {
                    store.wl().append(ready.entries()).expect("memory takes it");
                }
                if let Some(hard) = ready.hs() {
                    store.wl().set_hardstate(hard.clone());
                }
                wire.extend(ready.take_persisted_messages());
                let mut light = self.node.advance(ready);
                if let Some(commit) = light.commit_index() {
                    store.wl().mut_hard_state().commit = commit;
                }
                wire.extend(light.take_messages());
                self.apply(light.take_committed_entries());
                self.node.advance_apply();
            }
            moved
        }

        fn apply(&mut self, entries: Vec<raft::eraftpb::Entry>) {
            if let Some(last) = entries.last() {
                self.last = last.index;
            }
            self.applied += entries.iter().filter(|entry| !entry.data.is_empty()).count() as u64;
        }
    }
}

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Turns of each core at each size, and commits in a turn.
const TURNS: usize = 15;
const COMMITS: usize = 1 << 15;
const PAYLOAD_BYTES: usize = 128;

/// Commits per second, and allocations per commit without those of the payloads.
fn turn(batch: usize, mut commit: impl FnMut(Vec<Bytes>)) -> (f64, f64) {
    let rounds = (COMMITS / batch).min(1 << 13);
    let mut batches: Vec<Vec<Bytes>> =
        (0..rounds).map(|_| (0..batch).map(|_| payload()).collect()).collect();
    let region = Region::new(ALLOCATOR);
    let begun = Instant::now();
    for payloads in batches.drain(..) {
        commit(payloads);
    }
    let (took, change) = (begun.elapsed(), region.change());
    let commits = (rounds * batch) as f64;
    (commits / took.as_secs_f64(), (change.allocations + change.reallocations) as f64 / commits)
}

/// A payload that can be shared without a further allocation, as one that came from a socket.
fn payload() -> Bytes {
    let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
    drop(payload.clone());
    payload
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What we must be at least, times as fast.
const FASTER_MIN: f64 = 2.0;
/// Allocations in one round of proposals, whatever its size, on all three replicas together.
const ALLOCATIONS_MAX: f64 = 32.0;

fn main() -> ExitCode {
    // `cargo test --benches` only wants to know whether it runs.
    let measures = std::env::args().all(|argument| argument != "--test");
    let turns = if measures { TURNS } else { 1 };
    let mut holds = true;
    println!("batch  eraft commits/s  allocations  raft-rs commits/s  allocations  eraft is");
    for batch in [1, 16, 256] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut cluster, mut peers) = (ours::Cluster::new(), theirs::Cluster::new());
        for _ in 0..turns {
            ours.push(turn(batch, |payloads| cluster.commit(payloads)));
            theirs.push(turn(batch, |payloads| peers.commit(payloads)));
            cluster.compact();
            peers.compact();
        }
        let rate = |turns: &[(f64, f64)]| median(turns.iter().map(|turn| turn.0).collect());
        let allocations = |turns: &[(f64, f64)]| median(turns.iter().map(|turn| turn.1).collect());
        let (faster, allocated) = (rate(&ours) / rate(&theirs), allocations(&ours));
        println!(
            "{batch:5}  {:15.0}  {allocated:11.2}  {:17.0}  {:11.2}  {faster:6.2} x",
            rate(&ours),
            rate(&theirs),
            allocations(&theirs),
        );
        holds &= faster >= FASTER_MIN && allocated * batch as f64 <= ALLOCATIONS_MAX;
    }
    if holds || !measures {
        return ExitCode::SUCCESS;
    }
    eprintln!("missed: {FASTER_MIN} times as fast, {ALLOCATIONS_MAX} allocations a round");
    ExitCode::FAILURE
}
