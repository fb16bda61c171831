//! Which node should lead which group, so that the work is spread over the nodes that are well.
//!
//! While all is well every group is led by its preferred leader. The groups of a node that is not are
//! dealt to the others, each to the replica that leads the fewest data groups so far. The plan is a
//! function of its inputs, and where two nodes are equally good it prefers the one that leads already: a
//! plan that has been carried out asks for nothing more.
//!
//! Each group's leader computes the whole plan and acts on its own line of it. Nodes may see different
//! inputs for a moment; the worst that comes of it is a transfer too many. The caller should call a node
//! well only after it has been so for some seconds, and let the core refuse to hand over to one that lags.

use super::table::Table;
use crate::ids::{GroupId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// The leader that each group should have. Groups of which no replica is well are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderPlan(BTreeMap<GroupId, NodeId>);

/// A lead that should be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The group.
    pub group: GroupId,
    /// Who leads it.
    pub from: NodeId,
    /// Who should.
    pub to: NodeId,
}

/// The node that should lead `group`: see [`LeaderPlan::new`].
#[must_use]
pub fn desired_leader(
    group: GroupId,
    table: &Table,
    alive: &BTreeSet<NodeId>,
    leaders: &BTreeMap<GroupId, NodeId>,
) -> Option<NodeId> {
    LeaderPlan::new(table, alive, leaders).leader(group)
}

impl LeaderPlan {
    /// The plan for a cluster of which the nodes `alive` are well and `leaders` lead now.
    #[must_use]
    pub fn new(
        table: &Table,
        alive: &BTreeSet<NodeId>,
        leaders: &BTreeMap<GroupId, NodeId>,
    ) -> Self {
        let mut spread = Spread::default();
        let mut orphans = Vec::new();
        for (&group, info) in &table.groups {
            if alive.contains(&info.preferred_leader) {
                spread.give(group, info.preferred_leader);
            } else {
                orphans.push((group, info));
            }
        }
        // The config group is dealt last: it goes where clients are served least.
        orphans.sort_by_key(|(group, _)| (*group == GroupId::CONFIG, *group));
        for (group, info) in orphans {
            let current = leaders.get(&group);
            let well = info.replicas.iter().filter(|node| alive.contains(node));
            let best = well.min_by_key(|node| (spread.led(node), current != Some(node), **node));
            if let Some(&node) = best {
                spread.give(group, node);
            }
        }
        Self(spread.plan)
    }

    /// The node that should lead `group`; `None` if no replica of it is well.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.0.get(&group).copied()
    }

    /// What has to be handed over to get there from `leaders`, by group.
    #[must_use]
    pub fn transfers(&self, leaders: &BTreeMap<GroupId, NodeId>) -> Vec<Transfer> {
        let known = self.0.iter().filter_map(|(&group, &to)| {
            let from = *leaders.get(&group)?;
            Some(Transfer { group, from, to })
        });
        known.filter(|transfer| transfer.from != transfer.to).collect()
    }
}

/// A plan in the making.
#[derive(Default)]
struct Spread {
    plan: BTreeMap<GroupId, NodeId>,
    /// Data groups led and config groups led, in this order: clients feel only the former.
    leads: BTreeMap<NodeId, (u32, u32)>,
}

impl Spread {
    fn give(&mut self, group: GroupId, node: NodeId) {
        let (data, config) = self.leads.entry(node).or_default();
        *(if group == GroupId::CONFIG { config } else { data }) += 1;
        self.plan.insert(group, node);
    }

