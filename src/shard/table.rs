//! The config table: one version of what the cluster looks like.
//!
//! Who has it: the config group keeps every version, every node the newest it has seen. What it says of
//! replicas and of desired owners is a wish, which the groups' leaders work towards; what it says of
//! nodes and of actual owners is as true as the last report.
//!
//! Must always hold: every replica, founder and preferred leader is a node of the table, every owner a
//! group of it, and group 0 is among the groups.

use super::address::{Address, AddressError};
use super::owners::{Bounds, Owners};
use super::plan::{GROUPS_MAX, NODES_MAX};
use crate::codec::{self, DecodeError};
use crate::ids::{Bucket, ClusterId, GroupId, Incarnation, NodeId, TableVersion};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One version of the config table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Which version; the first is 1.
    pub version: TableVersion,
    /// Which cluster.
    pub cluster: ClusterId,
    /// The key of the hash by which rows of a bucket are ordered; the same for the life of the cluster.
    pub hash_key: [u8; 16],
    /// The nodes.
    pub nodes: BTreeMap<NodeId, NodeInfo>,
    /// The groups, the config group among them.
    pub groups: BTreeMap<GroupId, GroupInfo>,
    /// Which group owns which bucket.
    pub owners: Owners,
    /// Limits that every replica must judge by alike.
    pub limits: ReplicatedLimits,
    /// What all nodes understand; entries of a higher level may not be proposed.
    pub feature_level: u32,
}

/// A node as the others see it. Addresses are `host:port` and such that clients and peers can reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The life of the node's disk that belongs to the cluster.
    pub incarnation: Incarnation,
    /// QUIC (UDP): other nodes and `eraftctl`.
    pub quic: String,
    /// The plain Redis port: the whole cluster.
    pub redis: String,
    /// The cluster Redis port: the buckets led here.
    pub cluster_port: String,
    /// HTTP: metrics and health.
    pub http: String,
    /// Where it stands, if told: nodes of one zone may fail together.
    pub zone: Option<String>,
}

/// A group as the table wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// The disks whose nodes may start the group as voters; a fact of its birth that never changes.
    pub founders: Vec<(NodeId, Incarnation)>,
    /// The nodes that should hold a replica, sorted.
    pub replicas: Vec<NodeId>,
    /// The replica that should lead while it is well.
    pub preferred_leader: NodeId,
}

/// Limits that apply consults; replicated, because replicas must judge alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicatedLimits {
    /// The largest value, bytes.
    pub value_bytes_max: u64,
    /// Sessions that one group remembers.
    pub sessions_max: u64,
    /// Unacknowledged replies of one session.
    pub session_replies_max: u64,
    /// Bytes of unacknowledged replies of one group.
    pub session_bytes_max: u64,
}

impl Default for ReplicatedLimits {
    fn default() -> Self {
        Self {
            value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT as u64,
            sessions_max: limits::SESSIONS_MAX as u64,
            session_replies_max: limits::SESSION_REPLIES_MAX as u64,
            session_bytes_max: limits::SESSION_BYTES_MAX as u64,
        }
    }
}

