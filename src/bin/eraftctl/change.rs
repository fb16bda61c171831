//! The words that change the config table: planned on the newest version, shown or sent, and waited for.
//!
//! The plan is made here by the code that the config group judges by, so a dry run says what would happen. If
//! nodes, groups or owners change between the plan and its arrival, it is refused and planned anew, unless the
//! operator said on which version it was to be carried out.

use crate::answer::{Answer, Trouble, print, print_json, say};
use crate::plan::Document;
use crate::reach::{Endpoint, Reach};
use crate::wait::{self, Goal};
use crate::words::{Cancel, DrainNode, Group, How, Join, Leave, Move, Node, Plan, Rate};
use eraft::client::Client;
use eraft::ids::{GroupId, NodeId, TableVersion};
use eraft::kv::{Command, Reply};
use eraft::net::message::{AdminRequest, AdminResponse, Ask, NodeStatus, Outcome, TableAnswer};
use eraft::shard::{ConfigCommand, ConfigReply, NodeInfo, Pair, Refusal, Table};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Times that a change is planned anew.
const PLANS_MAX: usize = 5;
/// How long a dry run may count keys.
const COUNT: Duration = Duration::from_secs(5);
/// Buckets whose keys are asked for at once.
const COUNTED_AT_ONCE: usize = 512;

/// In the place of the version that a plan is made on, until it is made.
const LATER: TableVersion = TableVersion(0);

/// `join`.
pub(crate) async fn join(reach: &Reach, join: &Join) -> Result<Answer, Trouble> {
    let (groups, replicas) = (join.groups.clone(), join.place.placement());
    run(reach, ConfigCommand::Join { groups, replicas, planned_on: LATER }, join.how).await
}

/// `leave`.
pub(crate) async fn leave(reach: &Reach, leave: &Leave) -> Result<Answer, Trouble> {
    let groups = leave.groups.clone();
    run(reach, ConfigCommand::Leave { groups, planned_on: LATER }, leave.how).await
}

/// `move`.
pub(crate) async fn shift(reach: &Reach, shift: &Move) -> Result<Answer, Trouble> {
    let (ranges, to) = (shift.ranges.0.clone(), shift.group);
    run(reach, ConfigCommand::Move { ranges, to, planned_on: LATER }, shift.how).await
}

/// `rebalance`.
pub(crate) async fn rebalance(reach: &Reach, how: How) -> Result<Answer, Trouble> {
    run(reach, ConfigCommand::Rebalance { planned_on: LATER }, how).await
}

/// `pause`.
pub(crate) async fn pause(reach: &Reach, pair: Pair) -> Result<Answer, Trouble> {
    run(reach, ConfigCommand::PauseMoves(pair), How::default()).await
}

/// `resume`.
pub(crate) async fn resume(reach: &Reach, pair: Pair) -> Result<Answer, Trouble> {
    run(reach, ConfigCommand::ResumeMoves(pair), How::default()).await
}

/// `cancel`.
pub(crate) async fn cancel(reach: &Reach, cancel: &Cancel) -> Result<Answer, Trouble> {
    let command = ConfigCommand::CancelMoves(cancel.only.pair());
    let plan = Plan { dry_run: cancel.dry_run, planned_on: None };
    run(reach, command, How { plan, wait: false }).await
}

/// `rate`.
pub(crate) async fn rate(reach: &Reach, rate: &Rate) -> Result<Answer, Trouble> {
    let client = reach.client().await?;
    if let Some(limit) = rate.rate {
        let command = ConfigCommand::SetMoveRate(limit.0);
        if let Sent::Refused(refusal) = send(&client, &command).await? {
            return refused(reach, &refusal);
        }
    }
    let limit = newest(&client).await?.moves.bytes_per_second;
    if reach.json {
        print_json(&json!({ "bytes_per_second": limit }))?;
    } else {
        match limit {
            Some(limit) => print(format!("{}/s", crate::table::bytes(limit)))?,
            None => print("unlimited")?,
        }
    }
    Ok(Answer::Yes)
}

