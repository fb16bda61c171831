//! A person says that a group has lost its majority for good: shows what may be lost, and lets the replica
//! here go on alone once that was confirmed.
//!
//! ```text
//! data groups   table: who goes on, in which era ─► the replica's log, synced ─► it leads
//! config group  the replica's log, synced ─► it leads ─► table (the poller tells it)
//! ```
//! The table is asked first where it can be, because it lets one replica of a group go on and no second. Asked again
//! after a crash half way, the recovery that the table knows is carried on.

use crate::actors::config;
use crate::actors::group::actor::GroupMessage;
use crate::actors::group::recovery::Standing;
use crate::actors::router::Router;
use crate::actors::shared::Shared;
use crate::ids::{Era, GroupId, Incarnation};
use crate::net::message::{AdminResponse, MemberSeen, RecoveryReport};
use crate::raft::Membership;
use crate::raft::quorum::{VoteResult, joint_vote};
use crate::shard::{Author, ConfigCommand, ConfigReply, ConfigRequest, Recovery};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the recovered config group may take to lead and to write itself down.
const TABLE_PATIENCE: Duration = Duration::from_secs(8);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(100);

/// `recover`: without a token only looks.
pub(super) async fn recover(
    shared: &Shared,
    router: &Router,
    group: GroupId,
    token: Option<String>,
) -> AdminResponse {
    let answered = async {
        let standing = stand(shared, group).await?;
        let report = report(shared, group, &standing);
        let Some(token) = token else {
            return Ok(AdminResponse::Recovery(Box::new(report)));
        };
        if token != report.token {
            return Err(format!(
                "the token {token} is not that of {group} on {} as it stands now: ask again without \
                 --confirm, and look at what it says",
                shared.node
            ));
        }
        if let Some(obstacle) = report.obstacle {
            return Err(format!("{group} is not recovered: {obstacle}"));
        }
        go_on(shared, router, group, &standing, token).await
    };
    answered.await.unwrap_or_else(AdminResponse::Failed)
}

async fn stand(shared: &Shared, group: GroupId) -> Result<Standing, String> {
    let (reply, standing) = oneshot::channel();
    let asked = shared.try_send(group, GroupMessage::Stand(reply));
    asked.map_err(|trouble| format!("{group} here: {trouble}"))?;
    let standing = standing.await.ok().flatten();
    standing.ok_or_else(|| match shared.replica(group).map(|replica| replica.board) {
        Some(board) if board.left_behind.load(std::sync::atomic::Ordering::Relaxed) => format!(
            "{group} was recovered without the replica of {}, in {}: it cannot be recovered here",
            shared.node,
            board.era()
        ),
        _ => format!(
            "the replica of {group} on {} is not up: see `eraftctl status` and this node's log",
            shared.node
        ),
    })
}

fn report(shared: &Shared, group: GroupId, standing: &Standing) -> RecoveryReport {
    let Standing { status, stats, obstacle, token } = standing;
    let membership = &status.membership;
    let now = shared.mono();
    let others = membership.everyone().into_iter().filter(|node| *node != shared.node);
    let seen = |node| MemberSeen {
        node,
        disk: membership.disk(node),
        voter: membership.is_voter(node),
        connected: shared.peers.is_connected(node),
        silent_millis: shared.watch().silent_millis(node, now),
    };
    let obstacle = obstacle.clone().or_else(|| reachable(shared, membership));
    RecoveryReport {
        group,
        node: shared.node,
        disk: membership.disk(shared.node),
        era: membership.era.number,
        role: status.role.to_string(),
        term: status.term,
        first: status.base.next(),
        commit: status.commit,
        applied: status.applied,
        last: status.last,
        keys: stats.keys,
        bytes: stats.bytes,
        others: others.map(seen).collect(),
        uptime_seconds: now.0 / 1_000,
        obstacle: obstacle.or_else(|| foreseen(shared, group, membership)),
        token: token.clone(),
    }
}

/// A majority that can be reached elects a leader by itself.
fn reachable(shared: &Shared, membership: &Membership) -> Option<String> {
    let here = |node| Some(node == shared.node || shared.peers.is_connected(node));
    (joint_vote(membership, here) == VoteResult::Won).then(|| {
        "a majority of its nodes is connected to this one, and should elect a leader by itself. If their \
         replicas are lost although the nodes run, stop those nodes first"
            .into()
    })
}

/// What the table has against it.
fn foreseen(shared: &Shared, group: GroupId, membership: &Membership) -> Option<String> {
    let config = shared.replica(GroupId::CONFIG);
    if group != GroupId::CONFIG && config.is_some_and(|config| config.board.leader().is_none()) {
        return Some(
            "the config group has no leader, and must say who goes on: recover group 0 first"
                .into(),
        );
    }
    let known = known(shared, group)?;
    let own = (shared.node, membership.disk(shared.node));
    let (later, foreign) =
        (known.era.number > membership.era.number, (known.node, Some(known.disk)) != own);
    (later && foreign)
        .then(|| format!("it was recovered on {} already, in {}", known.node, known.era))
}

/// The recovery that the table knows.
fn known(shared: &Shared, group: GroupId) -> Option<Recovery> {
    shared.routing()?.table().groups.get(&group)?.recovery
}

async fn go_on(
    shared: &Shared,
    router: &Router,
    group: GroupId,
    standing: &Standing,
    token: String,
) -> Result<AdminResponse, String> {
    let membership = &standing.status.membership;
    let from = membership.era;
    let begun = known(shared, group).filter(|known| known.era.number > from.number);
    let era = match begun {
        Some(begun) => begun.era,
        None => Era { number: from.number + 1, mark: random()? },
    };
    if group != GroupId::CONFIG {
        let disk = membership.disk(shared.node).unwrap_or(Incarnation(0));
        let recovery = Recovery { era, node: shared.node, disk };
        let command = ConfigCommand::Recover { group, from, recovery };
        let request = ConfigRequest { by: Author::Node(shared.node), command };
        match config::change(router, &request).await? {
            ConfigReply::Changed(_) | ConfigReply::Unchanged(_) => {}
            ConfigReply::Refused(refusal) => return Err(format!("not recovered: {refusal}")),
            _ => return Err("the config group gave an unexpected answer".into()),
        }
    }
    let (reply, done) = oneshot::channel();
    let asked = shared.try_send(group, GroupMessage::Recover(token, era, reply));
    asked.map_err(|trouble| format!("{group} here: {trouble}; ask again"))?;
    done.await.map_err(|_| "the replica was rebuilt meanwhile; ask again".to_owned())??;
    let told = || known(shared, group).is_some_and(|known| known.era == era);
    let telling = async {
        while !told() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(TABLE_PATIENCE, telling).await;
    Ok(AdminResponse::Recovered { group, era: era.number, table: told() })
}

/// Never 0, which marks the first era.
fn random() -> Result<u64, String> {
    getrandom::u64().map(|random| random.max(1)).map_err(|error| error.to_string())
}
