//! What clients are told of small clusters, word for word.

use super::*;
use crate::ids::{Bucket, GroupId, NodeId, Term};
use crate::limits::BUCKETS;
use crate::shard::owners::{BucketRange, Owner};
use crate::shard::plan::InitPlan;
use crate::shard::plan::tests::plan;
use crate::shard::table::Table;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The view of node 1 on a cluster of which `alive` live and `leaders` (group, node) lead in term 4.
fn view(table: Table, alive: &[u32], leaders: &[(u32, u32)]) -> ClusterView {
    let state = |&(group, node): &(u32, u32)| {
        (GroupId(group), GroupState { term: Term(4), leader: Some(NodeId(node)) })
    };
    let alive = alive.iter().copied().map(NodeId).collect();
    ClusterView::new(Arc::new(table), NodeId(1), alive, leaders.iter().map(state).collect())
}

fn table(nodes: u32, groups: u32) -> Table {
    Table::found(&plan(nodes, groups)).expect("a good plan")
}

/// `n1: 0-5 n2` for a range led by node 1 with node 2 as replica.
fn slots_text(view: &ClusterView) -> Vec<String> {
    let line = |slots: &SlotRange| {
        let replicas: Vec<String> = slots.replicas.iter().map(|r| r.node.to_string()).collect();
        let text = format!(
            "{}: {}-{} {}",
            slots.master.node,
            slots.from.0,
            slots.to.0,
            replicas.join(" ")
        );
        text.trim_end().to_owned()
    };
    view.slots().iter().map(line).collect()
}

#[test]
fn three_nodes_two_groups_as_redis_would_tell_it() {
    let view = view(table(3, 2), &[1, 2, 3], &[(0, 3), (1, 1), (2, 2)]);
    let cluster = "c1".repeat(16);
    assert_eq!(
        view.nodes_text(),
        format!(
            "00000001{cluster} 127.0.0.1:7379@6379 myself,master - 0 0 5 connected 0-8191\n\
             00000002{cluster} 127.0.0.1:7380@6380 master - 0 0 5 connected 8192-16383\n\
             00000003{cluster} 127.0.0.1:7381@6381 slave 00000001{cluster} 0 0 5 connected\n"
        )
    );
    assert_eq!(slots_text(&view), ["n1: 0-8191 n3", "n2: 8192-16383 n3"]);
    assert_eq!(
        view.info_text(Traffic { sent: 8, received: 9 }),
        "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:3\r\n\
         cluster_size:2\r\ncluster_current_epoch:13\r\ncluster_my_epoch:5\r\n\
         cluster_stats_messages_sent:8\r\ncluster_stats_messages_received:9\r\n\
         total_cluster_links_buffer_limit_exceeded:0\r\n"
    );
    let shards = view.shards();
    assert_eq!(shards.len(), 2);
    assert_eq!(shards[0].ranges[0].to_string(), "0-8191");
    let told = |shard: &Shard| -> Vec<(u32, &str, &str)> {
        shard.nodes.iter().map(|n| (n.endpoint.node.0, n.role, n.health)).collect()
    };
    assert_eq!(told(&shards[0]), [(1, "master", "online"), (3, "replica", "online")]);
    assert_eq!(told(&shards[1]), [(2, "master", "online")]);
    assert_eq!(view.my_id(), format!("00000001{cluster}"));
    assert_eq!(view.replica_lines(NodeId(1)).len(), 1);
    assert_eq!(view.replica_lines(NodeId(2)), [""; 0]);
    assert_eq!(view.node_of_id(&format!("00000002{cluster}")), Some(NodeId(2)));
    assert_eq!(view.node_of_id("00000002"), None);
}

