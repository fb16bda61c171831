//! Many groups that nobody uses sleep: no messages, next to no processor time; and they wake when it matters.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::gate;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::scale;

/// The sum of a metric of a node, over all groups.
fn sum(nodes: &Nodes, node: u16, name: &str) -> f64 {
    let with_labels = format!("{name}{{");
    let of = |sample: &str| sample == name || sample.starts_with(&with_labels);
    samples(nodes, node).iter().filter(|(sample, _)| of(sample)).map(|(_, value)| value).sum()
}

fn wait_until(what: &str, limit: Duration, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(100));
    }
    begun.elapsed()
}

fn all_sleep(nodes: &Nodes, who: &[u16]) -> bool {
    who.iter().all(|&node| sum(nodes, node, "eraft_groups_awake") == 0.0)
}

/// Keys enough that each of a hundred groups has some.
const KEYS: usize = 400;

fn write_everywhere(nodes: &Nodes, through: u16, value: &str) {
    let mut client = nodes.client(through);
    for n in 0..KEYS {
        let reply = client.command(&["SET", &format!("sleep:{n}"), value]);
        assert!(reply.is_ok(), "{reply}");
    }
}

#[test]
fn idle_groups_sleep_and_those_of_a_dead_node_find_other_leaders() {
    let groups = scale::pick(1000, 100);
    let cluster = Cluster::start_with(gate::whole(), &["--groups", &groups.to_string()]);
    let everybody: Vec<u16> = (1..=NODES).collect();
    // Leads are handed to where they belong some at a time.
    wait_until("all groups sleep", Duration::from_secs(90), || all_sleep(&cluster, &everybody));

    let seconds = 10;
    let processes: Vec<u32> = everybody.iter().map(|&node| cluster.process(node)).collect();
    let messages = |node| sum(&cluster, node, "eraft_raft_messages_sent_total");
    let pulses = |node| sum(&cluster, node, "eraft_liveness_messages_sent_total");
    let before: Vec<(f64, f64)> =
        everybody.iter().map(|&node| (messages(node), pulses(node))).collect();
    let cpu: Vec<f64> = processes.iter().map(|&p| process::cpu_seconds(p)).collect();
    thread::sleep(Duration::from_secs(seconds));
    let cpu_after: Vec<f64> = processes.iter().map(|&p| process::cpu_seconds(p)).collect();
    for (at, &node) in everybody.iter().enumerate() {
        let percent = (cpu_after[at] - cpu[at]) / seconds as f64 * 100.0;
        let resident = process::resident_bytes(processes[at]) / 1_000_000;
        println!("node {node}: {percent:.2} % of a core, {resident} MB");
        assert!(percent < 5.0, "node {node} used {percent:.2} % of a core");
        assert_eq!(messages(node), before[at].0, "node {node} sent messages of groups");
        let pulses = pulses(node) - before[at].1;
        assert!(pulses > 0.0 && pulses < 40.0 * seconds as f64, "{pulses} pulses");
    }

    // One node dies: all its groups get leaders, and answer.
    let victim = 1;
    let led = cluster.status().leads(victim);
    assert!(led > 0, "it leads something");
    let killed = Instant::now();
    cluster.kill(victim);
    let survivors: Vec<u16> = everybody.iter().copied().filter(|&node| node != victim).collect();
    let led_here = |node| sum(&cluster, node, "eraft_raft_leader");
    wait_until("every group has a leader", Duration::from_secs(10), || {
        survivors.iter().map(|&node| led_here(node)).sum::<f64>() > f64::from(groups)
    });
    println!("{led} groups have new leaders after {:?}", killed.elapsed());
    write_everywhere(&cluster, 2, "v");
    println!("and all answer after {:?}", killed.elapsed());
    wait_until("they sleep again", Duration::from_secs(90), || all_sleep(&cluster, &survivors));
}

#[test]
fn a_node_that_is_stopped_loses_its_leads_and_does_no_harm_when_it_goes_on() {
    let cluster = Cluster::start_with(gate::whole(), &["--groups", "40"]);
    let everybody: Vec<u16> = (1..=NODES).collect();
    write_everywhere(&cluster, 1, "first");
    wait_until("all groups sleep", Duration::from_secs(90), || all_sleep(&cluster, &everybody));
    let victim = 1;
    let stopped = cluster.process(victim);
    process::signal(stopped, Signal::SIGSTOP);
    let begun = Instant::now();
    write_everywhere(&cluster, 2, "second");
    let took = begun.elapsed();
    process::signal(stopped, Signal::SIGCONT);
    println!("all groups took writes {took:?} after the stop");
    assert!(took < Duration::from_secs(20), "{took:?}");
    // It believes to lead what it led, and is asked at once.
    let mut client = cluster.client(victim);
    for n in 0..KEYS {
        assert_eq!(client.command(&["GET", &format!("sleep:{n}")]).text(), "second");
    }
    write_everywhere(&cluster, victim, "third");
    wait_until("they sleep again", Duration::from_secs(90), || all_sleep(&cluster, &everybody));
    assert_eq!(cluster.client(3).command(&["GET", "sleep:0"]).text(), "third");
}
