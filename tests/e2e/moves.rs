//! Buckets move between groups while clients write, nodes are killed, and nobody waits or loses anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::counting::{COUNTERS, Tally, check, count, nobody_saw_an_error};
use crate::gate;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;

const WRITERS: usize = 6;

/// `eraftctl --json ARGS`, which must work.
pub(crate) fn ctl(nodes: &Nodes, args: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(args);
    let output = nodes.ctl(&all);
    assert!(output.status.success(), "{args:?}: {}\n{}", outside::text(&output), nodes.node_logs());
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Buckets that each group says it owns.
pub(crate) fn shares(nodes: &Nodes) -> BTreeMap<u64, u64> {
    let shown = ctl(nodes, &["status"]);
    let groups = shown["groups"].as_array().expect("groups").iter();
    groups
        .map(|group| {
            (group["id"].as_u64().expect("a number"), group["buckets"].as_u64().expect("a number"))
        })
        .collect()
}

/// Where each node serves plain clients.
pub(crate) fn every_node(nodes: &Nodes) -> Vec<String> {
    (1..=NODES).map(|node| nodes.plain(node)).collect()
}

/// Each key is counted by one group, and all groups together count what there is.
pub(crate) fn adds_up(nodes: &Nodes, keys: usize) {
    let mut client = nodes.client(1);
    assert_eq!(client.line("DBSIZE"), Reply::Integer(keys as i64));
    let shown = ctl(nodes, &["status"]);
    let groups = shown["groups"].as_array().expect("groups").iter();
    let counted: u64 = groups.map(|group| group["keys"].as_u64().expect("a number")).sum();
    assert_eq!(counted, keys as u64, "{shown}");
}

#[test]
fn buckets_move_while_they_are_written_and_nobody_sees_an_error() {
    let cluster = Cluster::start_alone();
    cluster.wait_until_whole(Duration::from_secs(30));
    let nodes: &Nodes = &cluster;
    let stop = AtomicBool::new(false);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let stop = &stop;
                scope.spawn(move || count(&every_node(nodes), seed, stop))
            })
            .collect();
        for _ in 0..3 {
            for words in [
                &["move", "0-4095", "2"][..],
                &["move", "100,200-5000,16383", "1"],
                &["leave", "1"],
                &["join", "1"],
                &["join", "3"],
                &["leave", "3"],
                &["rebalance"],
            ] {
                let mut args = words.to_vec();
                args.push("--wait");
                ctl(nodes, &args);
            }
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("no writer fails")).collect()
    });
    nobody_saw_an_error(&tallies);
    check(&mut nodes.client(2), &tallies);
    adds_up(nodes, COUNTERS);
    let slowest = tallies.iter().map(|tally| tally.slowest).max().expect("writers");
    let operations: u64 = tallies.iter().map(|tally| tally.operations).sum();
    println!("{operations} increments during 21 changes, the slowest pipeline took {slowest:?}");
    let shares = shares(nodes);
    assert_eq!((shares[&1], shares[&2], shares[&3]), (8_192, 8_192, 0), "{shares:?}");
    let shown = ctl(nodes, &["moves"]);
    assert_eq!(shown["moves"], Value::Array(Vec::new()), "{shown}");
    assert_eq!(shown["pending"], Value::Array(Vec::new()), "{shown}");
    let redirected: f64 = (1..=NODES)
        .map(|node| {
            samples(nodes, node).get("eraft_proxy_redirected_total").copied().unwrap_or(0.0)
        })
        .sum();
    assert!(redirected > 0.0, "no client ever came too late: nothing was tested");
}

