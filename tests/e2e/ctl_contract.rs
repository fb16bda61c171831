//! What `eraftctl` promises to scripts: exit codes, JSON, deadlines.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::ctl::{self, stdout};
use crate::nodes::NODES;
use crate::outside;
use crate::stop::Stop;

#[test]
fn put_get_append_del() {
    let cluster = Cluster::shared();
    let ran = |args: &[&str], code: i32| -> String {
        let output = cluster.ctl(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", outside::text(&output));
        stdout(&output)
    };
    ran(&["put", "ctl:k", "hello"], 0);
    assert_eq!(ran(&["get", "ctl:k"], 0), "hello");
    ran(&["append", "ctl:k", " world"], 0);
    assert_eq!(ran(&["get", "ctl:k"], 0), "hello world");
    assert_eq!(cluster.client(2).line("GET ctl:k").text(), "hello world");
    ran(&["get", "ctl:none"], 1);
    ran(&["del", "ctl:k"], 0);
    ran(&["del", "ctl:k"], 1);
    ran(&["get", "ctl:k"], 1);
}

#[test]
fn json_stands_before_or_behind() {
    let cluster = Cluster::shared();
    for args in
        [&["--json", "status"][..], &["status", "--json"], &["status", "--json", "--timeout", "9"]]
    {
        let output = cluster.ctl(args);
        assert!(output.status.success(), "{args:?}: {}", outside::text(&output));
        let _: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{args:?}: one JSON document: {error}: {}", outside::text(&output))
        });
    }
    let output = cluster.ctl(&["--json", "query"]);
    assert!(output.status.success(), "{}", outside::text(&output));
    let _: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
}

#[test]
fn status_says_how_each_group_stands() {
    let cluster = Cluster::shared();
    let status = cluster.status();
    assert_eq!(status.nodes.len(), usize::from(NODES));
    assert!(status.nodes.iter().all(|node| node.alive), "{status:?}");
    assert!(status.nodes.iter().map(|node| node.id).eq(1..=NODES), "{status:?}");
    for group in &status.groups {
        assert_eq!(group.replicas.len(), usize::from(NODES), "{group:?}");
        let leaders: Vec<u16> =
            group.replicas.iter().filter(|r| r.role == "leader").map(|r| r.node).collect();
        assert_eq!(leaders.first().copied(), group.leader, "{group:?}");
        assert_eq!(leaders.len(), 1, "{group:?}");
        let terms: Vec<u64> = group.replicas.iter().map(|replica| replica.term).collect();
        assert!(terms.iter().all(|term| *term == terms[0] && *term > 0), "{group:?}");
    }
    let table = cluster.ctl(&["status"]);
    assert!(
        table.status.success() && stdout(&table).contains("leader"),
        "{}",
        outside::text(&table)
    );
}

#[test]
fn a_dead_node_is_no_error() {
    let cluster = Cluster::start();
    cluster.kill(1);
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    let status = cluster.status();
    assert!(begun.elapsed() < Duration::from_secs(9), "it took {:?}", begun.elapsed());
    let dead: Vec<u16> =
        status.nodes.iter().filter(|node| !node.alive).map(|node| node.id).collect();
    assert_eq!(dead, [1], "{status:?}");
    let put = cluster.ctl(&["put", "dead:k", "v"]);
    assert!(put.status.success(), "{}", outside::text(&put));
}

#[test]
fn nobody_there_is_trouble_in_time() {
    let cluster = Cluster::shared();
    // A socket that takes datagrams and never answers.
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = deaf.local_addr().expect("an address").to_string();
    let certs = certs_of(&cluster);
    for args in [
        &["--endpoint", &address, "--certs", &certs, "--timeout", "2", "status"][..],
        &["--endpoint", &address, "--certs", &certs, "get", "k", "--timeout", "2"],
    ] {
        let begun = Instant::now();
        let output = ctl::run(args);
        assert_eq!(output.status.code(), Some(2), "{}", outside::text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&address), "it says where it tried: {said}");
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    }
    let nowhere = ctl::in_folder(std::path::Path::new("/nowhere"), &["status"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", outside::text(&nowhere));
    assert!(
        String::from_utf8_lossy(&nowhere.stderr).contains("/nowhere"),
        "{}",
        outside::text(&nowhere)
    );
}

#[test]
fn an_endpoint_with_its_certificates_is_as_good_as_a_folder() {
    let cluster = Cluster::shared();
    let certs = certs_of(&cluster);
    let output =
        ctl::run(&["--endpoint", &cluster.plain(2), "--certs", &certs, "put", "ctl:end", "v"]);
    assert!(output.status.success(), "{}", outside::text(&output));
    assert_eq!(cluster.client(1).line("GET ctl:end").text(), "v");
}

#[test]
fn scan_and_query() {
    let cluster = Cluster::shared();
    for n in 0..30 {
        assert!(cluster.client(1).command(&["SET", &format!("ctlscan:{n}"), "v"]).is_ok());
    }
    let output = cluster.ctl(&["scan", "--match", "ctlscan:*"]);
    assert!(output.status.success(), "{}", outside::text(&output));
    let mut keys: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    keys.sort();
    let mut expected: Vec<String> = (0..30).map(|n| format!("ctlscan:{n}")).collect();
    expected.sort();
    assert_eq!(keys, expected);
    let query = cluster.ctl(&["query"]);
    assert!(query.status.success() && !query.stdout.is_empty(), "{}", outside::text(&query));
    let none = cluster.ctl(&["query", "999999"]);
    assert_eq!(none.status.code(), Some(1), "{}", outside::text(&none));
}

#[test]
fn an_append_is_never_applied_twice() {
    let cluster = Cluster::start_with(crate::gate::half(), &["--restart"]);
    let stop = Stop::new();
    let mut outcomes: Vec<(String, i32)> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                std::thread::sleep(Duration::from_millis(900));
                if stop.told() {
                    return;
                }
                let node = round % NODES + 1;
                if cluster.try_process(node).is_some_and(crate::process::alive) {
                    cluster.kill(node);
                }
            }
        });
        let ended = stop.at_end();
        let begun = Instant::now();
        for n in 0.. {
            if begun.elapsed() > Duration::from_secs(crate::scale::pick(60, 12)) {
                break;
            }
            let token = format!("<{n}>");
            let output = cluster.ctl(&["append", "once:k", &token]);
            outcomes.push((token, output.status.code().unwrap_or(-1)));
        }
        drop(ended);
    });
    cluster.wait_until_whole(Duration::from_secs(60));
    let held = cluster.client(1).line("GET once:k").text();
    let done = outcomes.iter().filter(|(_, code)| *code == 0).count();
    assert!(done >= 10, "only {done} of {} appends succeeded", outcomes.len());
    for (token, code) in &outcomes {
        let count = held.matches(token.as_str()).count();
        match code {
            0 => assert_eq!(count, 1, "{token} was acknowledged and is there {count} times"),
            _ => assert!(count <= 1, "{token} (exit code {code}) is there {count} times"),
        }
    }
}

fn certs_of(cluster: &crate::nodes::Nodes) -> String {
    cluster.folder.join("certs").to_str().expect("a plain name").to_owned()
}
