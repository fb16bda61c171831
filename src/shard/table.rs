//! The config table: one version of what the cluster looks like.
//!
//! Who has it: the config group keeps every version, every node the newest it has seen. What it says of
//! replicas and of desired owners is a wish, which the groups' leaders work towards; what it says of
//! nodes and of actual owners is as true as the last report.
//!
//! Must always hold: every replica, founder and preferred leader is a node of the table, every owner a
//! group of it, and group 0 is among the groups.

use super::address::{Address, AddressError};
use super::moves::{MoveRules, PAUSES_MAX};
use super::owners::{Bounds, BucketRange, Owners};
use super::past::Past;
use super::plan::{GROUPS_MAX, NODES_MAX};
use super::spread;
use crate::codec::{self, DecodeError};
use crate::ids::{Bucket, ClusterId, Era, GroupId, Incarnation, NodeId, TableVersion};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One version of the config table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Which version; the first is 1.
    pub version: TableVersion,
    /// The last version that changed what plans are made of: nodes, groups and who should own what. A
    /// plan that was made on this one or a newer one still fits.
    pub shaped: TableVersion,
    /// Which cluster.
    pub cluster: ClusterId,
    /// The key of the hash by which rows of a bucket are ordered; the same for the life of the cluster.
    pub hash_key: [u8; 16],
    /// The nodes.
    pub nodes: BTreeMap<NodeId, NodeInfo>,
    /// Nodes that are to be emptied: they get no replicas any more.
    pub draining: BTreeSet<NodeId>,
    /// Nodes that were removed; their ids are never given again.
    pub past_nodes: Past,
    /// The groups, the config group among them.
    pub groups: BTreeMap<GroupId, GroupInfo>,
    /// Which group owns which bucket.
    pub owners: Owners,
    /// How buckets are to move.
    pub moves: MoveRules,
    /// Limits that every replica must judge by alike.
    pub limits: ReplicatedLimits,
    /// What all nodes understand; entries of a higher level may not be proposed.
    pub feature_level: u32,
    /// Disks that belonged to the cluster once and never will again, by node: another disk took their place.
    /// Nobody takes a connection from them.
    pub barred: BTreeSet<(NodeId, Incarnation)>,
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
    /// The buckets that it owned from its first entry on, by bucket; another such fact. Those of a
    /// group that was born later come by moves.
    pub first_buckets: Vec<BucketRange>,
    /// The limits that it was born with; another such fact.
    pub first_limits: ReplicatedLimits,
    /// It has joined: `join`, `leave` and `rebalance` give it its share of the buckets. Of a data group.
    pub joined: bool,
    /// The nodes that should hold a replica, sorted.
    pub replicas: Vec<NodeId>,
    /// The replica that should lead while it is well.
    pub preferred_leader: NodeId,
    /// The nodes that should hold a copy for reading, without belonging to the group, sorted.
    pub observers: Vec<NodeId>,
    /// The nodes that should pass the leader's entries on, and keep nothing, sorted.
    pub secretaries: Vec<NodeId>,
    /// How the group last went on after it had lost its majority for good, if it ever did.
    pub recovery: Option<Recovery>,
    /// Disks whose replica of the group was left behind by a recovery, sorted: for ever.
    pub left_behind: Vec<(NodeId, Incarnation)>,
}

impl GroupInfo {
    /// The nodes that help the group in this way.
    #[must_use]
    pub fn helpers(&self, helper: Helper) -> &[NodeId] {
        match helper {
            Helper::Observer => &self.observers,
            Helper::Secretary => &self.secretaries,
        }
    }

    /// See [`GroupInfo::helpers`].
    pub(super) fn helpers_mut(&mut self, helper: Helper) -> &mut Vec<NodeId> {
        match helper {
            Helper::Observer => &mut self.observers,
            Helper::Secretary => &mut self.secretaries,
        }
    }

    /// From now on these nodes, sorted, should hold replicas, and this one should lead. Who belongs to the
    /// group does not help it from outside.
    pub(super) fn set_replicas(&mut self, replicas: Vec<NodeId>, preferred_leader: NodeId) {
        self.observers.retain(|node| !replicas.contains(node));
        self.secretaries.retain(|node| !replicas.contains(node));
        (self.replicas, self.preferred_leader) = (replicas, preferred_leader);
    }

    /// How `node` helps the group, if it does.
    #[must_use]
    pub fn helps_as(&self, node: NodeId) -> Option<Helper> {
        let helps = |helper: &Helper| self.helpers(*helper).contains(&node);
        [Helper::Observer, Helper::Secretary].into_iter().find(helps)
    }

