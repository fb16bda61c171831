//! `leader transfer` and `debug panic`: both concern one replica on one node.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::change::newest;
use crate::reach::{Reach, Said};
use crate::wait::everyone;
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::{AdminRequest, AdminResponse, NodeStatus};
use eraft::shard::Table;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Between two looks at who leads.
const LOOK: Duration = Duration::from_millis(50);
/// After this a transfer that has not happened is asked for again.
const AGAIN: Duration = Duration::from_millis(1_500);

/// `leader transfer`.
pub(crate) async fn transfer(reach: &Reach, group: GroupId, to: NodeId) -> Result<Answer, Trouble> {
    let deadline = Instant::now() + reach.timeout;
    let mut asked: Option<Instant> = None;
    let (mut nodes, mut complete) = (reach.endpoints.clone(), false);
    loop {
        let said = reach.statuses(nodes.clone(), deadline).await;
        if !complete && (answered(&said, to).is_err() || leader(&said, group).is_none()) {
            // They may be nodes that were not named. Without the config group those have to do.
            complete = true;
            if let Ok(Ok(table)) = timeout(reach.timeout / 4, table(reach)).await {
                nodes = everyone(&reach.endpoints, &table);
                continue;
            }
        }
        let target = answered(&said, to)?.1;
        if !target.groups.iter().any(|one| one.group == group) {
            return Err(Trouble::new(format!("node {} has no replica of group {}", to.0, group.0)));
        }
        let leader = leader(&said, group);
        if leader.as_ref().is_some_and(|(node, _)| *node == to) {
            if reach.json {
                print_json(&json!({ "group": group.0, "leader": to.0 }))?;
            } else {
                print(format!("node {} leads group {}", to.0, group.0))?;
            }
            return Ok(Answer::Yes);
        }
        if let Some((_, address)) = leader
            && asked.is_none_or(|asked| asked.elapsed() > AGAIN)
        {
            match reach.ask(&address, &AdminRequest::Transfer { group, to }).await? {
                AdminResponse::Started => asked = Some(Instant::now()),
                // It may have lost the lead in this moment; look again.
                AdminResponse::Failed(reason) if Instant::now() + LOOK >= deadline => {
                    return Err(Trouble::new(reason));
                }
                _ => {}
            }
        }
        if Instant::now() + LOOK >= deadline {
            return Err(Trouble::new(format!(
                "group {} is not led by node {} after {} s; see `eraftctl status` (is its replica far behind?) and \
                 the nodes' logs",
                group.0,
                to.0,
                reach.timeout.as_secs_f32()
            )));
        }
        sleep(LOOK).await;
    }
}

async fn table(reach: &Reach) -> Result<Table, Trouble> {
    newest(&reach.client().await?).await
}

/// `debug panic`.
pub(crate) async fn panic(reach: &Reach, group: GroupId, node: NodeId) -> Result<Answer, Trouble> {
    let said = reach.statuses(reach.endpoints.clone(), Instant::now() + reach.timeout / 2).await;
    let (address, _) = answered(&said, node)?;
    match reach.ask(&address, &AdminRequest::Panic { group }).await? {
        AdminResponse::Started if reach.json => {
            print_json(&json!({ "group": group.0, "node": node.0, "started": true }))?;
        }
        AdminResponse::Started => print(format!("group {} panics on node {}", group.0, node.0))?,
        AdminResponse::Failed(reason) => return Err(Trouble::new(reason)),
        _ => return Err(Trouble::new("the node gave an answer that does not fit the question")),
    }
    Ok(Answer::Yes)
}

/// A node that must be there, and where it was asked.
pub(crate) fn answered(said: &[Said], node: NodeId) -> Result<(String, &NodeStatus), Trouble> {
    let mut reasons = Vec::new();
    for (endpoint, status) in said {
        match status {
            Ok(status) if status.node == node => return Ok((endpoint.address.clone(), status)),
            Ok(_) => {}
            Err(reason) => reasons.push(reason.as_str()),
        }
    }
    let more =
        if reasons.is_empty() { "name it with --endpoint".into() } else { reasons.join("; ") };
    Err(Trouble::new(format!("node {} did not answer: {more}", node.0)))
}

/// Who says that it leads, with the highest term, and where it was asked.
fn leader(said: &[Said], group: GroupId) -> Option<(NodeId, String)> {
    let leading = said.iter().filter_map(|(endpoint, status)| {
        let status = status.as_ref().ok()?;
        let one = status.groups.iter().find(|one| one.group == group && one.role == "leader")?;
        Some((one.term, status.node, endpoint.address.clone()))
    });
    leading.max().map(|(_, node, address)| (node, address))
}
