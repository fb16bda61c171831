//! `query`: a version of the config table.

use crate::answer::{Answer, Trouble, print, print_json, say};
use crate::reach::Reach;
use eraft::ids::{GroupId, TableVersion};
use eraft::net::message::TableAnswer;
use eraft::shard::{Bounds, Table};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    config: u64,
    cluster: String,
    groups: Vec<Group>,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Group {
    id: u32,
    /// Ranges, both ends included, as Redis writes them.
    buckets: Vec<String>,
    bucket_count: u32,
    preferred_leader: u32,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Server {
    node: u32,
    redis: String,
    cluster_port: String,
}

#[derive(Serialize)]
struct Node {
    id: u32,
    quic: String,
    redis: String,
    cluster_port: String,
    http: String,
    zone: Option<String>,
}

/// Asks, and prints.
pub(crate) async fn run(reach: &Reach, version: Option<TableVersion>) -> Result<Answer, Trouble> {
    let table = match reach.client().await?.table(version).await? {
        TableAnswer::Found(table) => table,
        TableAnswer::NoSuchVersion { oldest, newest } => {
            let asked = version.map_or(0, |version| version.0);
            say(&format!(
                "there is no version {asked} of the config table; versions {} to {} are kept",
                oldest.0, newest.0
            ));
            return Ok(Answer::No);
        }
    };
    let document = document(&table);
    if reach.json {
        print_json(&document)?;
    } else {
        print(text(&document))?;
    }
    Ok(Answer::Yes)
}

fn document(table: &Table) -> Document {
    let group = |(id, info): (&GroupId, &eraft::shard::GroupInfo)| Group {
        id: id.0,
        buckets: table
            .owners
            .ranges_of(*id, Bounds::Actual)
            .iter()
            .map(ToString::to_string)
            .collect(),
        bucket_count: table.bucket_count(*id),
        preferred_leader: info.preferred_leader.0,
        servers: info
            .replicas
            .iter()
            .filter_map(|node| Some((node, table.nodes.get(node)?)))
            .map(|(node, info)| Server {
                node: node.0,
                redis: info.redis.clone(),
                cluster_port: info.cluster_port.clone(),
            })
            .collect(),
    };
    let node = |(id, info): (&eraft::ids::NodeId, &eraft::shard::NodeInfo)| Node {
        id: id.0,
        quic: info.quic.clone(),
        redis: info.redis.clone(),
        cluster_port: info.cluster_port.clone(),
        http: info.http.clone(),
        zone: info.zone.clone(),
    };
    Document {
        config: table.version.0,
        cluster: table.cluster.to_string(),
        groups: table.groups.iter().map(group).collect(),
        nodes: table.nodes.iter().map(node).collect(),
    }
}

fn text(document: &Document) -> String {
    let mut text = format!("Config #{}\n  Buckets:", document.config);
    for group in document.groups.iter().filter(|group| group.id != 0) {
        let ranges = if group.buckets.is_empty() { "none".into() } else { group.buckets.join(",") };
        text.push_str(&format!("\n    {}: {ranges} ({} buckets)", group.id, group.bucket_count));
    }
    text.push_str("\n  Groups:");
    for group in &document.groups {
        let servers: Vec<&str> = group.servers.iter().map(|server| &*server.redis).collect();
        let config = if group.id == 0 { " (config)" } else { "" };
        text.push_str(&format!("\n    {}: [{}]{config}", group.id, servers.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use eraft::ids::{ClusterId, Incarnation, NodeId};
    use eraft::shard::{Founder, InitPlan, NodeInfo, ReplicatedLimits};

    #[test]
    fn the_text_says_who_owns_what_and_where() {
        let founder = |node: u32| Founder {
            node: NodeId(node),
            info: NodeInfo {
                incarnation: Incarnation(node.into()),
                quic: format!("h{node}:1"),
                redis: format!("h{node}:2"),
                cluster_port: format!("h{node}:3"),
                http: format!("h{node}:4"),
                zone: None,
            },
        };
        let plan = InitPlan {
            cluster: ClusterId([1; 16]),
            hash_key: [0; 16],
            founders: vec![founder(1), founder(2), founder(3)],
            data_groups: 2,
            replication: u32::MAX,
            limits: ReplicatedLimits::default(),
        };
        let document = document(&Table::found(&plan).unwrap());
        let lines = [
            "Config #1",
            "  Buckets:",
            "    1: 0-8191 (8192 buckets)",
            "    2: 8192-16383 (8192 buckets)",
            "  Groups:",
            "    0: [h1:2, h2:2, h3:2] (config)",
            "    1: [h1:2, h2:2, h3:2]",
            "    2: [h1:2, h2:2, h3:2]",
        ];
        assert_eq!(text(&document), lines.join("\n"));
    }
}
