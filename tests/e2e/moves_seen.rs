//! Moves as operators and clients see them: told of, stopped, taken back and stuck; and the cluster port, scans and
//! drained nodes meanwhile.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::counting::{Tally, check, count, nobody_saw_an_error};
use crate::ctl;
use crate::gate;
use crate::moves::{adds_up, ctl, shares};
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::reply::Reply;
use crate::resp::Client;
use crate::scale;
use crate::stop::Stop;

/// For whatever has to wait for an election or for data, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// The bucket of all keys with the tag `{b}`; group 1 has it at first.
const BUCKET: &str = "3300";
const COUNT: &str = "{b}:count";

fn key(n: usize) -> String {
    format!("{{b}}:{n}")
}

/// At a megabyte per second ten of these take a second to move.
fn value(n: usize) -> String {
    format!("{n}:{}", "x".repeat(100_000))
}

fn fill(nodes: &Nodes, keys: usize) {
    let mut client = nodes.client(1);
    for n in 0..keys {
        assert!(client.command(&["SET", &key(n), &value(n)]).is_ok(), "{}", key(n));
    }
}

/// These are there as they were written.
fn all_there(nodes: &Nodes, keys: std::ops::Range<usize>) {
    let mut client = nodes.client(2);
    for n in keys {
        let found = client.command(&["GET", &key(n)]);
        assert!(found == Reply::Bulk(value(n).into_bytes()), "{} is not as it was", key(n));
    }
}

