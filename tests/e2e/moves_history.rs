//! Buckets move, groups join and leave and leaders die while clients do everything to the same keys: the whole history
//! is linearizable, nothing is lost or doubled, and no key is in two groups.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::gate;
use crate::hand::{Hand, LIFE};
use crate::ledger::Ledger;
use crate::metrics::samples;
use crate::moves::{adds_up, ctl};
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;
use crate::scale;
use crate::stop::Stop;

const LIMIT: Duration = Duration::from_secs(60);
/// The group that is not there at first.
const THIRD: u64 = 3;

struct Size {
    keys: usize,
    clients: u64,
    rounds: usize,
    /// At least so many in each round; clients go on while something moves.
    operations: u64,
    /// In all rounds together.
    moves: usize,
    joins: usize,
}

fn size() -> Size {
    let full = Size {
        keys: 100_000,
        clients: 64,
        rounds: 20,
        operations: number("ERAFT_OPERATIONS").unwrap_or(10_000_000) / 20,
        moves: 50,
        joins: 5,
    };
    let small = Size { keys: 300, clients: 16, rounds: 2, operations: 10_000, moves: 6, joins: 1 };
    scale::pick(full, small)
}

/// A number from the environment: `ERAFT_OPERATIONS=1000000` makes a full run shorter.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Another one for each run: what processes do cannot be repeated anyway.
fn any_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |since| since.as_millis() as u64)
}

/// A change of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Move,
    Join,
    Leave,
}

impl Size {
    /// All changes, in any order in which each leave has its join before it.
    fn changes(&self, chance: &mut Chance) -> Vec<Change> {
        let mut changes = vec![Change::Move; self.moves + 2 * self.joins];
        let mut places: Vec<usize> = (0..changes.len()).collect();
        chance.shuffle(&mut places);
        places.truncate(2 * self.joins);
        places.sort_unstable();
        for (n, place) in places.into_iter().enumerate() {
            changes[place] = if n % 2 == 0 { Change::Join } else { Change::Leave };
        }
        changes
    }
}

/// Who changes the table and kills leaders.
struct Nemesis {
    chance: Chance,
    joined: BTreeSet<u64>,
    moved_buckets: u64,
    strikes: usize,
    kills: usize,
}

impl Nemesis {
    /// One change; two times of three one of the nodes that lead either side dies in the middle of it.
    fn strike(&mut self, cluster: &mut Cluster, change: Change) {
        let leaders = cluster.status().leaders();
        let (words, plan) = self.ask(cluster, change);
        self.strikes += 1;
        let kills = !self.strikes.is_multiple_of(3);
        if kills {
            let group = self.side(&plan);
            let leader = leaders.iter().find(|(id, _)| *id == group).and_then(|(_, node)| *node);
            let killed = leader.unwrap_or(self.chance.below(u64::from(NODES)) as u16 + 1);
            thread::sleep(Duration::from_millis(self.chance.below(80)));
            cluster.kill(killed);
            self.kills += 1;
            thread::sleep(Duration::from_millis(200 + self.chance.below(800)));
            cluster.revive(killed);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["--wait"]).collect();
        ctl(cluster, &words);
        if kills {
            cluster.wait_until_whole(LIMIT);
        }
    }

    /// Gives a command that moves something; returns it and what it is to move.
    fn ask(&mut self, nodes: &Nodes, change: Change) -> (Vec<String>, serde_json::Value) {
        loop {
            let words = self.words(change);
            let plan = ctl(nodes, &words.iter().map(String::as_str).collect::<Vec<_>>());
            let moved = plan["moved_buckets"].as_u64().expect("a number");
            // All of a range may be there already.
            if moved > 0 || change != Change::Move {
                self.moved_buckets += moved;
                return (words, plan);
            }
        }
    }

    fn words(&mut self, change: Change) -> Vec<String> {
        let members: Vec<u64> = self.joined.iter().copied().collect();
        match change {
            Change::Move => {
                let first = self.chance.below(16_384);
                let last = (first + self.chance.below(4_096)).min(16_383);
                let to = self.chance.pick(&members);
                ["move".into(), format!("{first}-{last}"), to.to_string()].to_vec()
            }
            Change::Join => {
                let group = (1..=THIRD).find(|group| !self.joined.contains(group));
                let group = group.expect("one has left, or never joined");
                self.joined.insert(group);
                ["join".into(), group.to_string()].to_vec()
            }
            Change::Leave => {
                let group = self.chance.pick(&members);
                self.joined.remove(&group);
                ["leave".into(), group.to_string()].to_vec()
            }
        }
    }

