//! `CLUSTER …` tells the truth: what it says of each bucket is what the cluster ports do.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::nodes::{NODES, Nodes};
use crate::reply::Reply;
use crate::resp::{Client, slot};

const SLOTS: usize = 16_384;

/// Which port serves each slot, by `CLUSTER SLOTS` of one connection. All nodes must stand in it, each either as a
/// master or as a replica.
fn masters(client: &mut Client) -> Vec<u16> {
    let mut ports = vec![0u16; SLOTS];
    let (mut leading, mut following) = (BTreeSet::new(), BTreeSet::new());
    for range in client.line("CLUSTER SLOTS").items() {
        let items = range.items();
        let (from, to) = (items[0].integer() as usize, items[1].integer() as usize);
        assert!(from <= to && to < SLOTS, "{range}");
        for server in &items[2..] {
            assert_eq!(server.items()[0].text(), "127.0.0.1", "{range}");
            assert_eq!(server.items()[2].text().len(), 40, "a node id is 40 characters: {range}");
        }
        leading.insert(items[2].items()[1].integer());
        following.extend(items[3..].iter().map(|server| server.items()[1].integer()));
        for port in &mut ports[from..=to] {
            assert_eq!(*port, 0, "a slot stands in two ranges: {range}");
            *port = items[2].items()[1].integer() as u16;
        }
    }
    assert!(ports.iter().all(|&port| port != 0), "every slot is served");
    ports
}

#[test]
fn slots_name_the_nodes_that_answer() {
    let cluster = Cluster::shared();
    let ports = masters(&mut cluster.client(1));
    for node in 1..=NODES {
        assert_eq!(masters(&mut cluster.client(node)), ports, "plain port of node {node}");
        assert_eq!(
            masters(&mut cluster.cluster_client(node)),
            ports,
            "cluster port of node {node}"
        );
    }
    let leading: BTreeSet<u16> = ports.iter().copied().collect();
    assert!(leading.len() >= 2, "two groups are led by two nodes: {leading:?}");

    for n in 0..200 {
        let key = format!("truth:{n}");
        let expected = ports[usize::from(slot(&key))];
        for node in 1..=NODES {
            let port = cluster.ports.redis + 1000 + node - 1;
            let reply = cluster.cluster_client(node).command(&["GET", &key]);
            if port == expected {
                assert_eq!(reply, Reply::Nil, "{key} on node {node}");
            } else {
                let moved = format!("MOVED {} 127.0.0.1:{expected}", slot(&key));
                assert_eq!(reply, Reply::Error(moved), "{key} on node {node}");
            }
        }
    }
}

#[test]
fn shards_say_the_same() {
    let cluster = Cluster::shared();
    let ports = masters(&mut cluster.client(1));
    let mut seen = vec![0u16; SLOTS];
    for shard in cluster.client(2).line("CLUSTER SHARDS").items() {
        let nodes = shard.get("nodes").expect("nodes").items();
        let masters: Vec<&Reply> = nodes
            .iter()
            .filter(|node| node.get("role").expect("a role").text() == "master")
            .collect();
        let slots = shard.get("slots").expect("slots").items();
        if slots.is_empty() {
            continue;
        }
        assert_eq!(masters.len(), 1, "{shard}");
        for node in nodes {
            for field in ["id", "port", "ip", "endpoint", "role", "replication-offset", "health"] {
                assert!(node.get(field).is_some(), "no {field} in {node}");
            }
        }
        for range in slots.chunks(2) {
            for slot in range[0].integer()..=range[1].integer() {
                seen[slot as usize] = masters[0].get("port").expect("a port").integer() as u16;
            }
        }
    }
    assert_eq!(seen, ports);
}

