//! Every write that was answered OK is there after any number of `kill -9`, and no value that nobody wrote.
//!
//! Each of 64 writers overwrites a few keys of its own with growing numbers. A write whose outcome is unknown (the
//! connection broke) may still take effect at any later time, so its key is left alone from then on; it may hold the
//! last acknowledged number or the unknown one, nothing else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::gate;
use crate::nodes::{NODES, Nodes};
use crate::reply::Reply;
use crate::resp::Client;
use crate::scale;
use crate::stop::Stop;

const WRITERS: usize = 64;
const KEYS_AT_ONCE: usize = 3;

/// What one key may hold.
struct Key {
    name: String,
    acknowledged: Option<u64>,
    in_doubt: Option<u64>,
}

struct Writer {
    number: usize,
    next: u64,
    keys: Vec<Key>,
}

impl Writer {
    /// Writes until told to stop.
    fn run(&mut self, nodes: &Nodes, stop: &Stop, done: &AtomicU64) {
        let mut node = self.number as u16 % NODES + 1;
        while !stop.told() {
            let Ok(mut client) = Client::connect(&nodes.plain(node)) else {
                node = node % NODES + 1;
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            while !stop.told() && self.write(&mut client, done) {}
            node = node % NODES + 1;
        }
    }

    /// One write; false if the connection is of no more use.
    fn write(&mut self, client: &mut Client, done: &AtomicU64) -> bool {
        let at = self.open_key();
        self.next += 1;
        let number = self.next;
        let key = &mut self.keys[at];
        let value = value(self.number, number);
        match client.try_command(&[b"SET", key.name.as_bytes(), value.as_bytes()]) {
            Ok(reply) if reply.is_ok() => {
                key.acknowledged = Some(number);
                done.fetch_add(1, Ordering::Relaxed);
                true
            }
            // An error reply may mean "outcome unknown" too; only the text would tell, so all count as that.
            Ok(Reply::Error(_)) => {
                key.in_doubt = Some(number);
                thread::sleep(Duration::from_millis(20));
                true
            }
            Ok(other) => panic!("SET answered {other}"),
            Err(_) => {
                key.in_doubt = Some(number);
                false
            }
        }
    }

    /// A key of this writer without an unknown outcome; a new one if too few are left.
    fn open_key(&mut self) -> usize {
        let open: Vec<usize> =
            (0..self.keys.len()).filter(|&i| self.keys[i].in_doubt.is_none()).collect();
        if open.len() < KEYS_AT_ONCE {
            let name = format!("d:{}:{}", self.number, self.keys.len());
            self.keys.push(Key { name, acknowledged: None, in_doubt: None });
            return self.keys.len() - 1;
        }
        open[self.next as usize % open.len()]
    }

    /// Compares each key with what it may hold; returns what is wrong.
    fn check(&self, client: &mut Client) -> Vec<String> {
        let mut wrong = Vec::new();
        for key in &self.keys {
            let held = match client.command(&["GET", &key.name]) {
                Reply::Nil => None,
                Reply::Bulk(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                other => panic!("GET {} answered {other}", key.name),
            };
            let allowed = [key.acknowledged, key.in_doubt.or(key.acknowledged)];
            let fits = allowed.iter().any(|number| number.map(|n| value(self.number, n)) == held);
            if !fits {
                wrong.push(format!(
                    "{} holds {held:?}, acknowledged {:?}, in doubt {:?}",
                    key.name, key.acknowledged, key.in_doubt
                ));
            }
        }
        wrong
    }
}

fn value(writer: usize, number: u64) -> String {
    format!("{writer}.{number}.{}", "x".repeat(40))
}

/// Writes while `disturb` does its worst, then checks every key from every node.
fn write_and_check(cluster: &mut Cluster, rounds: usize, disturb: impl Fn(&mut Cluster, usize)) {
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|number| Writer { number, next: 0, keys: Vec::new() }).collect();
    for round in 0..rounds {
        let (stop, done) = (Stop::new(), AtomicU64::new(0));
        let nodes: Nodes = (**cluster).clone();
        thread::scope(|scope| {
            for writer in &mut writers {
                let (nodes, stop, done) = (&nodes, &stop, &done);
                scope.spawn(move || writer.run(nodes, stop, done));
            }
            let ended = stop.at_end();
            thread::sleep(Duration::from_millis(800));
            let before = done.load(Ordering::Relaxed);
            assert!(before > 0, "nothing was written before the kill of round {round}");
            disturb(cluster, round);
            // Writes succeed again, on their own.
            let deadline = Instant::now() + Duration::from_secs(30);
            let after = done.load(Ordering::Relaxed);
            while done.load(Ordering::Relaxed) < after + 200 {
                assert!(
                    Instant::now() < deadline,
                    "no writes 30 s after the kill of round {round}"
                );
                thread::sleep(Duration::from_millis(20));
            }
            drop(ended);
        });
        cluster.wait_until_whole(Duration::from_secs(60));
        let node = round as u16 % NODES + 1;
        let mut client = cluster.client(node);
        let wrong: Vec<String> =
            writers.iter().flat_map(|writer| writer.check(&mut client)).collect();
        assert!(
            wrong.is_empty(),
            "after round {round}: {} keys are wrong:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }
    let acknowledged: usize =
        writers.iter().flat_map(|w| &w.keys).filter(|k| k.acknowledged.is_some()).count();
    assert!(acknowledged >= WRITERS, "only {acknowledged} keys were ever acknowledged");
}

#[test]
fn kill_of_a_random_node() {
    let mut cluster = Cluster::start_with(gate::whole(), &["--restart"]);
    let rounds = scale::pick(20, 4);
    write_and_check(&mut cluster, rounds, |cluster, round| {
        let node = if round % 2 == 0 {
            // Every other time surely a leader.
            cluster
                .status()
                .data_groups()
                .find_map(|group| group.leader)
                .expect("a data group has a leader")
        } else {
            (std::process::id() as u16 + round as u16) % NODES + 1
        };
        cluster.kill(node);
    });
}

#[test]
fn kill_of_all_nodes_at_once() {
    let mut cluster = Cluster::start_with(gate::whole(), &[]);
    let rounds = scale::pick(20, 3);
    write_and_check(&mut cluster, rounds, |cluster, _| {
        cluster.kill_all();
        let took = cluster.start_again();
        assert!(took < Duration::from_secs(30), "ready only after {took:?}");
    });
}