#[test]
fn leaders_die_while_buckets_move_and_nothing_is_lost_or_doubled() {
    let mut cluster = Cluster::start_with(gate::whole(), &[]);
    cluster.wait_until_whole(Duration::from_secs(30));
    let nodes: Nodes = (*cluster).clone();
    let stop = AtomicBool::new(false);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (stop, nodes) = (&stop, &nodes);
                scope.spawn(move || count(&every_node(nodes), seed, stop))
            })
            .collect();
        for round in 0..6_u16 {
            let words: &[&str] = match round % 3 {
                0 => &["move", "0-8191", "2"],
                1 => &["leave", "2"],
                _ => &["join", "2"],
            };
            ctl(&nodes, words);
            // In the middle of it, one of the two leaders, in turn.
            thread::sleep(Duration::from_millis(u64::from(round) * 7 % 40));
            let group = u64::from(round % 2) + 1;
            let status = nodes.status();
            let killed = status.group(group).leader.unwrap_or(round % NODES + 1);
            cluster.kill(killed);
            thread::sleep(Duration::from_millis(1_500));
            cluster.revive(killed);
            let mut args = words.to_vec();
            args.push("--wait");
            ctl(&nodes, &args);
            cluster.wait_until_whole(Duration::from_secs(60));
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("no writer fails")).collect()
    });
    check(&mut nodes.client(1), &tallies);
    adds_up(&nodes, COUNTERS);
    let operations: u64 = tallies.iter().map(|tally| tally.operations).sum();
    println!("{operations} increments during 6 changes and 6 kills");
}

#[test]
fn a_paused_move_stands_still_and_a_cancelled_one_never_was() {
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let mut client = cluster.client(1);
    for n in 0..200 {
        assert!(client.command(&["SET", &format!("k:{n}"), "v"]).is_ok());
    }
    ctl(&cluster, &["pause"]);
    ctl(&cluster, &["move", "0-4095", "2"]);
    thread::sleep(Duration::from_secs(1));
    let shown = ctl(&cluster, &["moves"]);
    assert_eq!(shown["pending"][0]["paused"], Value::Bool(true), "{shown}");
    assert_eq!(shares(&cluster)[&1], 8_192);
    ctl(&cluster, &["cancel"]);
    ctl(&cluster, &["resume"]);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(shares(&cluster)[&1], 8_192);
    ctl(&cluster, &["move", "0-4095", "2", "--wait"]);
    let shares = shares(&cluster);
    assert_eq!((shares[&1], shares[&2]), (4_096, 12_288));
    adds_up(&cluster, 200);
}

/// The node that drives the move tells of it by INFO and by its metrics.
fn told_everywhere(nodes: &Nodes) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let (node, line) = loop {
        let told = (1..=NODES).find_map(|node| {
            let text = nodes.client(node).line("INFO cluster").text();
            let line = text.lines().find(|line| line.starts_with("move0:"))?;
            let begun = !line.contains(",bytes_done=0,") && !line.contains(",bytes_total=-1,");
            begun.then(|| (node, line.to_owned()))
        });
        if let Some(told) = told {
            break told;
        }
        assert!(Instant::now() < deadline, "nobody tells of the move\n{}", nodes.node_logs());
        thread::sleep(Duration::from_millis(20));
    };
    assert!(line.starts_with("move0:from=1,to=2,number="), "{line}");
    assert!(line.contains(",buckets=1,phase=copying,"), "{line}");
    for field in ["bytes_done", "bytes_total", "bytes_per_second", "milliseconds_left"] {
        assert!(line.contains(&format!(",{field}=")), "no {field} in {line}");
    }
    let samples = samples(nodes, node);
    for name in ["eraft_moves_taken_bytes", "eraft_moves_size_bytes"] {
        let value = samples[&format!("{name}{{group=\"2\"}}")];
        assert!(value > 0.0, "{name} is {value}");
    }
    let phase = "eraft_moves_in_phase{group=\"2\",phase=\"copying\"}";
    assert_eq!(samples.get(phase), Some(&1.0), "{samples:?}");
}

