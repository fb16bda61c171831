//! Observers and secretaries, who come and go.

use crate::ids::{GroupId, NodeId};
use crate::limits;
use crate::shard::refusal::Refusal;
use crate::shard::table::{Helper, Table};

/// A node should (not) help a group in this way.
pub(super) fn set(
    table: &mut Table,
    group: GroupId,
    node: NodeId,
    helper: Helper,
    wanted: bool,
) -> Result<(), Refusal> {
    let known = table.nodes.contains_key(&node);
    let draining = table.draining.contains(&node);
    let info = table.groups.get_mut(&group).ok_or(Refusal::UnknownGroup(group))?;
    if !known {
        return Err(Refusal::UnknownNode(node));
    }
    match (wanted, info.helps_as(node)) {
        (true, None) if info.replicas.contains(&node) => {
            return Err(Refusal::HoldsReplica { node, group, helper });
        }
        (true, None) if draining => return Err(Refusal::Draining(node)),
        (true, None) if info.helpers(helper).len() >= limits::HELPERS_MAX => {
            return Err(Refusal::TooManyHelpers(group));
        }
        (true, Some(other)) if other != helper => {
            return Err(Refusal::HelpsOtherwise { node, group, helper: other });
        }
        (true, None) => {
            let helpers = info.helpers_mut(helper);
            helpers.push(node);
            helpers.sort_unstable();
        }
        (false, Some(same)) if same == helper => {
            info.helpers_mut(helper).retain(|one| *one != node);
        }
        (true, Some(_)) | (false, _) => {}
    }
    Ok(())
}

/// A node helps nobody any more.
pub(super) fn dismiss(table: &mut Table, node: NodeId) {
    for info in table.groups.values_mut() {
        for helper in [Helper::Observer, Helper::Secretary] {
            info.helpers_mut(helper).retain(|one| *one != node);
        }
    }
}
