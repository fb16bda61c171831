//! The birth of a cluster: what `init` records, and the first table that follows from it.
//!
//! The first table is a function of the plan alone. A node that is given the plan therefore knows, before
//! there is a config group to ask, whether it is among those who start the config group.

use super::moves::MoveRules;
use super::owners::{Actual, BucketRange, FIRST_EPOCH, Owner, Owners};
use super::past::Past;
use super::spread::spread_over;
use super::table::{GroupInfo, NodeInfo, ReplicatedLimits, Table, TableError};
use crate::ids::{Bucket, ClusterId, GroupId, NodeId, TableVersion};
use crate::limits::BUCKETS;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes of one cluster.
pub const NODES_MAX: usize = 1024;
/// Data groups of one cluster.
pub const GROUPS_MAX: usize = 4096;

/// A node that is there from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Its id.
    pub node: NodeId,
    /// Its disk and its addresses.
    pub info: NodeInfo,
}

/// What `init` records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitPlan {
    /// The new cluster's id.
    pub cluster: ClusterId,
    /// The key of the hash by which rows of a bucket are ordered.
    pub hash_key: [u8; 16],
    /// The first nodes, in any order.
    pub founders: Vec<Founder>,
    /// How many data groups share the buckets.
    pub data_groups: u32,
    /// Replicas of each group; more than there are nodes means all of them.
    pub replication: u32,
    /// Replicated limits to begin with.
    pub limits: ReplicatedLimits,
}

/// Why a plan makes no cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PlanError {
    /// No nodes, or more than there may be.
    #[error("a cluster has 1 to {NODES_MAX} nodes, not {0}")]
    Nodes(usize),
    /// A node is named twice, or is 0.
    #[error("{0} is not an id, or is given twice")]
    NodeId(NodeId),
    /// No data groups, or more than there may be.
    #[error("a cluster has 1 to {GROUPS_MAX} data groups, not {0}")]
    Groups(u32),
    /// No replicas.
    #[error("a group has at least one replica")]
    Replication,
    /// An address or a limit is not right.
    #[error("{0}")]
    Table(String),
}

impl From<TableError> for PlanError {
    fn from(error: TableError) -> Self {
        Self::Table(error.to_string())
    }
}

impl Table {
    /// The first table of a cluster: buckets in contiguous, equal shares; replicas and preferred leaders
    /// spread evenly, those of a group over zones first where nodes say in which they stand.
    ///
    /// # Errors
    /// When the plan makes no sense.
    pub fn found(plan: &InitPlan) -> Result<Self, PlanError> {
        if plan.founders.is_empty() || plan.founders.len() > NODES_MAX {
            return Err(PlanError::Nodes(plan.founders.len()));
        }
        if plan.data_groups == 0 || plan.data_groups as usize > GROUPS_MAX {
            return Err(PlanError::Groups(plan.data_groups));
        }
        if plan.replication == 0 {
            return Err(PlanError::Replication);
        }
        let mut nodes = BTreeMap::new();
        for Founder { node, info } in &plan.founders {
            if node.0 == 0 || nodes.insert(*node, info.clone()).is_some() {
                return Err(PlanError::NodeId(*node));
            }
        }
        let table = Self {
            version: TableVersion(1),
            shaped: TableVersion(1),
            cluster: plan.cluster,
            hash_key: plan.hash_key,
            groups: first_groups(plan, &nodes),
            nodes,
            draining: BTreeSet::new(),
            past_nodes: Past::default(),
            owners: first_owners(plan),
            moves: MoveRules::default(),
            limits: plan.limits,
            feature_level: 1,
            barred: BTreeSet::new(),
        };
        table.check()?;
        Ok(table)
    }
}

