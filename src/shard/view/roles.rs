//! The cluster as one node sees it, and who is master and who is slave in it.
//!
//! In Redis a node has one role; here it leads some groups and follows others. A node that leads buckets
//! is a master of those. One that leads none is a slave of the leader it follows in most buckets.

use crate::ids::{Bucket, ClusterId, GroupId, NodeId, Term};
use crate::shard::address::Address;
use crate::shard::owners::{Bounds, BucketRange};
use crate::shard::table::{NodeInfo, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of a group beyond the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// The newest term heard of.
    pub term: Term,
    /// Who leads in that term.
    pub leader: Option<NodeId>,
}

/// Messages between nodes, as `CLUSTER INFO` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent by this node since it started.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// Where a client finds a node: its cluster port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The node.
    pub node: NodeId,
    /// Its id towards Redis clients: 40 hex digits.
    pub id: String,
    /// Its host, without brackets.
    pub host: String,
    /// Its cluster port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    /// As in `-MOVED`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The id of `node` towards Redis clients: 40 hex digits, the same for ever, the node's own number
/// first because people see ids cut short.
#[must_use]
pub fn cluster_node_id(cluster: ClusterId, node: NodeId) -> String {
    format!("{:08x}{cluster}", node.0)
}

/// The cluster as one node sees it at one moment. Made anew when something has changed, and then shared.
#[derive(Clone, Debug)]
pub struct ClusterView {
    pub(super) table: Arc<Table>,
    pub(super) me: NodeId,
    pub(super) alive: BTreeSet<NodeId>,
    pub(super) groups: BTreeMap<GroupId, GroupState>,
    /// The buckets that belong to somebody, with their owner.
    pub(super) owned: Vec<(BucketRange, GroupId)>,
    pub(super) roles: BTreeMap<NodeId, Role>,
}

/// The role of a node towards Redis clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It leads buckets.
    Master,
    /// It leads none and mostly follows this master, if there is any.
    Slave(Option<NodeId>),
}

impl ClusterView {
    /// The view of node `me`, to whom the nodes `alive` seem well; it always seems so to itself.
    #[must_use]
    pub fn new(
        table: Arc<Table>,
        me: NodeId,
        mut alive: BTreeSet<NodeId>,
        groups: BTreeMap<GroupId, GroupState>,
    ) -> Self {
        alive.insert(me);
        let ranges = table.owners.ranges(Bounds::Actual).into_iter();
        let owned = ranges.filter_map(|(range, group)| Some((range, group?))).collect();
        let roles = BTreeMap::new();
        let mut view = Self { table, me, alive, groups, owned, roles };
        view.roles = view.find_roles();
        view
    }

    /// The table behind the view.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The living leader of `group`, if one is known.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        let leader = self.groups.get(&group)?.leader?;
        let there = self.alive.contains(&leader) && self.table.nodes.contains_key(&leader);
        there.then_some(leader)
    }

    /// This node's id towards Redis clients: `CLUSTER MYID`.
    #[must_use]
    pub fn my_id(&self) -> String {
        self.id(self.me)
    }

    /// The node with this id; `None` if the cluster has none.
    #[must_use]
    pub fn node_of_id(&self, id: &str) -> Option<NodeId> {
        let mut nodes = self.table.nodes.keys().copied();
        nodes.find(|node| self.id(*node).eq_ignore_ascii_case(id))
    }

    /// Where a client finds `node`; `None` if the table has no such node.
    #[must_use]
    pub fn endpoint(&self, node: NodeId) -> Option<Endpoint> {
        let info: &NodeInfo = self.table.nodes.get(&node)?;
        let Address { host, port } = Address::parse(&info.cluster_port).ok()?;
        Some(Endpoint { node, id: self.id(node), host: host.to_owned(), port })
    }

    pub(super) fn id(&self, node: NodeId) -> String {
        cluster_node_id(self.table.cluster, node)
    }

    pub(super) fn role(&self, node: NodeId) -> Role {
        self.roles.get(&node).copied().unwrap_or(Role::Slave(None))
    }

    /// The buckets that `node` leads, neighbours joined.
    pub(super) fn led_by(&self, node: NodeId) -> Vec<BucketRange> {
        let mut ranges: Vec<BucketRange> = Vec::new();
        for &(range, group) in &self.owned {
            if self.leader(group) != Some(node) {
                continue;
            }
            match ranges.last_mut() {
                Some(before) if before.last == Bucket(range.first.0 - 1) => {
                    before.last = range.last
                }
                _ => ranges.push(range),
            }
        }
        ranges
    }

    fn find_roles(&self) -> BTreeMap<NodeId, Role> {
        let mut counts: BTreeMap<GroupId, u32> = BTreeMap::new();
        for &(range, group) in &self.owned {
            *counts.entry(group).or_default() += range.count();
        }
        // Group, leader and number of buckets of what is served.
        let led = counts.iter().filter_map(|(&group, &count)| {
            let leader = self.leader(group)?;
            Some((group, leader, count))
        });
        let served: Vec<(GroupId, NodeId, u32)> = led.collect();
        let masters: BTreeSet<NodeId> = served.iter().map(|&(_, leader, _)| leader).collect();
        let role = |node: NodeId| {
            if masters.contains(&node) {
                return Role::Master;
            }
            let follows = |group: &GroupId| {
                let info = self.table.groups.get(group);
                info.is_some_and(|i| i.replicas.contains(&node) || i.observers.contains(&node))
            };
            // A node without a replica of anything served is put to the greatest master.
            let followed = served.iter().filter(|(group, ..)| follows(group));
            Role::Slave(most(followed).or_else(|| most(served.iter())))
        };
        self.table.nodes.keys().map(|&node| (node, role(node))).collect()
    }
}

/// The leader of most buckets; among equals the one with the smallest id.
fn most<'a>(led: impl Iterator<Item = &'a (GroupId, NodeId, u32)>) -> Option<NodeId> {
    let mut counts: BTreeMap<NodeId, u32> = BTreeMap::new();
    for (_, leader, count) in led {
        *counts.entry(*leader).or_default() += count;
    }
    let best = counts.into_iter().max_by_key(|&(node, count)| (count, std::cmp::Reverse(node)));
    best.map(|(node, _)| node)
}
