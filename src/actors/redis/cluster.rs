//! Redis Cluster's questions, answered from the node's view of the cluster.

use super::connection::Connection;
use crate::actors::router::{Mode, Router, Target, trouble_reply};
use crate::actors::shared::Shared;
use crate::ids::Bucket;
use crate::kv::{Command, Redirect, Reply, ReplyError};
use crate::net::message::{Ask, Outcome, Work};
use crate::net::resp::RespVersion;
use crate::shard::{ClusterView, Endpoint, SlotRange, Traffic};

/// On the cluster port: where to ask for this bucket, if not here.
pub(super) fn redirect(router: &Router, bucket: Bucket) -> Option<ReplyError> {
    if router.leads(bucket) {
        return None;
    }
    let Some(routing) = router.routing() else { return Some(down("the cluster has no table yet")) };
    let Some(group) = router.group_of(bucket) else {
        return Some(down("Hash slot not served"));
    };
    let shared = router.shared();
    // Until the new owner has told the old one that it serves the bucket, it would send the client back.
    let on_its_way = || {
        let before = routing.group_of(bucket).filter(|before| *before != group);
        before
            .and_then(|before| shared.replica(before))
            .is_some_and(|replica| replica.board.holdings().moves.number_of(bucket).is_some())
    };
    match router.leader(group) {
        Some(_) if on_its_way() => {
            Some(ReplyError::not_done("the bucket is on its way to another group"))
        }
        Some(leader) => match routing.table().nodes.get(&leader) {
            Some(info) => {
                Some(ReplyError::new("MOVED", format!("{} {}", bucket.0, info.cluster_port)))
            }
            None => Some(down("Hash slot not served")),
        },
        None => Some(down("Hash slot not served: its group has no leader at the moment")),
    }
}

/// On the cluster port: what a client is told whose command came when its bucket had just moved.
pub(super) fn moved(router: &Router, moved: Redirect) -> ReplyError {
    redirect(router, moved.bucket()).unwrap_or_else(|| moved.to_error())
}

fn down(text: &str) -> ReplyError {
    ReplyError::new("CLUSTERDOWN", text)
}

/// The view, or the error that there is none.
pub(super) fn view(shared: &Shared) -> Result<ClusterView, ReplyError> {
    let none = || down("the cluster is not initialised; run 'eraftctl init'");
    shared.view().ok_or_else(none)
}

/// CLUSTER SLOTS.
pub(super) fn slots(view: &ClusterView, version: RespVersion) -> Reply {
    let node = |endpoint: &Endpoint| {
        let metadata = match version {
            RespVersion::Resp2 => Reply::Array(Vec::new()),
            RespVersion::Resp3 => Reply::Map(Vec::new()),
        };
        Reply::Array(vec![
            Reply::text(endpoint.host.clone()),
            Reply::Integer(endpoint.port.into()),
            Reply::text(endpoint.id.clone()),
            metadata,
        ])
    };
    let range = |slot: &SlotRange| {
        let mut items = vec![
            Reply::Integer(slot.from.0.into()),
            Reply::Integer(slot.to.0.into()),
            node(&slot.master),
        ];
        items.extend(slot.replicas.iter().map(node));
        Reply::Array(items)
    };
    Reply::Array(view.slots().iter().map(range).collect())
}

/// CLUSTER SHARDS.
pub(super) fn shards(view: &ClusterView) -> Reply {
    let shards = view.shards().into_iter().map(|shard| {
        let slots = shard.ranges.iter().flat_map(|range| {
            [Reply::Integer(range.first.0.into()), Reply::Integer(range.last.0.into())]
        });
        let nodes = shard.nodes.iter().map(|node| {
            let text = |text: &str| Reply::text(text);
            Reply::Map(vec![
                (text("id"), text(&node.endpoint.id)),
                (text("port"), Reply::Integer(node.endpoint.port.into())),
                (text("ip"), text(&node.endpoint.host)),
                (text("endpoint"), text(&node.endpoint.host)),
                (text("role"), text(node.role)),
                (text("replication-offset"), Reply::Integer(0)),
                (text("health"), text(node.health)),
            ])
        });
        Reply::Map(vec![
            (Reply::text("slots"), Reply::Array(slots.collect())),
            (Reply::text("nodes"), Reply::Array(nodes.collect())),
        ])
    });
    Reply::Array(shards.collect())
}

/// CLUSTER INFO.
pub(super) fn info(shared: &Shared, view: &ClusterView) -> Reply {
    let (sent, received) = shared.traffic();
    Reply::Verbatim(view.info_text(Traffic { sent, received }))
}

/// CLUSTER REPLICAS.
pub(super) fn replicas(view: &ClusterView, id: &[u8]) -> Reply {
    let id = String::from_utf8_lossy(id);
    match view.node_of_id(&id) {
        None => ReplyError::err(format!("Unknown node {id}")).into(),
        Some(node) => {
            let lines = view.replica_lines(node).into_iter().map(Reply::text);
            Reply::Array(lines.collect())
        }
    }
}

/// CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT.
pub(super) async fn of_bucket(connection: &Connection, bucket: Bucket, command: Command) -> Reply {
    if let Some(error) = connection.redirect(bucket) {
        return error.into();
    }
    let work = Work::Keys(vec![Ask { command, session: None }]);
    let ticket = connection.router.submit(vec![(Target::Bucket(bucket), work)], Mode::Cluster);
    match ticket.await.pop() {
        Some(settled) => match settled.outcome {
            Outcome::Done(mut replies) => replies.pop().unwrap_or(Reply::Nil),
            trouble => trouble_reply(&trouble, settled.hint.as_deref()),
        },
        None => Reply::Nil,
    }
}
