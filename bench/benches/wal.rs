//! The write-ahead log alone, on the disk of the target folder: one batch, one write, and (or not) one sync. Beside it
//! the same number of bytes written and synced by hand: what the log costs more than that is its own.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use eraft::ids::{ClusterId, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term};
use eraft::raft::{Entry, EntryKind, Membership};
use eraft::store::disk::RealDisk;
use eraft::store::wal::{Log, LogIdentity, LogOp, LogOptions, LogWrite};

fn main() {
    divan::main();
}

const GROUP: GroupId = GroupId(1);

struct Fixture {
    log: Log<RealDisk>,
    next: u64,
    entry: Bytes,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
        let identity = LogIdentity {
            cluster: ClusterId([7; 16]),
            node: NodeId(1),
            incarnation: Incarnation(1),
        };
        let options = LogOptions::default();
        let (mut log, _) = Log::open(RealDisk, folder.path(), identity, options).expect("it opens");
        let birth = LogWrite {
            op: Some(LogOp::Born(Membership::of_voters([NodeId(1)]))),
            ..write(Vec::new(), true)
        };
        log.write(&[birth]).expect("it writes");
        Fixture { log, next: 1, entry: Bytes::from(vec![7; 160]), _folder: folder }
    }

    fn append(&mut self, entries: u64, must_sync: bool) {
        let batch = (self.next..self.next + entries)
            .map(|index| Entry {
                index: Index(index),
                term: Term(1),
                kind: EntryKind::Normal,
                data: self.entry.clone(),
            })
            .collect();
        self.next += entries;
        self.log.write(&[write(batch, must_sync)]).expect("it writes");
    }
}

fn write(entries: Vec<Entry>, must_sync: bool) -> LogWrite {
    LogWrite {
        group: GROUP,
        generation: Generation(1),
        number: ReadyNumber(1),
        entries,
        hard_state: None,
        op: None,
        must_sync,
    }
}

/// A batch of so many entries of 160 bytes, durable when it returns.
#[divan::bench(args = [1, 64, 512])]
fn append_synced(bencher: Bencher, entries: u64) {
    let mut fixture = Fixture::new();
    bencher.counter(ItemsCount::new(entries)).bench_local(|| fixture.append(entries, true));
}

/// The same, left to the page cache: encoding, checksums and one system call.
#[divan::bench(args = [1, 64, 512])]
fn append_unsynced(bencher: Bencher, entries: u64) {
    let mut fixture = Fixture::new();
    bencher.counter(ItemsCount::new(entries)).bench_local(|| fixture.append(entries, false));
}

/// As many bytes, rounded up to blocks, written to a zero-filled file and synced by hand.
#[divan::bench(args = [1, 64, 512])]
fn raw_write_and_sync(bencher: Bencher, entries: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let file = zeros(&folder.path().join("raw"));
    let block = vec![7; (entries * 200).next_multiple_of(4096)];
    let mut at = 0;
    bencher.counter(ItemsCount::new(entries)).bench_local(|| {
        file.write_all_at(&block, at).expect("it writes");
        file.sync_data().expect("it syncs");
        at = (at + block.len() as u64) % (32 * 1024 * 1024);
    });
}

fn zeros(path: &std::path::Path) -> File {
    let file =
        OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("a file");
    let zeros = vec![0; 1024 * 1024];
    for at in 0..33 {
        file.write_all_at(&zeros, at * zeros.len() as u64).expect("it writes");
    }
    file.sync_all().expect("it syncs");
    file
}
