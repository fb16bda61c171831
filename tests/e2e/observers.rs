//! An observer: a node without a replica of the group that holds a copy, answers reads from it as if it led, and counts
//! for nothing. Four nodes, one data group on three of them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::gate;
use crate::helpers::{GROUP, LIMIT, help, leader, places};
use crate::metrics::samples;
use crate::nodes::Nodes;
use crate::outside;
use crate::reply::Reply;
use crate::status::Status;
use crate::stop::Stop;

/// Bytes of a value; with as many values the copy is large enough to be seen on the disk.
const VALUE_BYTES: usize = 64 * 1024;
const VALUES: usize = 512;

/// Four nodes, of which the last one named observes.
fn start() -> (Cluster, u16) {
    let cluster = Cluster::start_wide(gate::whole(), 4, 3);
    let (_, others) = places(&cluster);
    (cluster, others[0])
}

fn add(cluster: &Nodes, node: u16) {
    assert_eq!(help(cluster, &["observer", "add", "1", &node.to_string()])["changed"], true);
    wait_for_copy(cluster, node);
}

/// Until it observes and has everything.
fn wait_for_copy(cluster: &Nodes, node: u16) -> Status {
    cluster.wait_for_status("the observer has everything", LIMIT, |status| {
        let group = status.group(GROUP);
        group.role_on(node) == Some("observer")
            && group.replicas.iter().any(|one| one.node == node && one.applied >= group.commit())
    })
}

/// Writes through the leader and reads at the observer at once, on its cluster port after READONLY.
fn write_and_read(cluster: &Nodes, observer: u16, rounds: std::ops::Range<usize>) {
    let mut writer = cluster.client(leader(&cluster.status()));
    let mut reader = cluster.cluster_client(observer);
    assert!(
        reader.command(&["GET", "seen"]).text().starts_with("MOVED "),
        "a redirect, as clients expect"
    );
    assert!(reader.command(&["READONLY"]).is_ok());
    for round in rounds {
        let round = round.to_string();
        assert!(writer.command(&["SET", "seen", &round]).is_ok());
        assert_eq!(reader.command(&["GET", "seen"]), Reply::Bulk(round.into_bytes()));
    }
    let redirected = reader.command(&["SET", "seen", "x"]);
    assert!(redirected.text().starts_with("MOVED "), "{redirected}");
    assert!(reader.command(&["READWRITE"]).is_ok());
    assert!(reader.command(&["GET", "seen"]).text().starts_with("MOVED "));
}

/// Client batches that a node has sent to another.
fn forwarded(cluster: &Nodes, node: u16) -> f64 {
    samples(cluster, node).get("eraft_proxy_forwarded_total").copied().unwrap_or(0.0)
}

#[test]
fn an_observer_reads_what_was_written_a_moment_ago() {
    let (cluster, observer) = start();
    let mut client = cluster.client(observer);
    for n in 0..200 {
        assert!(client.command(&["SET", &format!("old:{n}"), &n.to_string()]).is_ok());
    }
    let before = cluster.status().group(GROUP).commit();
    add(&cluster, observer);
    assert_eq!(before, cluster.status().group(GROUP).commit(), "nothing of it stands in the log");
    write_and_read(&cluster, observer, 0..500);

    // On the plain port too, without a word to the leader's node but the question how far to be.
    let sent = forwarded(&cluster, observer);
    for n in 0..200 {
        assert_eq!(client.command(&["GET", &format!("old:{n}")]).text(), n.to_string());
    }
    assert!(forwarded(&cluster, observer) < sent + 20.0, "the reads were answered elsewhere");
    // A pipeline with a write in it goes to the leader as a whole, in order.
    client.send(b"SET mixed 1\r\nGET mixed\r\nINCR mixed\r\nGET mixed\r\n").expect("taken");
    let replies: Vec<String> = (0..4).map(|_| client.read().expect("a reply").text()).collect();
    assert_eq!(replies, ["OK", "1", "2", "2"]);

    // Through a change of leader it goes on, and is elected by nobody.
    let old = leader(&cluster.status());
    cluster.kill(old);
    let status = cluster.wait_for_status("another leads", LIMIT, |status| {
        status.group(GROUP).leader.is_some_and(|leader| leader != old)
    });
    assert_eq!(status.group(GROUP).role_on(observer), Some("observer"));
    write_and_read(&cluster, observer, 1_000..1_200);
}

#[test]
fn an_observer_dies_unnoticed_and_leaves_its_space_when_it_goes() {
    let (mut cluster, observer) = start();
    add(&cluster, observer);
    let value = "v".repeat(VALUE_BYTES);
    let through = leader(&cluster.status());
    let nodes: Nodes = (*cluster).clone();
    let stop = Stop::new();
    let slowest = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = nodes.client(through);
            let (mut n, mut slowest) = (0, Duration::ZERO);
            while !stop.told() || n < VALUES {
                let begun = Instant::now();
                let reply = client.command(&["SET", &format!("v:{}", n % VALUES), &value]);
                assert!(reply.is_ok(), "{reply}");
                slowest = slowest.max(begun.elapsed());
                n += 1;
            }
            slowest
        });
        let ended = stop.at_end();
        thread::sleep(Duration::from_millis(500));
        cluster.kill(observer);
        thread::sleep(Duration::from_secs(2));
        drop(ended);
        writer.join().expect("no write fails")
    });
    outside::say(&format!("the slowest write while the observer was killed: {slowest:?}"));

    cluster.revive(observer);
    wait_for_copy(&cluster, observer);
    write_and_read(&cluster, observer, 0..50);
    assert_eq!(
        cluster.client(observer).command(&["STRLEN", "v:7"]),
        Reply::Integer(VALUE_BYTES as i64)
    );

    assert_eq!(
        help(&cluster, &["observer", "remove", "1", &observer.to_string()])["changed"],
        true
    );
    cluster.wait_for_status("the copy is gone", LIMIT, |status| {
        status.group(GROUP).role_on(observer).is_none()
    });
    let log = cluster.folder.join(format!("node-{observer}")).join("log-revived");
    let begun = Instant::now();
    while !has_given_back(&log, VALUES * VALUE_BYTES / 2) {
        assert!(begun.elapsed() < 3 * LIMIT, "the space is still taken\n{}", cluster.node_logs());
        thread::sleep(Duration::from_millis(200));
    }
    // Its node still serves everything, by asking others.
    assert_eq!(
        cluster.client(observer).command(&["STRLEN", "v:7"]),
        Reply::Integer(VALUE_BYTES as i64)
    );
    // It may come back: as if it had never been there.
    add(&cluster, observer);
    write_and_read(&cluster, observer, 100..150);
}

/// Whether a node has compacted so many bytes of tables away. The journal before them is used again and again.
fn has_given_back(log: &Path, bytes: usize) -> bool {
    let figure = |line: &str, name: &str| -> Option<usize> {
        line.split_whitespace().find_map(|word| word.strip_prefix(name))?.parse().ok()
    };
    let log = std::fs::read_to_string(log).expect("a log");
    log.lines().filter(|line| line.contains("state store: compacted")).any(|line| {
        let (before, after) = (figure(line, "before="), figure(line, "after="));
        before.zip(after).is_some_and(|(before, after)| before >= after + bytes)
    })
}