/// Looks until it is there; what was seen instead is told when the time is over.
fn wait_for<T, S: Debug>(what: &str, mut look: impl FnMut() -> Result<T, S>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "not in time: {what}: {seen:?}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `eraftctl moves` says this of the move from a group.
fn wait_for_move(
    nodes: &Nodes,
    from: u64,
    what: &str,
    mut holds: impl FnMut(&Value) -> bool,
) -> Value {
    wait_for(what, || {
        let shown = ctl(nodes, &["moves"]);
        let mut moves = shown["moves"].as_array().expect("moves").iter();
        let found = moves.find(|one| one["from"] == from && holds(one)).cloned();
        found.ok_or(shown)
    })
}

/// Bytes of a move that have come.
fn bytes(one: &Value) -> u64 {
    one["bytes"].as_u64().expect("a number")
}

/// No move has begun, and none is wanted.
fn is_done(shown: &Value) -> bool {
    shown["moves"] == json!([]) && shown["pending"] == json!([])
}

fn wait_until_done(nodes: &Nodes) {
    wait_for("nothing moves", || {
        let shown = ctl(nodes, &["moves"]);
        if is_done(&shown) { Ok(()) } else { Err(shown) }
    });
}

#[test]
fn a_running_move_is_paused_resumed_and_cancelled() {
    const KEYS: usize = 200;
    let cluster = Cluster::start();
    let nodes: &Nodes = &cluster;
    nodes.wait_until_whole(LIMIT);
    fill(nodes, KEYS);
    let stop = Stop::new();
    let counted = thread::scope(|scope| {
        // It counts alone, so that each reply is known beforehand.
        let writer = scope.spawn(|| {
            let (mut client, mut counted) = (nodes.client(3), 0);
            while !stop.told() {
                counted += 1;
                assert_eq!(client.command(&["INCR", COUNT]), Reply::Integer(counted));
                thread::sleep(Duration::from_millis(2));
            }
            counted
        });
        let ended = stop.at_end();
        begin_and_take_back(nodes);
        drop(ended);
        writer.join().expect("each write is answered")
    });
    all_there(nodes, 0..KEYS);
    let mut client = nodes.client(1);
    assert_eq!(client.command(&["GET", COUNT]).text(), counted.to_string());
    adds_up(nodes, KEYS + 1);

    // What had come is forgotten: a key that goes now does not come back with the bucket.
    assert_eq!(client.command(&["DEL", &key(0)]), Reply::Integer(1));
    ctl(nodes, &["rate", "unlimited"]);
    ctl(nodes, &["move", BUCKET, "2", "--wait"]);
    let shares = shares(nodes);
    assert_eq!((shares[&1], shares[&2]), (8_191, 8_193));
    all_there(nodes, 1..KEYS);
    assert_eq!(client.command(&["EXISTS", &key(0)]), Reply::Integer(0));
    adds_up(nodes, KEYS);
}

fn begin_and_take_back(nodes: &Nodes) {
    let counted = || nodes.client(1).command(&["GET", COUNT]).text();
    ctl(nodes, &["rate", "1MB"]);
    ctl(nodes, &["move", BUCKET, "2"]);
    wait_for_move(nodes, 1, "some of it has come", |one| bytes(one) > 0);

    ctl(nodes, &["pause"]);
    // Without a limit it would be over in a moment if it went on.
    ctl(nodes, &["rate", "unlimited"]);
    let (before, mut last) = (counted(), None);
    let stood = wait_for_move(nodes, 1, "it stands still", |one| {
        thread::sleep(Duration::from_secs(1));
        // What was on its way still comes.
        one["stands_still"] == "paused" && last.replace(bytes(one)) == Some(bytes(one))
    });
    assert_ne!(counted(), before, "writes go on");

    ctl(nodes, &["rate", "1MB"]);
    ctl(nodes, &["resume"]);
    wait_for_move(nodes, 1, "it goes on", |one| {
        one.get("stands_still").is_none() && bytes(one) > bytes(&stood)
    });
    ctl(nodes, &["cancel"]);
    wait_until_done(nodes);
    let shares = shares(nodes);
    assert_eq!((shares[&1], shares[&2]), (8_192, 8_192));
}

#[test]
fn moves_and_watch_tell_as_json() {
    const KEYS: usize = 120;
    let cluster = Cluster::start();
    let nodes: &Nodes = &cluster;
    nodes.wait_until_whole(LIMIT);
    fill(nodes, KEYS);
    ctl(nodes, &["rate", "1MB"]);
    let version = ctl(nodes, &["move", BUCKET, "2"])["version"].as_u64();
    let watched = nodes.folder.join("watched");
    let mut command = Command::new(ctl::PROGRAM);
    command.arg("--dir").arg(&nodes.folder).args(["--json", "watch"]).stdin(Stdio::null());
    command.stdout(File::create(&watched).expect("a file")).stderr(Stdio::piped());
    let watch = command.spawn().expect("it starts");
    let told = || fs::read_to_string(&watched).expect("it can be read");

    // The speed is known after a second or two.
    let mut one = wait_for_move(nodes, 1, "all is known of it", |one| {
        one.get("stands_still").is_none() && one["milliseconds_left"].is_u64()
    });
    let figures = ["bytes", "bytes_total", "bytes_per_second", "milliseconds_left"];
    let [done, total, speed, left] =
        figures.map(|field| one[field].take().as_u64().expect("a number"));
    assert!((12_000_000..12_100_000).contains(&total), "{total} bytes in all");
    assert!((1..total).contains(&done) && (1..2_000_000).contains(&speed), "{done}, {speed}");
    assert_eq!(left, (total - done) * 1_000 / speed);
    assert!(one["id"].take().as_str().is_some_and(|id| id.starts_with("1/")), "{one}");
    let right = json!({
        "id": null, "from": 1, "to": 2, "buckets": 1, "ranges": BUCKET, "phase": "copying",
        "bytes": null, "bytes_total": null, "bytes_per_second": null, "milliseconds_left": null,
    });
    assert_eq!(one, right);
    let shown = ctl(nodes, &["moves"]);
    let waits = json!([{ "range": BUCKET, "buckets": 1, "from": 1, "to": 2, "paused": false }]);
    assert_eq!((&shown["pending"], &shown["bytes_per_second_max"]), (&waits, &json!(1_000_000)));
    assert!(version.is_some() && shown["config"].as_u64() >= version, "{shown}");

    wait_for("it tells of the copy", || {
        if told().contains("\"copying\"") { Ok(()) } else { Err(told()) }
    });
    ctl(nodes, &["rate", "unlimited"]);
    let ended = outside::finish(watch, "watch", LIMIT);
    assert!(ended.status.success(), "{}", outside::text(&ended));
    let document = |line: &str| -> Value { serde_json::from_str(line).expect("a document a line") };
    let told: Vec<Value> = told().lines().map(document).collect();
    assert!(told.iter().all(|one| one["config"].as_u64() >= version), "{told:?}");
    let (last, before) = told.split_last().expect("some");
    assert!(is_done(last) && !before.iter().any(is_done), "{told:?}");
}

#[test]
fn one_stuck_move_blocks_no_other() {
    const KEYS: usize = 100;
    let mut cluster = Cluster::start_alone();
    cluster.wait_until_whole(LIMIT);
    let nodes: Nodes = (*cluster).clone();
    // A group with a single replica, which is gone with its node.
    ctl(&nodes, &["group", "create", "3", "--replicas", "3", "--wait"]);
    ctl(&nodes, &["move", BUCKET, "3", "--wait"]);
    fill(&nodes, KEYS);
    ctl(&nodes, &["rate", "1MB"]);
    ctl(&nodes, &["move", BUCKET, "1"]);
    wait_for_move(&nodes, 3, "some of it has come", |one| bytes(one) > 0);
    cluster.kill(3);
    nodes.wait_for_status("the others lead", LIMIT, |status| {
        (0..3).all(|id| status.group(id).leader.is_some_and(|leader| leader != 3))
    });
    let is_stuck = || {
        let why = "the source does not answer";
        wait_for_move(&nodes, 3, "it is stuck", |one| one["stands_still"] == why);
    };
    is_stuck();
    let stop = Stop::new();
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|seed| {
                let (stop, living) = (&stop, [nodes.plain(1), nodes.plain(2)]);
                scope.spawn(move || count(&living, seed, stop.flag()))
            })
            .collect();
        let ended = stop.at_end();
        for (range, to) in [("9000-9999", "1"), ("0-999", "2"), ("9000-9999", "2"), ("0-999", "1")]
        {
            ctl(&nodes, &["--timeout", "30", "move", range, to, "--wait"]);
        }
        drop(ended);
        writers.into_iter().map(|writer| writer.join().expect("no writer fails")).collect()
    });
    nobody_saw_an_error(&tallies);
    is_stuck();
    let pending = ctl(&nodes, &["moves"])["pending"].clone();
    assert_eq!(pending[0]["stands_still"], "no leader of group 3 answers", "{pending}");

    cluster.revive(3);
    ctl(&nodes, &["rate", "unlimited"]);
    ctl(&nodes, &["--timeout", "35", "move", BUCKET, "1", "--wait"]);
    wait_until_done(&nodes);
    let shares = shares(&nodes);
    assert_eq!((shares[&1], shares[&2], shares[&3]), (8_192, 8_192, 0), "{shares:?}");
    all_there(&nodes, 0..KEYS);
    check(&mut nodes.client(1), &tallies);
    let all = nodes.client(1).line("DBSIZE").integer() as usize;
    adds_up(&nodes, all);
}

