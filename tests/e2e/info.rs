//! `INFO`, and `SHARDGROUP QUERY` as the original program had it.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::nodes::NODES;
use crate::reply::Reply;

#[test]
fn info_has_the_fields_that_clients_read() {
    let cluster = Cluster::shared();
    for node in 1..=NODES {
        let text = cluster.client(node).line("INFO").text();
        let fields: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        for field in [
            "redis_version",
            "redis_mode",
            "tcp_port",
            "uptime_in_seconds",
            "connected_clients",
            "role",
        ] {
            assert!(fields.contains_key(field), "no {field} in\n{text}");
        }
        let version: Vec<u32> =
            fields["redis_version"].split('.').filter_map(|part| part.parse().ok()).collect();
        assert!(version.len() == 3 && version[0] >= 7, "{}", fields["redis_version"]);
        assert_eq!(fields["process_id"].parse(), Ok(cluster.process(node)), "{text}");
        assert!(text.contains("# Server\r\n"), "{text}");
    }
    let one = cluster.client(1).line("INFO server").text();
    assert!(one.contains("redis_version:") && !one.contains("# Clients"), "{one}");
    assert_eq!(cluster.client(1).line("INFO nosuchsection").text().trim(), "");
}

#[test]
fn info_lists_each_server_of_each_group() {
    let cluster = Cluster::shared();
    let text = cluster.client(2).line("INFO").text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("server_id")).collect();
    // The config group and two data groups, on three nodes.
    assert_eq!(lines.len(), 9, "{text}");
    assert_eq!(lines.iter().filter(|line| line.contains("Leader")).count(), 3, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("Running")).count(), 9, "{lines:?}");
}

#[test]
fn info_shows_a_dead_node_as_down() {
    let cluster = Cluster::start();
    cluster.kill(3);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    loop {
        let text = cluster.client(1).line("INFO").text();
        let down =
            text.lines().filter(|line| line.contains("server_id") && line.contains("Down")).count();
        if down == 3 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{down} servers are down in\n{text}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn shardgroup_query_lists_the_groups() {
    let cluster = Cluster::shared();
    let reply = cluster.client(1).line("SHARDGROUP QUERY");
    let text = reply.to_string();
    assert!(matches!(reply, Reply::Array(_)), "{text}");
    for node in 1..=NODES {
        let port = (cluster.ports.redis + node - 1).to_string();
        let cluster_port = (cluster.ports.redis + 1000 + node - 1).to_string();
        assert!(
            text.contains(&port) || text.contains(&cluster_port),
            "no address of node {node} in {text}"
        );
    }
    // The buckets are spread evenly over two groups.
    assert!(text.contains("8191") && text.contains("8192") && text.contains("16383"), "{text}");
    assert!(cluster.client(1).line("SHARDGROUP NOSUCH").is_error());
}
