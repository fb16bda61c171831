//! A leader whose own disk keeps its log waiting does not go on leading: its clients would wait for it although the
//! other replicas are quick.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::resp::Client;
use crate::tracer::Tracer;

/// A data group's leader, and a key of one of its groups.
fn led_key(cluster: &Nodes) -> (u16, String) {
    let status = cluster.wait_until_whole(Duration::from_secs(30));
    let leader = status.data_groups().find_map(|group| group.leader).expect("there is a leader");
    (leader, cluster.key_led_by(leader).expect("it answers for something"))
}

/// Writes through `client` until a write took no longer than 150 ms; how long that went on.
fn until_quick(client: &mut Client, key: &str, limit: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let reply = client.command(&["SET", key, "v"]);
        if reply.is_ok() && asked.elapsed() < Duration::from_millis(150) {
            return asked - begun;
        }
        assert!(begun.elapsed() < limit, "no quick write within {limit:?}: {reply}");
    }
}

#[test]
fn a_leader_whose_syncs_are_slow_hands_over_and_gets_the_lead_back_when_they_are_not() {
    let cluster = Cluster::start_alone();
    let (leader, key) = led_key(&cluster);
    let other = leader % NODES + 1;
    let mut client = cluster.client(other);
    assert!(client.command(&["SET", &key, "v"]).is_ok());
    // Slow enough to be no place for a lead, and quick enough to stay a member.
    let delay = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=650000"];
    let Some(slow) = Tracer::attach(cluster.process(leader), &delay) else {
        return;
    };
    let took = until_quick(&mut client, &key, Duration::from_secs(10));
    println!("quick again after {took:?} with a slow disk");
    cluster.wait_for_status("it leads nothing", Duration::from_secs(10), |status| {
        status.groups.iter().all(|group| group.leader.is_some_and(|node| node != leader))
    });
    assert_eq!(samples(&cluster, leader)["eraft_disk_slow"], 1.0);
    // It is preferred, and gets nothing back as long as it is slow.
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        assert_eq!(cluster.status().leads(leader), 0, "it leads again with a slow disk");
        let asked = Instant::now();
        assert!(client.command(&["SET", &key, "v"]).is_ok());
        assert!(asked.elapsed() < Duration::from_millis(400), "a write took {:?}", asked.elapsed());
    }
    drop(slow);
    cluster.wait_for_status("it has its lead back", Duration::from_secs(40), |status| {
        status.leads(leader) > 0
    });
}

#[test]
fn a_leader_whose_syncs_do_not_end_is_replaced() {
    let cluster = Cluster::start_alone();
    let (leader, key) = led_key(&cluster);
    let mut client = cluster.client(leader % NODES + 1);
    assert!(client.command(&["SET", &key, "v"]).is_ok());
    let stuck = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=30000000"];
    let Some(_stuck) = Tracer::attach(cluster.process(leader), &stuck) else {
        return;
    };
    let took = until_quick(&mut client, &key, Duration::from_secs(12));
    println!("quick again after {took:?} with a disk that is stuck");
    cluster.wait_for_status("it leads nothing", Duration::from_secs(10), |status| {
        status.groups.iter().all(|group| group.leader.is_some_and(|node| node != leader))
    });
}