#[test]
fn buckets_without_a_living_leader_are_left_out() {
    // Nobody has told who leads group 1 since node 2 died.
    for leaders in [&[(0, 3), (2, 3)][..], &[(0, 3), (1, 2), (2, 3)][..]] {
        let view = view(table(3, 2), &[1, 3], leaders);
        assert_eq!(slots_text(&view), ["n3: 8192-16383 n1"]);
        let info = view.info_text(Traffic::default());
        assert!(info.contains("cluster_state:fail\r\n"));
        assert!(info.contains("cluster_slots_ok:8192\r\n"));
        assert!(info.contains("cluster_slots_fail:8192\r\n"));
        assert!(info.contains("cluster_size:1\r\n"));
        let nodes = view.nodes_text();
        let lines: Vec<&str> = nodes.lines().collect();
        assert!(lines[0].contains(" myself,slave 00000003"), "{nodes}");
        assert!(lines[1].contains(" slave,fail 00000003"), "{nodes}");
        assert!(lines[1].ends_with(" disconnected"), "{nodes}");
        assert_eq!(view.route(Bucket(0)), BucketRoute::NoLeader(GroupId(1)));
        let BucketRoute::There(group, endpoint) = view.route(Bucket(8192)) else {
            panic!("node 3 leads it");
        };
        assert_eq!((group, endpoint.to_string().as_str()), (GroupId(2), "127.0.0.1:7381"));
    }
}

#[test]
fn a_cluster_without_any_leader_still_answers() {
    let view = view(table(3, 2), &[], &[]);
    assert!(view.slots().is_empty());
    let shards = view.shards();
    assert_eq!((shards.len(), shards[0].ranges.len(), shards[0].nodes.len()), (1, 0, 3));
    assert!(
        view.nodes_text().lines().all(|line| line.contains("slave") && line.contains(" - 0 0 "))
    );
    assert!(view.info_text(Traffic::default()).contains("cluster_size:0\r\n"));
}

#[test]
fn one_leader_of_all_is_one_range() {
    let view = view(table(3, 8), &[1, 2, 3], &(0..9).map(|group| (group, 1)).collect::<Vec<_>>());
    assert_eq!(slots_text(&view), ["n1: 0-16383 n2 n3"]);
    assert!(view.nodes_text().lines().next().is_some_and(|line| line.ends_with(" 0-16383")));
    assert_eq!(view.route(Bucket(16_383)), BucketRoute::Here(GroupId(8)));
}

#[test]
fn a_node_follows_the_leader_of_most_of_its_buckets() {
    // Five nodes, three replicas each: group 1 on 1 2 3, group 2 on 1 4 5, group 3 on 2 3 4.
    let founding = InitPlan { replication: 3, ..plan(5, 3) };
    let mut table = Table::found(&founding).expect("a good plan");
    let hole = BucketRange { first: Bucket(0), last: Bucket(999) };
    table.owners.set(hole, Owner { desired: Some(GroupId(1)), actual: None });
    let view = view(table, &[1, 2, 3, 4, 5], &[(1, 2), (2, 1), (3, 2)]);
    let nodes = view.nodes_text();
    let lines: Vec<&str> = nodes.lines().collect();
    assert!(lines[2].contains(" slave 00000002"), "{nodes}");
    assert!(lines[3].contains(" slave 00000002"), "one of each; group 3 is larger: {nodes}");
    assert!(lines[4].contains(" slave 00000001"), "{nodes}");
    assert_eq!(view.route(Bucket(500)), BucketRoute::NoOwner);
    let info = view.info_text(Traffic::default());
    assert!(info.contains("cluster_state:fail\r\ncluster_slots_assigned:15384\r\n"), "{info}");
    assert!(info.contains("cluster_slots_fail:0\r\n"), "{info}");
}

#[test]
fn hosts_are_told_without_brackets() {
    let mut founding = plan(3, 2);
    founding.founders[1].info.cluster_port = "[::1]:7380".into();
    let table = Table::found(&founding).expect("a good plan");
    let view = view(table, &[1, 2, 3], &[(1, 1), (2, 2)]);
    assert!(view.nodes_text().contains(" ::1:7380@6380 "));
    assert_eq!(view.slots()[1].master.host, "::1");
}