    /// Whether helpers are known nodes that help in one way only and do not belong to the group.
    fn has_sound_helpers(&self, nodes: &BTreeMap<NodeId, NodeInfo>) -> bool {
        let sound = |helpers: &[NodeId]| {
            helpers.is_sorted_by(|a, b| a < b)
                && helpers.len() <= limits::HELPERS_MAX
                && helpers
                    .iter()
                    .all(|node| nodes.contains_key(node) && !self.replicas.contains(node))
        };
        let twice = self.observers.iter().any(|node| self.secretaries.contains(node));
        sound(&self.observers) && sound(&self.secretaries) && !twice
    }
}

/// What a node may be to a group without belonging to it: nothing about it stands in the group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Helper {
    /// It holds a copy and serves reads from it.
    Observer,
    /// It passes the leader's entries on, and keeps nothing.
    Secretary,
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observer => "observer",
            Self::Secretary => "secretary",
        })
    }
}

/// One replica went on alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The era that it began.
    pub era: Era,
    /// The node.
    pub node: NodeId,
    /// The life of its disk.
    pub disk: Incarnation,
}

/// Which of two tables is newer: the one of the later era of the config group; in one era, the one of the
/// higher version.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TableStamp {
    /// How often the config group was recovered.
    pub recoveries: u32,
    /// The version.
    pub version: TableVersion,
}

impl TableStamp {
    /// That of a table of a config group that was never recovered.
    #[must_use]
    pub fn of(version: u64) -> Self {
        Self { recoveries: 0, version: TableVersion(version) }
    }
}

impl fmt::Display for TableStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.version.fmt(f)?;
        match self.recoveries {
            0 => Ok(()),
            recoveries => write!(f, " after {recoveries} recoveries of the config group"),
        }
    }
}

impl GroupInfo {
    /// The group's era.
    #[must_use]
    pub fn era(&self) -> Era {
        self.recovery.map_or(Era::default(), |recovery| recovery.era)
    }
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
    /// A helper of a group is no node, or belongs to the group, or is named twice.
    #[error("the observers and secretaries of {0} are not right")]
    Helpers(GroupId),
    /// Buckets belong to a group that is not there.
    #[error("{0} owns buckets and does not exist")]
    Owner(GroupId),
    /// The config group is missing.
    #[error("there is no config group")]
    NoConfigGroup,
    /// A group owns buckets from its birth on that do not exist or are not in order.
    #[error("the first buckets of {0} are not right")]
    FirstBuckets(GroupId),
    /// A node is drained that is not there, or is there and was removed.
    #[error("{0} cannot be drained, or was removed")]
    Node(NodeId),
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
    /// A disk that belongs to the cluster and never may.
    #[error("the disk of {0} is barred")]
    Barred(NodeId),
    /// A zone that is empty or too long.
    #[error("the zone of {0} is not a name")]
    Zone(NodeId),
    /// A limit outside of what this program can bear.
    #[error("{0} is out of range")]
    Limit(&'static str),
}

/// The format of an encoded table: its first byte.
const FORMAT: u8 = 5;
/// The longest name of a zone, bytes.
const ZONE_BYTES_MAX: usize = 64;

impl Table {
    /// Which of two tables is newer.
    #[must_use]
    pub fn stamp(&self) -> TableStamp {
        let config = self.groups.get(&GroupId::CONFIG);
        let recoveries = config.map_or(0, |info| info.era().number);
        TableStamp { recoveries, version: self.version }
    }

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

    /// The groups that `node` should help in this way, by id.
    pub fn helped_by(&self, node: NodeId, helper: Helper) -> impl Iterator<Item = GroupId> {
        let all = self.groups.iter();
        all.filter(move |(_, info)| info.helpers(helper).contains(&node)).map(|(&group, _)| group)
    }

    /// Whether this disk may start `group` as one of its first voters. Every other replica starts
    /// without voters and waits until the group adds it.
    #[must_use]
    pub fn may_found(&self, group: GroupId, node: NodeId, incarnation: Incarnation) -> bool {
        let info = self.groups.get(&group);
        info.is_some_and(|info| info.founders.contains(&(node, incarnation)))
    }