#[test]
fn nodes_say_the_same() {
    let cluster = Cluster::shared();
    let ports = masters(&mut cluster.client(1));
    let mut ids = BTreeSet::new();
    for node in 1..=NODES {
        let mut client = cluster.cluster_client(node);
        let own = client.line("CLUSTER MYID").text();
        assert_eq!(own.len(), 40, "{own}");
        assert!(ids.insert(own.clone()), "two nodes have one id");
        let text = client.line("CLUSTER NODES").text();
        assert_eq!(text.lines().count(), usize::from(NODES), "{text}");
        let mut seen = vec![0u16; SLOTS];
        let mut masters = BTreeSet::new();
        let mut follows = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            assert!(fields.len() >= 8, "{line}");
            let (address, bus) = fields[1].split_once('@').expect("address@bus");
            let port: u16 = address.rsplit_once(':').expect("host:port").1.parse().expect("a port");
            assert!(bus.split(',').next().expect("a bus port").parse::<u16>().is_ok(), "{line}");
            let flags: Vec<&str> = fields[2].split(',').collect();
            assert_eq!(flags.contains(&"myself"), fields[0] == own, "{line}");
            assert_eq!(fields[7], "connected", "{line}");
            if flags.contains(&"master") {
                assert_eq!(fields[3], "-", "{line}");
                masters.insert(fields[0].to_owned());
                assert!(fields.len() > 8, "a master leads buckets: {line}");
            } else {
                assert!(flags.contains(&"slave"), "{line}");
                assert_eq!(fields.len(), 8, "a replica leads none: {line}");
                follows.push(fields[3].to_owned());
            }
            for range in &fields[8..] {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                let slot = |text: &str| text.parse::<usize>().expect("a slot");
                seen[slot(from)..=slot(to)].fill(port);
            }
        }
        assert_eq!(seen, ports, "as node {node} says");
        assert!(follows.iter().all(|id| masters.contains(id)), "replicas follow masters: {text}");
    }
}

#[test]
fn info_and_keyslot() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(3);
    let text = client.line("CLUSTER INFO").text();
    let fields: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.trim().split_once(':')).collect();
    assert_eq!(fields.get("cluster_enabled").copied().unwrap_or("1"), "1", "{text}");
    assert_eq!(fields["cluster_state"], "ok", "{text}");
    assert_eq!(fields["cluster_slots_assigned"], "16384", "{text}");
    assert_eq!(fields["cluster_slots_ok"], "16384", "{text}");
    assert_eq!(fields["cluster_known_nodes"], "3", "{text}");
    for key in ["foo", "{user}.a", "a{}b", "{}", "123456789", "x{y}{z}"] {
        assert_eq!(
            client.command(&["CLUSTER", "KEYSLOT", key]).integer(),
            i64::from(slot(key)),
            "{key}"
        );
    }
    assert!(client.line("CLUSTER NOSUCH").is_error());
    assert!(client.line("CLUSTER COUNTKEYSINSLOT 16384").is_error());
    assert!(client.line("CLUSTER COUNTKEYSINSLOT -1").is_error());
}

#[test]
fn keys_of_a_slot_are_counted() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    let slot = slot("{count}").to_string();
    for n in 0..7 {
        assert!(client.command(&["SET", &format!("{{count}}:{n}"), "v"]).is_ok());
    }
    for node in 1..=NODES {
        let count = cluster.client(node).command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]);
        assert_eq!(count, Reply::Integer(7), "through node {node}");
    }
}

#[test]
fn the_cluster_port_takes_what_cluster_clients_send() {
    let cluster = Cluster::shared();
    let mut client = cluster.cluster_client(1);
    for line in ["READONLY", "READWRITE", "ASKING"] {
        assert!(client.line(line).is_ok(), "{line}");
    }
    assert_eq!(client.line("PING"), Reply::Simple("PONG".into()));
    assert_eq!(client.line("SELECT 0"), Reply::Simple("OK".into()));
}

#[test]
fn the_truth_follows_a_new_leader() {
    let cluster = Cluster::start();
    let status = cluster.status();
    let leader =
        status.data_groups().find_map(|group| group.leader).expect("a data group has a leader");
    let gone = cluster.ports.redis + 1000 + leader - 1;
    cluster.kill(leader);
    let other = leader % NODES + 1;
    let after = cluster.wait_for_status(
        "the survivors lead everything",
        std::time::Duration::from_secs(20),
        |now| now.groups.iter().all(|group| group.leader.is_some_and(|node| node != leader)),
    );
    assert!(after.data_groups().count() > 0);
    let survivors =
        |nodes: &Nodes| -> bool { !all_masters(&mut nodes.client(other)).contains(&gone) };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !survivors(&cluster) {
        assert!(std::time::Instant::now() < deadline, "CLUSTER SLOTS still names the dead node");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Ports of all masters, without the checks of `masters`, which need every node alive.
fn all_masters(client: &mut Client) -> BTreeSet<u16> {
    let reply = client.line("CLUSTER SLOTS");
    reply.items().iter().map(|range| range.items()[2].items()[1].integer() as u16).collect()
}