/// Places the replicas of group after group, in turn or, where zones are known, apart from each other.
fn first_groups(
    plan: &InitPlan,
    nodes: &BTreeMap<NodeId, NodeInfo>,
) -> BTreeMap<GroupId, GroupInfo> {
    let ids: Vec<NodeId> = nodes.keys().copied().collect();
    let replication = ids.len().min(plan.replication as usize);
    // Where every node holds every group, zones make no difference.
    let zoned = replication < ids.len() && nodes.values().any(|info| info.zone.is_some());
    let mut held: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut leads: BTreeMap<NodeId, u32> = BTreeMap::new();
    let mut groups = BTreeMap::new();
    // The config group comes last: it prefers to be led where the fewest data groups are.
    let data_groups = (1..=plan.data_groups).map(GroupId);
    for (number, group) in data_groups.chain([GroupId::CONFIG]).enumerate() {
        let (mut replicas, mut leader) = in_turn(&ids, replication, number);
        if zoned {
            let placed = spread_over(nodes, &BTreeSet::new(), &held, &[], replication);
            replicas = placed.expect("no more replicas than nodes");
        }
        if zoned || group == GroupId::CONFIG {
            let led = |node: &NodeId| (leads.get(node).copied(), *node);
            leader = *replicas.iter().min_by_key(|node| led(node)).expect("a replica");
        }
        *leads.entry(leader).or_default() += 1;
        for node in &replicas {
            *held.entry(*node).or_default() += 1;
        }
        let founders = replicas.iter().map(|node| (*node, nodes[node].incarnation)).collect();
        let joined = group != GroupId::CONFIG;
        let info = GroupInfo {
            founders,
            first_buckets: if joined { vec![first_share(plan, group)] } else { Vec::new() },
            first_limits: plan.limits,
            joined,
            replicas,
            preferred_leader: leader,
            observers: Vec::new(),
            secretaries: Vec::new(),
            recovery: None,
            left_behind: Vec::new(),
        };
        groups.insert(group, info);
    }
    groups
}

/// Deals the replicas of group after group to the nodes in turn, so that no node holds two more than
/// another, and lets the preferred leaders go round likewise: those of the group with this number, sorted,
/// and its leader.
fn in_turn(ids: &[NodeId], replication: usize, number: usize) -> (Vec<NodeId>, NodeId) {
    let turn = ids.iter().copied().cycle().skip(number * replication % ids.len());
    let mut replicas: Vec<NodeId> = turn.take(replication).collect();
    // A group's first node alone would not do: first nodes repeat after `period` groups and leave
    // others out. One step further each time, every node comes once in as many groups as there
    // are nodes.
    let steps = gcd(replication, ids.len());
    let period = ids.len() / steps;
    let leader = replicas[number / period % steps];
    replicas.sort_unstable();
    (replicas, leader)
}

/// The greatest common divisor.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Every bucket belongs to a data group.
fn first_owners(plan: &InitPlan) -> Owners {
    Owners::of((1..=plan.data_groups).map(GroupId).map(|group| {
        let actual = Some(Actual { group, epoch: FIRST_EPOCH });
        (first_share(plan, group), Owner { desired: Some(group), actual })
    }))
}

/// The buckets of a data group: contiguous shares whose sizes differ by one at most.
fn first_share(plan: &InitPlan, group: GroupId) -> BucketRange {
    // In 64 bits: 16,384 times the number of groups does not overflow.
    let start =
        |share: u32| (u64::from(BUCKETS) * u64::from(share) / u64::from(plan.data_groups)) as u16;
    BucketRange { first: Bucket(start(group.0 - 1)), last: Bucket(start(group.0) - 1) }
}

const _: () = assert!(GROUPS_MAX <= BUCKETS as usize, "every data group gets a bucket");

#[cfg(test)]
pub(super) mod tests {
    use super::super::owners::Bounds;
    use super::*;
    use crate::ids::Incarnation;
    use proptest::prelude::*;

    /// The addresses of node `number` on this machine.
    pub(in super::super) fn info(number: u32) -> NodeInfo {
        NodeInfo {
            incarnation: Incarnation(u64::from(number) * 100),
            quic: format!("127.0.0.1:{}", 6378 + number),
            redis: format!("127.0.0.1:{}", 6378 + number),
            cluster_port: format!("127.0.0.1:{}", 7378 + number),
            http: format!("127.0.0.1:{}", 8079 + number),
            zone: None,
        }
    }

