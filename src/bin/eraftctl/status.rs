//! `status`: every node is asked how it is, and what they say is put side by side.
//!
//! A node that does not answer is part of the picture, not an error; nobody answering is.

use crate::answer::{Answer, Trouble, print, print_json, say};
use crate::reach::{Endpoint, Reach, Said};
use crate::table;
use eraft::ids::NodeId;
use eraft::net::message::{
    AdminRequest, AdminResponse, GroupStatus, NodeStatus, SecretaryState, TableAnswer,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The whole answer; `--json` prints it as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Document {
    /// The cluster, once it is born.
    pub(crate) cluster: Option<String>,
    /// All nodes that are known, by id.
    pub(crate) nodes: Vec<Node>,
    /// All groups, by id; 0 is the config group.
    pub(crate) groups: Vec<Group>,
}

/// One node. What it did not say is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Node {
    /// Absent only of an endpoint that did not answer and that no table names.
    pub(crate) id: Option<u32>,
    /// It answered.
    pub(crate) alive: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) quic: String,
    #[serde(flatten)]
    pub(crate) told: Option<Told>,
}

/// What a living node says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Told {
    pub(crate) pid: u32,
    pub(crate) program: String,
    pub(crate) redis: String,
    pub(crate) cluster_port: String,
    pub(crate) http: String,
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) disk_free_bytes: u64,
    pub(crate) disk_low: bool,
    pub(crate) disk_slow: bool,
    pub(crate) lease_reads: bool,
    pub(crate) lease_reads_served: u64,
    pub(crate) groups_awake: u64,
    pub(crate) uptime_seconds: u64,
    /// The version of the config table that it goes by; 0 is none.
    pub(crate) table: u64,
    /// The nodes that it is connected to.
    pub(crate) connected: Vec<u32>,
    /// The groups whose entries it passes on.
    pub(crate) secretary_of: Vec<u32>,
    /// The life of its disk.
    pub(crate) disk: String,
    /// What is wrong with who it is, or who others say they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) troubles: Vec<String>,
}

/// One group, as the nodes that answered see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) id: u32,
    /// The node that says that it leads; of two, the one with the higher term.
    pub(crate) leader: Option<u32>,
    /// The highest that any replica knows, as are the next two.
    pub(crate) term: u64,
    pub(crate) commit: u64,
    pub(crate) applied: u64,
    /// As the leader counts; without one, the replica that has applied most.
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    pub(crate) buckets: u32,
    /// The nodes whose replicas vote, and those that learn before they may, by the same word.
    pub(crate) voters: Vec<u32>,
    pub(crate) learners: Vec<u32>,
    /// By node.
    pub(crate) replicas: Vec<Replica>,
    /// As the leader sees them.
    pub(crate) secretaries: Vec<Secretary>,
}

/// A node that passes a group's entries on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Secretary {
    pub(crate) node: u32,
    /// It answers the leader.
    pub(crate) present: bool,
    /// The nodes to which it passes entries on.
    pub(crate) serves: Vec<u32>,
}

/// One group's replica on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Replica {
    pub(crate) node: u32,
    pub(crate) role: String,
    pub(crate) term: u64,
    pub(crate) commit: u64,
    pub(crate) applied: u64,
    pub(crate) last: u64,
    /// The oldest entry in its log; who lacks older ones gets a snapshot.
    pub(crate) first: u64,
    /// Entries that the group has committed, as far as anybody knows, and this replica has not applied.
    pub(crate) lag: u64,
    /// Times its actor was restarted.
    pub(crate) restarts: u32,
    /// How much of a snapshot the leader has sent it, if one is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_percent: Option<u8>,
    /// The secretary by which entries come to it, if not from the leader itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) relayed_by: Option<u32>,
}

/// Asks, and prints.
pub(crate) async fn run(reach: &Reach) -> Result<Answer, Trouble> {
    let begun = Instant::now();
    let within = |share: f64| begun + Duration::mul_f64(reach.timeout, share);
    let mut said = reach.statuses(reach.endpoints.clone(), within(0.6)).await;
    if reach.endpoints.iter().any(|endpoint| endpoint.node.is_none()) {
        // Only some of the nodes were named; the table knows the others.
        let known = timeout_at(within(0.8), table_nodes(reach, &said)).await.unwrap_or_default();
        for (endpoint, _) in &mut said {
            endpoint.node = endpoint.node.or_else(|| known_as(&known, &endpoint.address));
        }
        let named: BTreeSet<NodeId> = said.iter().filter_map(id).collect();
        let others = known.into_iter().filter(|(node, _)| !named.contains(node));
        let others = others.map(|(node, address)| Endpoint { address, node: Some(node) }).collect();
        said.extend(reach.statuses(others, within(1.0)).await);
    }
    if said.iter().all(|(_, status)| status.is_err()) {
        let reasons: Vec<String> =
            said.into_iter().filter_map(|(_, status)| status.err()).collect();
        return Err(Trouble::new(format!(
            "no node answered: {}; are they running? Their logs say more",
            reasons.join("; ")
        )));
    }
    let document = document(&said);
    if reach.json {
        print_json(&document)?;
    } else {
        print(table::status(&document))?;
    }
    if document.cluster.is_none() {
        say("these nodes are no cluster yet; make one with `eraftctl init`");
    }
    Ok(Answer::of(document.cluster.is_some()))
}