/// Why a table, or a part of one, cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not the bytes of a table, or of a format that this program does not know.
    #[error("not a config table: {0}")]
    Bytes(#[from] DecodeError),
    /// Another format.
    #[error("config table of format {0}, this program knows {FORMAT}")]
    Format(u8),
    /// More nodes or groups than there may be.
    #[error("too many nodes or groups")]
    TooMany,
    /// A group names a node that is not there, or itself twice, or nobody.
    #[error("the replicas of {0} are not right")]
    Replicas(GroupId),
    /// Buckets belong to a group that is not there.
    #[error("{0} owns buckets and does not exist")]
    Owner(GroupId),
    /// The config group is missing.
    #[error("there is no config group")]
    NoConfigGroup,
    /// An address of a node is none.
    #[error("{what} address {text:?} of {node}: {error}")]
    Address {
        /// The node.
        node: NodeId,
        /// Which address.
        what: &'static str,
        /// What it says.
        text: String,
        /// What is wrong.
        error: AddressError,
    },
    /// A zone that is empty or too long.
    #[error("the zone of {0} is not a name")]
    Zone(NodeId),
    /// A limit outside of what this program can bear.
    #[error("{0} is out of range")]
    Limit(&'static str),
}

/// The format of an encoded table: its first byte.
const FORMAT: u8 = 1;
/// The longest name of a zone, bytes.
const ZONE_BYTES_MAX: usize = 64;

impl Table {
    /// The data groups, by id.
    pub fn data_groups(&self) -> impl Iterator<Item = (GroupId, &GroupInfo)> {
        let all = self.groups.iter().map(|(&group, info)| (group, info));
        all.filter(|(group, _)| *group != GroupId::CONFIG)
    }

    /// The group that really owns `bucket`, as far as is known.
    ///
    /// # Panics
    /// When there is no such bucket.
    #[must_use]
    pub fn group_of(&self, bucket: Bucket) -> Option<GroupId> {
        self.owners.get(bucket).actual.map(|actual| actual.group)
    }

    /// How many buckets `group` really owns.
    #[must_use]
    pub fn bucket_count(&self, group: GroupId) -> u32 {
        self.owners.ranges_of(group, Bounds::Actual).iter().map(|range| range.count()).sum()
    }

    /// The groups that `node` should hold a replica of, by id.
    pub fn groups_on(&self, node: NodeId) -> impl Iterator<Item = GroupId> {
        let all = self.groups.iter();
        all.filter(move |(_, info)| info.replicas.contains(&node)).map(|(&group, _)| group)
    }

    /// Whether this disk may start `group` as one of its first voters. Every other replica starts
    /// without voters and waits until the group adds it.
    #[must_use]
    pub fn may_found(&self, group: GroupId, node: NodeId, incarnation: Incarnation) -> bool {
        let info = self.groups.get(&group);
        info.is_some_and(|info| info.founders.contains(&(node, incarnation)))
    }

    /// The bytes of the table, with their format.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        codec::encode_into(self, &mut bytes);
        bytes
    }

    /// Reads the bytes of a table and checks it.
    ///
    /// # Errors
    /// When they are none, or the table contradicts itself.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => {
                let table: Self = codec::decode(rest)?;
                table.check()?;
                Ok(table)
            }
            Some((&format, _)) => Err(TableError::Format(format)),
            None => Err(TableError::Format(0)),
        }
    }

    /// Checks that the table does not contradict itself.
    ///
    /// # Errors
    /// When it does.
    pub fn check(&self) -> Result<(), TableError> {
        if self.nodes.len() > NODES_MAX || self.groups.len() > GROUPS_MAX + 1 {
            return Err(TableError::TooMany);
        }
        if !self.groups.contains_key(&GroupId::CONFIG) {
            return Err(TableError::NoConfigGroup);
        }
        for (&node, info) in &self.nodes {
            info.check(node)?;
        }
        for (&group, info) in &self.groups {
            let sorted = info.replicas.is_sorted_by(|a, b| a < b);
            let known = info.replicas.iter().all(|node| self.nodes.contains_key(node));
            let led = info.replicas.contains(&info.preferred_leader);
            if !(sorted && known && led) || info.founders.is_empty() {
                return Err(TableError::Replicas(group));
            }
        }
        for run in self.owners.runs() {
            let actual = run.owner.actual.map(|actual| actual.group);
            for group in [run.owner.desired, actual].into_iter().flatten() {
                if !self.groups.contains_key(&group) {
                    return Err(TableError::Owner(group));
                }
            }
        }
        self.limits.check()
    }
}