    /// A plan with nodes 1..=n, each group on all of them.
    pub(in super::super) fn plan(nodes: u32, data_groups: u32) -> InitPlan {
        InitPlan {
            cluster: ClusterId([0xc1; 16]),
            hash_key: [7; 16],
            founders: (1..=nodes).map(|n| Founder { node: NodeId(n), info: info(n) }).collect(),
            data_groups,
            replication: nodes,
            limits: ReplicatedLimits::default(),
        }
    }

    /// A plan whose nodes stand in these zones.
    fn zoned(zones: &[Option<u8>], data_groups: u32, replication: u32) -> InitPlan {
        let mut plan = InitPlan { replication, ..plan(zones.len() as u32, data_groups) };
        for (founder, zone) in plan.founders.iter_mut().zip(zones) {
            founder.info.zone = zone.map(|zone| format!("zone-{zone}"));
        }
        plan
    }

    /// The replicas of each group, and who should lead it, the config group first.
    fn places(plan: &InitPlan) -> Vec<(Vec<u32>, u32)> {
        let table = Table::found(plan).expect("a good plan");
        let place = |info: &GroupInfo| {
            (info.replicas.iter().map(|node| node.0).collect(), info.preferred_leader.0)
        };
        table.groups.values().map(place).collect()
    }

    #[test]
    fn three_nodes_and_two_groups() {
        let table = Table::found(&plan(3, 2)).expect("a good plan");
        let all = vec![NodeId(1), NodeId(2), NodeId(3)];
        assert!(table.groups.values().all(|group| group.replicas == all));
        let preferred: Vec<u32> =
            table.groups.values().map(|group| group.preferred_leader.0).collect();
        assert_eq!(preferred, [3, 1, 2], "the config group leads where no data group does");
        let ranges = table.owners.ranges(Bounds::Actual);
        let text: Vec<String> = ranges
            .iter()
            .map(|(range, group)| format!("{range}:{}", group.expect("an owner")))
            .collect();
        assert_eq!(text, ["0-8191:g1", "8192-16383:g2"]);
    }

    #[test]
    fn the_order_of_the_founders_does_not_matter() {
        let mut reversed = plan(5, 4);
        reversed.founders.reverse();
        assert_eq!(Table::found(&reversed), Table::found(&plan(5, 4)));
    }

    #[test]
    fn no_zone_has_a_whole_group_where_there_are_others() {
        let zones = [1, 1, 1, 2, 3, 4].map(Some);
        let apart = [(vec![3, 5, 6], 3), (vec![1, 4, 5], 1), (vec![2, 4, 6], 2)];
        assert_eq!(places(&zoned(&zones, 2, 3)), apart);
    }

    #[test]
    fn nodes_without_zones_have_their_turns() {
        let turns = [(vec![2, 3, 4], 2), (vec![1, 2, 3], 1), (vec![1, 4, 5], 4)];
        assert_eq!(places(&zoned(&[None; 5], 2, 3)), turns);
    }

    #[test]
    fn zones_make_no_difference_where_every_node_has_every_group() {
        let zones = [Some(1), Some(1), None, Some(2)];
        assert_eq!(places(&zoned(&zones, 7, 4)), places(&plan(4, 7)));
    }

