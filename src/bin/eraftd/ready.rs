//! From started processes to a cluster that serves: birth, once, and then a leader for every group.
//!
//! Asks the nodes as an admin over QUIC, like `eraftctl`. Never gives up: what is missing is said, and waited
//! for.

use crate::plan::{Plan, certs};
use crate::trouble::{Trouble, say};
use eraft::codec;
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::{AdminRequest, AdminResponse, NodeStatus, TableAnswer};
use eraft::net::quic::Client;
use eraft::net::tls::{Identity, Role};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a node may take to say how it is.
const STATUS: Duration = Duration::from_secs(2);
/// How long birth may take; a node waits for the others for half of it.
const INIT: Duration = Duration::from_secs(15);
/// Until then all living nodes are waited for; after it, it is enough that every group has a leader.
const ALL_NODES: Duration = Duration::from_secs(25);
/// After this it is said what is missing, and again each time it has passed.
const LATE: Duration = Duration::from_secs(30);

/// The nodes' answers in one round; `None` from those that gave none.
type Answers = BTreeMap<u32, Option<NodeStatus>>;

/// The groups that there are, and the nodes that should hold a replica of each.
type Groups = BTreeMap<GroupId, Vec<NodeId>>;

/// Waits until the cluster serves. `alive` says which nodes' processes live, in the order of the plan.
pub(crate) async fn wait(
    mut plan: Plan,
    dir: PathBuf,
    alive: watch::Receiver<Vec<bool>>,
) -> Result<(), Trouble> {
    let trouble = |error: &dyn std::fmt::Display| Trouble::new(error.to_string());
    let identity = Identity::load(&certs(&dir), Role::Admin).map_err(|error| trouble(&error))?;
    let mut clients = Vec::new();
    for node in &plan.nodes {
        let client = Client::new(&node.quic, &identity, Some(NodeId(node.id)), None);
        clients.push((node.id, Arc::new(client.map_err(|error| trouble(&error))?)));
    }
    let begun = Instant::now();
    let mut said = begun;
    let mut groups = None;
    let mut failure = None;
    loop {
        let living = alive.borrow().clone();
        let asked = clients.iter().zip(&living).filter(|(_, alive)| **alive);
        let answers = statuses(asked.map(|(client, _)| client.clone())).await;

        let everybody = answers.len() == clients.len() && answers.values().all(Option::is_some);
        let unborn = answers.values().flatten().any(|status| status.cluster.is_none());
        let known = |group| answers.values().flatten().any(|status| leads(status, group));
        if everybody && (unborn || !plan.born) {
            match init(&clients[0].1, plan.groups, plan.replication).await {
                Ok(()) if plan.born => failure = None,
                Ok(()) => {
                    failure = None;
                    plan.born = true;
                    plan.write(&dir)?;
                }
                Err(reason) => failure = Some(reason),
            }
        } else if groups.is_none() && known(GroupId::CONFIG) {
            let leader = answers.values().flatten().find(|status| leads(status, GroupId::CONFIG));
            let leader = leader.map(|status| status.node.0);
            if let Some((_, client)) = clients.iter().find(|(id, _)| Some(*id) == leader) {
                groups = table_groups(client).await;
            }
        }

        let strict = begun.elapsed() < ALL_NODES;
        let mut missing = match &groups {
            Some(groups) => missing(groups, &answers, strict),
            None => missing(&BTreeMap::from([(GroupId::CONFIG, Vec::new())]), &answers, strict),
        };
        if groups.is_some() && missing.is_empty() {
            return Ok(());
        }
        if said.elapsed() >= LATE {
            said = Instant::now();
            missing.extend(failure.clone());
            report(&plan, &dir, begun.elapsed(), &living, &missing);
        }
        sleep(PAUSE).await;
    }
}

async fn statuses(clients: impl Iterator<Item = (u32, Arc<Client>)>) -> Answers {
    let frame = codec::encode(&AdminRequest::Status);
    let mut asking = JoinSet::new();
    for (id, client) in clients {
        let frame = frame.clone();
        asking.spawn(async move {
            let answer = client.request(frame, STATUS).await.ok();
            match answer.map(|frame| codec::decode::<AdminResponse>(&frame)) {
                Some(Ok(AdminResponse::Status(status))) => (id, Some(*status)),
                _ => (id, None),
            }
        });
    }
    asking.join_all().await.into_iter().collect()
}

/// Births the cluster; harmless if that was done before.
async fn init(client: &Client, data_groups: u32, replication: Option<u32>) -> Result<(), String> {
    match ask(client, &AdminRequest::Init { data_groups, replication }, INIT).await? {
        AdminResponse::Initialised { .. } => Ok(()),
        AdminResponse::Failed(reason) => Err(reason),
        _ => Err("a node gave an answer that does not fit".into()),
    }
}

/// The groups that there are, and the nodes of each, as the config table says.
async fn table_groups(client: &Client) -> Option<Groups> {
    match ask(client, &AdminRequest::Table(None), STATUS).await {
        Ok(AdminResponse::Table(TableAnswer::Found(table))) => {
            let groups = table.groups.into_iter();
            Some(groups.map(|(group, info)| (group, info.replicas)).collect())
        }
        _ => None,
    }
}

