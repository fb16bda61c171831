//! What clients notice of moves: for how long a bucket that changes hands cannot be written, how fast data moves beside
//! how fast it was written, and what a limit leaves to others. `eraft-bench moves` measures the same at full size; here
//! figures are only printed, and what is asserted holds on any machine.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::counting::{COUNTERS, Tally, check, count, nobody_saw_an_error};
use crate::ctl;
use crate::metrics::samples;
use crate::moves::{adds_up, ctl, every_node, shares};
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;
use crate::resp::{Client, request};
use crate::scale;
use crate::stop::Stop;

const LIMIT: Duration = Duration::from_secs(60);
const WRITERS: usize = 6;
/// A node answers with an error only after 10 s (`REQUEST_TIMEOUT`), so a write that hangs for less shows by its time
/// alone. Questions that are lost while writers wait, and even an election, fit.
const GAP_MAX: Duration = Duration::from_secs(5);
const ALL: &str = "0-16383";
const VALUE_BYTES: usize = 1024;

/// Every counter is there, so that it is known how many keys there are.
fn begin_counters(nodes: &Nodes) {
    let mut client = nodes.client(1);
    let all: String = (0..COUNTERS).map(|n| format!("SET count:{n} 0\r\n")).collect();
    client.send(all.as_bytes()).expect("it is taken");
    (0..COUNTERS).for_each(|_| assert!(client.read().expect("a reply").is_ok()));
}

/// Writers count while `work` goes on; returns what it did, and increments per second.
fn while_counting<T>(
    nodes: &Nodes,
    tallies: &mut Vec<Tally>,
    work: impl FnOnce() -> T,
) -> (T, f64) {
    let (stop, addresses, seeds) = (Stop::new(), every_node(nodes), tallies.len()..);
    let begun = Instant::now();
    let (outcome, new) = thread::scope(|scope| {
        let writers: Vec<_> = seeds
            .take(WRITERS)
            .map(|seed| {
                let (stop, addresses) = (&stop, &addresses);
                scope.spawn(move || count(addresses, seed, stop.flag()))
            })
            .collect();
        let ended = stop.at_end();
        let outcome = work();
        drop(ended);
        let new = writers.into_iter().map(|writer| writer.join().expect("no writer fails"));
        (outcome, new.collect::<Vec<Tally>>())
    });
    let took = begun.elapsed();
    assert!(new.iter().all(|tally| tally.operations > 0), "a writer did nothing in {took:?}");
    let operations: u64 = new.iter().map(|tally| tally.operations).sum();
    tallies.extend(new);
    (outcome, operations as f64 / took.as_secs_f64())
}

/// What moves: a key, 64 buckets around its own, and the group that has them.
struct Range {
    key: &'static str,
    buckets: &'static str,
    group: u64,
}

/// Moves it to its group; returns the longest time between two answers to writes of its key.
fn hand_off(nodes: &Nodes, node: u16, range: &Range) -> Duration {
    const AROUND: Duration = Duration::from_millis(50);
    let stop = Stop::new();
    thread::scope(|scope| {
        let writer = scope.spawn(|| longest_gap(&mut nodes.client(node), range.key, &stop));
        let ended = stop.at_end();
        thread::sleep(AROUND);
        let plan = ctl(nodes, &["move", range.buckets, &range.group.to_string(), "--wait"]);
        assert_eq!(plan["moved_buckets"], 64, "{plan}");
        thread::sleep(AROUND);
        drop(ended);
        writer.join().expect("every write is answered OK")
    })
}

fn longest_gap(client: &mut Client, key: &str, stop: &Stop) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    while !stop.told() {
        let reply = client.command(&["SET", key, "x"]);
        assert!(reply.is_ok(), "{key}: {reply}");
        longest = longest.max(last.elapsed());
        last = Instant::now();
        thread::sleep(Duration::from_millis(1));
    }
    longest
}

#[test]
fn hand_offs_under_load_are_short_and_nobody_sees_an_error() {
    let cluster = Cluster::start_alone();
    cluster.wait_until_whole(LIMIT);
    let nodes: &Nodes = &cluster;
    begin_counters(nodes);
    // Buckets of {a}, {b} and {c}, and who has them at first.
    let mut ranges = [
        Range { key: "{a}", buckets: "15488-15551", group: 2 },
        Range { key: "{b}", buckets: "3264-3327", group: 1 },
        Range { key: "{c}", buckets: "7360-7423", group: 1 },
    ];
    let mut tallies = Vec::new();
    let (mut gaps, _) = while_counting(nodes, &mut tallies, || {
        let one = |number: usize| {
            let range = &mut ranges[number % 3];
            range.group = 3 - range.group;
            hand_off(nodes, number as u16 % NODES + 1, range)
        };
        (0..scale::pick(200, 12)).map(one).collect::<Vec<Duration>>()
    });
    gaps.sort_unstable();
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    outside::say(&format!(
        "{} hand-offs during {} increments: without an answer for {median:.1?} at the median, {:.1?} at p99, \
         {longest:.1?} at most",
        gaps.len(),
        tallies.iter().map(|tally| tally.operations).sum::<u64>(),
        gaps[(gaps.len() * 99).div_ceil(100) - 1],
    ));
    nobody_saw_an_error(&tallies);
    check(&mut nodes.client(2), &tallies);
    adds_up(nodes, COUNTERS + ranges.len());
    assert!(longest < GAP_MAX, "{gaps:?}\n{}", nodes.node_logs());
    let redirected: f64 = (1..=NODES)
        .filter_map(|node| samples(nodes, node).get("eraft_proxy_redirected_total").copied())
        .sum();
    assert!(redirected > 0.0, "no client ever came too late: nothing was tested");
    let paused = |what| {
        let name = format!("eraft_move_pause_seconds_{what}");
        let all = (1..=NODES).flat_map(|node| samples(nodes, node));
        all.filter(|(line, _)| line.starts_with(&name)).map(|(_, value)| value).sum::<f64>()
    };
    let (times, seconds) = (paused("count"), paused("sum"));
    assert!(times > 0.0, "no leader knows how long writers waited\n{}", nodes.node_logs());
    outside::say(&format!(
        "by the nodes' own account {:.1} ms on average",
        seconds / times * 1_000.0
    ));
}

