//! Keys expire on time, through every node, and never come back.

use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::nodes::NODES;
use crate::reply::Reply;

#[test]
fn a_key_is_there_until_its_time_and_not_after() {
    let cluster = Cluster::shared();
    for node in 1..=NODES {
        let key = format!("expiry:{node}");
        let mut writer = cluster.client(node);
        let begun = Instant::now();
        assert!(writer.command(&["SET", &key, "v", "PX", "500"]).is_ok());
        let written = Instant::now();
        let mut readers: Vec<_> = (1..=NODES).map(|n| cluster.client(n)).collect();
        loop {
            let before = begun.elapsed();
            for (at, reader) in readers.iter_mut().enumerate() {
                let reply = reader.command(&["GET", &key]);
                let after = written.elapsed();
                if before < Duration::from_millis(500) && after < Duration::from_millis(480) {
                    assert_eq!(reply, Reply::Bulk(b"v".to_vec()), "node {} at {after:?}", at + 1);
                }
                if before > Duration::from_millis(700) {
                    assert_eq!(reply, Reply::Nil, "node {} at {before:?}", at + 1);
                }
            }
            if begun.elapsed() > Duration::from_millis(900) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn time_left_counts_down() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(2);
    assert!(client.line("SET expiry:ttl v PX 5000").is_ok());
    let first = client.line("PTTL expiry:ttl").integer();
    thread::sleep(Duration::from_millis(600));
    let second = cluster.client(3).line("PTTL expiry:ttl").integer();
    let passed = first - second;
    assert!((450..=1500).contains(&passed), "PTTL fell from {first} to {second} in 600 ms");
}

#[test]
fn expired_keys_leave_without_anyone_asking_for_them() {
    let cluster = Cluster::start();
    let mut client = cluster.client(1);
    for n in 0..200 {
        assert!(client.command(&["SET", &format!("leave:{n}"), "v", "PX", "600"]).is_ok());
    }
    assert!(client.line("SET stays v").is_ok());
    thread::sleep(Duration::from_secs(1));
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let left = client.line("DBSIZE").integer();
        if left == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "DBSIZE is still {left}");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(client.line("KEYS *"), Reply::Array(vec![Reply::Bulk(b"stays".to_vec())]));
}

#[test]
fn an_expired_key_does_not_come_back_with_a_new_leader() {
    let cluster = Cluster::start();
    let status = cluster.status();
    let leader =
        status.data_groups().find_map(|group| group.leader).expect("a data group has a leader");
    let key = cluster.key_led_by(leader).expect("a leader leads buckets");
    let other = leader % NODES + 1;
    let mut client = cluster.client(other);
    assert!(client.command(&["SET", &key, "v", "PX", "300"]).is_ok());
    thread::sleep(Duration::from_millis(500));
    assert_eq!(client.command(&["GET", &key]), Reply::Nil);
    cluster.kill(leader);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // An error ("no leader") is no answer; a value would be wrong.
        match client.command(&["GET", &key]) {
            Reply::Nil => break,
            Reply::Error(text) => assert!(Instant::now() < deadline, "still {text}"),
            other => panic!("{key} came back: {other}"),
        }
    }
    assert_eq!(client.command(&["TTL", &key]), Reply::Integer(-2));
}