fn id((endpoint, status): &Said) -> Option<NodeId> {
    status.as_ref().ok().map(|status| status.node).or(endpoint.node)
}

fn known_as(known: &BTreeMap<NodeId, String>, address: &str) -> Option<NodeId> {
    known.iter().find(|(_, quic)| *quic == address).map(|(node, _)| *node)
}

/// The nodes of the config table, if one of those that answered can tell.
async fn table_nodes(reach: &Reach, said: &[Said]) -> BTreeMap<NodeId, String> {
    let born =
        said.iter().filter(|(_, status)| status.as_ref().is_ok_and(|one| one.cluster.is_some()));
    for (endpoint, _) in born {
        let answer = reach.ask(&endpoint.address, &AdminRequest::Table(None)).await;
        if let Ok(AdminResponse::Table(TableAnswer::Found(table))) = answer {
            return table.nodes.into_iter().map(|(node, info)| (node, info.quic)).collect();
        }
    }
    BTreeMap::new()
}

/// Puts what was said side by side.
pub(crate) fn document(said: &[Said]) -> Document {
    let mut nodes: Vec<Node> = said.iter().map(node).collect();
    nodes.sort_by_key(|node| (node.id.unwrap_or(u32::MAX), node.quic.clone()));
    // One node may have been named by two of its addresses.
    nodes.dedup_by(|one, other| one.id.is_some() && one.id == other.id);

    let mut replicas: BTreeMap<u32, BTreeMap<u32, &GroupStatus>> = BTreeMap::new();
    let answered = || said.iter().filter_map(|(_, status)| status.as_ref().ok());
    for status in answered() {
        for group in &status.groups {
            replicas.entry(group.group.0).or_default().insert(status.node.0, group);
        }
    }
    Document {
        cluster: answered().find_map(|status| status.cluster).map(|cluster| cluster.to_string()),
        nodes,
        groups: replicas.iter().map(|(id, replicas)| group(*id, replicas)).collect(),
    }
}

fn node(said: &Said) -> Node {
    let (endpoint, status) = said;
    let status = status.as_ref();
    Node {
        id: id(said).map(|node| node.0),
        alive: status.is_ok(),
        reason: status.err().cloned(),
        quic: status
            .map_or_else(|_| endpoint.address.clone(), |status| status.addresses[0].clone()),
        told: status.ok().map(told),
    }
}

fn told(status: &NodeStatus) -> Told {
    let [_, redis, cluster_port, http] = status.addresses.clone();
    Told {
        pid: status.pid,
        program: status.program.clone(),
        redis,
        cluster_port,
        http,
        memory_bytes: status.memory_bytes,
        disk_bytes: status.disk_bytes,
        disk_free_bytes: status.disk_free_bytes,
        disk_low: status.disk_low,
        disk_slow: status.disk_slow,
        lease_reads: status.lease_reads,
        lease_reads_served: status.lease_reads_served,
        groups_awake: status.groups_awake,
        uptime_seconds: status.uptime_seconds,
        table: status.table.0,
        connected: status.connected.iter().map(|node| node.0).collect(),
        secretary_of: status.secretary_of.iter().map(|group| group.0).collect(),
        disk: format!("{:016x}", status.incarnation.0),
        troubles: status.troubles.clone(),
    }
}

