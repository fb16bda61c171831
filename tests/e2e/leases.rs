//! Reads on leases: off unless asked for, told where people look, and never of the past.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::gate;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::resp::{Client, request};
use crate::scale;

fn served(cluster: &Nodes, node: u16) -> (String, u64) {
    let text = cluster.client(node).line("INFO replication").text();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.trim_end().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    (field("lease_reads:"), field("lease_reads_served:").parse().expect("a count"))
}

#[test]
fn without_the_flag_no_read_is_served_by_lease() {
    let cluster = Cluster::shared();
    for n in 0..20 {
        assert!(!cluster.client(1).command(&["GET", &format!("lease:{n}")]).is_error());
    }
    for node in 1..=NODES {
        assert_eq!(served(&cluster, node), ("off".into(), 0));
        assert_eq!(samples(&cluster, node)["eraft_lease_reads_enabled"], 0.0);
    }
}

#[test]
fn with_the_flag_reads_are_served_by_lease_and_counted() {
    let cluster = Cluster::start_with(gate::half(), &["--lease-reads"]);
    let leader = cluster.status().data_groups().find_map(|group| group.leader).expect("a leader");
    let key = cluster.key_led_by(leader).expect("it answers for something");
    let mut client = cluster.cluster_client(leader);
    for n in 0..200 {
        let value = n.to_string();
        assert!(client.command(&["SET", &key, &value]).is_ok());
        assert_eq!(client.command(&["GET", &key]).text(), value);
    }
    let (on, count) = served(&cluster, leader);
    assert_eq!(on, "on");
    // The first ones may have come before any round of heartbeats.
    assert!(count >= 150, "{count} of 200 reads");
    let deadline = Instant::now() + Duration::from_secs(5);
    while samples(&cluster, leader)["eraft_lease_reads_total"] < 150.0 {
        assert!(Instant::now() < deadline, "the metric does not count them");
        std::thread::sleep(Duration::from_millis(100));
    }
    let status: serde_json::Value =
        serde_json::from_slice(&cluster.ctl(&["--json", "status"]).stdout).expect("JSON");
    assert_eq!(status["nodes"][0]["lease_reads"], true);
}

/// A leader is stopped, others elect another and write; what the old one answers when it goes on.
#[test]
fn a_leader_that_was_stopped_does_not_answer_with_the_past() {
    let cluster = Cluster::start_with(gate::whole(), &["--lease-reads"]);
    let mut answered = 0;
    for round in 0..scale::pick(10, 3) {
        let status = cluster.wait_until_whole(Duration::from_secs(60));
        let leader = status.data_groups().find_map(|group| group.leader).expect("a leader");
        let Some(key) = cluster.key_led_by(leader) else { continue };
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        let read = request(&[b"GET", key.as_bytes()]);
        let mut readers: Vec<Client> = (0..20).map(|_| cluster.cluster_client(leader)).collect();
        assert!(readers[0].command(&["SET", &key, &old]).is_ok());
        for reader in &mut readers {
            assert_eq!(reader.command(&["GET", &key]).text(), old);
        }

        let stopped = cluster.process(leader);
        process::signal(stopped, Signal::SIGSTOP);
        let mut writer = cluster.client(leader % NODES + 1);
        let begun = Instant::now();
        while !writer.command(&["SET", &key, &new]).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody else is elected");
        }
        println!("written elsewhere after {:?}", begun.elapsed());
        // Asked after that write, of a leader that believes to hold a lease when it goes on.
        for reader in &mut readers {
            reader.send(&read).expect("the system takes it");
        }
        process::signal(stopped, Signal::SIGCONT);
        for reader in &mut readers {
            let reply = reader.read().expect("an answer");
            if !reply.is_error() {
                assert_eq!(reply.text(), new, "an answer of the past");
            }
            answered += 1;
        }
    }
    assert!(answered >= 20, "it was never asked");
}
