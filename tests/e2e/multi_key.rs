//! Many keys and many commands at once, over all buckets and both groups.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::nodes::NODES;
use crate::reply::Reply;
use crate::resp::{Client, request};

#[test]
fn the_plain_port_splits_many_keys() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    let keys: Vec<String> = (0..300).map(|n| format!("many:{n}")).collect();
    let mut mset = vec!["MSET"];
    let values: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for (key, value) in keys.iter().zip(&values) {
        mset.extend([key.as_str(), value]);
    }
    assert!(client.command(&mset).is_ok());
    for node in 1..=NODES {
        let mut client = cluster.client(node);
        let mut mget = vec!["MGET", "many:none"];
        mget.extend(keys.iter().map(String::as_str));
        let reply = client.command(&mget);
        assert_eq!(reply.items()[0], Reply::Nil);
        let got: Vec<String> = reply.items()[1..].iter().map(Reply::text).collect();
        assert_eq!(got, values, "through node {node}");
    }
    let with = |command: &'static str| -> Vec<&str> {
        std::iter::once(command)
            .chain(keys.iter().map(String::as_str))
            .chain(["many:none"])
            .collect()
    };
    assert_eq!(client.command(&with("EXISTS")), Reply::Integer(300));
    assert_eq!(client.command(&with("TOUCH")), Reply::Integer(300));
    assert_eq!(client.command(&with("DEL")), Reply::Integer(300));
    assert_eq!(client.command(&with("UNLINK")), Reply::Integer(0));
}

#[test]
fn what_needs_one_bucket_says_crossslot() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    assert!(client.line("SET cross:a v").is_ok());
    for line in ["RENAME cross:a cross:b", "COPY cross:a cross:b"] {
        let reply = client.line(line);
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("CROSSSLOT")),
            "{line}: {reply}"
        );
    }
    let mut client = cluster.cluster_client(1);
    for line in ["MGET cross:a cross:b", "MSET cross:a 1 cross:b 2", "DEL cross:a cross:b"] {
        let reply = client.line(line);
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("CROSSSLOT")),
            "{line}: {reply}"
        );
    }
}

#[test]
fn replies_of_a_pipeline_come_in_its_order() {
    let cluster = Cluster::shared();
    for node in 1..=NODES {
        let mut client = cluster.client(node);
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for n in 0..500 {
            // Reads and writes, both groups, local and remote leaders, errors and unknown commands in between.
            let key = format!("pipe:{node}:{}", n % 50);
            bytes.extend(request(&[b"SET", key.as_bytes(), n.to_string().as_bytes()]));
            expected.push(Reply::Simple("OK".into()));
            bytes.extend(request(&[b"GET", key.as_bytes()]));
            expected.push(Reply::Bulk(n.to_string().into_bytes()));
            bytes.extend(request(&[b"INCR", key.as_bytes()]));
            expected.push(Reply::Integer(n + 1));
            bytes.extend(request(&[b"ECHO", n.to_string().as_bytes()]));
            expected.push(Reply::Bulk(n.to_string().into_bytes()));
            bytes.extend(request(&[b"STRLEN"]));
            expected
                .push(Reply::Error("ERR wrong number of arguments for 'strlen' command".into()));
            bytes.extend(request(&[b"STRLEN", key.as_bytes()]));
            expected.push(Reply::Integer((n + 1).to_string().len() as i64));
        }
        let mut sender = cluster.client(node);
        std::mem::swap(&mut sender, &mut client);
        sender.send(&bytes).expect("taken");
        for (at, expected) in expected.into_iter().enumerate() {
            assert_eq!(sender.read().expect("a reply"), expected, "reply {at} through node {node}");
        }
    }
}

#[test]
fn a_scan_gives_every_key_once() {
    let cluster = Cluster::start();
    let all: BTreeSet<String> = (0..1500).map(|n| format!("scan:{n}")).collect();
    let mut client = cluster.client(1);
    for key in &all {
        assert!(client.command(&["SET", key, "v"]).is_ok());
    }
    assert_eq!(client.line("DBSIZE"), Reply::Integer(1500));
    assert_eq!(client.line("KEYS scan:1*").items().len(), 611);
    for node in 1..=NODES {
        assert_eq!(scan(&mut cluster.client(node), &["COUNT", "100"]), all, "through node {node}");
    }
    let some = scan(&mut client, &["MATCH", "scan:12*"]);
    assert_eq!(some.len(), 111, "{some:?}");
    // A cursor is good on any node.
    let mut cursor = "0".to_owned();
    let mut seen = BTreeSet::new();
    for step in 0.. {
        let reply = cluster.client(step % NODES + 1).command(&["SCAN", &cursor, "COUNT", "50"]);
        seen.extend(reply.items()[1].items().iter().map(Reply::text));
        cursor = reply.items()[0].text();
        if cursor == "0" {
            break;
        }
        assert!(step < 5000, "the scan does not end");
    }
    assert_eq!(seen, all);

    // The cluster ports sum to the whole.
    let parts: i64 =
        (1..=NODES).map(|node| cluster.cluster_client(node).line("DBSIZE").integer()).sum();
    assert_eq!(parts, 1500);
    assert!(client.line("FLUSHALL").is_ok());
    for node in 1..=NODES {
        assert_eq!(cluster.client(node).line("DBSIZE"), Reply::Integer(0));
        assert_eq!(scan(&mut cluster.client(node), &[]), BTreeSet::new());
    }
}

/// A whole scan; a key that comes twice is an error here, where nothing changes meanwhile.
fn scan(client: &mut Client, options: &[&str]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut cursor = "0".to_owned();
    for _ in 0..50_000 {
        let mut words = vec!["SCAN", cursor.as_str()];
        words.extend(options);
        let reply = client.command(&words);
        for key in reply.items()[1].items() {
            assert!(seen.insert(key.text()), "{key} came twice");
        }
        cursor = reply.items()[0].text();
        if cursor == "0" {
            return seen;
        }
    }
    panic!("the scan does not end");
}