    /// The groups that this disk [may found](Self::may_found), but for those that were recovered without it.
    pub fn founded_by(
        &self,
        node: NodeId,
        incarnation: Incarnation,
    ) -> impl Iterator<Item = GroupId> + '_ {
        let own = (node, incarnation);
        let all = self.groups.iter().filter(move |(_, info)| {
            info.founders.contains(&own) && !info.left_behind.contains(&own)
        });
        all.map(|(group, _)| *group)
    }

    /// The data groups that share the buckets, by id.
    #[must_use]
    pub fn joined(&self) -> BTreeSet<GroupId> {
        self.data_groups().filter(|(_, info)| info.joined).map(|(group, _)| group).collect()
    }

    /// How many buckets `group` should own.
    #[must_use]
    pub fn desired_count(&self, group: GroupId) -> u32 {
        self.owners.ranges_of(group, Bounds::Desired).iter().map(|range| range.count()).sum()
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
        if self.nodes.len() > NODES_MAX
            || self.groups.len() > GROUPS_MAX + 1
            || self.moves.paused.len() > PAUSES_MAX
        {
            return Err(TableError::TooMany);
        }
        if !self.groups.contains_key(&GroupId::CONFIG) {
            return Err(TableError::NoConfigGroup);
        }
        if self.barred.len() > limits::BARRED_MAX {
            return Err(TableError::TooMany);
        }
        for (&node, info) in &self.nodes {
            info.check(node)?;
            if self.barred.contains(&(node, info.incarnation)) {
                return Err(TableError::Barred(node));
            }
            if self.past_nodes.contains(node.0) {
                return Err(TableError::Node(node));
            }
        }
        if let Some(node) = self.draining.iter().find(|node| !self.nodes.contains_key(node)) {
            return Err(TableError::Node(*node));
        }
        for (&group, info) in &self.groups {
            let sorted = info.replicas.is_sorted_by(|a, b| a < b);
            let known = info.replicas.iter().all(|node| self.nodes.contains_key(node));
            let led = info.replicas.contains(&info.preferred_leader);
            let sorted = sorted && info.left_behind.is_sorted_by(|a, b| a < b);
            if !(sorted && known && led) || info.founders.is_empty() {
                return Err(TableError::Replicas(group));
            }
            if !info.has_sound_helpers(&self.nodes) {
                return Err(TableError::Helpers(group));
            }
            info.first_limits.check()?;
            if !are_in_order(&info.first_buckets) {
                return Err(TableError::FirstBuckets(group));
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

impl GroupInfo {
    /// A data group that is born now, with replicas on these nodes of the table, and owns nothing.
    ///
    /// # Panics
    /// When there are no replicas, or one is on a node that is not there.
    #[must_use]
    pub(super) fn born(table: &Table, group: GroupId, replicas: Vec<NodeId>) -> Self {
        Self {
            founders: replicas.iter().map(|node| (*node, table.nodes[node].incarnation)).collect(),
            first_buckets: Vec::new(),
            first_limits: table.limits,
            joined: false,
            preferred_leader: spread::leader(table, group, &replicas),
            replicas,
            observers: Vec::new(),
            secretaries: Vec::new(),
            recovery: None,
            left_behind: Vec::new(),
        }
    }
}

/// Whether these are ranges of buckets, each behind the one before.
pub(super) fn are_in_order(ranges: &[BucketRange]) -> bool {
    let whole = |range: &BucketRange| range.first <= range.last && range.last.0 < limits::BUCKETS;
    ranges.iter().all(whole) && ranges.is_sorted_by(|a, b| a.last < b.first)
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
        bytes[0] = FORMAT + 1;
        assert_eq!(Table::decode(&bytes), Err(TableError::Format(FORMAT + 1)));
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
        for helpers in [vec![NodeId(9)], vec![NodeId(2)]] {
            let change = |table: &mut Table| {
                table.groups.get_mut(&g1).expect("a group").observers = helpers.clone();
            };
            assert_eq!(refused(&change), TableError::Helpers(g1));
        }
        assert_eq!(
            refused(&|table| table.nodes.get_mut(&n1).expect("a node").zone = Some("".into())),
            TableError::Zone(n1)
        );
        assert_eq!(
            refused(&|table| table.draining.extend([NodeId(9)])),
            TableError::Node(NodeId(9))
        );
        assert_eq!(refused(&|table| table.past_nodes.insert(1)), TableError::Node(n1));
        let reversed = BucketRange { first: Bucket(5), last: Bucket(4) };
        assert_eq!(
            refused(&|table| {
                table.groups.get_mut(&g1).expect("a group").first_buckets.push(reversed);
            }),
            TableError::FirstBuckets(g1)
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