    #[test]
    fn plans_that_make_no_cluster() {
        let refused = |change: &dyn Fn(&mut InitPlan)| {
            let mut plan = plan(3, 2);
            change(&mut plan);
            Table::found(&plan).expect_err("a bad plan")
        };
        assert_eq!(refused(&|plan| plan.founders.clear()), PlanError::Nodes(0));
        assert_eq!(refused(&|plan| plan.data_groups = 0), PlanError::Groups(0));
        assert_eq!(refused(&|plan| plan.data_groups = 4097), PlanError::Groups(4097));
        assert_eq!(refused(&|plan| plan.replication = 0), PlanError::Replication);
        let twice = refused(&|plan| plan.founders[0].node = NodeId(3));
        assert_eq!(twice, PlanError::NodeId(NodeId(3)));
        let zero = refused(&|plan| plan.founders[0].node = NodeId(0));
        assert_eq!(zero, PlanError::NodeId(NodeId(0)));
        let address = refused(&|plan| plan.founders[0].info.redis = "nowhere".into());
        assert!(matches!(address, PlanError::Table(text) if text.contains("Redis")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_bucket_has_one_owner_and_shares_are_even(
            nodes in 1u32..40, groups in 1u32..300, replication in 1u32..9
        ) {
            let plan = InitPlan { replication, ..plan(nodes, groups) };
            let table = Table::found(&plan).expect("a good plan");
            let mut counts: BTreeMap<GroupId, u32> = BTreeMap::new();
            for bucket in 0..BUCKETS {
                let owner = table.owners.get(Bucket(bucket));
                prop_assert_eq!(owner.desired, owner.actual.map(|actual| actual.group));
                *counts.entry(owner.desired.expect("an owner")).or_default() += 1;
            }
            prop_assert_eq!(counts.len(), groups as usize);
            prop_assert_eq!(counts.values().sum::<u32>(), u32::from(BUCKETS));
            let spread = counts.values().max().expect("a group")
                - counts.values().min().expect("a group");
            prop_assert!(spread <= 1);
            for group in counts.keys() {
                let ranges = table.owners.ranges_of(*group, Bounds::Actual);
                prop_assert_eq!(ranges.len(), 1, "contiguous");
                prop_assert_eq!(table.bucket_count(*group), counts[group]);
                prop_assert_eq!(&table.groups[group].first_buckets, &ranges);
            }
        }

        #[test]
        fn no_zone_has_two_replicas_where_another_has_none(
            zones in proptest::collection::vec(proptest::option::of(0u8..5), 1..12),
            groups in 1u32..30, replication in 1u32..7
        ) {
            let table = Table::found(&zoned(&zones, groups, replication)).expect("a good plan");
            // Who does not say where it stands is a zone by itself.
            let zone = |node: &NodeId| match zones[node.0 as usize - 1] {
                Some(zone) => (Some(zone), 0),
                None => (None, node.0),
            };
            for info in table.groups.values() {
                prop_assert_eq!(info.replicas.len(), zones.len().min(replication as usize));
                let mut counts: BTreeMap<(Option<u8>, u32), usize> =
                    table.nodes.keys().map(|node| (zone(node), 0)).collect();
                for node in &info.replicas {
                    *counts.entry(zone(node)).or_default() += 1;
                }
                let most = *counts.values().max().expect("a zone");
                let least = *counts.values().min().expect("a zone");
                prop_assert!(most < 2 || least > 0, "zones {:?}", counts);
            }
        }

        #[test]
        fn replicas_and_leaders_are_even(
            nodes in 1u32..40, groups in 1u32..300, replication in 1u32..9
        ) {
            let plan = InitPlan { replication, ..plan(nodes, groups) };
            let table = Table::found(&plan).expect("a good plan");
            let (mut held, mut leads) = (vec![0u32; nodes as usize], vec![0u32; nodes as usize]);
            for (_, info) in table.data_groups() {
                prop_assert_eq!(info.replicas.len() as u32, replication.min(nodes));
                for node in &info.replicas {
                    held[node.0 as usize - 1] += 1;
                }
                leads[info.preferred_leader.0 as usize - 1] += 1;
            }
            let spread = |counts: &[u32]| {
                counts.iter().max().expect("a node") - counts.iter().min().expect("a node")
            };
            prop_assert!(spread(&held) <= 1, "replicas {:?}", held);
            prop_assert!(spread(&leads) <= 1, "leaders {:?}", leads);
        }
    }
}
