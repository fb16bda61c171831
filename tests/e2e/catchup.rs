//! A follower that was down while a lot was written comes back: it catches up while writes go on, within bounded
//! memory, and does not depose a leader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::resp::request;
use crate::scale;
use crate::stop::Stop;

const VALUE_BYTES: usize = 16 * 1024;

#[test]
fn a_follower_that_missed_a_lot() {
    let mut cluster = Cluster::start_alone();
    let status = cluster.wait_until_whole(Duration::from_secs(30));
    let victim = (1..=NODES).min_by_key(|&node| status.leads(node)).expect("there are nodes");
    cluster.kill(victim);
    let through = victim % NODES + 1;
    thread::sleep(Duration::from_secs(3));

    let values = scale::pick(1024, 96) * 1024 * 1024 / VALUE_BYTES;
    write(&cluster, through, 0..values);
    let missed = cluster.status();

    let process = cluster.revive(victim);
    let (stop, more) = (Stop::new(), AtomicU64::new(0));
    let nodes: Nodes = (*cluster).clone();
    let mut peak = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = values;
            while !stop.told() {
                write(&nodes, through, n..n + 16);
                more.fetch_add(16, Ordering::Relaxed);
                n += 16;
                // A steady load, not a flood: what is tested is that catching up and writing go together.
                thread::sleep(Duration::from_millis(5));
            }
        });
        let ended = stop.at_end();
        let deadline = Instant::now() + Duration::from_secs(scale::pick(300, 60));
        loop {
            peak = peak.max(process::resident_bytes(process));
            let caught_up = nodes.try_status().is_ok_and(|now| {
                missed.groups.iter().all(|old| {
                    let replica =
                        now.group(old.id).replicas.iter().find(|replica| replica.node == victim);
                    replica.is_some_and(|replica| replica.applied >= old.commit())
                })
            });
            if caught_up || Instant::now() > deadline {
                drop(ended);
                assert!(
                    caught_up,
                    "not caught up: {:?}\n{}",
                    nodes.try_status(),
                    nodes.node_logs()
                );
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(more.load(Ordering::Relaxed) > 0, "writes went on meanwhile");
    let after = cluster.status();
    assert_eq!(missed.leaders(), after.leaders(), "the leaders are those of before");
    assert!(peak < 700_000_000, "the follower took {peak} bytes");

    // What it caught up with is right: read through it, in a group that must be served by someone anyway.
    let mut client = cluster.client(victim);
    for n in [0, values / 2, values - 1] {
        let reply = client.command(&["GET", &format!("c:{n}")]);
        assert_eq!(reply.text(), value(n), "c:{n}");
    }
}

fn value(n: usize) -> String {
    format!("{n:0>VALUE_BYTES$}")
}

/// Writes these keys through one node, 16 at a time.
fn write(nodes: &Nodes, through: u16, numbers: std::ops::Range<usize>) {
    let mut client = nodes.client(through);
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(16) {
        let mut bytes = Vec::new();
        for &n in some {
            bytes.extend(request(&[b"SET", format!("c:{n}").as_bytes(), value(n).as_bytes()]));
        }
        client.send(&bytes).expect("the node takes it");
        for _ in some {
            let reply = client.read().expect("a reply");
            assert!(reply.is_ok(), "{reply}");
        }
    }
}
