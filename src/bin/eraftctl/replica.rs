//! `replica add` and `replica remove`: change what the config table wishes, and wait, if asked to, until the
//! group's leader has brought it about.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::change::{self, Sent};
use crate::reach::{Reach, Said};
use crate::wait::everyone;
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::GroupStatus;
use eraft::shard::ConfigCommand;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);

/// What is wished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wished {
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    /// A replica there, or none.
    pub(crate) wanted: bool,
    /// Until it is so.
    pub(crate) wait: bool,
}

/// Asks, and prints.
pub(crate) async fn run(reach: &Reach, wished: Wished) -> Result<Answer, Trouble> {
    let Wished { group, node, wanted, wait } = wished;
    let deadline = Instant::now() + reach.timeout;
    let command = ConfigCommand::Replica { group, node, wanted };
    let client = reach.client().await?;
    let (version, changed) = match change::send(&client, &command).await? {
        Sent::So { version, new } => (version, new),
        Sent::Refused(refusal) => return change::refused(reach, &refusal),
    };
    // The leader may be on a node that was not named.
    let nodes = match wait {
        // The wish is in the table already, whatever becomes of this question.
        true => change::newest(&client)
            .await
            .map_or_else(|_| reach.endpoints.clone(), |table| everyone(&reach.endpoints, &table)),
        false => Vec::new(),
    };
    let mut done = false;
    while wait && !done {
        let said = reach.statuses(nodes.clone(), deadline).await;
        done = is_so(&said, wished);
        if !done && Instant::now() + LOOK >= deadline {
            let what = if wanted { "no voter" } else { "still there" };
            return Err(Trouble::new(format!(
                "the table (v{}) wishes so, but after {} s the replica of group {} on node {} is {what}; the \
                 group's leader goes on with it: see `eraftctl status` (is the node alive, has the group a \
                 leader?)",
                version.0,
                reach.timeout.as_secs_f32(),
                group.0,
                node.0
            )));
        }
        sleep(LOOK).await;
    }
    if reach.json {
        print_json(&json!({
            "group": group.0,
            "node": node.0,
            "wanted": wanted,
            "version": version.0,
            "changed": changed,
            "done": if wait { Some(done) } else { None },
        }))?;
    } else {
        let should = if wanted { "has a replica" } else { "has no replica" };
        let text = match (done, changed) {
            (true, _) => format!("group {} {should} on node {}", group.0, node.0),
            (false, true) => format!(
                "group {}: its leader will see to it that it {should} on node {} (table v{}); \
                 `eraftctl status` shows how far it is",
                group.0, node.0, version.0
            ),
            (false, false) => format!(
                "the table (v{}) wishes already that group {} {should} on node {}",
                version.0, group.0, node.0
            ),
        };
        print(text)?;
    }
    Ok(Answer::Yes)
}

/// Whether it is as wished: by the leader's word, and a replica that is to go is gone.
fn is_so(said: &[Said], wished: Wished) -> bool {
    let of_group = |status: &[GroupStatus]| -> Option<GroupStatus> {
        status.iter().find(|one| one.group == wished.group).cloned()
    };
    let answered = said.iter().filter_map(|(_, status)| status.as_ref().ok());
    let replicas: Vec<(NodeId, GroupStatus)> =
        answered.filter_map(|status| Some((status.node, of_group(&status.groups)?))).collect();
    let leading = replicas.iter().filter(|(_, one)| one.role == "leader");
    let Some((_, leader)) = leading.max_by_key(|(_, one)| one.term) else { return false };
    let votes = leader.voters.contains(&wished.node);
    let belongs = votes || leader.learners.contains(&wished.node);
    match wished.wanted {
        true => votes,
        false => !belongs && !replicas.iter().any(|(node, _)| *node == wished.node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::Endpoint;
    use crate::status::tests::node_with;

    fn said(node: u32, role: &str, voters: &[u32], learners: &[u32]) -> Said {
        let nodes = |ids: &[u32]| ids.iter().copied().map(NodeId).collect();
        let group = GroupStatus {
            group: GroupId(1),
            role: role.into(),
            voters: nodes(voters),
            learners: nodes(learners),
            ..GroupStatus::default()
        };
        (Endpoint { address: String::new(), node: None }, Ok(node_with(node, group)))
    }

    #[test]
    fn the_leaders_word_counts_and_what_goes_must_be_gone() {
        let wished = |wanted| Wished { group: GroupId(1), node: NodeId(3), wanted, wait: true };
        let learner = [said(1, "leader", &[1, 2], &[3]), said(3, "learner", &[1, 2, 3], &[])];
        assert!(!is_so(&learner, wished(true)) && !is_so(&learner, wished(false)));
        let voter = [said(1, "leader", &[1, 2, 3], &[])];
        assert!(is_so(&voter, wished(true)) && !is_so(&voter, wished(false)));
        let removed = [said(1, "leader", &[1, 2], &[]), said(3, "joining", &[1, 2], &[])];
        assert!(!is_so(&removed, wished(false)));
        assert!(is_so(&removed[..1], wished(false)));
        assert!(!is_so(&removed[1..], wished(false)), "nobody leads");
    }
}
