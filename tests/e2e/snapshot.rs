//! A follower that fell behind the log of its group gets a snapshot. The link is cut in the middle of it, and it
//! goes on where it was: nothing is sent twice but what was on its way.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::gate;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::resp::request;
use crate::status::{Group, Status};

const VALUE_BYTES: usize = 64 * 1024;
/// All keys are of one bucket, so of one group; more than the log that a group keeps for those who are away.
const KEYS: usize = 1_400;
const BYTES: f64 = (KEYS * VALUE_BYTES) as f64;
/// Slow enough to be caught in the middle, MiB per second.
const RATE: &str = "8";
/// Longer than a link stands on which nothing is heard.
const CUT: Duration = Duration::from_secs(6);

#[test]
fn a_snapshot_goes_on_after_its_link_was_cut() {
    let mut cluster = Cluster::start_with(gate::whole(), &["--snapshot-rate", RATE]);
    let status = cluster.wait_until_whole(Duration::from_secs(30));
    let mut client = cluster.client(1);
    assert!(client.command(&["SET", &key(0), "first"]).is_ok());
    let victim = (1..=NODES).min_by_key(|&node| status.leads(node)).expect("there are nodes");
    let sender = (1..=NODES).find(|&node| node != victim).expect("there is another");
    let known = status.groups.iter().map(Group::commit).max().expect("there are groups") + 1;
    cluster.kill(victim);
    // Until what it lacks is in nobody's log any more: that depends on when the state was written to disk.
    write(&cluster, sender);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_behind(&cluster.status(), victim, known) {
        assert!(Instant::now() < deadline, "the log is still there\n{}", cluster.node_logs());
        write(&cluster, sender);
    }

    let begun = Instant::now();
    let process = cluster.revive(victim);
    let nodes: Nodes = (*cluster).clone();
    let received = || total(&nodes, victim, "eraft_snapshot_received_bytes_total");
    wait("a part of the snapshot has come", &nodes, || received() > BYTES / 4.0);
    let shown = nodes.status();
    process::signal(process, Signal::SIGSTOP);
    // Nothing to wait for: the time itself is what breaks the link.
    std::thread::sleep(CUT);
    process::signal(process, Signal::SIGCONT);

    wait("the snapshot is installed", &nodes, || {
        total(&nodes, victim, "eraft_snapshots_installed_total") >= 1.0
    });
    println!("installed after {:?}, {:.0} bytes came", begun.elapsed(), received());
    let others = || (1..=NODES).filter(|&node| node != victim);
    let of_others = |name: &str| others().map(|node| total(&nodes, node, name)).sum::<f64>();
    assert!(of_others("eraft_snapshots_resumed_total") >= 1.0, "{}", nodes.node_logs());
    assert!(of_others("eraft_snapshots_failed_total") == 0.0, "{}", nodes.node_logs());
    let twice = received() - BYTES;
    assert!(twice < BYTES / 4.0, "{twice} bytes came twice: it began anew");
    let percents: Vec<u8> = shown
        .groups
        .iter()
        .flat_map(|group| &group.replicas)
        .filter_map(|replica| replica.snapshot_percent)
        .collect();
    assert!(percents.iter().any(|percent| (5..=99).contains(percent)), "status told {percents:?}");

    // Its state is that of the others: it leads, and answers from what it has.
    cluster.wait_until_whole(Duration::from_secs(60));
    let deadline = Instant::now() + Duration::from_secs(60);
    for n in [0, 1, KEYS / 2, KEYS - 1] {
        loop {
            let reply = cluster.cluster_client(victim).command(&["GET", &key(n)]);
            if !reply.is_error() {
                assert_eq!(reply.text(), value(n), "{}", key(n));
                break;
            }
            assert!(Instant::now() < deadline, "{reply}\n{}", cluster.node_logs());
            // It does not lead yet, or the lead went back to where it belongs.
            for group in cluster.status().data_groups() {
                cluster.ctl(&["leader", "transfer", &group.id.to_string(), &victim.to_string()]);
            }
        }
    }
}

/// Whether one group's replicas on the other nodes have all let go of what came after this index.
fn is_behind(status: &Status, victim: u16, known: u64) -> bool {
    status.groups.iter().any(|group| {
        let mut others = group.replicas.iter().filter(|replica| replica.node != victim);
        others.all(|replica| replica.first > known + 1)
    })
}

fn key(n: usize) -> String {
    format!("{{one}}:{n}")
}

fn value(n: usize) -> String {
    format!("{n:0>16}").repeat(VALUE_BYTES / 16)
}

fn write(nodes: &Nodes, through: u16) {
    let mut client = nodes.client(through);
    for n in (0..KEYS).step_by(8) {
        let some = n..(n + 8).min(KEYS);
        let bytes: Vec<u8> = some
            .clone()
            .flat_map(|n| request(&[b"SET", key(n).as_bytes(), value(n).as_bytes()]))
            .collect();
        client.send(&bytes).expect("the node takes it");
        for _ in some {
            let reply = client.read().expect("a reply");
            assert!(reply.is_ok(), "{reply}");
        }
    }
}

/// A metric of a node, over all groups; 0 while the node does not answer.
fn total(nodes: &Nodes, node: u16, name: &str) -> f64 {
    if std::net::TcpStream::connect(nodes.http(node)).is_err() {
        return 0.0;
    }
    let samples = samples(nodes, node);
    samples.iter().filter(|(sample, _)| sample.starts_with(name)).map(|(_, value)| value).sum()
}

fn wait(what: &str, nodes: &Nodes, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}\n{}", nodes.node_logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}
