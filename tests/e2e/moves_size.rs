//! The largest and the smallest that moves: one bucket of gigabytes, in little memory; and all buckets at once, with
//! nothing in them.

use std::ops::Range;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::ctl;
use crate::gate;
use crate::moves::{adds_up, ctl, shares};
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::process::peak_bytes;
use crate::resp::{request, slot};
use crate::scale;

const LIMIT: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;
const VALUE_BYTES: usize = 1024;
/// All lie in one bucket.
const TAG: &str = "{big}";
/// What a move may take beyond what writing took. After little was written, buffers that it uses are not there yet.
fn more_bytes() -> u64 {
    scale::pick(128, 256) * MIB
}

/// A value that only this key has.
fn value(n: u64) -> String {
    let mut value = format!("{n}:");
    let mut mixed = n;
    while value.len() < VALUE_BYTES {
        mixed =
            mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.push_str(&format!("{mixed:016x}"));
    }
    value.truncate(VALUE_BYTES);
    value
}

/// Writes all keys, by some clients at once.
fn write_all(nodes: &Nodes, keys: u64) {
    const CLIENTS: u64 = 8;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                write(
                    nodes,
                    client as u16 % NODES + 1,
                    client * keys / CLIENTS..(client + 1) * keys / CLIENTS,
                );
            });
        }
    });
}

fn write(nodes: &Nodes, node: u16, keys: Range<u64>) {
    const TOGETHER: u64 = 32;
    let mut client = nodes.client(node);
    for first in keys.clone().step_by(TOGETHER as usize) {
        let some = first..keys.end.min(first + TOGETHER);
        let set = |n| {
            let key = format!("{TAG}{n}");
            request(&[b"SET", key.as_bytes(), value(n).as_bytes()])
        };
        let bytes: Vec<u8> = some.clone().flat_map(set).collect();
        client.send(&bytes).expect("it is taken");
        for n in some {
            let reply = client.read().expect("a reply");
            assert!(reply.is_ok(), "{TAG}{n}: {reply}");
        }
    }
}

/// The most memory that each node has held.
fn peaks(nodes: &Nodes) -> Vec<u64> {
    (1..=NODES).map(|node| peak_bytes(nodes.process(node))).collect()
}

/// The group that has the bucket, and the other one.
fn sides(nodes: &Nodes, bucket: u16) -> (u64, u64) {
    let table = ctl(nodes, &["query"]);
    let has = |group: u64| {
        let ranges = table["groups"][group as usize]["buckets"].as_array().expect("ranges");
        ranges.iter().any(|range| {
            let range = range.as_str().expect("a range");
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let [first, last] = [first, last].map(|end| end.parse::<u16>().expect("a bucket"));
            (first..=last).contains(&bucket)
        })
    };
    if has(1) { (1, 2) } else { (2, 1) }
}

#[test]
fn a_bucket_of_many_megabytes_moves_whole_in_little_memory() {
    let mib: u64 = scale::pick(2_048, 24);
    let cluster = Cluster::start_with(gate::whole(), &[]);
    cluster.wait_until_whole(LIMIT);
    let keys = mib * MIB / VALUE_BYTES as u64;
    write_all(&cluster, keys);
    let bucket = slot(TAG);
    let (from, to) = sides(&cluster, bucket);
    let written = peaks(&cluster);
    let begun = Instant::now();
    let folder = cluster.folder.to_str().expect("a plain name");
    let [bucket, to_words] = [bucket.to_string(), to.to_string()];
    let moved = outside::run(
        Command::new(ctl::PROGRAM).args(["--dir", folder, "move", &bucket, &to_words, "--wait"]),
        Duration::from_secs(900),
    );
    assert!(moved.status.success(), "{}\n{}", outside::text(&moved), cluster.node_logs());
    let took = begun.elapsed();
    let peaks = peaks(&cluster);
    outside::say(&format!(
        "a bucket of {mib} MiB moved from g{from} to g{to} in {took:.1?}; peaks in MiB after writing {:?}, after the move {:?}",
        written.iter().map(|bytes| bytes / MIB).collect::<Vec<_>>(),
        peaks.iter().map(|bytes| bytes / MIB).collect::<Vec<_>>(),
    ));
    for (written, moved) in written.iter().zip(&peaks) {
        assert!(*moved <= written + more_bytes(), "{written} bytes, then {moved}");
    }
    adds_up(&cluster, keys as usize);
    let mut client = cluster.client(3);
    for n in (0..keys).step_by((keys / 1_000) as usize) {
        assert_eq!(client.command(&["GET", &format!("{TAG}{n}")]).text(), value(n));
    }
}

#[test]
fn all_empty_buckets_move_in_few_entries() {
    const ALL: u64 = 16_384;
    let cluster = Cluster::start_with(gate::whole(), &[]);
    cluster.wait_until_whole(LIMIT);
    ctl(&cluster, &["move", "0-16383", "2", "--wait"]);
    let log = |group: u64| cluster.status().group(group).commit();
    let before = log(1) + log(2);
    let begun = Instant::now();
    ctl(&cluster, &["move", "0-16383", "1", "--wait"]);
    let took = begun.elapsed();
    let entries = log(1) + log(2) - before;
    outside::say(&format!("{ALL} empty buckets moved in {took:.2?} and {entries} entries"));
    assert!(entries < 200, "{entries} entries");
    assert!(took < scale::pick(Duration::from_secs(5), Duration::from_secs(30)), "{took:?}");
    let shares = shares(&cluster);
    assert_eq!((shares[&1], shares[&2]), (ALL, 0), "{shares:?}");
}
