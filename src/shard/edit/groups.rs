//! Groups that are born, join and leave.

use super::buckets::rebalance;
use crate::ids::{Era, GroupId, Incarnation, NodeId};
use crate::limits;
use crate::shard::change::Placement;
use crate::shard::plan::GROUPS_MAX;
use crate::shard::refusal::{NothingOf, Refusal};
use crate::shard::spread::{leader, spread, usual_replicas};
use crate::shard::table::{GroupInfo, Recovery, Table};

/// A data group is born. It owns nothing until it joins, or buckets are moved to it.
pub(super) fn create(
    table: &mut Table,
    group: GroupId,
    replicas: &Placement,
) -> Result<(), Refusal> {
    if group == GroupId::CONFIG {
        return Err(Refusal::ConfigGroup);
    }
    if let Some(info) = table.groups.get(&group) {
        let Placement::Nodes(nodes) = replicas else { return Ok(()) };
        let mut nodes = nodes.clone();
        nodes.sort_unstable();
        if info.replicas == nodes {
            return Ok(());
        }
        return Err(Refusal::GroupExists { group, nodes: info.replicas.clone() });
    }
    if table.data_groups().count() >= GROUPS_MAX {
        return Err(Refusal::TooManyGroups);
    }
    let replicas = place(table, group, replicas)?;
    let info = GroupInfo::born(table, group, replicas);
    table.groups.insert(group, info);
    Ok(())
}

/// These groups, made where they are not there, take their share of the buckets.
pub(super) fn join(
    table: &mut Table,
    groups: &[GroupId],
    replicas: &Placement,
) -> Result<(), Refusal> {
    if groups.is_empty() {
        return Err(Refusal::Nothing(NothingOf::Groups));
    }
    for &group in groups {
        create(table, group, replicas)?;
        table.groups.get_mut(&group).ok_or(Refusal::UnknownGroup(group))?.joined = true;
    }
    rebalance(table)
}

/// These groups give all their buckets to those that stay. They are kept, and may join again.
pub(super) fn leave(table: &mut Table, groups: &[GroupId]) -> Result<(), Refusal> {
    if groups.is_empty() {
        return Err(Refusal::Nothing(NothingOf::Groups));
    }
    let mut left = false;
    for &group in groups {
        if group == GroupId::CONFIG {
            return Err(Refusal::ConfigGroup);
        }
        let info = table.groups.get_mut(&group).ok_or(Refusal::UnknownGroup(group))?;
        left |= std::mem::replace(&mut info.joined, false);
    }
    if table.joined().is_empty() {
        return Err(Refusal::LastGroup(groups.to_vec()));
    }
    // What had left before, or never joined, changes nothing.
    if left { rebalance(table) } else { Ok(()) }
}

/// A group should (not) have a replica on a node.
pub(super) fn wish_replica(
    table: &mut Table,
    group: GroupId,
    node: NodeId,
    wanted: bool,
) -> Result<(), Refusal> {
    let info = table.groups.get(&group).ok_or(Refusal::UnknownGroup(group))?;
    if !table.nodes.contains_key(&node) {
        return Err(Refusal::UnknownNode(node));
    }
    let mut replicas = info.replicas.clone();
    match (replicas.binary_search(&node), wanted) {
        (Err(_), true) if table.draining.contains(&node) => return Err(Refusal::Draining(node)),
        (Err(_), true) if replicas.len() >= limits::MEMBERS_MAX => {
            return Err(Refusal::TooManyReplicas(group));
        }
        (Err(at), true) => replicas.insert(at, node),
        (Ok(_), false) if replicas.len() == 1 => return Err(Refusal::LastReplica(group, node)),
        (Ok(at), false) => drop(replicas.remove(at)),
        (Ok(_), true) | (Err(_), false) => return Ok(()),
    }
    let led = info.preferred_leader;
    let led = if replicas.contains(&led) { led } else { leader(table, group, &replicas) };
    if let Some(info) = table.groups.get_mut(&group) {
        info.set_replicas(replicas, led);
    }
    Ok(())
}

/// One replica of `group` goes on alone; all other disks that ever belonged to the group are left behind.
pub(super) fn recover(
    table: &mut Table,
    group: GroupId,
    from: Era,
    recovery: Recovery,
) -> Result<(), Refusal> {
    let Recovery { era, node, disk } = recovery;
    if !table.nodes.contains_key(&node) {
        return Err(Refusal::UnknownNode(node));
    }
    let info = table.groups.get_mut(&group).ok_or(Refusal::UnknownGroup(group))?;
    if info.recovery == Some(recovery) {
        return Ok(());
    }
    // The config group itself is recovered first and told afterwards, perhaps of the second time only.
    let follows = if group == GroupId::CONFIG { from >= info.era() } else { from == info.era() };
    if !follows || era.number <= from.number {
        let by = info.recovery.map_or(node, |recovery| recovery.node);
        return Err(Refusal::Recovered { group, era: info.era(), node: by });
    }
    let wanted =
        info.replicas.iter().filter_map(|id| Some((*id, table.nodes.get(id)?.incarnation)));
    let past = info.recovery.map(|past| (past.node, past.disk));
    let mut behind: Vec<(NodeId, Incarnation)> = wanted
        .chain(info.founders.iter().copied())
        .chain(info.left_behind.iter().copied())
        .chain(past)
        .filter(|known| *known != (node, disk))
        .collect();
    behind.sort_unstable();
    behind.dedup();
    info.left_behind = behind;
    info.recovery = Some(recovery);
    info.set_replicas(vec![node], node);
    // What observers hold may never have been of this era.
    info.observers.clear();
    Ok(())
}

/// The nodes of a new group, sorted.
fn place(table: &Table, group: GroupId, replicas: &Placement) -> Result<Vec<NodeId>, Refusal> {
    let there = table.nodes.len() - table.draining.len();
    let count = match replicas {
        Placement::Nodes(nodes) => return chosen(table, group, nodes),
        Placement::Count(count) => *count as usize,
        Placement::Usual => usual_replicas(table).min(there),
    };
    if count == 0 {
        return Err(Refusal::Nothing(NothingOf::Nodes));
    }
    if count > limits::MEMBERS_MAX {
        return Err(Refusal::TooManyReplicas(group));
    }
    let [wanted, there] = [count, there].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    spread(table, &[], count).ok_or(Refusal::TooFewNodes { group, wanted, there })
}

/// Nodes that somebody has chosen, sorted, if they will do.
fn chosen(table: &Table, group: GroupId, nodes: &[NodeId]) -> Result<Vec<NodeId>, Refusal> {
    if nodes.is_empty() {
        return Err(Refusal::Nothing(NothingOf::Nodes));
    }
    if nodes.len() > limits::MEMBERS_MAX {
        return Err(Refusal::TooManyReplicas(group));
    }
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    if let Some(pair) = nodes.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Refusal::NodeTwice(pair[0]));
    }
    for node in &nodes {
        if !table.nodes.contains_key(node) {
            return Err(Refusal::UnknownNode(*node));
        }
        if table.draining.contains(node) {
            return Err(Refusal::Draining(*node));
        }
    }
    Ok(nodes)
}
