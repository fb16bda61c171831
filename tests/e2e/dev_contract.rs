//! What `eraftd dev` promises to people and scripts.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, READY_LIMIT};
use crate::gate;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::reply::Reply;

#[test]
fn it_prints_a_line_per_node_and_then_ready() {
    let cluster = Cluster::start();
    let printed = cluster.printed();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.last(), Some(&"ready"), "{printed}");
    for node in 1..=NODES {
        let port = (cluster.ports.redis + node - 1).to_string();
        assert!(
            lines.iter().any(|line| line.contains(&port)),
            "no line of node {node} in\n{printed}"
        );
    }
    // At `ready` every group has a leader, and every port is open.
    let status = cluster.status();
    assert_eq!(status.groups.len(), 3, "{status:?}");
    assert!(status.groups.iter().all(|group| group.leader.is_some()), "{status:?}");
    for node in 1..=NODES {
        for address in [cluster.plain(node), cluster.cluster(node), cluster.http(node)] {
            assert!(TcpStream::connect(&address).is_ok(), "{address}");
        }
        assert!(process::alive(cluster.process(node)));
        let log = cluster.folder.join(format!("node-{node}")).join("log");
        assert!(fs::metadata(&log).is_ok(), "no {}", log.display());
    }
}

#[test]
fn nothing_listens_beyond_loopback() {
    let cluster = Cluster::shared();
    let ours: BTreeSet<u16> = (0..NODES)
        .flat_map(|i| {
            [cluster.ports.redis + i, cluster.ports.redis + 1000 + i, cluster.ports.http + i]
        })
        .collect();
    let mut seen = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        for line in
            fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default().lines().skip(1)
        {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (host, port) = fields[1].split_once(':').expect("host:port");
            let port = u16::from_str_radix(port, 16).expect("a hexadecimal port");
            // 0A is LISTEN, 07 an unconnected UDP socket.
            if ours.contains(&port) && ["0A", "07"].contains(&fields[3]) {
                assert_eq!(host, "0100007F", "port {port} in {table}");
                seen.insert((table, port));
            }
        }
    }
    assert_eq!(seen.iter().filter(|(table, _)| *table == "tcp").count(), 9, "{seen:?}");
    assert_eq!(seen.iter().filter(|(table, _)| *table == "udp").count(), 3, "{seen:?}");
}

#[test]
fn a_second_start_after_kill_9_of_everything_goes_on_with_the_data() {
    let mut cluster = Cluster::start();
    for n in 0..100 {
        assert!(
            cluster
                .client(n % NODES + 1)
                .command(&["SET", &format!("again:{n}"), &n.to_string()])
                .is_ok()
        );
    }
    for _ in 0..2 {
        cluster.kill_all();
        let took = cluster.start_again();
        assert!(took < READY_LIMIT);
        for n in 0..100 {
            let reply = cluster.client(1).command(&["GET", &format!("again:{n}")]);
            assert_eq!(reply, Reply::Bulk(n.to_string().into_bytes()));
        }
    }
}

#[test]
fn sigterm_ends_all_within_ten_seconds_and_loses_nothing() {
    let mut cluster = Cluster::start();
    assert!(cluster.client(1).line("SET stop:k v").is_ok());
    let nodes: Vec<u32> = (1..=NODES).map(|node| cluster.process(node)).collect();
    let took = cluster.stop();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    for process in nodes {
        assert!(!process::alive(process), "process {process} outlived its parent");
    }
    cluster.start_again();
    assert_eq!(cluster.client(3).line("GET stop:k").text(), "v");
}

#[test]
fn children_end_when_the_parent_dies() {
    let cluster = Cluster::start();
    let nodes: Vec<u32> = (1..=NODES).map(|node| cluster.process(node)).collect();
    process::signal(cluster.parent(), Signal::SIGKILL);
    for process in nodes {
        process::wait_until_gone(process, Duration::from_secs(10));
    }
}

#[test]
fn a_dead_child_is_reported_and_the_others_go_on() {
    let cluster = Cluster::start();
    let dead = cluster.process(2);
    cluster.kill(2);
    wait_for("a report of the death", || {
        let printed = cluster.printed();
        let after = printed.split("\nready\n").nth(1).unwrap_or("");
        after.contains("node 2") || after.contains("n2") || after.contains(&dead.to_string())
    });
    assert!(process::alive(cluster.parent()));
    assert!(TcpStream::connect(cluster.plain(2)).is_err(), "it was not asked to start it again");
    serves_again(&cluster, 1);
    serves_again(&cluster, 3);
}

#[test]
fn with_restart_a_dead_child_comes_back() {
    let cluster = Cluster::start_with(gate::half(), &["--restart"]);
    assert!(cluster.client(1).line("SET restart:k v").is_ok());
    for node in [2, 1] {
        let dead = cluster.process(node);
        cluster.kill(node);
        wait_for("a new process", || {
            cluster.try_process(node).is_some_and(|p| p != dead && process::alive(p))
        });
        serves_again(&cluster, node);
        cluster.wait_until_whole(Duration::from_secs(30));
    }
    assert_eq!(cluster.client(2).line("GET restart:k").text(), "v");
}

#[test]
fn more_groups() {
    let cluster = Cluster::start_with(gate::half(), &["--groups", "4"]);
    let status = cluster.status();
    assert_eq!(status.groups.len(), 5, "{status:?}");
    let leaders: BTreeSet<_> = status.data_groups().map(|group| group.leader).collect();
    assert!(leaders.len() >= 2, "leaders are spread: {status:?}");
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A write through this node succeeds, within the time of an election.
fn serves_again(cluster: &Nodes, node: u16) {
    wait_for("a write succeeds", || {
        crate::resp::Client::connect(&cluster.plain(node))
            .and_then(|mut client| client.try_command(&[b"SET", b"serves", b"v"]))
            .is_ok_and(|reply| reply.is_ok())
    });
}

#[test]
fn a_cluster_of_one_node_elects_itself_and_serves() {
    let mut cluster = Cluster::start_wide(gate::half(), 1, 1);
    assert!(cluster.client(1).line("SET one:k v").is_ok());
    cluster.kill_all();
    cluster.start_again();
    assert_eq!(cluster.client(1).line("GET one:k").text(), "v");
    assert_eq!(cluster.client(1).line("INCR one:n").integer(), 1);
}
