//! The Raft core alone: three replicas in one thread, messages handed over as values, disks that are never slow. What
//! is left is what consensus itself costs in processor time.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use eraft::ids::{Index, NodeId};
use eraft::raft::{Config, Raft, ReadContext, Restored, Role};

fn main() {
    divan::main();
}

struct Trio {
    replicas: Vec<Raft>,
    /// The newest entry that each has applied.
    applied: Vec<Index>,
    /// Reads that the leader has confirmed.
    reads: usize,
}

impl Trio {
    /// Three replicas, of which the first leads.
    fn elected() -> Trio {
        let ids = [1, 2, 3].map(NodeId);
        let replicas = ids.map(|id| {
            let config = Config::new(id, 7 + u64::from(id.0));
            Raft::new(config, Restored::newborn(ids)).expect("a newborn replica starts")
        });
        let mut trio = Trio { replicas: replicas.into(), applied: vec![Index(0); 3], reads: 0 };
        for _ in 0..200 {
            trio.replicas[0].tick();
            trio.settle();
            if trio.replicas[0].role() == Role::Leader {
                return trio;
            }
        }
        panic!("no leader after 200 ticks");
    }

    /// Everything that is to be sent, written and applied is, until nobody wants anything any more.
    fn settle(&mut self) {
        while let Some(at) = (0..3).find(|&at| self.replicas[at].has_ready()) {
            let ready = self.replicas[at].ready();
            for message in ready.messages {
                self.deliver(message);
            }
            self.replicas[at].persisted(ready.number);
            for message in ready.after_persist {
                self.deliver(message);
            }
            self.reads += ready.read_states.len();
            if let Some(last) = ready.committed.last() {
                self.applied[at] = last.index;
                self.replicas[at].applied(last.index);
            }
        }
    }

    fn deliver(&mut self, message: eraft::raft::Message) {
        let at = message.to.0 as usize - 1;
        self.replicas[at].step(message).expect("a message between members is taken");
    }

    /// Proposes so many entries at once and carries them through.
    fn commit(&mut self, entries: usize, payload: &Bytes) {
        let mut last = Index(0);
        for _ in 0..entries {
            (last, _) = self.replicas[0].propose(payload.clone()).expect("the leader takes it");
        }
        self.settle();
        assert_eq!(self.applied[0], last);
    }
}

/// An entry of 128 bytes from the proposal to the apply on all three, with so many proposed together.
#[divan::bench(args = [1, 16, 256])]
fn commit(bencher: Bencher, entries: usize) {
    let payload = Bytes::from(vec![7; 128]);
    let mut trio = Trio::elected();
    bencher.counter(ItemsCount::new(entries)).bench_local(|| trio.commit(entries, &payload));
}

/// One round of ReadIndex for so many reads that wait together.
#[divan::bench(args = [1, 64])]
fn read_index(bencher: Bencher, reads: usize) {
    let mut trio = Trio::elected();
    trio.commit(1, &Bytes::from_static(b"x"));
    let mut next = 0;
    bencher.counter(ItemsCount::new(reads)).bench_local(|| {
        trio.reads = 0;
        for _ in 0..reads {
            next += 1;
            trio.replicas[0].read_index(ReadContext(next)).expect("the leader takes it");
        }
        trio.settle();
        assert_eq!(trio.reads, reads);
    });
}

/// A tick of an idle leader and its followers.
#[divan::bench]
fn idle_tick(bencher: Bencher) {
    let mut trio = Trio::elected();
    bencher.bench_local(|| {
        for replica in &mut trio.replicas {
            replica.tick();
        }
        trio.settle();
    });
}