async fn ask(
    client: &Client,
    request: &AdminRequest,
    within: Duration,
) -> Result<AdminResponse, String> {
    let frame = client.request(codec::encode(request), within).await;
    let frame = frame.map_err(|error| error.to_string())?;
    codec::decode(&frame).map_err(|error| format!("{}: {error}", client.address()))
}

fn leads(status: &NodeStatus, group: GroupId) -> bool {
    status.groups.iter().any(|one| one.group == group && one.role == "leader")
}

/// What is not yet as it should be. `strict`: also of nodes that only follow.
fn missing(groups: &Groups, answers: &Answers, strict: bool) -> Vec<String> {
    let mut missing = Vec::new();
    let answered = || answers.values().flatten();
    for group in groups.keys() {
        let leading = answered().flat_map(|status| &status.groups);
        let leading = leading.filter(|one| one.group == *group && one.role == "leader");
        let Some(leader) = leading.max_by_key(|one| one.term) else {
            missing.push(format!("group {} has no leader", group.0));
            continue;
        };
        if strict {
            // Those that hold a replica, as its leader says.
            let members: Vec<&NodeId> = leader.voters.iter().chain(&leader.learners).collect();
            for status in answered().filter(|one| members.contains(&&one.node)) {
                let replica = status.groups.iter().find(|one| one.group == *group);
                let fine = replica.is_some_and(|one| one.leader.is_some() || one.role == "failed");
                if !fine {
                    missing.push(format!(
                        "node {} does not know the leader of group {}",
                        status.node.0, group.0
                    ));
                }
            }
        }
    }
    if strict {
        let silent = answers.iter().filter(|(_, status)| status.is_none());
        missing.extend(silent.map(|(id, _)| format!("node {id} does not answer")));
    }
    missing
}

fn report(plan: &Plan, dir: &Path, waited: Duration, living: &[bool], missing: &[String]) {
    let mut parts = missing.to_vec();
    let dead = plan.nodes.iter().zip(living).filter(|(_, alive)| !**alive);
    parts.extend(dead.map(|(node, _)| format!("node {} is not running", node.id)));
    let logs: Vec<String> =
        plan.nodes.iter().map(|node| node.log(dir).display().to_string()).collect();
    say(&format!(
        "not ready after {} s: {}; still waiting. The nodes' logs: {}",
        waited.as_secs(),
        parts.join(", "),
        logs.join(", ")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use eraft::ids::{Incarnation, TableVersion};
    use eraft::net::message::GroupStatus;
    use eraft::time::UnixMillis;

    fn status(node: u32, groups: &[(u32, &str, Option<u32>)]) -> NodeStatus {
        let groups = groups.iter().map(|(group, role, leader)| GroupStatus {
            group: GroupId(*group),
            role: (*role).to_owned(),
            leader: leader.map(NodeId),
            voters: vec![NodeId(1), NodeId(2)],
            ..GroupStatus::default()
        });
        NodeStatus {
            node: NodeId(node),
            incarnation: Incarnation(1),
            cluster: None,
            program: String::new(),
            pid: 1,
            uptime_seconds: 0,
            clock: UnixMillis(0),
            addresses: Default::default(),
            zone: None,
            table: TableVersion(0),
            memory_bytes: 0,
            disk_bytes: 0,
            disk_free_bytes: 0,
            disk_low: false,
            disk_slow: false,
            lease_reads: false,
            lease_reads_served: 0,
            groups_awake: 0,
            connected: Vec::new(),
            troubles: Vec::new(),
            groups: groups.collect(),
            secretary_of: Vec::new(),
            moves: Vec::new(),
        }
    }

    #[test]
    fn every_group_needs_a_leader_and_at_first_everybody_knows_it() {
        let groups = Groups::from([0, 1].map(|group| (GroupId(group), vec![NodeId(1), NodeId(2)])));
        let one = status(1, &[(0, "leader", Some(1)), (1, "follower", None)]);
        let two = status(2, &[(0, "follower", Some(1)), (1, "leader", Some(2))]);
        let answers: Answers = [(1, Some(one.clone())), (2, Some(two)), (3, None)].into();
        assert_eq!(missing(&groups, &answers, false), [""; 0]);
        let strict = missing(&groups, &answers, true);
        assert_eq!(
            strict,
            ["node 1 does not know the leader of group 1", "node 3 does not answer"]
        );
        let alone: Answers = [(1, Some(one))].into();
        assert_eq!(missing(&groups, &alone, false), ["group 1 has no leader"]);
    }

    #[test]
    fn a_replica_that_keeps_silent_is_not_waited_for() {
        let groups = Groups::from([(GroupId(0), vec![NodeId(1), NodeId(2)])]);
        let leader = status(1, &[(0, "leader", Some(1))]);
        let failed = status(2, &[(0, "failed", None)]);
        let answers: Answers = [(1, Some(leader)), (2, Some(failed))].into();
        assert_eq!(missing(&groups, &answers, true), [""; 0]);
    }
}
