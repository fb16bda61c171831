//! Nodes that come and go while the cluster runs: a fourth one asks to be taken in, holds replicas, is emptied, and
//! is gone for good.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::newcomer::{LIMIT, Newcomer, asked, ran, wait_for_table};
use crate::outside;
use crate::resp::Client;

#[test]
fn a_fourth_node_joins_takes_over_a_place_and_goes_for_good() {
    let cluster = Cluster::start();
    let mut client = cluster.client(1);
    for n in 0..200 {
        assert!(client.command(&["SET", &format!("join:{n}"), &n.to_string()]).is_ok());
    }
    let mut fourth = Newcomer::start(&cluster, 4);
    wait_for_table(&cluster, "the table has four nodes", |table| {
        table["nodes"].as_array().is_some_and(|nodes| nodes.len() == 4)
    });
    // It serves the whole keyspace, and holds nothing of it.
    let deadline = Instant::now() + LIMIT;
    while fourth.client().command(&["GET", "join:7"]).is_error() {
        assert!(Instant::now() < deadline, "the newcomer routes: {}", fourth.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(fourth.client().command(&["GET", "join:7"]).text(), "7");

    // A group is founded on it and two others; with it, one of these may go.
    ran(&cluster, &["--timeout", "60", "group", "create", "3", "--replicas", "2,3,4", "--wait"]);
    let drained = ran(&cluster, &["--timeout", "120", "node", "drain", "3", "--wait"]);
    assert!(drained["groups"].as_array().is_some_and(|groups| groups.len() == 4), "{drained}");
    for n in 0..200 {
        let reply = fourth.client().command(&["GET", &format!("join:{n}")]);
        assert_eq!(reply.text(), n.to_string(), "{}", fourth.log());
    }

    // It remembers where it belongs.
    fourth.kill();
    fourth.run();
    let deadline = Instant::now() + LIMIT;
    loop {
        let again = Client::connect(&fourth.plain())
            .and_then(|mut client| client.try_command(&[b"GET", b"join:9"]));
        match again {
            Ok(reply) if !reply.is_error() => break assert_eq!(reply.text(), "9"),
            other => assert!(Instant::now() < deadline, "{other:?}: {}", fourth.log()),
        }
        std::thread::sleep(Duration::from_millis(100));
    }

    ran(&cluster, &["--timeout", "60", "node", "remove", "3"]);
    let table = ran(&cluster, &["query"]);
    let nodes: Vec<u64> = table["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["id"].as_u64())
        .collect();
    assert_eq!(nodes, [1, 2, 4]);
    let refused = asked(&cluster, &["node", "drain", "4"]);
    assert_eq!(refused.status.code(), Some(2), "{}", outside::text(&refused));

    // Its id is gone with it, whatever disk comes under it.
    let mut thief = Newcomer::start(&cluster, 3);
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        let child = thief.child.as_mut().expect("it was started");
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            break status;
        }
        assert!(Instant::now() < deadline, "it goes on: {}", thief.log());
        std::thread::sleep(Duration::from_millis(100));
    };
    // The cluster says so in one of two ways: where it asks to be let in, or as soon as it connects.
    let log = thief.log();
    assert!(
        !status.success() && log.contains("n3 was removed") && log.contains("a new id"),
        "{log}"
    );
}