/// A value that only this key has.
fn value(n: u64) -> String {
    let mut chance = Chance::new(n, 0);
    (0..VALUE_BYTES / 16).map(|_| format!("{:016x}", chance.next())).collect()
}

/// Asks for something about each key, by some clients at once; each reply must be good.
fn for_each_key(
    nodes: &Nodes,
    keys: u64,
    ask: impl Fn(u64) -> Vec<u8> + Sync,
    good: impl Fn(u64, &Reply) -> bool + Sync,
) {
    const CLIENTS: u64 = 8;
    const TOGETHER: u64 = 32;
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (ask, good) = (&ask, &good);
            scope.spawn(move || {
                let mut client = nodes.client(number as u16 % NODES + 1);
                let [begin, end] = [number, number + 1].map(|part| part * keys / CLIENTS);
                for first in (begin..end).step_by(TOGETHER as usize) {
                    let some = first..end.min(first + TOGETHER);
                    let bytes: Vec<u8> = some.clone().flat_map(ask).collect();
                    client.send(&bytes).expect("it is taken");
                    for n in some {
                        let reply = client.read().expect("a reply");
                        assert!(good(n, &reply), "bulk:{n}: {reply}");
                    }
                }
            });
        }
    });
}

/// Moves all buckets to this group; whether that was done in this time.
fn all_moved(nodes: &Nodes, to: &str, limit: Duration) -> bool {
    let folder = nodes.folder.to_str().expect("a plain name");
    let seconds = limit.as_secs().to_string();
    let words = ["--dir", folder, "--timeout", &seconds, "move", ALL, to, "--wait"];
    let output = outside::run(Command::new(ctl::PROGRAM).args(words), limit + LIMIT);
    let (done, text) = (output.status.success(), outside::text(&output));
    assert!(done || text.contains("not done after"), "{text}\n{}", nodes.node_logs());
    done
}

#[test]
fn a_limited_move_keeps_to_its_rate_and_writers_go_on() {
    const LONG: Duration = Duration::from_secs(900);
    const STILL: Duration = Duration::from_secs(2);
    let keys: u64 = scale::pick(1_024 * 1_024, 24 * 1_024);
    let bytes = (keys * VALUE_BYTES as u64) as f64;
    let rate: u64 = scale::pick(20_000_000, 4_000_000);
    let megabytes_per_second = |took: Duration| bytes / 1e6 / took.as_secs_f64();
    let cluster = Cluster::start_alone();
    cluster.wait_until_whole(LIMIT);
    let nodes: &Nodes = &cluster;
    assert!(all_moved(nodes, "1", LIMIT));
    begin_counters(nodes);

    let set = |n: u64| request(&[b"SET", format!("bulk:{n}").as_bytes(), value(n).as_bytes()]);
    let begun = Instant::now();
    for_each_key(nodes, keys, set, |_, reply| reply.is_ok());
    let written = megabytes_per_second(begun.elapsed());
    nodes.wait_until_whole(LIMIT);
    let begun = Instant::now();
    assert!(all_moved(nodes, "2", LONG));
    let moved = megabytes_per_second(begun.elapsed());

    // Back again under a limit. While it keeps clients waiting it takes less, and then is not waited for to the end.
    let mut tallies = Vec::new();
    let ((), before) = while_counting(nodes, &mut tallies, || thread::sleep(STILL));
    ctl(nodes, &["rate", &rate.to_string()]);
    let usual = Duration::from_secs_f64(bytes / rate as f64);
    let ((done, took), during) = while_counting(nodes, &mut tallies, || {
        let begun = Instant::now();
        (all_moved(nodes, "1", usual * 2), begun.elapsed())
    });
    outside::say(&format!(
        "{:.0} MB: written at {written:.1} MB/s, moved at {moved:.1} MB/s ({:.0} %); limited to {:.0} MB/s {} after \
         {took:.1?}, {during:.0} increments/s during it, {before:.0} before ({:.0} %)",
        bytes / 1e6,
        100.0 * moved / written,
        rate as f64 / 1e6,
        if done { "done" } else { "not done" },
        100.0 * during / before,
    ));
    // It may be ahead by an eighth of a second and a page. Only changes made meanwhile may come faster in the end, and
    // these do not count among the bytes here.
    assert!(took >= usual.mul_f64(0.8), "done in {took:?}, with the limit it takes {usual:?}");
    if !done {
        let shown = ctl(nodes, &["moves"]);
        let mut moves = shown["moves"].as_array().expect("moves").iter();
        let goes_on = moves.any(|one| one["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
        assert!(goes_on || shares(nodes)[&1] > 0, "it stands still: {shown}");
    }

    ctl(nodes, &["rate", "unlimited"]);
    assert!(all_moved(nodes, "1", LONG));
    nobody_saw_an_error(&tallies);
    check(&mut nodes.client(2), &tallies);
    let shares = shares(nodes);
    assert_eq!((shares[&1], shares[&2]), (16_384, 0), "{shares:?}");
    adds_up(nodes, COUNTERS + keys as usize);
    let get = |n: u64| request(&[b"GET", format!("bulk:{n}").as_bytes()]);
    for_each_key(nodes, keys, get, |n, reply| *reply == Reply::Bulk(value(n).into_bytes()));
}