/// `group create`.
pub(crate) async fn group(
    reach: &Reach,
    Group::Create { group, place, how }: &Group,
) -> Result<Answer, Trouble> {
    let group = match group {
        Some(group) => *group,
        None => {
            let table = newest(&reach.client().await?).await?;
            let last = table.groups.keys().next_back().map_or(0, |group| group.0);
            GroupId(last + 1)
        }
    };
    let replicas = place.placement();
    run(reach, ConfigCommand::CreateGroup { group, replicas, planned_on: LATER }, *how).await
}

/// `node`.
pub(crate) async fn node(reach: &Reach, node: &Node) -> Result<Answer, Trouble> {
    match node {
        Node::Add { address, dry_run } => add(reach, address, *dry_run).await,
        Node::Drain(DrainNode { node, undo, how }) => {
            let command = ConfigCommand::DrainNode { node: *node, undo: *undo, planned_on: LATER };
            run(reach, command, *how).await
        }
        Node::Remove { node, plan } => remove(reach, *node, *plan).await,
    }
}

/// The node itself says who it is.
async fn add(reach: &Reach, address: &str, dry_run: bool) -> Result<Answer, Trouble> {
    let endpoint = Endpoint { address: address.to_owned(), node: None };
    let said = reach.statuses(vec![endpoint], Instant::now() + reach.timeout / 2).await;
    let status = match said.into_iter().next() {
        Some((_, Ok(status))) => status,
        Some((_, Err(reason))) => {
            return Err(Trouble::new(format!(
                "no node answers at {address}: {reason}; start it first (`eraftd run`)"
            )));
        }
        None => return Err(Trouble::new("nobody was asked")),
    };
    let cluster = newest(&reach.client().await?).await?.cluster;
    if let Some(other) = status.cluster.filter(|other| *other != cluster) {
        let why = format!(
            "node {} at {address} belongs to cluster {other} and not to {cluster}; give it an empty data \
             directory",
            status.node.0
        );
        return refused(reach, &why);
    }
    let NodeStatus { node, incarnation, addresses, zone, .. } = status;
    let [quic, redis, cluster_port, http] = addresses;
    let info = NodeInfo { incarnation, quic, redis, cluster_port, http, zone };
    let plan = Plan { dry_run, planned_on: None };
    run(reach, ConfigCommand::AddNode { node, info }, How { plan, wait: false }).await
}

/// The table says what should be; a node that still holds a replica would take it along.
async fn remove(reach: &Reach, node: NodeId, plan: Plan) -> Result<Answer, Trouble> {
    let table = newest(&reach.client().await?).await?;
    let held = wait::held(reach, &table, node).await?;
    if table.nodes.contains_key(&node) && !held.is_empty() {
        let groups: Vec<String> = held.iter().map(ToString::to_string).collect();
        let why = format!(
            "node {} is still a member of {}; wait until it is empty (`eraftctl node drain {} --wait`)",
            node.0,
            groups.join(", "),
            node.0
        );
        return refused(reach, &why);
    }
    let command = ConfigCommand::RemoveNode { node, planned_on: LATER };
    run(reach, command, How { plan, wait: false }).await
}

/// What became of a command that was sent.
pub(crate) enum Sent {
    /// The table is at this version, and says what was asked for; `new` if it did not before.
    So {
        version: TableVersion,
        new: bool,
    },
    Refused(Refusal),
}

