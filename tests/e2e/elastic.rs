//! A cluster that grows, shrinks and loses a machine for good while clients write: one story, and no client sees an
//! error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::counting::{COUNTERS, Tally, check, count, nobody_saw_an_error};
use crate::gate;
use crate::moves::adds_up;
use crate::newcomer::{LIMIT, Newcomer, ran, wait_for_table};
use crate::nodes::Nodes;
use crate::outside;
use crate::scale;

/// Keys that are written before and read after.
fn keys() -> usize {
    scale::pick(100_000, 2_000)
}

/// Clients of one node.
const WRITERS: usize = 3;

/// `eraftctl … --wait`, which must be done.
fn done(nodes: &Nodes, words: &[&str]) -> Value {
    let seconds = LIMIT.as_secs().to_string();
    ran(nodes, &[&["--timeout", &seconds], words, &["--wait"]].concat())
}

/// A node comes with an empty disk, and the table knows it.
fn comes(nodes: &Nodes, id: u16, count: usize) -> Newcomer {
    let newcomer = Newcomer::start(nodes, id);
    wait_for_table(nodes, "the table has the new node", |table| {
        table["nodes"].as_array().is_some_and(|nodes| nodes.len() == count)
    });
    newcomer
}

/// A node that holds nothing any more is gone for good.
fn goes(nodes: &Nodes, id: &str) {
    done(nodes, &["node", "drain", id]);
    ran(nodes, &["node", "remove", id]);
}

#[test]
fn elastic_three_to_five_one_drained_one_replaced_for_good() {
    let cluster = Cluster::start_with(gate::whole(), &[]);
    cluster.wait_until_whole(LIMIT);
    let nodes: &Nodes = &cluster;
    write_all(nodes);
    let stop = AtomicBool::new(false);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let mut writers = Vec::new();
        let mut through = |address: String| {
            for seed in 0..WRITERS {
                let (stop, address) = (&stop, address.clone());
                writers.push(scope.spawn(move || count(&[address], seed, stop)));
            }
        };
        let story = || {
            through(nodes.plain(1));

            // From three to five, with a group for the new ones.
            let fourth = comes(nodes, 4, 4);
            let fifth = comes(nodes, 5, 5);
            done(nodes, &["group", "create", "3", "--replicas", "3,4,5"]);
            done(nodes, &["join", "3"]);
            through(fourth.plain());
            through(fifth.plain());

            // One is emptied, and goes.
            goes(nodes, "3");
            cluster.kill(3);

            // One dies and does not come back; another takes its place.
            cluster.kill(2);
            let sixth = comes(nodes, 6, 5);
            goes(nodes, "2");
            through(sixth.plain());
            done(nodes, &["rebalance"]);
            [fourth, fifth, sixth]
        };
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(story));
        stop.store(true, Ordering::Relaxed);
        let tallies = writers.into_iter().map(|writer| writer.join().expect("no writer fails"));
        let tallies: Vec<Tally> = tallies.collect();
        let newcomers = story.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        finally(nodes, &newcomers, &tallies);
        tallies
    });
    let operations: u64 = tallies.iter().map(|tally| tally.operations).sum();
    let slowest = tallies.iter().map(|tally| tally.slowest).max().expect("writers");
    outside::say(&format!(
        "{operations} increments without an error while nodes came, went and died; the slowest took {slowest:?}"
    ));
}

/// The cluster is what was asked for, and everything is there.
fn finally(nodes: &Nodes, newcomers: &[Newcomer], tallies: &[Tally]) {
    nobody_saw_an_error(tallies);
    let table = ran(nodes, &["query"]);
    let numbers = |from: &Value, name: &str| -> Vec<u64> {
        let all = from.as_array().expect("a list").iter();
        all.filter_map(|one| one[name].as_u64()).collect()
    };
    assert_eq!(numbers(&table["nodes"], "id"), [1, 4, 5, 6], "{table}");
    for group in table["groups"].as_array().expect("groups") {
        let on = numbers(&group["servers"], "node");
        assert!(on.len() == 3 && on.iter().all(|node| [1, 4, 5, 6].contains(node)), "{table}");
    }
    // The config group's replicas there began with a snapshot of the table.
    assert_eq!(table["groups"][0]["id"], 0, "{table}");
    let on = numbers(&table["groups"][0]["servers"], "node");
    for newcomer in newcomers.iter().filter(|one| on.contains(&one.id.into())) {
        let log = newcomer.log();
        let told =
            |line: &str| line.contains("snapshot installed") && line.contains("group=g0 index=");
        assert!(log.lines().any(told), "{log}");
    }
    assert!(on.iter().any(|node| *node > 3), "{table}");
    for newcomer in newcomers {
        let mut client = newcomer.client();
        check(&mut client, tallies);
        for n in (0..keys()).step_by(newcomers.len()) {
            let reply = client.command(&["GET", &format!("before:{n}")]);
            assert_eq!(reply.text(), n.to_string(), "{}", newcomer.log());
        }
    }
    adds_up(nodes, COUNTERS + keys());
}

fn write_all(nodes: &Nodes) {
    let mut client = nodes.client(1);
    for n in 0..keys() {
        client.send(format!("SET before:{n} {n}\r\n").as_bytes()).expect("it is taken");
        // Some are on their way at a time.
        if n % 100 == 99 {
            (0..100).for_each(|_| assert!(client.read().expect("a reply").is_ok()));
        }
    }
}
