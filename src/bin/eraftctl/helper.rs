//! `observer` and `secretary`: nodes that help a group without belonging to it.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::args::HelperChange;
use crate::change::{self, Sent};
use crate::reach::Reach;
use eraft::ids::{GroupId, NodeId};
use eraft::shard::{ConfigCommand, Helper};
use serde_json::json;

/// Asks for the change, which is a new version of the config table; the group follows it by itself.
pub(crate) async fn run(
    reach: &Reach,
    helper: Helper,
    asked: &HelperChange,
) -> Result<Answer, Trouble> {
    let (wanted, group, node) = match *asked {
        HelperChange::Add { group, node } => (true, group, node),
        HelperChange::Remove { group, node } => (false, group, node),
    };
    let command = ConfigCommand::SetHelper { group, node, helper, wanted };
    let client = reach.client().await?;
    match change::send(&client, &command).await? {
        Sent::So { version, new } => {
            if reach.json {
                print_json(&json!({
                    "group": group.0, "node": node.0, "helper": helper.to_string(),
                    "wanted": wanted, "config": version.0, "changed": new,
                }))?;
            } else {
                print(words(helper, wanted, group, node, version.0, new))?;
            }
            Ok(Answer::Yes)
        }
        Sent::Refused(refusal) => change::refused(reach, &refusal),
    }
}

fn words(
    helper: Helper,
    wanted: bool,
    group: GroupId,
    node: NodeId,
    version: u64,
    new: bool,
) -> String {
    let what = format!("{helper} of group {}", group.0);
    match (wanted, new) {
        (true, true) => format!(
            "node {} becomes {what} (config #{version}); `eraftctl status` shows when it is one",
            node.0
        ),
        (false, true) => format!("node {} is {what} no more (config #{version})", node.0),
        (true, false) => format!("node {} is {what} already; nothing was changed", node.0),
        (false, false) => format!("node {} is not {what}; nothing was changed", node.0),
    }
}
