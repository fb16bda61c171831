//! The leader's machine is gone: how soon can one write again, and what does a dead follower cost? And what do clients notice of a
//! lead that is handed over?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::counting;
use crate::gate;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::resp::Client;
use crate::scale;
use crate::stop::Stop;

#[test]
fn first_write_after_the_leader_is_killed() {
    let cluster = Cluster::start_with(gate::whole(), &["--restart"]);
    let mut times = Vec::new();
    for _ in 0..scale::pick(10, 3) {
        let status = cluster.wait_until_whole(Duration::from_secs(60));
        let leader =
            status.data_groups().find_map(|group| group.leader).expect("a data group has a leader");
        let key = cluster.key_led_by(leader).expect("a leader leads buckets");
        let killed = Instant::now();
        cluster.kill(leader);
        let survivors: Vec<u16> = (1..=NODES).filter(|&node| node != leader).collect();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for &node in &survivors {
                let (cluster, key, done): (&Nodes, _, _) = (&cluster, &key, &done);
                scope.spawn(move || write_until_ok(cluster, node, key, done));
            }
        });
        times.push(killed.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2];
    assert!(median <= Duration::from_secs(2), "the first write succeeded after {times:?}");
}

#[test]
fn leads_are_handed_over_under_load_and_nobody_sees_an_error() {
    let cluster = Cluster::start();
    cluster.wait_until_whole(Duration::from_secs(30));
    let nodes: &Nodes = &cluster;
    let addresses: Vec<String> = (1..=NODES).map(|node| nodes.plain(node)).collect();
    let stop = Stop::new();
    let (mut handed_over, mut tallies) = (0, Vec::new());
    thread::scope(|scope| {
        let count = |seed| {
            let (addresses, stop) = (&addresses, &stop);
            scope.spawn(move || counting::count(addresses, seed, stop.flag()))
        };
        let writers: Vec<_> = (0..6).map(count).collect();
        let ended = stop.at_end();
        for round in 0..scale::pick(60, 12) {
            for group in nodes.status().data_groups() {
                let target = 1 + (u16::try_from(round).expect("few rounds")) % NODES;
                if group.leader == Some(target) {
                    continue;
                }
                let words = [group.id.to_string(), target.to_string()];
                let output = nodes.ctl(&["leader", "transfer", &words[0], &words[1]]);
                handed_over += usize::from(output.status.success());
            }
        }
        drop(ended);
        tallies.extend(writers.into_iter().map(|one| one.join().expect("no writer fails")));
    });
    counting::nobody_saw_an_error(&tallies);
    counting::check(&mut nodes.client(2), &tallies);
    assert!(tallies.iter().all(|tally| tally.operations > 0), "each writer wrote");
    assert!(handed_over >= 8, "only {handed_over} leads were handed over");
}

fn write_until_ok(nodes: &Nodes, node: u16, key: &str, done: &AtomicBool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "no write through node {node} in 30 s");
        let answer = Client::connect_with(&nodes.plain(node), Duration::from_secs(3))
            .and_then(|mut client| client.try_command(&[b"SET", key.as_bytes(), b"x"]));
        if answer.is_ok_and(|reply| reply.is_ok()) {
            done.store(true, Ordering::Relaxed);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_dead_follower_costs_little() {
    let cluster = Cluster::start_alone();
    let status = cluster.wait_until_whole(Duration::from_secs(30));
    let victim = (1..=NODES).min_by_key(|&node| status.leads(node)).expect("there are nodes");
    let survivors: Vec<u16> = (1..=NODES).filter(|&node| node != victim).collect();
    let seconds = scale::pick(8, 4);

    throughput(&cluster, &survivors, 2);
    let whole = throughput(&cluster, &survivors, seconds);
    cluster.kill(victim);
    thread::sleep(Duration::from_secs(3));

    // No spinning core while nobody asks for anything.
    let processes: Vec<u32> = survivors.iter().map(|&node| cluster.process(node)).collect();
    let before: Vec<f64> = processes.iter().map(|&p| process::cpu_seconds(p)).collect();
    thread::sleep(Duration::from_secs(3));
    for (process, before) in processes.iter().zip(before) {
        let share = (process::cpu_seconds(*process) - before) / 3.0;
        assert!(share < 0.1, "a survivor uses {:.0} % of a core while idle", share * 100.0);
    }

    let without = throughput(&cluster, &survivors, seconds);
    let ratio = without / whole;
    // The original fell to a third. What else runs on the machine changes within seconds, so the promise
    // itself is asked for only where the measurement is long.
    assert!(
        ratio >= scale::pick(0.8, 0.5),
        "{without:.0} writes/s with a dead follower, {whole:.0} with all: {ratio:.2}"
    );
}

/// Writes per second through `through`, with 32 connections.
fn throughput(cluster: &Nodes, through: &[u16], seconds: u64) -> f64 {
    let done = AtomicU64::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for connection in 0..32 {
            let done = &done;
            scope.spawn(move || {
                let mut client = cluster.client(through[connection % through.len()]);
                let mut n = 0u32;
                while Instant::now() < end {
                    n += 1;
                    let reply = client.command(&[
                        "SET",
                        &format!("t:{connection}:{}", n % 1000),
                        &"v".repeat(128),
                    ]);
                    assert!(reply.is_ok(), "{reply}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / seconds as f64
}