    fn led(&self, node: &NodeId) -> (u32, u32) {
        self.leads.get(node).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::InitPlan;
    use super::super::plan::tests::plan;
    use super::*;
    use proptest::prelude::*;

    fn nodes(ids: &[u32]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn leaders(pairs: &[(u32, u32)]) -> BTreeMap<GroupId, NodeId> {
        pairs.iter().map(|&(group, node)| (GroupId(group), NodeId(node))).collect()
    }

    fn data_leads(plan: &LeaderPlan, node: NodeId) -> usize {
        let data = plan.0.iter().filter(|(group, _)| **group != GroupId::CONFIG);
        data.filter(|(_, leader)| **leader == node).count()
    }

    #[test]
    fn while_all_is_well_the_preferred_lead() {
        let table = Table::found(&plan(3, 2)).expect("a good plan");
        let now = leaders(&[(0, 1), (1, 1), (2, 1)]);
        let plan = LeaderPlan::new(&table, &nodes(&[1, 2, 3]), &now);
        for (group, info) in &table.groups {
            assert_eq!(plan.leader(*group), Some(info.preferred_leader));
        }
        let (n1, n2, n3) = (NodeId(1), NodeId(2), NodeId(3));
        let expected = [
            Transfer { group: GroupId(0), from: n1, to: n3 },
            Transfer { group: GroupId(2), from: n1, to: n2 },
        ];
        assert_eq!(plan.transfers(&now), expected);
    }

    #[test]
    fn the_groups_of_a_dead_node_go_where_clients_are_served_least() {
        let table = Table::found(&plan(3, 2)).expect("a good plan");
        // Node 3, which leads only the config group, takes over the group of node 1.
        let now = leaders(&[(0, 3), (1, 2), (2, 2)]);
        let plan = LeaderPlan::new(&table, &nodes(&[2, 3]), &now);
        assert_eq!(plan.leader(GroupId(1)), Some(NodeId(3)));
        assert_eq!(desired_leader(GroupId(1), &table, &nodes(&[2, 3]), &now), Some(NodeId(3)));
        // The config group of node 3 stays with whom it has among equals.
        for holder in [1, 2] {
            let now = leaders(&[(0, holder), (1, 1), (2, 2)]);
            let plan = LeaderPlan::new(&table, &nodes(&[1, 2]), &now);
            assert_eq!(plan.leader(GroupId::CONFIG), Some(NodeId(holder)));
            assert_eq!(plan.transfers(&now), []);
        }
    }

    #[test]
    fn groups_without_a_live_replica_are_left_out() {
        let founding = InitPlan { replication: 1, ..plan(3, 3) };
        let table = Table::found(&founding).expect("a good plan");
        let plan = LeaderPlan::new(&table, &nodes(&[1]), &BTreeMap::new());
        assert_eq!(plan.leader(GroupId(1)), Some(NodeId(1)));
        assert_eq!(plan.leader(GroupId(2)), None);
    }

    proptest! {
        #[test]
        fn plans_are_even_stable_and_of_live_replicas(
            count in 1u32..9,
            groups in 1u32..40,
            dead in proptest::collection::btree_set(1u32..9, 0..8),
            now in proptest::collection::vec(1u32..9, 41),
        ) {
            let table = Table::found(&plan(count, groups)).expect("a good plan");
            let alive: BTreeSet<NodeId> =
                (1..=count).filter(|node| !dead.contains(node)).map(NodeId).collect();
            let now: BTreeMap<GroupId, NodeId> =
                (0..).map(GroupId).zip(now.into_iter().map(NodeId)).collect();
            let plan = LeaderPlan::new(&table, &alive, &now);
            prop_assert_eq!(plan.0.len(), if alive.is_empty() { 0 } else { groups as usize + 1 });
            prop_assert!(plan.0.values().all(|leader| alive.contains(leader)));
            // Every group on every node: nothing keeps the plan from being even.
            let leads = alive.iter().map(|&node| data_leads(&plan, node));
            if let (Some(most), Some(fewest)) = (leads.clone().max(), leads.min()) {
                prop_assert!(most - fewest <= 1);
            }
            for (group, info) in &table.groups {
                if alive.contains(&info.preferred_leader) {
                    prop_assert_eq!(plan.leader(*group), Some(info.preferred_leader));
                }
            }
            let carried_out = plan.0.clone();
            let again = LeaderPlan::new(&table, &alive, &carried_out);
            prop_assert_eq!(again.transfers(&carried_out), []);
        }
    }
}