#[test]
fn the_words_of_the_original() {
    let view = view(table(3, 2), &[1, 2], &[(0, 2), (1, 1), (2, 2)]);
    let words = view.shardgroup_words().join(" ");
    assert_eq!(
        words,
        "shardgroup 1 servers 1 127.0.0.1:6379 2 127.0.0.1:6380 3 127.0.0.1:6381 buckets 0-8191 \
         shardgroup 2 servers 1 127.0.0.1:6379 2 127.0.0.1:6380 3 127.0.0.1:6381 buckets 8192-16383"
    );
    let text = view.servers_text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 6 + 2 * 4 + 1);
    assert_eq!(lines[0], "meta server: ");
    assert_eq!(
        lines[1],
        "server_id: 1,server_address: 127.0.0.1:6379,status: Running,Role: Follower"
    );
    assert_eq!(
        lines[3],
        "server_id: 2,server_address: 127.0.0.1:6380,status: Running,Role: Leader"
    );
    assert_eq!(lines[5], "server_id: 3,server_address: 127.0.0.1:6381,status: Down,Role: Follower");
    assert_eq!(lines[6], "shard group: 1");
    assert_eq!(
        lines[7],
        "server_id: 1,server_address: 127.0.0.1:6379,status: Running,Role: Leader"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_answer_tells_the_same_story(
        nodes in 1u32..8,
        groups in 1u32..9,
        replication in 1u32..4,
        alive in proptest::collection::vec(1u32..8, 0..8),
        leads in proptest::collection::vec(proptest::option::of(1u32..9), 9),
    ) {
        let founding = InitPlan { replication, ..plan(nodes, groups) };
        let table = Table::found(&founding).expect("a good plan");
        let leaders: Vec<(u32, u32)> =
            (0..).zip(leads).filter_map(|(group, node)| Some((group, node?))).collect();
        let view = view(table, &alive, &leaders);
        let mut masters = BTreeMap::new();
        let mut replicas = BTreeSet::new();
        for slots in view.slots() {
            for bucket in slots.from.0..=slots.to.0 {
                prop_assert!(masters.insert(bucket, slots.master.node).is_none(), "served once");
            }
            replicas.extend(slots.replicas.iter().map(|replica| replica.node));
        }
        for bucket in 0..BUCKETS {
            let told = match view.route(Bucket(bucket)) {
                BucketRoute::Here(_) => Some(NodeId(1)),
                BucketRoute::There(_, endpoint) => Some(endpoint.node),
                BucketRoute::NoLeader(_) | BucketRoute::NoOwner => None,
            };
            prop_assert_eq!(told, masters.get(&bucket).copied());
        }
        let heads: BTreeSet<NodeId> = masters.values().copied().collect();
        prop_assert!(heads.is_disjoint(&replicas), "one role per node");
        let shards = view.shards();
        let mut seen: Vec<u32> = Vec::new();
        let mut buckets = 0;
        for shard in &shards {
            seen.extend(shard.nodes.iter().map(|node| node.endpoint.node.0));
            buckets += shard.ranges.iter().map(|range| range.count()).sum::<u32>();
            let mut heads_here = shard.nodes.iter().filter(|node| node.role == "master");
            prop_assert_eq!(heads_here.next().is_some(), !shard.ranges.is_empty());
            prop_assert!(heads_here.next().is_none());
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (1..=nodes).collect::<Vec<u32>>(), "every node once");
        prop_assert_eq!(buckets as usize, masters.len());
        for line in view.nodes_text().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let node = view.node_of_id(fields[0]).expect("an id of ours");
            prop_assert_eq!(fields[0].len(), 40);
            prop_assert_eq!(fields[2].contains("master"), heads.contains(&node));
            prop_assert_eq!(fields.len() > 8, heads.contains(&node));
            prop_assert_eq!(fields[3] == "-", heads.contains(&node) || heads.is_empty());
        }
    }
}
