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
    /// Buckets that do not belong yet to whom they should.
    pending: Vec<Moving>,
    /// Moves that stand still.
    paused: Vec<Paused>,
    /// The limit of moves, bytes per second; none if absent.
    rate: Option<u64>,
}

#[derive(Serialize)]
struct Moving {
    buckets: String,
    bucket_count: u32,
    from: u32,
    to: u32,
    paused: bool,
}

/// A group that is absent stands for all.
#[derive(Serialize)]
struct Paused {
    from: Option<u32>,
    to: Option<u32>,
}

#[derive(Serialize)]
struct Group {
    id: u32,
    /// Ranges, both ends included, as Redis writes them.
    buckets: Vec<String>,
    bucket_count: u32,
    /// How many it should own.
    desired_count: u32,
    /// It takes its share of the buckets.
    joined: bool,
    preferred_leader: u32,
    servers: Vec<Server>,
    observers: Vec<u32>,
    secretaries: Vec<u32>,
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
    /// It is to be emptied.
    draining: bool,
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
        desired_count: table.desired_count(*id),
        joined: info.joined,
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
        observers: info.observers.iter().map(|node| node.0).collect(),
        secretaries: info.secretaries.iter().map(|node| node.0).collect(),
    };
    let node = |(id, info): (&eraft::ids::NodeId, &eraft::shard::NodeInfo)| Node {
        id: id.0,
        quic: info.quic.clone(),
        redis: info.redis.clone(),
        cluster_port: info.cluster_port.clone(),
        http: info.http.clone(),
        zone: info.zone.clone(),
        draining: table.draining.contains(id),
    };
    let moving = |pending: &eraft::shard::Pending| Moving {
        buckets: pending.range.to_string(),
        bucket_count: pending.range.count(),
        from: pending.from.0,
        to: pending.to.0,
        paused: table.moves.is_paused(pending.from, pending.to),
    };
    let paused = |pair: &eraft::shard::Pair| Paused {
        from: pair.from.map(|group| group.0),
        to: pair.to.map(|group| group.0),
    };
    Document {
        config: table.version.0,
        cluster: table.cluster.to_string(),
        groups: table.groups.iter().map(group).collect(),
        nodes: table.nodes.iter().map(node).collect(),
        pending: table.pending().iter().map(moving).collect(),
        paused: table.moves.paused.iter().map(paused).collect(),
        rate: table.moves.bytes_per_second,
    }
}

fn text(document: &Document) -> String {
    let mut text = format!("Config #{}\n  Buckets:", document.config);
    for group in document.groups.iter().filter(|group| group.id != 0) {
        let ranges = if group.buckets.is_empty() { "none".into() } else { group.buckets.join(",") };
        let count = group.bucket_count;
        text.push_str(&format!("\n    {}: {ranges} ({count} buckets)", group.id));
        if group.desired_count != count {
            text.push_str(&format!(", should be {}", group.desired_count));
        }
        if !group.joined {
            text.push_str(", takes no share");
        }
    }
    if !document.pending.is_empty() {
        text.push_str("\n  To move:");
    }
    for one in &document.pending {
        let paused = if one.paused { ", paused" } else { "" };
        let Moving { buckets, bucket_count, from, to, .. } = one;
        text.push_str(&format!("\n    {buckets} ({bucket_count} buckets): {from} → {to}{paused}"));
    }
    let limit = document.rate.map(|rate| format!("\n  Rate: {}/s", crate::table::bytes(rate)));
    text.push_str(&limit.unwrap_or_default());
    text.push_str("\n  Groups:");
    for group in &document.groups {
        let servers: Vec<&str> = group.servers.iter().map(|server| &*server.redis).collect();
        let config = if group.id == 0 { " (config)" } else { "" };
        text.push_str(&format!("\n    {}: [{}]{config}", group.id, servers.join(", ")));
        for (what, nodes) in [("observers", &group.observers), ("secretaries", &group.secretaries)]
        {
            if !nodes.is_empty() {
                let nodes: Vec<String> = nodes.iter().map(|node| format!("n{node}")).collect();
                text.push_str(&format!(", {what} {}", nodes.join(" ")));
            }
        }
    }
    let draining = document.nodes.iter().filter(|node| node.draining);
    for node in draining {
        text.push_str(&format!("\n  Node {} is being drained", node.id));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_who_owns_what_and_where() {
        let document = document(&crate::plan::tests::cluster());
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
