//! Clients that count up, so that an increment that is lost or done twice shows, and a reply that no client should see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::reply::Reply;
use crate::resp::Client;

/// Counters that all writers share.
pub(crate) const COUNTERS: usize = 400;

/// What one writer has done and seen.
#[derive(Default)]
pub(crate) struct Tally {
    /// Increments that were acknowledged.
    done: Vec<i64>,
    /// Increments that may have been carried out.
    pub(crate) unknown: Vec<i64>,
    pub(crate) slowest: Duration,
    pub(crate) operations: u64,
    pub(crate) errors: Vec<String>,
}

/// Counts up at random until told to stop. A broken connection is begun anew, at another of these addresses.
pub(crate) fn count(addresses: &[String], seed: usize, stop: &AtomicBool) -> Tally {
    let mut tally =
        Tally { done: vec![0; COUNTERS], unknown: vec![0; COUNTERS], ..Tally::default() };
    let mut chance = Chance::new(seed as u64, 1);
    let mut at = seed % addresses.len();
    let mut client = Client::connect(&addresses[at]).expect("a living node accepts connections");
    while !stop.load(Ordering::Relaxed) {
        let some: Vec<usize> =
            (0..=chance.below(8)).map(|_| chance.below(COUNTERS as u64) as usize).collect();
        let begun = Instant::now();
        let replies = send(&mut client, &some);
        tally.slowest = tally.slowest.max(begun.elapsed());
        tally.note(&some, &replies);
        while replies.len() < some.len() {
            at = (at + 1) % addresses.len();
            if let Ok(other) = Client::connect(&addresses[at]) {
                client = other;
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    tally
}

/// Increments these counters; fewer replies than counters if the connection broke.
fn send(client: &mut Client, some: &[usize]) -> Vec<Reply> {
    let bytes: Vec<u8> =
        some.iter().flat_map(|n| format!("INCR count:{n}\r\n").into_bytes()).collect();
    let mut replies = Vec::new();
    if client.send(&bytes).is_ok() {
        replies.extend(some.iter().map_while(|_| client.read().ok()));
    }
    replies
}

impl Tally {
    fn note(&mut self, some: &[usize], replies: &[Reply]) {
        for (at, n) in some.iter().enumerate() {
            match replies.get(at) {
                Some(Reply::Integer(_)) => {
                    self.done[*n] += 1;
                    self.operations += 1;
                }
                Some(reply) if reply.text().contains("not done") => {
                    self.errors.push(reply.to_string());
                }
                Some(reply) => {
                    self.unknown[*n] += 1;
                    self.errors.push(reply.to_string());
                }
                None => self.unknown[*n] += 1,
            }
        }
    }
}

/// Every acknowledged increment is there once, and nothing that nobody asked for.
pub(crate) fn check(client: &mut Client, tallies: &[Tally]) {
    for n in 0..COUNTERS {
        let done: i64 = tallies.iter().map(|tally| tally.done[n]).sum();
        let unknown: i64 = tallies.iter().map(|tally| tally.unknown[n]).sum();
        let reply = client.command(&["GET", &format!("count:{n}")]);
        assert!(!reply.is_error(), "{reply}");
        let found: i64 =
            if reply == Reply::Nil { 0 } else { reply.text().parse().expect("a number") };
        assert!(
            (done..=done + unknown).contains(&found),
            "count:{n} is {found}, acknowledged {done}, unknown {unknown}"
        );
    }
}

/// No client saw an error, or lost its connection.
pub(crate) fn nobody_saw_an_error(tallies: &[Tally]) {
    let errors: Vec<&String> = tallies.iter().flat_map(|tally| &tally.errors).collect();
    assert!(errors.is_empty(), "{} errors, the first: {}", errors.len(), errors[0]);
    assert!(tallies.iter().all(|tally| tally.unknown.iter().all(|unknown| *unknown == 0)));
}
