//! Nodes that come, move house, are emptied and go.

use super::helpers;
use crate::ids::{GroupId, NodeId};
use crate::limits;
use crate::shard::plan::NODES_MAX;
use crate::shard::refusal::Refusal;
use crate::shard::spread::{leader, spread};
use crate::shard::table::{GroupInfo, NodeInfo, Table};

/// Fewer replicas than this are no way to let a node go.
const REPLICAS_KEPT_MIN: usize = 3;

/// A node says where it can be reached now.
pub(super) fn address(table: &mut Table, node: NodeId, info: &NodeInfo) -> Result<(), Refusal> {
    let known = table.nodes.get_mut(&node).ok_or(Refusal::UnknownNode(node))?;
    if known.incarnation != info.incarnation {
        return Err(Refusal::OtherIncarnation(node));
    }
    info.check(node).map_err(|error| Refusal::Invalid(error.to_string()))?;
    *known = info.clone();
    Ok(())
}

/// A node has lost its disk, and came back with another one.
pub(super) fn adopt_disk(table: &mut Table, node: NodeId, info: &NodeInfo) -> Result<(), Refusal> {
    if table.barred.contains(&(node, info.incarnation)) {
        return Err(Refusal::Barred(node));
    }
    info.check(node).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let known = table.nodes.get_mut(&node).ok_or(Refusal::UnknownNode(node))?;
    if known.incarnation != info.incarnation {
        if table.barred.len() >= limits::BARRED_MAX {
            return Err(Refusal::TooManyBarred);
        }
        table.barred.insert((node, known.incarnation));
    }
    *known = info.clone();
    Ok(())
}

/// A node becomes part of the cluster, and holds nothing yet. Added again it may say new addresses.
pub(super) fn add(table: &mut Table, node: NodeId, info: &NodeInfo) -> Result<(), Refusal> {
    if node.0 == 0 {
        return Err(Refusal::Invalid("nodes count from 1".into()));
    }
    if table.past_nodes.contains(node.0) {
        return Err(Refusal::NodeRemoved(node));
    }
    if table.nodes.get(&node).is_some_and(|known| known.incarnation != info.incarnation) {
        return Err(Refusal::NodeExists(node));
    }
    info.check(node).map_err(|error| Refusal::Invalid(error.to_string()))?;
    for (&other, known) in table.nodes.iter().filter(|(other, _)| **other != node) {
        let same = [
            ("disk", known.incarnation == info.incarnation),
            ("QUIC address", known.quic == info.quic),
            ("Redis address", known.redis == info.redis),
        ];
        if let Some((what, _)) = same.iter().find(|(_, same)| *same) {
            return Err(Refusal::NodeClash { what: (*what).into(), node: other });
        }
    }
    if !table.nodes.contains_key(&node) && table.nodes.len() >= NODES_MAX {
        return Err(Refusal::TooManyNodes);
    }
    table.nodes.insert(node, info.clone());
    Ok(())
}

/// A node is to be emptied: other nodes are to hold its replicas, and it helps no group any more. Where
/// there is no other node a group of many replicas makes do with fewer.
pub(super) fn drain(table: &mut Table, node: NodeId, undo: bool) -> Result<(), Refusal> {
    if !table.nodes.contains_key(&node) {
        return Err(Refusal::UnknownNode(node));
    }
    if undo {
        // What has been moved away stays there.
        table.draining.remove(&node);
        return Ok(());
    }
    table.draining.insert(node);
    helpers::dismiss(table, node);
    let held: Vec<GroupId> = table.groups_on(node).collect();
    for group in held {
        let info = &table.groups[&group];
        let (count, led) = (info.replicas.len(), info.preferred_leader);
        let stay: Vec<NodeId> = info.replicas.iter().copied().filter(|one| *one != node).collect();
        let replicas = match spread(table, &stay, count) {
            Some(replicas) => replicas,
            None if stay.len() >= REPLICAS_KEPT_MIN => stay,
            None => {
                let there = table.nodes.len() - table.draining.len();
                let [wanted, there] =
                    [count, there].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
                return Err(Refusal::TooFewNodes { group, wanted, there });
            }
        };
        let preferred_leader = if led == node { leader(table, group, &replicas) } else { led };
        if let Some(info) = table.groups.get_mut(&group) {
            info.set_replicas(replicas, preferred_leader);
        }
    }
    Ok(())
}

/// A node goes for good, and its id with it.
pub(super) fn remove(table: &mut Table, node: NodeId) -> Result<(), Refusal> {
    if table.past_nodes.contains(node.0) {
        return Ok(());
    }
    if !table.nodes.contains_key(&node) {
        return Err(Refusal::UnknownNode(node));
    }
    let groups: Vec<GroupId> = table.groups_on(node).collect();
    if !groups.is_empty() {
        return Err(Refusal::HoldsReplicas { node, groups });
    }
    let helps = |info: &GroupInfo| info.helps_as(node).is_some();
    let groups: Vec<GroupId> =
        table.groups.iter().filter(|(_, info)| helps(info)).map(|(&group, _)| group).collect();
    if !groups.is_empty() {
        return Err(Refusal::Helps { node, groups });
    }
    table.nodes.remove(&node);
    table.draining.remove(&node);
    table.past_nodes.insert(node.0);
    Ok(())
}
