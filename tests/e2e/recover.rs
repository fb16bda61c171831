//! Two of three nodes are lost for good: the third goes on alone with what it has, once a person has seen what may be
//! lost and has confirmed it. The lost ones, should they come back with their old disks, are refused for ever.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::ctl;
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;

/// The one that goes on.
const SURVIVOR: u16 = 3;
const LOST: [u16; 2] = [1, 2];
const KEYS: usize = 60;
const GROUPS: [u64; 3] = [0, 1, 2];

#[test]
fn a_group_that_lost_its_majority_goes_on_and_its_past_is_refused() {
    let mut cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    write(&cluster, 1, "kept");
    cluster.wait_for_status("node 3 has it all", Duration::from_secs(30), |status| {
        status.groups.iter().all(|group| {
            let there = group.replicas.iter().find(|replica| replica.node == SURVIVOR);
            there.is_some_and(|replica| replica.commit == group.commit())
        })
    });
    // What only the others know is acknowledged, and lost with them.
    cluster.kill(SURVIVOR);
    write(&cluster, 1, "lost");
    for node in LOST {
        cluster.kill(node);
        fs::rename(home(&cluster, node), aside(&cluster, node)).expect("the disk is put away");
    }
    cluster.revive(SURVIVOR);
    wait("node 3 is there, and nobody leads", &cluster, || {
        cluster.try_status().is_ok_and(|status| {
            let is_up = |role| matches!(role, Some("follower" | "candidate" | "pre-candidate"));
            status.groups.len() == GROUPS.len()
                && status.groups.iter().all(|group| group.leader.is_none())
                && status.groups.iter().all(|group| is_up(group.role_on(SURVIVOR)))
        })
    });

    // A look changes nothing, and a data group has to wait for the config group.
    let report = report(&cluster, 1);
    assert!(report["obstacle"].as_str().is_some_and(|why| why.contains("recover group 0 first")));
    let token = report["token"].as_str().expect("a token").to_owned();
    let refused = recover(&cluster, 1, &["--confirm", &token]);
    assert_eq!(refused.status.code(), Some(2), "{}", outside::text(&refused));
    let shown = recover(&cluster, 0, &[]);
    let said = ctl::stdout(&shown);
    for words in
        ["May be lost", "cannot be told from here", "node 1 (voter): not connected", "--confirm"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let wrong = recover(&cluster, 0, &["--confirm", "0123456789abcdef"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", outside::text(&wrong));
    assert!(outside::text(&wrong).contains("token"), "{}", outside::text(&wrong));
    let status = cluster.status();
    assert!(status.groups.iter().all(|group| group.leader.is_none()), "{status:?}");

    // Group 0 goes on, the node is killed at once, and what was done stays done.
    confirm(&cluster, 0);
    cluster.kill(SURVIVOR);
    cluster.revive(SURVIVOR);
    leads(&cluster, 0);
    for group in [1, 2] {
        wait("the config group says who goes on", &cluster, || {
            let shown = recover(&cluster, group, &["--json"]);
            serde_json::from_slice::<Value>(&shown.stdout)
                .is_ok_and(|report| report["obstacle"].is_null())
        });
        confirm(&cluster, group);
        leads(&cluster, group);
    }
    read(&cluster, SURVIVOR, "kept", true);
    read(&cluster, SURVIVOR, "lost", false);
    write(&cluster, SURVIVOR, "after");
    let again = recover(&cluster, 1, &["--confirm", &token]);
    assert_eq!(again.status.code(), Some(2), "{}", outside::text(&again));

    // The past comes back, all at once.
    for node in LOST {
        fs::rename(aside(&cluster, node), home(&cluster, node)).expect("the disk is put back");
        cluster.revive(node);
    }
    are_left_behind(&cluster);
    for node in LOST {
        // What it asks others for is what the group has now.
        read(&cluster, node, "lost", false);
        read(&cluster, node, "kept", true);
    }
    // For ever: also where nobody is left to tell them.
    for node in 1..=NODES {
        cluster.kill(node);
    }
    for node in LOST {
        cluster.revive(node);
    }
    are_left_behind(&cluster);
    let tried = recover(&cluster, 1, &["--node", "1"]);
    assert_eq!(tried.status.code(), Some(2), "{}", outside::text(&tried));
    assert!(outside::text(&tried).contains("without the replica"), "{}", outside::text(&tried));
    cluster.revive(SURVIVOR);
    for group in GROUPS {
        leads(&cluster, group);
    }
    read(&cluster, SURVIVOR, "kept", true);
    read(&cluster, SURVIVOR, "after", true);
    are_left_behind(&cluster);

    // Wished for again, they begin anew, with what the group has now.
    for group in GROUPS {
        for node in LOST {
            let (group, node) = (group.to_string(), node.to_string());
            let added =
                cluster.ctl(&["--timeout", "60", "replica", "add", &group, &node, "--wait"]);
            assert!(added.status.success(), "{}\n{}", outside::text(&added), cluster.node_logs());
        }
    }
    cluster.wait_until_whole(Duration::from_secs(60));
    cluster.kill(SURVIVOR);
    read_in_time(&cluster, LOST[0], "after");
    read(&cluster, LOST[0], "kept", true);
    read(&cluster, LOST[0], "lost", false);
}

/// Waits until a new leader answers.
fn read_in_time(nodes: &Nodes, through: u16, name: &str) {
    wait("somebody leads each group", nodes, || {
        let mut client = nodes.client(through);
        (0..KEYS).all(|n| !client.command(&["GET", &format!("{name}:{n}")]).is_error())
    });
    read(nodes, through, name, true);
}

fn home(nodes: &Nodes, node: u16) -> std::path::PathBuf {
    nodes.folder.join(format!("node-{node}"))
}

fn aside(nodes: &Nodes, node: u16) -> std::path::PathBuf {
    nodes.folder.join(format!("aside-{node}"))
}

/// `eraftctl recover GROUP`, of the survivor unless another is named.
fn recover(nodes: &Nodes, group: u64, more: &[&str]) -> std::process::Output {
    let (group, node) = (group.to_string(), SURVIVOR.to_string());
    let mut args = vec!["--timeout", "20", "recover", &group];
    if !more.contains(&"--node") {
        args.extend(["--node", &node]);
    }
    args.extend(more);
    nodes.ctl(&args)
}

fn report(nodes: &Nodes, group: u64) -> Value {
    let output = recover(nodes, group, &["--json"]);
    assert!(output.status.success(), "{}\n{}", outside::text(&output), nodes.node_logs());
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// Looks, and confirms what was seen.
fn confirm(nodes: &Nodes, group: u64) {
    let report = report(nodes, group);
    assert!(report["obstacle"].is_null(), "{report}");
    let token = report["token"].as_str().expect("a token");
    let done = recover(nodes, group, &["--json", "--confirm", token]);
    assert!(done.status.success(), "{}\n{}", outside::text(&done), nodes.node_logs());
    let done: Value = serde_json::from_slice(&done.stdout).expect("a document");
    assert_eq!((&done["era"], &done["table"]), (&Value::from(1), &Value::from(true)), "{done}");
}

fn leads(nodes: &Nodes, group: u64) {
    wait("node 3 leads", nodes, || {
        nodes.try_status().is_ok_and(|status| status.leaders().contains(&(group, Some(SURVIVOR))))
    });
}

fn are_left_behind(nodes: &Nodes) {
    wait("the others are left behind", nodes, || {
        nodes.try_status().is_ok_and(|status| {
            let is =
                |node| status.groups.iter().all(|group| group.role_on(node) == Some("left-behind"));
            status.groups.len() == GROUPS.len() && LOST.iter().all(|&node| is(node))
        })
    });
}

fn write(nodes: &Nodes, through: u16, name: &str) {
    let mut client = nodes.client(through);
    for n in 0..KEYS {
        let reply = client.command(&["SET", &format!("{name}:{n}"), &format!("{name} {n}")]);
        assert!(reply.is_ok(), "{name}:{n}: {reply}");
    }
}

/// All keys of this name are there, or none is.
fn read(nodes: &Nodes, through: u16, name: &str, there: bool) {
    let mut client = nodes.client(through);
    for n in 0..KEYS {
        let reply = client.command(&["GET", &format!("{name}:{n}")]);
        assert!(
            !reply.is_error(),
            "{name}:{n} through node {through}: {reply}\n{}",
            nodes.node_logs()
        );
        let expected = if there { format!("{name} {n}") } else { String::new() };
        let is_nil = matches!(reply, Reply::Nil | Reply::Null);
        let found = if is_nil { String::new() } else { reply.text() };
        assert_eq!(found, expected, "{name}:{n} through node {through}");
    }
}

fn wait(what: &str, nodes: &Nodes, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "not in time: {what}\n{:?}\n{}",
            nodes.try_status(),
            nodes.node_logs()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