fn group(id: u32, replicas: &BTreeMap<u32, &GroupStatus>) -> Group {
    let most =
        |of: fn(&GroupStatus) -> u64| replicas.values().map(|one| of(one)).max().unwrap_or(0);
    let commit = most(|one| one.commit.0);
    let leading =
        replicas.iter().filter(|(_, one)| one.role == "leader").max_by_key(|(_, one)| one.term);
    let counting = leading.or_else(|| replicas.iter().max_by_key(|(_, one)| one.applied));
    let counted = |of: fn(&GroupStatus) -> u64| counting.map_or(0, |(_, one)| of(one));
    let members = |of: fn(&GroupStatus) -> &Vec<NodeId>| {
        counting.map_or(Vec::new(), |(_, one)| of(one).iter().map(|node| node.0).collect())
    };
    let progress = leading.map(|(_, one)| one.progress.as_slice()).unwrap_or_default();
    let snapshot = |node: u32| progress.iter().find(|peer| peer.node.0 == node)?.snapshot_percent;
    let relay = |node: u32| progress.iter().find(|peer| peer.node.0 == node)?.relayed_by;
    let secretary = |one: &SecretaryState| Secretary {
        node: one.node.0,
        present: one.present,
        serves: progress
            .iter()
            .filter(|peer| peer.relayed_by == Some(one.node))
            .map(|peer| peer.node.0)
            .collect(),
    };
    let secretaries = leading.map(|(_, one)| one.secretaries.as_slice()).unwrap_or_default();
    let replica = |(node, one): (&u32, &&GroupStatus)| Replica {
        node: *node,
        role: one.role.clone(),
        term: one.term.0,
        commit: one.commit.0,
        applied: one.applied.0,
        last: one.last.0,
        first: one.first.0,
        lag: commit.saturating_sub(one.applied.0),
        restarts: one.restarts,
        snapshot_percent: snapshot(*node),
        relayed_by: relay(*node).map(|by| by.0),
    };
    Group {
        id,
        leader: leading.map(|(node, _)| *node),
        term: most(|one| one.term.0),
        commit,
        applied: most(|one| one.applied.0),
        keys: counted(|one| one.keys),
        bytes: counted(|one| one.bytes),
        buckets: counting.map_or(0, |(_, one)| one.buckets),
        voters: members(|one| &one.voters),
        learners: members(|one| &one.learners),
        replicas: replicas.iter().map(replica).collect(),
        secretaries: secretaries.iter().map(secretary).collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use eraft::ids::{ClusterId, GroupId, Incarnation, Index, TableVersion, Term};
    use eraft::time::UnixMillis;

    fn replica(role: &str, term: u64, applied: u64, commit: u64, keys: u64) -> GroupStatus {
        GroupStatus {
            group: GroupId(1),
            role: role.into(),
            term: Term(term),
            applied: Index(applied),
            commit: Index(commit),
            keys,
            ..GroupStatus::default()
        }
    }

    pub(crate) fn node_with(node: u32, group: GroupStatus) -> NodeStatus {
        NodeStatus {
            node: NodeId(node),
            incarnation: Incarnation(1),
            cluster: Some(ClusterId([7; 16])),
            program: "0.1.0".into(),
            pid: 100 + node,
            uptime_seconds: 5,
            clock: UnixMillis(0),
            addresses: ["q:1", "r:1", "c:1", "h:1"].map(Into::into),
            zone: None,
            table: TableVersion(1),
            memory_bytes: 1 << 20,
            disk_bytes: 0,
            disk_free_bytes: 0,
            disk_low: false,
            disk_slow: false,
            lease_reads: false,
            lease_reads_served: 0,
            groups_awake: 0,
            connected: Vec::new(),
            troubles: Vec::new(),
            groups: vec![group],
            secretary_of: Vec::new(),
            moves: Vec::new(),
        }
    }

    fn said(node: u32, group: GroupStatus) -> Said {
        let endpoint = Endpoint { address: format!("a:{node}"), node: None };
        (endpoint, Ok(node_with(node, group)))
    }

    /// Two nodes that both say that they lead, and one that is dead.
    pub(crate) fn example() -> Document {
        let dead = Endpoint { address: "a:3".into(), node: Some(NodeId(3)) };
        document(&[
            said(2, replica("leader", 5, 80, 90, 8)),
            said(1, replica("leader", 4, 70, 75, 7)),
            (dead, Err("no answer".into())),
        ])
    }

    #[test]
    fn the_newest_leader_speaks_for_the_group() {
        let group = &example().groups[0];
        assert_eq!((group.leader, group.term, group.commit, group.keys), (Some(2), 5, 90, 8));
        let lags: Vec<(u32, u64)> = group.replicas.iter().map(|one| (one.node, one.lag)).collect();
        assert_eq!(lags, [(1, 20), (2, 10)]);
    }

    #[test]
    fn the_json_has_the_dead_and_the_living() {
        let json = serde_json::to_value(example()).unwrap();
        assert_eq!(json["cluster"], "07".repeat(16));
        assert_eq!(json["nodes"][0]["id"], 1);
        assert_eq!(json["nodes"][0]["pid"], 101);
        assert_eq!(json["nodes"][0]["cluster_port"], "c:1");
        assert_eq!(json["nodes"][2]["alive"], false);
        assert_eq!(json["nodes"][2]["reason"], "no answer");
        assert_eq!(json["groups"][0]["replicas"][0]["role"], "leader");
    }
}