impl NodeInfo {
    /// Checks that every address of `node` is one.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn check(&self, node: NodeId) -> Result<(), TableError> {
        for (what, text) in [
            ("QUIC", &self.quic),
            ("Redis", &self.redis),
            ("cluster", &self.cluster_port),
            ("HTTP", &self.http),
        ] {
            if let Err(error) = Address::parse(text) {
                return Err(TableError::Address { node, what, text: shortened(text), error });
            }
        }
        match &self.zone {
            Some(zone) if zone.is_empty() || zone.len() > ZONE_BYTES_MAX => {
                Err(TableError::Zone(node))
            }
            _ => Ok(()),
        }
    }
}

/// Enough of a wrong address to recognise it.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

impl ReplicatedLimits {
    /// Checks that this program can bear the limits.
    ///
    /// # Errors
    /// Names the first that it cannot.
    pub fn check(&self) -> Result<(), TableError> {
        let within = |value: u64, max: usize| value >= 1 && value <= max as u64;
        if !within(self.value_bytes_max, limits::VALUE_BYTES_MAX) {
            return Err(TableError::Limit("value_bytes_max"));
        }
        if !within(self.sessions_max, limits::SESSIONS_MAX) {
            return Err(TableError::Limit("sessions_max"));
        }
        if !within(self.session_replies_max, limits::SESSION_REPLIES_MAX) {
            return Err(TableError::Limit("session_replies_max"));
        }
        if !within(self.session_bytes_max, limits::SESSION_BYTES_MAX) {
            return Err(TableError::Limit("session_bytes_max"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    #[test]
    fn a_table_survives_its_bytes() {
        let table = Table::found(&plan(3, 2)).expect("a good plan");
        assert_eq!(Table::decode(&table.encode()), Ok(table));
    }

    #[test]
    fn bytes_of_other_formats_and_of_nothing_are_refused() {
        let mut bytes = Table::found(&plan(3, 2)).expect("a good plan").encode();
        assert_eq!(Table::decode(&[]), Err(TableError::Format(0)));
        assert!(matches!(Table::decode(&bytes[..bytes.len() - 1]), Err(TableError::Bytes(_))));
        bytes.push(0);
        assert!(matches!(Table::decode(&bytes), Err(TableError::Bytes(DecodeError::Trailing(1)))));
        bytes[0] = 2;
        assert_eq!(Table::decode(&bytes), Err(TableError::Format(2)));
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        let good = Table::found(&plan(3, 2)).expect("a good plan");
        let refused = |change: &dyn Fn(&mut Table)| {
            let mut table = good.clone();
            change(&mut table);
            Table::decode(&table.encode()).expect_err("a contradiction")
        };
        let (g1, n1) = (GroupId(1), NodeId(1));
        assert_eq!(
            refused(&|table| drop(table.groups.remove(&GroupId::CONFIG))),
            TableError::NoConfigGroup
        );
        assert_eq!(refused(&|table| drop(table.groups.remove(&g1))), TableError::Owner(g1));
        assert!(matches!(
            refused(&|table| drop(table.nodes.remove(&n1))),
            TableError::Replicas(GroupId::CONFIG)
        ));
        assert!(matches!(
            refused(&|table| table.nodes.get_mut(&n1).expect("a node").http = "x".into()),
            TableError::Address { what: "HTTP", .. }
        ));
        assert_eq!(
            refused(&|table| table.nodes.get_mut(&n1).expect("a node").zone = Some("".into())),
            TableError::Zone(n1)
        );
        assert_eq!(
            refused(&|table| table.limits.value_bytes_max = 1 << 40),
            TableError::Limit("value_bytes_max")
        );
    }

    #[test]
    fn only_the_disks_of_its_birth_may_start_a_group() {
        let table = Table::found(&plan(3, 2)).expect("a good plan");
        let incarnation = table.nodes[&NodeId(2)].incarnation;
        assert!(table.may_found(GroupId(1), NodeId(2), incarnation));
        assert!(!table.may_found(GroupId(1), NodeId(2), Incarnation(incarnation.0 + 1)));
        assert!(!table.may_found(GroupId(1), NodeId(1), incarnation));
        assert!(!table.may_found(GroupId(9), NodeId(2), incarnation));
    }
}