#[test]
fn moves_are_watched_on_a_terminal() {
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let mut client = cluster.client(1);
    let value = "x".repeat(100_000);
    for n in 0..60 {
        assert!(client.command(&["SET", &format!("{{b}}:{n}"), &value]).is_ok());
    }
    ctl(&cluster, &["rate", "1MB"]);
    ctl(&cluster, &["move", "3300", "2"]);
    let size = nix::libc::winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = nix::pty::openpty(&size, None).expect("a terminal");
    let mut command = Command::new(crate::ctl::PROGRAM);
    command.arg("--dir").arg(&cluster.folder).arg("watch").env("TERM", "xterm");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(terminal.slave);
    let mut child = command.spawn().expect("it starts");
    // It has our handle of its end of the terminal, which ends with the last one.
    drop(command);
    let reader = thread::spawn(move || {
        let (mut screen, mut piece) = (Vec::new(), [0; 4096]);
        let mut master = File::from(terminal.master);
        while let Ok(length @ 1..) = master.read(&mut piece) {
            screen.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&screen).into_owned()
    });
    told_everywhere(&cluster);
    thread::sleep(Duration::from_millis(2_500));
    ctl(&cluster, &["rate", "unlimited"]);
    assert!(child.wait().expect("it ends").success());
    let screen = reader.join().expect("all was read");
    for words in ["1/1 → 2", "[==", "MiB copying", "/s", "every bucket is where it should be"] {
        assert!(screen.contains(words), "{words}: {screen:?}");
    }
}

#[test]
fn a_move_keeps_neighbour_buckets_deadlines_and_big_values() {
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let mut client = cluster.client(1);
    let big = "x".repeat(3 * 1024 * 1024);
    // {a} is bucket 15495, {b} 3300, {c} 7365: of two groups.
    for tag in ["a", "b", "c"] {
        assert!(client.command(&["SET", &format!("{{{tag}}}:big"), &big]).is_ok());
        assert!(client.command(&["SET", &format!("{{{tag}}}:mortal"), "m", "EX", "1000"]).is_ok());
        for n in 0..50 {
            assert!(client.command(&["SET", &format!("{{{tag}}}:{n}"), &n.to_string()]).is_ok());
        }
    }
    assert!(client.command(&["SET", "{b}:gone", "v", "PX", "400"]).is_ok());
    for to in ["2", "1", "2"] {
        ctl(&cluster, &["move", "3300", to, "--wait"]);
    }
    assert_eq!(shares(&cluster)[&2], 8_193);
    thread::sleep(Duration::from_millis(500));
    assert!(matches!(client.command(&["GET", "{b}:gone"]), Reply::Nil | Reply::Null));
    for node in 1..=NODES {
        let mut client = cluster.client(node);
        for tag in ["a", "b", "c"] {
            assert_eq!(client.command(&["GET", &format!("{{{tag}}}:big")]).text(), big);
            let left = client.command(&["TTL", &format!("{{{tag}}}:mortal")]);
            assert!(matches!(left, Reply::Integer(900..=1_000)), "{left}");
            for n in 0..50 {
                let found = client.command(&["GET", &format!("{{{tag}}}:{n}")]);
                assert_eq!(found.text(), n.to_string());
            }
        }
    }
    adds_up(&cluster, 156);
    // The cluster port sends to who has it now.
    let leader = cluster.status().group(2).leader.expect("a leader");
    let other = (1..=NODES).find(|node| *node != leader).expect("another");
    let told = cluster.cluster_client(other).command(&["GET", "{b}:1"]).text();
    let port = cluster.cluster(leader);
    assert_eq!(told, format!("MOVED 3300 {port}"));
    assert_eq!(cluster.cluster_client(leader).command(&["GET", "{b}:1"]).text(), "1");
}

#[test]
fn a_flush_while_all_buckets_move_leaves_no_key() {
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let mut client = cluster.client(1);
    let value = "x".repeat(400);
    for round in 0..10 {
        let some: String = (0..1_500).map(|n| format!("SET k:{n} {value}\r\n")).collect();
        client.send(some.as_bytes()).expect("it is there");
        for _ in 0..1_500 {
            assert!(client.read().expect("an answer").is_ok());
        }
        let to = if round % 2 == 0 { "2" } else { "1" };
        thread::scope(|scope| {
            let moved = scope.spawn(|| ctl(&cluster, &["move", "0-16383", to, "--wait"]));
            // At another moment of the move each time; whether a bucket is between two groups then is chance.
            thread::sleep(Duration::from_millis(30 * (1 + round)));
            assert!(client.line("FLUSHALL").is_ok());
            moved.join().expect("it moved");
        });
        adds_up(&cluster, 0);
    }
}