/// Plans, shows or sends, and waits.
async fn run(reach: &Reach, mut command: ConfigCommand, how: How) -> Result<Answer, Trouble> {
    let deadline = Instant::now() + reach.timeout;
    let client = reach.client().await?;
    let Plan { dry_run, planned_on } = how.plan;
    let mut plans = 0;
    let (document, goal) = loop {
        let before = newest(&client).await?;
        command.plan_on(planned_on.unwrap_or(before.version));
        let after = match before.after(&command) {
            Ok(after) => after,
            Err(refusal) => return refused(reach, &refusal),
        };
        let mut document = Document::new(&before, &after, dry_run);
        if dry_run {
            // A plan without numbers is a plan still.
            let _ =
                timeout(COUNT.min(reach.timeout / 2), count(reach, &client, &mut document)).await;
            print_document(reach, &document)?;
            return Ok(Answer::Yes);
        }
        match send(&client, &command).await? {
            Sent::So { version, .. } => {
                document.version = version.0;
                break (document, Goal::new(&command, &before, &after));
            }
            Sent::Refused(Refusal::Stale { .. }) if planned_on.is_none() && plans < PLANS_MAX => {
                plans += 1;
            }
            Sent::Refused(refusal) => return refused(reach, &refusal),
        }
    };
    if how.wait {
        if !reach.json {
            print(document.text())?;
        }
        wait::until(reach, &client, &goal, deadline).await?;
        if !reach.json {
            return print("done").map(|()| Answer::Yes);
        }
    }
    print_document(reach, &document)?;
    Ok(Answer::Yes)
}

fn print_document(reach: &Reach, document: &Document) -> Result<(), Trouble> {
    if reach.json { print_json(document) } else { print(document.text()) }
}

/// The answer is no, and nothing was changed.
pub(crate) fn refused(reach: &Reach, why: &impl Display) -> Result<Answer, Trouble> {
    let why = why.to_string();
    if reach.json {
        print_json(&json!({ "refused": why }))?;
    }
    say(&why);
    Ok(Answer::Refused)
}

/// Asks for a change.
pub(crate) async fn send(client: &Client, command: &ConfigCommand) -> Result<Sent, Trouble> {
    match client.ask(&AdminRequest::Change(command.clone())).await? {
        AdminResponse::Config(ConfigReply::Changed(version)) => Ok(Sent::So { version, new: true }),
        AdminResponse::Config(ConfigReply::Unchanged(version)) => {
            Ok(Sent::So { version, new: false })
        }
        AdminResponse::Config(ConfigReply::Refused(refusal)) => Ok(Sent::Refused(refusal)),
        _ => Err(Trouble::new("the node gave an answer that does not fit the question")),
    }
}

/// The newest table.
pub(crate) async fn newest(client: &Client) -> Result<Table, Trouble> {
    match client.table(None).await? {
        TableAnswer::Found(table) => Ok(*table),
        TableAnswer::NoSuchVersion { .. } => {
            Err(Trouble::new("there is no cluster yet; make one with `eraftctl init`"))
        }
    }
}

/// Counts what the plan would move. Bytes are not counted by bucket: they are taken from the average of
/// the group.
async fn count(reach: &Reach, client: &Client, plan: &mut Document) -> Result<(), Trouble> {
    let said = reach.statuses(reach.endpoints.clone(), Instant::now() + COUNT / 2).await;
    let mut sizes: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for status in said.iter().filter_map(|(_, status)| status.as_ref().ok()) {
        for group in status.groups.iter().filter(|group| group.role == "leader") {
            sizes.insert(group.group.0, (group.keys, group.bytes));
        }
    }
    for one in plan.moves.iter_mut().filter(|one| one.from.is_some()) {
        let mut keys = 0;
        let buckets: Vec<u16> = (one.range.first.0..=one.range.last.0).collect();
        for buckets in buckets.chunks(COUNTED_AT_ONCE) {
            let ask = |bucket: &u16| Ask {
                command: Command::CountKeys { bucket: (*bucket).into() },
                session: None,
            };
            let asks = buckets.iter().map(ask).collect();
            let AdminResponse::Executed(outcomes) =
                client.ask(&AdminRequest::Execute(asks)).await?
            else {
                return Ok(());
            };
            for outcome in outcomes {
                let Outcome::Done(replies) = outcome else { return Ok(()) };
                let [Reply::Integer(count)] = replies.as_slice() else { return Ok(()) };
                keys += u64::try_from(*count).unwrap_or(0);
            }
        }
        one.keys = Some(keys);
        let size = one.from.and_then(|group| sizes.get(&group));
        one.bytes = size.map(|&(all_keys, all_bytes)| {
            let bytes = u128::from(all_bytes) * u128::from(keys) / u128::from(all_keys.max(1));
            u64::try_from(bytes).unwrap_or(u64::MAX)
        });
    }
    Ok(())
}
