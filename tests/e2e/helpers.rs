//! Observers and secretaries on nodes that hold no replica of the group: what they save, what they serve, and that to
//! lose them costs nothing. Seven nodes, one data group on five of them.

use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::gate;
use crate::metrics::samples;
use crate::nodes::Nodes;
use crate::outside;
use crate::status::Status;
use crate::stop::Stop;

const NODES: u16 = 7;
const REPLICAS: u16 = 5;
/// The data group.
pub(crate) const GROUP: u64 = 1;
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Large enough that the entries are most of what is sent.
const VALUE: &str = include_str!("helpers.rs");

/// The nodes with a replica of the data group, and those without.
pub(crate) fn places(nodes: &Nodes) -> (Vec<u16>, Vec<u16>) {
    let table = nodes.ctl(&["--json", "query"]);
    let table: serde_json::Value = serde_json::from_slice(&table.stdout).expect("a JSON document");
    let servers = table["groups"][GROUP as usize]["servers"].as_array().expect("servers");
    let node = |server: &serde_json::Value| server["node"].as_u64().expect("a number") as u16;
    let inside: Vec<u16> = servers.iter().map(node).collect();
    let outside = (1..=nodes.count).filter(|node| !inside.contains(node)).collect();
    (inside, outside)
}

pub(crate) fn leader(status: &Status) -> u16 {
    status.group(GROUP).leader.expect("it has a leader")
}