    /// A group that gives or takes.
    fn side(&mut self, plan: &serde_json::Value) -> u64 {
        let side = self.chance.pick(&["from", "to"]);
        let moves = plan["moves"].as_array().expect("moves");
        let sides: Vec<u64> = moves.iter().filter_map(|one| one[side].as_u64()).collect();
        if sides.is_empty() { 1 } else { self.chance.pick(&sides) }
    }
}

#[test]
fn moves_joins_and_leaves_lose_and_double_nothing_while_leaders_die() {
    let (size, seed) = (size(), any_seed());
    let mut cluster = Cluster::start_with(gate::whole(), &[]);
    cluster.wait_until_whole(LIMIT);
    ctl(&cluster, &["group", "create", &THIRD.to_string(), "--wait"]);
    let nodes: Nodes = (*cluster).clone();
    let mut chance = Chance::new(seed, u64::MAX);
    let changes = size.changes(&mut chance);
    let joined = BTreeSet::from([1, 2]);
    let mut nemesis = Nemesis { chance, joined, moved_buckets: 0, strikes: 0, kills: 0 };
    let mut hands: Vec<Hand> = (1..=size.clients).map(|number| Hand::new(number, seed)).collect();
    let (mut ledger, mut there) = (Ledger::new(size.keys), BTreeSet::new());
    let mut sent = 0;
    for changes in changes.chunks(changes.len().div_ceil(size.rounds)) {
        let (stop, done) = (Stop::new(), AtomicU64::new(0));
        let wait_for = |operations: u64| {
            while done.load(Ordering::Relaxed) < operations {
                thread::sleep(Duration::from_millis(5));
            }
        };
        thread::scope(|scope| {
            for hand in &mut hands {
                let (nodes, stop, done, begun) = (&nodes, &stop, &done, ledger.begun);
                scope.spawn(move || hand.work(nodes, size.keys, begun, stop, done));
            }
            let ended = stop.at_end();
            for (n, change) in changes.iter().enumerate() {
                wait_for(size.operations * n as u64 / changes.len() as u64);
                nemesis.strike(&mut cluster, *change);
            }
            wait_for(size.operations);
            drop(ended);
        });
        sent += done.load(Ordering::Relaxed);
        cluster.wait_until_whole(LIMIT);
        hands.iter_mut().for_each(|hand| ledger.take(std::mem::take(&mut hand.done)));
        there = ledger.judge(&nodes);
    }
    let unknown: usize = hands.iter().map(|hand| hand.unknown).sum();
    let refused: usize = hands.iter().map(|hand| hand.refused).sum();
    outside::say(&format!(
        "{sent} operations of {} clients on {} keys, {} changes of {} buckets, {} kills; {} of them judged (the \
         others set deadlines far away, or keys that were gone in the end), {unknown} outcomes unknown, {refused} not \
         done: linearizable",
        size.clients,
        size.keys,
        changes.len(),
        nemesis.moved_buckets,
        nemesis.kills,
        ledger.judged,
    ));
    everything_once(&nodes, &there);
    let redirected: f64 = (1..=NODES)
        .filter_map(|node| samples(&nodes, node).get("eraft_proxy_redirected_total").copied())
        .sum();
    assert!(redirected > 0.0, "no client ever came too late: nothing was tested");
}

/// These keys are there and no others, each in one group.
fn everything_once(nodes: &Nodes, there: &BTreeSet<String>) {
    let deadline = Instant::now() + LIFE + LIMIT;
    while nodes.client(1).line("DBSIZE").integer() > there.len() as i64 {
        assert!(Instant::now() < deadline, "more than {} keys for ever", there.len());
        thread::sleep(Duration::from_millis(100));
    }
    let found = scan(nodes);
    assert_eq!(found.len(), there.len(), "a key is found twice, or is lost");
    assert_eq!(&found.into_iter().collect::<BTreeSet<_>>(), there);
    adds_up(nodes, there.len());
    let moves = ctl(nodes, &["moves"]);
    assert_eq!(moves["pending"].as_array().map(Vec::len), Some(0), "{moves}");
}

/// Every key that a scan gives, as often as it gives it.
fn scan(nodes: &Nodes) -> Vec<String> {
    let mut client = nodes.client(2);
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let Reply::Array(page) = client.command(&["SCAN", &cursor, "COUNT", "1000"]) else {
            panic!("SCAN answers two things");
        };
        found.extend(page[1].items().iter().map(Reply::text));
        cursor = page[0].text();
        if cursor == "0" {
            return found;
        }
    }
}
