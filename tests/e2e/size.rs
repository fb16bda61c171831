//! Values up to the limit work end to end; a larger one is refused at its length header, at once.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::nodes::NODES;
use crate::reply::Reply;

const LIMIT: usize = 8 * 1024 * 1024;

#[test]
fn a_value_of_exactly_the_limit() {
    let cluster = Cluster::shared();
    // Not of one letter: a mistake in an offset must show.
    let value: Vec<u8> = (0..LIMIT).map(|i| (i % 251) as u8).collect();
    let reply = cluster.client(1).try_command(&[b"SET", b"size:largest", &value]).expect("a reply");
    assert!(reply.is_ok(), "{reply}");
    for node in 1..=NODES {
        let Ok(Reply::Bulk(held)) = cluster.client(node).try_command(&[b"GET", b"size:largest"])
        else {
            panic!("node {node} gives no value");
        };
        assert!(held == value, "node {node} gives another value, of {} bytes", held.len());
        assert_eq!(
            cluster.client(node).command(&["STRLEN", "size:largest"]),
            Reply::Integer(LIMIT as i64)
        );
    }
    // One more byte would be too much.
    let grown = cluster.client(1).command(&["APPEND", "size:largest", "x"]);
    assert!(grown.is_error(), "APPEND over the limit answered {grown}");
    assert_eq!(
        cluster.client(2).command(&["STRLEN", "size:largest"]),
        Reply::Integer(LIMIT as i64)
    );
    assert_eq!(cluster.client(3).command(&["DEL", "size:largest"]), Reply::Integer(1));
}

#[test]
fn a_larger_value_is_refused_at_its_header() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    let begun = Instant::now();
    // The header alone; the value itself is never sent.
    client
        .send(format!("*3\r\n$3\r\nSET\r\n$8\r\nsize:big\r\n${}\r\n", LIMIT + 1).as_bytes())
        .expect("taken");
    let reply = client.read().expect("an error reply, then the end");
    assert!(
        matches!(&reply, Reply::Error(text) if text.starts_with("ERR value is larger than ")),
        "{reply}"
    );
    assert!(client.closed(), "the connection is closed behind it");
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    assert_eq!(cluster.client(1).command(&["EXISTS", "size:big"]), Reply::Integer(0));
}

#[test]
fn an_empty_value_and_a_long_key() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    assert!(client.command(&["SET", "size:empty", ""]).is_ok());
    assert_eq!(client.command(&["GET", "size:empty"]), Reply::Bulk(Vec::new()));
    let key = format!("size:{}", "k".repeat(20_000));
    assert!(client.command(&["SET", &key, "v"]).is_ok());
    assert_eq!(cluster.client(2).command(&["GET", &key]), Reply::Bulk(b"v".to_vec()));
    let too_long = "k".repeat(100_000);
    let reply = client.command(&["SET", &too_long, "v"]);
    assert!(reply.is_error(), "a key of 100,000 bytes answered {reply}");
    assert_eq!(cluster.client(1).command(&["PING"]), Reply::Simple("PONG".into()));
}
