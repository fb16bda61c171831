//! What travels and what is stored: an entry of many clients' commands, and a frame of Raft messages.

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use eraft::codec;
use eraft::ids::{Era, GroupId, Index, NodeId, Term};
use eraft::kv::{Command, Condition, EntryBuilder, EntryReader, Expiry, SessionRef};
use eraft::net::message::{GroupMessages, RaftFrame};
use eraft::raft::{Entry, EntryKind, Message, MessageBody};
use eraft::time::UnixMillis;

fn main() {
    divan::main();
}

fn set(n: usize) -> Command {
    Command::Set {
        key: Bytes::from(format!("key:{n:012}")),
        value: Bytes::from(vec![b'v'; 128]),
        condition: Condition::Always,
        expiry: Expiry::Clear,
        get: false,
    }
}

fn entry(commands: &[Command], session: Option<SessionRef>) -> Bytes {
    let mut builder = EntryBuilder::new(UnixMillis(1_800_000_000_000));
    for command in commands {
        builder.push(command, session);
    }
    builder.finish()
}

/// Commands of 128 bytes into one entry's payload.
#[divan::bench(args = [1, 64])]
fn entry_encode(bencher: Bencher, count: usize) {
    let commands: Vec<Command> = (0..count).map(set).collect();
    bencher.counter(ItemsCount::new(count)).bench(|| entry(black_box(&commands), None));
}

/// And out of it again.
#[divan::bench(args = [1, 64])]
fn entry_decode(bencher: Bencher, count: usize) {
    let commands: Vec<Command> = (0..count).map(set).collect();
    let payload = entry(&commands, None);
    bencher.counter(ItemsCount::new(count)).bench(|| {
        let reader = EntryReader::new(black_box(&payload)).expect("our own payload");
        for record in reader {
            black_box(record.expect("our own record"));
        }
    });
}

fn frame(entries: usize) -> RaftFrame {
    let payload = entry(&[set(1)], None);
    let entries = (0..entries as u64)
        .map(|n| Entry {
            index: Index(1000 + n),
            term: Term(3),
            kind: EntryKind::Normal,
            data: payload.clone(),
        })
        .collect();
    let append = Message {
        from: NodeId(1),
        to: NodeId(2),
        term: Term(3),
        body: MessageBody::Append {
            prev_index: Index(999),
            prev_term: Term(3),
            entries,
            commit: Index(990),
        },
    };
    let (group, era, disk) = (GroupId(1), Era::default(), None);
    let messages = GroupMessages { group, era, disk, messages: vec![append] };
    RaftFrame { groups: vec![messages], pulse: None }
}

/// A frame for a peer with one append of so many entries.
#[divan::bench(args = [1, 64])]
fn frame_encode(bencher: Bencher, entries: usize) {
    let frame = frame(entries);
    let mut out = Vec::with_capacity(64 * 1024);
    bencher.counter(ItemsCount::new(entries)).bench_local(|| {
        out.clear();
        codec::encode_into(black_box(&frame), &mut out);
    });
}

/// And back.
#[divan::bench(args = [1, 64])]
fn frame_decode(bencher: Bencher, entries: usize) {
    let bytes = codec::encode(&frame(entries));
    bencher
        .counter(ItemsCount::new(entries))
        .bench(|| codec::decode::<RaftFrame>(black_box(&bytes)).expect("our own frame"));
}