/// `eraftctl observer|secretary add|remove`, which must be done.
pub(crate) fn help(nodes: &Nodes, words: &[&str]) -> serde_json::Value {
    let output = nodes.ctl(&[&["--json"], words].concat());
    assert!(output.status.success(), "{words:?}: {}", outside::text(&output));
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

fn write(nodes: &Nodes, through: u16, keys: std::ops::Range<u32>) {
    let mut client = nodes.client(through);
    for n in keys {
        let reply = client.command(&["SET", &format!("helped:{n}"), VALUE]);
        assert!(reply.is_ok(), "helped:{n}: {reply:?}");
    }
}

/// Bytes of entries that the leader sends for each commit, over some writes.
fn bytes_per_commit(nodes: &Nodes, through: u16) -> f64 {
    let leader = leader(&nodes.status());
    let name = format!("eraft_raft_append_sent_bytes_total{{group=\"{GROUP}\"}}");
    let look = || (samples(nodes, leader)[&name], nodes.status().group(GROUP).commit());
    let before = look();
    write(nodes, through, 0..200);
    let after = look();
    assert_eq!(leader, self::leader(&nodes.status()), "the lead has not moved");
    assert!(after.1 >= before.1 + 100, "{before:?} {after:?}");
    (after.0 - before.0) / (after.1 - before.1) as f64
}

#[test]
fn secretaries_halve_what_the_leader_sends_and_may_die_at_any_time() {
    let mut cluster = Cluster::start_wide(gate::whole(), NODES, REPLICAS);
    let (inside, outside) = places(&cluster);
    assert_eq!((inside.len(), outside.len()), (5, 2));
    let all_follow = |status: &Status| {
        let replicas = &status.group(GROUP).replicas;
        replicas.len() == 5 && replicas.iter().all(|one| one.applied > 0)
    };
    let status = cluster.wait_for_status("five replicas", LIMIT, all_follow);
    // Through a node that has no replica of the group.
    let through = outside[0];
    write(&cluster, through, 0..20);
    let alone = bytes_per_commit(&cluster, through);

    let before = cluster.wait_for_status("it is at rest", LIMIT, |status| {
        let group = status.group(GROUP);
        group.replicas.iter().all(|one| one.applied == group.commit())
    });
    for node in &outside {
        let node = node.to_string();
        assert_eq!(help(&cluster, &["secretary", "add", "1", &node])["changed"], true);
        assert_eq!(help(&cluster, &["secretary", "add", "1", &node])["changed"], false);
    }
    let with_both = |status: &Status| {
        let secretaries = &status.group(GROUP).secretaries;
        outside.iter().all(|&node| secretaries.iter().any(|one| one.node == node && one.present))
    };
    let after = cluster.wait_for_status("both answer", LIMIT, with_both);
    assert_eq!(
        before.group(GROUP).commit(),
        after.group(GROUP).commit(),
        "nothing about them stands in the group's log"
    );
    write(&cluster, through, 0..20);
    cluster.wait_for_status("each serves two", LIMIT, |status| {
        status.group(GROUP).secretaries.iter().all(|one| one.serves.len() == 2)
    });
    let helped = bytes_per_commit(&cluster, through);
    outside::say(&format!(
        "append bytes per commit: {alone:.0} alone, {helped:.0} with two secretaries ({:.0} % less)",
        100.0 * (1.0 - helped / alone)
    ));
    assert!(helped <= 0.6 * alone, "{alone} alone, {helped} with two secretaries");

    // Both die under writes that come in elsewhere: none fails, and it is as if they had never been there.
    let through = *inside.iter().find(|&&node| node != leader(&status)).expect("a follower");
    let nodes: Nodes = (*cluster).clone();
    let stop = Stop::new();
    let slowest = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut n, mut slowest) = (1_000, Duration::ZERO);
            while !stop.told() {
                let begun = Instant::now();
                write(&nodes, through, n..n + 1);
                slowest = slowest.max(begun.elapsed());
                n += 1;
            }
            slowest
        });
        let ended = stop.at_end();
        thread::sleep(Duration::from_millis(500));
        outside.iter().for_each(|&node| cluster.kill(node));
        cluster.wait_for_status("both are missed", LIMIT, |status| {
            let secretaries = &status.group(GROUP).secretaries;
            secretaries.len() == 2
                && secretaries.iter().all(|one| !one.present && one.serves.is_empty())
        });
        thread::sleep(Duration::from_millis(500));
        drop(ended);
        writer.join().expect("no write fails")
    });
    outside::say(&format!("the slowest write while both secretaries were killed: {slowest:?}"));
    let plain = bytes_per_commit(&cluster, through);
    assert!(plain >= 0.9 * alone, "{alone} before there were any, {plain} without them again");

    // They are used again when they are back, and no more when they are not wanted.
    for &node in &outside {
        cluster.revive(node);
    }
    // A group that sleeps asks nobody, so it is kept awake.
    cluster.wait_for_status("both answer again", LIMIT, |status| {
        write(&cluster, through, 0..1);
        with_both(status)
    });
    for node in &outside {
        let node = node.to_string();
        assert_eq!(help(&cluster, &["secretary", "remove", "1", &node])["changed"], true);
    }
    cluster.wait_for_status("there are none", LIMIT, |status| {
        status.group(GROUP).secretaries.is_empty()
    });
    write(&cluster, through, 0..20);
}

#[test]
fn what_cannot_help_is_refused_with_the_reason() {
    let cluster = Cluster::start_wide(gate::half(), 4, 3);
    let (inside, outside) = places(&cluster);
    let refused = |words: &[&str]| {
        let output = cluster.ctl(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        outside::text(&output)
    };
    let [member, helper] = [inside[0], outside[0]].map(|node| node.to_string());
    let text = refused(&["secretary", "add", "1", &member]);
    assert!(text.contains("holds a replica of g1"), "{text}");
    assert!(refused(&["secretary", "add", "9", &helper]).contains("there is no g9"));
    assert!(refused(&["observer", "add", "1", "77"]).contains("n77 is not a node"));
    help(&cluster, &["secretary", "add", "1", &helper]);
    let text = refused(&["observer", "add", "1", &helper]);
    assert!(text.contains(&format!("eraftctl secretary remove 1 {helper}")), "{text}");
    assert_eq!(help(&cluster, &["observer", "remove", "1", &helper])["changed"], false);
}
