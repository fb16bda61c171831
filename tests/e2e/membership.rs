//! Who belongs to a group, and by which disk: replicas that go and come back under writes, a node that loses its
//! whole disk, and one whose log is damaged. Each becomes a voter again by itself, with all data, and until then counts
//! for nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::ctl;
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;
use crate::resp::Client;
use crate::status::Status;
use crate::stop::Stop;

/// A replica that is brought up to date from nothing, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_replica_goes_and_comes_back_under_writes() {
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let (stop, acked) = (Stop::new(), AtomicU64::new(0));
    let nodes: Nodes = (*cluster).clone();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = nodes.client(1);
            let mut n = 0;
            while !stop.told() {
                if client.command(&["SET", &format!("m:{n}"), &n.to_string()]).is_ok() {
                    acked.fetch_max(n + 1, Ordering::Relaxed);
                    n += 1;
                }
            }
        });
        let ended = stop.at_end();
        for group in ["1", "0"] {
            let id: u64 = group.parse().expect("a number");
            change(&nodes, "remove", group);
            let status = nodes.status();
            assert_eq!(status.group(id).voters, [1, 2], "{status:?}");
            assert_eq!(status.group(id).role_on(3), None, "its data is gone: {status:?}");
            change(&nodes, "add", group);
            let status = nodes.status();
            assert_eq!(status.group(id).voters, [1, 2, 3], "{status:?}");
        }
        drop(ended);
    });
    let acked = acked.load(Ordering::Relaxed);
    assert!(acked > 50, "writes went on meanwhile: {acked}");

    // It has all of it, and its vote counts.
    cluster.wait_until_whole(LIMIT);
    cluster.kill(2);
    everything_is_there(&cluster, 3, "m", acked);
}

#[test]
fn a_replica_that_goes_gives_its_space_back() {
    // More than what is kept in memory until it is written to tables.
    const KEYS: u64 = 1_200;
    const VALUE_BYTES: usize = 64 * 1024;
    const MUCH: u64 = 16 * 1024 * 1024;
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let mut client = cluster.client(1);
    for n in 0..KEYS {
        let mut chance = Chance::new(n, 0);
        let value: String =
            (0..VALUE_BYTES / 16).map(|_| format!("{:016x}", chance.next())).collect();
        // All in one bucket, of group 1.
        assert!(client.command(&["SET", &format!("{{b}}:{n}"), &value]).is_ok());
    }
    let state = cluster.folder.join("node-3").join("data").join("state");
    wait_for_bytes(&cluster, &state, "its rows are in tables", |bytes| bytes > MUCH);
    change(&cluster, "remove", "1");
    wait_for_bytes(&cluster, &state, "its space is given back", |bytes| bytes < MUCH / 8);
}

fn wait_for_bytes(nodes: &Nodes, folder: &Path, what: &str, holds: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let bytes = bytes_in(folder);
        if holds(bytes) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {bytes} bytes\n{}", nodes.node_logs());
        thread::sleep(Duration::from_millis(200));
    }
}

/// Of all files but the journal, which is used again and again, as far as they are there: some come and go.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(_) if entry.path().extension().is_some_and(|kind| kind == "jnl") => 0,
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Changes the wish, and waits until it is so.
fn change(nodes: &Nodes, what: &str, group: &str) {
    let output = nodes.ctl(&["--json", "--timeout", "60", "replica", what, group, "3", "--wait"]);
    let text = outside::text(&output);
    assert!(output.status.success(), "{what} {group}: {text}\n{}", nodes.node_logs());
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(answer["done"], true, "{text}");
}

#[test]
fn wishes_that_make_no_sense_are_refused_with_a_reason() {
    let cluster = Cluster::shared();
    let refused = |args: &[&str], reason: &str| {
        let output = cluster.ctl(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", outside::text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(reason) && said.contains("eraftctl query"), "{args:?}: {said}");
    };
    refused(&["replica", "add", "99", "1"], "there is no g99");
    refused(&["replica", "remove", "1", "77"], "n77 is not a node");
    let output = cluster.ctl(&["replica", "add", "g1", "n1"]);
    assert!(ctl::stdout(&output).contains("wishes already"), "{}", outside::text(&output));
}

#[test]
fn a_wiped_disk_counts_for_nothing_and_then_is_a_voter_again() {
    let mut cluster = Cluster::start();
    write(&cluster, 1, 0..500);
    cluster.wait_until_whole(Duration::from_secs(30));
    let before = cluster.status();
    cluster.kill(3);
    write(&cluster, 1, 500..600);
    fs::remove_dir_all(cluster.folder.join("node-3").join("data")).expect("it can be removed");
    cluster.kill(2);

    // Two of three nodes, but one of them knows nothing: nobody may decide anything.
    cluster.revive(3);
    cluster.wait_for_status("node 3 answers", Duration::from_secs(20), |status| status.alive(3));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let written = Client::connect_with(&cluster.plain(1), Duration::from_secs(2))
            .and_then(|mut client| client.try_command(&[b"SET", b"w:never", b"x"]));
        assert!(!written.is_ok_and(|reply| reply.is_ok()), "a wiped disk was counted");
    }
    let status = cluster.status();
    assert!(!status.node(3).troubles.is_empty(), "it is reported: {status:?}");
    assert!(status.groups.iter().all(|group| group.leader.is_none()), "{status:?}");

    // With the other one back it is taken in again, by a majority without it.
    cluster.revive(2);
    let after = votes_again(&cluster, 3);
    assert_ne!(before.node(3).disk, after.node(3).disk, "it is known by its new disk");
    assert!(after.nodes.iter().all(|node| node.troubles.is_empty()), "{after:?}");
    cluster.wait_until_whole(LIMIT);
    cluster.kill(1);
    everything_is_there(&cluster, 3, "w", 600);
    write(&cluster, 2, 600..650);
}

/// Waits until the node votes in all groups.
pub(crate) fn votes_again(cluster: &Nodes, node: u16) -> Status {
    cluster.wait_for_status("it votes in all groups", LIMIT, |status| {
        let all: Vec<u16> = (1..=NODES).collect();
        let votes = |role: Option<&str>| matches!(role, Some("leader" | "follower"));
        status.groups.len() == 3
            && status.groups.iter().all(|group| group.voters == all && votes(group.role_on(node)))
    })
}

fn write(nodes: &Nodes, node: u16, range: std::ops::Range<u64>) {
    let deadline = Instant::now() + LIMIT;
    let mut client = nodes.client(node);
    for n in range {
        while !client.command(&["SET", &format!("w:{n}"), &n.to_string()]).is_ok() {
            assert!(Instant::now() < deadline, "w:{n} through node {node}\n{}", nodes.node_logs());
        }
    }
}

fn everything_is_there(nodes: &Nodes, node: u16, prefix: &str, count: u64) {
    let deadline = Instant::now() + LIMIT;
    let mut client = nodes.client(node);
    for n in 0..count {
        loop {
            match client.command(&["GET", &format!("{prefix}:{n}")]) {
                Reply::Error(_) if Instant::now() < deadline => {}
                Reply::Bulk(bytes) if bytes == n.to_string().as_bytes() => break,
                reply => panic!("{prefix}:{n} through node {node}: {reply}\n{}", nodes.node_logs()),
            }
        }
    }
}
