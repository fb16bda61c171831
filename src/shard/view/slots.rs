//! `CLUSTER SLOTS`, `CLUSTER SHARDS`, and where a client has to go for a bucket.

use super::roles::{ClusterView, Endpoint, Role};
use crate::ids::{Bucket, GroupId, NodeId};
use crate::shard::owners::BucketRange;

/// A line of `CLUSTER SLOTS`: buckets that one leader serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first bucket.
    pub from: Bucket,
    /// The last bucket, included.
    pub to: Bucket,
    /// The leader.
    pub master: Endpoint,
    /// Living nodes that hold a replica and lead nothing themselves.
    pub replicas: Vec<Endpoint>,
}

/// An element of `CLUSTER SHARDS`: a master, its buckets and its slaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The buckets, in order. Empty only for nodes that have no master to follow.
    pub ranges: Vec<BucketRange>,
    /// The master first, then its slaves, also dead ones.
    pub nodes: Vec<ShardNode>,
}

/// A node of a [`Shard`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    /// Where it is.
    pub endpoint: Endpoint,
    /// `master` or `replica`.
    pub role: &'static str,
    /// `online` or `fail`.
    pub health: &'static str,
}

/// Where a command for a bucket belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketRoute {
    /// This node leads the bucket's group.
    Here(GroupId),
    /// Another node does: `-MOVED`, or forward it there.
    There(GroupId, Endpoint),
    /// The group has no living leader as far as is known: `-CLUSTERDOWN`, or wait.
    NoLeader(GroupId),
    /// The bucket belongs to nobody: `-CLUSTERDOWN`.
    NoOwner,
}

impl ClusterView {
    /// Where commands for `bucket` belong, `CLUSTER COUNTKEYSINSLOT` among them.
    ///
    /// # Panics
    /// When there is no such bucket.
    #[must_use]
    pub fn route(&self, bucket: Bucket) -> BucketRoute {
        let Some(group) = self.table.group_of(bucket) else {
            return BucketRoute::NoOwner;
        };
        match self.leader(group) {
            Some(node) if node == self.me => BucketRoute::Here(group),
            Some(node) => match self.endpoint(node) {
                Some(endpoint) => BucketRoute::There(group, endpoint),
                None => BucketRoute::NoLeader(group),
            },
            None => BucketRoute::NoLeader(group),
        }
    }

    /// `CLUSTER SLOTS`: what is served, by bucket; per range the leader first.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotRange> {
        let mut slots: Vec<SlotRange> = Vec::new();
        for &(range, group) in &self.owned {
            let Some(master) = self.leader(group).and_then(|node| self.endpoint(node)) else {
                continue;
            };
            let replicas = self.replicas(group);
            match slots.last_mut() {
                Some(before)
                    if before.to.0 + 1 == range.first.0
                        && before.master == master
                        && before.replicas == replicas =>
                {
                    before.to = range.last;
                }
                _ => slots.push(SlotRange { from: range.first, to: range.last, master, replicas }),
            }
        }
        slots
    }

    /// `CLUSTER SHARDS`: every node once, with the master that it is or mostly follows.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        let mut shards = Vec::new();
        for (&master, _) in self.roles.iter().filter(|(_, role)| **role == Role::Master) {
            let mut nodes = vec![master];
            nodes.extend(self.slaves_of(Some(master)));
            shards.push(self.shard(self.led_by(master), &nodes));
        }
        shards.sort_by_key(|shard| shard.ranges.first().copied());
        let alone: Vec<NodeId> = self.slaves_of(None).collect();
        if !alone.is_empty() {
            shards.push(self.shard(Vec::new(), &alone));
        }
        shards
    }

    pub(super) fn slaves_of(&self, master: Option<NodeId>) -> impl Iterator<Item = NodeId> {
        let all = self.roles.iter();
        all.filter(move |(_, role)| **role == Role::Slave(master)).map(|(&node, _)| node)
    }

    fn shard(&self, ranges: Vec<BucketRange>, nodes: &[NodeId]) -> Shard {
        let node = |&node: &NodeId| {
            Some(ShardNode {
                endpoint: self.endpoint(node)?,
                role: if self.role(node) == Role::Master { "master" } else { "replica" },
                health: if self.alive.contains(&node) { "online" } else { "fail" },
            })
        };
        Shard { ranges, nodes: nodes.iter().filter_map(node).collect() }
    }

    fn replicas(&self, group: GroupId) -> Vec<Endpoint> {
        let Some(info) = self.table.groups.get(&group) else {
            return Vec::new();
        };
        let slaves = info.replicas.iter().chain(&info.observers).filter(|node| {
            self.alive.contains(node) && matches!(self.role(**node), Role::Slave(_))
        });
        slaves.filter_map(|&node| self.endpoint(node)).collect()
    }
}
