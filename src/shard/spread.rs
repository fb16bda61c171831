//! Where a group's replicas are placed: apart from each other, and where the fewest are.
//!
//! One after the other, each replica goes to the node whose zone holds the fewest of this group, among
//! those to the node that holds the fewest of all groups, among those to the smallest id. A node that does
//! not say where it stands is a zone by itself. Nodes that are being drained get nothing.

use super::table::{NodeInfo, Table};
use crate::ids::{GroupId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// `chosen` and as many nodes more as `count` takes, sorted; `None` if there are not so many.
pub(super) fn spread(table: &Table, chosen: &[NodeId], count: usize) -> Option<Vec<NodeId>> {
    let mut held: BTreeMap<NodeId, usize> = BTreeMap::new();
    for node in table.groups.values().flat_map(|info| &info.replicas) {
        *held.entry(*node).or_default() += 1;
    }
    spread_over(&table.nodes, &table.draining, &held, chosen, count)
}

/// The same over these nodes, of which some are being drained, and which hold so many replicas already.
pub(super) fn spread_over(
    nodes: &BTreeMap<NodeId, NodeInfo>,
    draining: &BTreeSet<NodeId>,
    held: &BTreeMap<NodeId, usize>,
    chosen: &[NodeId],
    count: usize,
) -> Option<Vec<NodeId>> {
    let zone = |node: &NodeId| nodes.get(node).and_then(|info| info.zone.as_deref());
    let mut replicas = chosen.to_vec();
    while replicas.len() < count {
        let beside = |node: &NodeId| match zone(node) {
            Some(name) => replicas.iter().filter(|other| zone(other) == Some(name)).count(),
            None => 0,
        };
        let free = nodes.keys().filter(|node| !replicas.contains(node));
        let free = free.filter(|node| !draining.contains(node));
        let best = free
            .min_by_key(|node| (beside(node), held.get(node).copied().unwrap_or_default(), **node));
        replicas.push(*best?);
    }
    replicas.sort_unstable();
    Some(replicas)
}

/// Which of `replicas` should lead: the one that is to lead the fewest data groups besides `group`.
///
/// # Panics
/// When there is none.
pub(super) fn leader(table: &Table, group: GroupId, replicas: &[NodeId]) -> NodeId {
    let leads = |node: &NodeId| {
        let others = table.data_groups().filter(|(other, _)| *other != group);
        others.filter(|(_, info)| info.preferred_leader == *node).count()
    };
    let best = replicas.iter().min_by_key(|node| (leads(node), **node));
    *best.expect("a group has replicas")
}

/// As many replicas as data groups have, where that differs the most that one has.
pub(super) fn usual_replicas(table: &Table) -> usize {
    table.data_groups().map(|(_, info)| info.replicas.len()).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::super::plan::InitPlan;
    use super::super::plan::tests::plan;
    use super::*;
    use proptest::prelude::*;

    /// A cluster of so many nodes, with one data group on the first.
    fn cluster(zones: &[Option<u8>]) -> Table {
        let founding = InitPlan { replication: 1, ..plan(zones.len() as u32, 1) };
        let mut table = Table::found(&founding).expect("a good plan");
        for (info, zone) in table.nodes.values_mut().zip(zones) {
            info.zone = zone.map(|zone| format!("zone-{zone}"));
        }
        table
    }

    fn ids(nodes: &[NodeId]) -> Vec<u32> {
        nodes.iter().map(|node| node.0).collect()
    }

    #[test]
    fn replicas_stand_in_different_zones_where_there_are_such() {
        let table = cluster(&[Some(1), Some(1), Some(1), Some(2), Some(3), Some(3)]);
        let chosen = spread(&table, &[], 3).expect("enough nodes");
        assert_eq!(ids(&chosen), [3, 4, 5], "the first two hold a replica already");
        let four = spread(&table, &[], 4).expect("enough nodes");
        assert_eq!(ids(&four), [3, 4, 5, 6]);
        assert_eq!(ids(&spread(&table, &[NodeId(4)], 2).expect("enough")), [3, 4]);
        assert_eq!(spread(&table, &[], 7), None);
    }

    #[test]
    fn a_node_that_is_drained_gets_nothing() {
        let mut table = cluster(&[None, None, None, None]);
        table.draining.insert(NodeId(3));
        assert_eq!(ids(&spread(&table, &[], 3).expect("enough")), [1, 2, 4]);
        assert_eq!(spread(&table, &[], 4), None);
    }

    #[test]
    fn the_leader_is_who_leads_the_least() {
        let table = Table::found(&plan(3, 2)).expect("a good plan");
        assert_eq!(leader(&table, GroupId(3), &[NodeId(1), NodeId(2), NodeId(3)]), NodeId(3));
        assert_eq!(leader(&table, GroupId(1), &[NodeId(1), NodeId(2)]), NodeId(1), "its own aside");
        assert_eq!(usual_replicas(&table), 3);
    }

    proptest! {
        #[test]
        fn many_groups_are_even_over_nodes_and_over_zones(
            per_zone in 1u8..4, zones in 1u8..5, labelled: bool, replication in 1usize..6, groups in 1u32..30
        ) {
            let labels: Vec<Option<u8>> = (0..per_zone)
                .flat_map(|_| (0..zones).map(|zone| labelled.then_some(zone)))
                .collect();
            let mut table = cluster(&labels);
            table.groups.clear();
            let count = replication.min(labels.len());
            for group in (1..=groups).map(GroupId) {
                let replicas = spread(&table, &[], count).expect("enough nodes");
                prop_assert_eq!(replicas.len(), count);
                prop_assert!(replicas.is_sorted_by(|a, b| a < b));
                let mut in_zone = vec![0usize; usize::from(zones)];
                for node in &replicas {
                    in_zone[(node.0 as usize - 1) % usize::from(zones)] += 1;
                }
                let spread = in_zone.iter().max().expect("a zone") - in_zone.iter().min().expect("a zone");
                prop_assert!(!labelled || spread <= 1, "zones {:?}", in_zone);
                let info = super::super::table::GroupInfo::born(&table, group, replicas);
                table.groups.insert(group, info);
            }
            let held = table.nodes.keys().map(|node| table.groups_on(*node).count());
            let (most, least) = (held.clone().max().expect("a node"), held.min().expect("a node"));
            prop_assert!(most - least <= 1, "{} and {}", most, least);
        }
    }
}