#[test]
fn a_drain_can_be_undone() {
    let cluster = Cluster::start_wide(gate::half(), 4, 3);
    let nodes: &Nodes = &cluster;
    let draining = || {
        let table = ctl(nodes, &["query"]);
        let nodes = table["nodes"].as_array().expect("nodes").iter();
        nodes.filter(|one| one["draining"] == true).map(|one| one["id"].clone()).collect::<Value>()
    };
    let holders = || ctl(nodes, &["query"])["groups"][1]["servers"].clone();
    let drained = holders()[2]["node"].clone();
    let node = drained.to_string();
    let undo = ["node", "drain", &node, "--undo"];
    assert_eq!(ctl(nodes, &undo)["changes"], false, "there is nothing to undo");

    ctl(nodes, &["--timeout", "35", "node", "drain", &node, "--wait"]);
    assert_eq!(draining(), json!([drained]));
    let create = ["--timeout", "30", "group", "create", "2", "--replicas", &node, "--wait"];
    let refused = nodes.ctl(&create);
    let said = outside::text(&refused);
    assert!(refused.status.code() == Some(2) && said.contains("is being drained"), "{said}");

    let kept = ctl(nodes, &undo);
    assert_eq!(kept["nodes"], json!([{ "id": drained, "what": "kept" }]), "{kept}");
    assert_eq!(draining(), json!([]));
    let stayed = holders();
    let mut stay = stayed.as_array().expect("servers").iter();
    assert!(stay.all(|one| one["node"] != drained), "what has gone stays there: {stayed}");
    let mut client = nodes.client(1);
    assert!(client.command(&["SET", &key(0), "v"]).is_ok());
    ctl(nodes, &create);
    ctl(nodes, &["move", BUCKET, "2", "--wait"]);
    assert_eq!(json!(nodes.status().group(2).leader), drained);
    assert_eq!(client.command(&["GET", &key(0)]).text(), "v");
}

/// A reply by the cluster port, as its clients get one. What is asked again was certainly not done.
fn follow(client: &mut Client, words: &[&str]) -> Reply {
    wait_for("a reply", || {
        let reply = client.command(words);
        let Reply::Error(text) = &reply else { return Ok(reply) };
        if let Some(to) = text.strip_prefix(&format!("MOVED {BUCKET} ")) {
            *client = Client::connect(to).expect("it is sent to a living node");
        } else {
            let again = text.starts_with("TRYAGAIN ") || text.starts_with("CLUSTERDOWN ");
            assert!(again, "{words:?}: {text}");
        }
        Err(reply)
    })
}

/// Waits until the leader of the bucket's group answers on its cluster port, and all others name it.
fn ports_agree(nodes: &Nodes, group: u64) {
    wait_for("all cluster ports agree", || {
        let leader = nodes.status().group(group).leader;
        let told = |node| nodes.cluster_client(node).command(&["GET", &key(0)]);
        let told: Vec<Reply> = (1..=NODES).map(told).collect();
        let right = |node| match leader {
            Some(leader) if leader == node => Reply::Bulk(b"v".to_vec()),
            Some(leader) => Reply::Error(format!("MOVED {BUCKET} {}", nodes.cluster(leader))),
            None => Reply::Nil,
        };
        if told.iter().cloned().eq((1..=NODES).map(right)) { Ok(()) } else { Err((leader, told)) }
    });
}

#[test]
fn the_cluster_port_follows_a_move() {
    const CLIENTS: usize = 3;
    let cluster = Cluster::start_alone();
    let nodes: &Nodes = &cluster;
    nodes.wait_until_whole(LIMIT);
    nodes.wait_for_status("two nodes lead the groups", LIMIT, |status| {
        let (one, other) = (status.group(1).leader, status.group(2).leader);
        one.is_some() && other.is_some() && one != other
    });
    assert!(nodes.client(1).command(&["SET", &key(0), "v"]).is_ok());
    let (stop, counted) = (Stop::new(), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let mut client = nodes.cluster_client(seed as u16 % NODES + 1);
            let (stop, counted, own) = (&stop, &counted, format!("{{b}}:own:{seed}"));
            scope.spawn(move || {
                for n in (0..).map(|n: u64| n.to_string()).take_while(|_| !stop.told()) {
                    assert!(follow(&mut client, &["SET", &own, &n]).is_ok());
                    assert_eq!(follow(&mut client, &["GET", &own]).text(), n);
                    let reply = follow(&mut client, &["INCR", COUNT]);
                    assert!(matches!(reply, Reply::Integer(_)), "{reply}");
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // One more, as programs have it.
        let ports = (1..=NODES).map(|node| format!("redis://{}", nodes.cluster(node)));
        let client = redis::cluster::ClusterClient::new(ports).expect("valid addresses");
        let (stop, counted) = (&stop, &counted);
        scope.spawn(move || {
            let mut connection = client.get_connection().expect("it connects");
            for n in (0..).map(|n: u64| n.to_string()).take_while(|_| !stop.told()) {
                let () = connection.set("{b}:program", &n).expect("no error");
                let got: String = connection.get("{b}:program").expect("no error");
                assert_eq!(got, n);
                let _: i64 = connection.incr(COUNT, 1).expect("no error");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _ended = stop.at_end();
        for to in [2, 1, 2, 1, 2, 1] {
            ctl(nodes, &["move", BUCKET, &to.to_string(), "--wait"]);
            ports_agree(nodes, to);
            // They have all gone where it is now.
            let aim = counted.load(Ordering::Relaxed) + 100;
            wait_for("the clients go on", || {
                Some(counted.load(Ordering::Relaxed)).filter(|now| *now >= aim).ok_or(aim)
            });
        }
    });
    let counted = counted.into_inner().to_string();
    assert_eq!(nodes.client(1).command(&["GET", COUNT]).text(), counted);
    adds_up(nodes, CLIENTS + 3);
}

/// Every key that one whole SCAN gives.
fn scan(client: &mut Client) -> BTreeSet<String> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    for _ in 0..10_000 {
        let reply = client.command(&["SCAN", &cursor, "COUNT", "100"]);
        let Reply::Array(page) = &reply else { panic!("SCAN {cursor}: {reply}") };
        found.extend(page[1].items().iter().map(Reply::text));
        cursor = page[0].text();
        if cursor == "0" {
            return found;
        }
    }
    panic!("a scan without an end, now at {cursor}");
}

#[test]
fn a_scan_during_moves_returns_every_key_that_stays() {
    let keys = scale::pick(20_000, 2_000);
    let cluster = Cluster::start();
    let nodes: &Nodes = &cluster;
    nodes.wait_until_whole(LIMIT);
    let names: BTreeSet<String> = (0..keys).map(|n| format!("scan:{n}")).collect();
    let mut client = nodes.client(1);
    for some in names.iter().collect::<Vec<_>>().chunks(500) {
        let lines: String = some.iter().map(|name| format!("SET {name} v\r\n")).collect();
        client.send(lines.as_bytes()).expect("it is taken");
        some.iter().for_each(|name| assert!(client.read().expect("a reply").is_ok(), "{name}"));
    }
    let (stop, scans) = (Stop::new(), AtomicU64::new(0));
    thread::scope(|scope| {
        for node in 1..=NODES {
            let (stop, scans, names) = (&stop, &scans, &names);
            scope.spawn(move || {
                let mut client = nodes.client(node);
                while !stop.told() {
                    let found = scan(&mut client);
                    let missing: Vec<_> = names.difference(&found).take(5).collect();
                    assert!(missing.is_empty(), "not found through node {node}: {missing:?}");
                    assert_eq!(found.len(), names.len(), "through node {node}");
                    scans.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _ended = stop.at_end();
        for round in 0..40 {
            let to = if round % 2 == 0 { "2" } else { "1" };
            ctl(nodes, &["move", "0-8191", to, "--wait"]);
            if round >= 8 && scans.load(Ordering::Relaxed) >= 12 {
                break;
            }
        }
    });
    let scans = scans.into_inner();
    assert!(scans >= 12, "only {scans} scans during the moves");
    adds_up(nodes, keys);
}
