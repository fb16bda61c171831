//! What may be asked of the config group: commands, which are entries of its log, and queries.
//!
//! Variants are only ever appended: their number is their name in logs and on the wire. A command that
//! comes later may be proposed only once every node reports the feature level that knows it.
//! Commands that stand for a plan name the version it was made on, and are refused if nodes, groups or
//! desired owners have changed since ([`super::Table::shaped`]).

use super::moves::Pair;
use super::owners::BucketRange;
use super::plan::InitPlan;
use super::refusal::Refusal;
use super::table::{Helper, NodeInfo, Recovery, ReplicatedLimits};
use crate::codec::{self, DecodeError};
use crate::ids::{Epoch, Era, GroupId, NodeId, TableVersion};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// A node, of its own accord.
    Node(NodeId),
    /// A person: the role of the certificate, or `redis`, and from where.
    Admin(String),
}

/// The longest name of an author that is kept, characters.
const AUTHOR_CHARS_MAX: usize = 64;

impl Author {
    /// A person who speaks in this role, from this address.
    #[must_use]
    pub fn person(role: impl fmt::Display, from: impl fmt::Display) -> Self {
        Self::Admin(format!("{role}@{from}"))
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Admin(name) => name.chars().take(AUTHOR_CHARS_MAX).collect::<String>().fmt(f),
        }
    }
}

/// A change of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigCommand {
    /// The birth of the cluster. Done again with an equal plan it changes nothing.
    Init(InitPlan),
    /// A node says where it can be reached now. Its incarnation must be the known one.
    NodeAddress {
        /// The node.
        node: NodeId,
        /// Its disk and its addresses.
        info: NodeInfo,
    },
    /// New replicated limits.
    SetLimits(ReplicatedLimits),
    /// A group has lost its majority for good, and one replica goes on alone. Done again it changes
    /// nothing; another recovery of the same era is refused.
    Recover {
        /// The group.
        group: GroupId,
        /// The era that ends, as the replica knows it.
        from: Era,
        /// Who goes on, and in which era.
        recovery: Recovery,
    },
    /// A node has lost its disk, and came back with this one: it is the node's from now on, and the one
    /// before is barred for ever. What it held is nobody's: each group has to let the node in again.
    AdoptDisk {
        /// The node.
        node: NodeId,
        /// Its new disk, and its addresses.
        info: NodeInfo,
    },
    /// A group should (not) have a replica on a node.
    Replica {
        /// The group.
        group: GroupId,
        /// The node.
        node: NodeId,
        /// It should.
        wanted: bool,
    },
    /// A node helps a group, or does so no more.
    SetHelper {
        /// The group.
        group: GroupId,
        /// The node.
        node: NodeId,
        /// How.
        helper: Helper,
        /// It should; else it should not.
        wanted: bool,
    },
    /// A node becomes part of the cluster. It holds nothing yet.
    AddNode {
        /// The node.
        node: NodeId,
        /// Its disk and its addresses.
        info: NodeInfo,
    },
    /// A node goes for good; it must hold nothing.
    RemoveNode {
        /// The node.
        node: NodeId,
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// A node is to be emptied: other nodes are to hold its replicas, and it gets no more.
    DrainNode {
        /// The node.
        node: NodeId,
        /// It may hold replicas again. What has been moved away stays there.
        undo: bool,
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// A data group is born. It owns nothing. One that is there already is left as it is.
    CreateGroup {
        /// The group.
        group: GroupId,
        /// Where.
        replicas: Placement,
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// Groups take their share of the buckets; those that are not there are born.
    Join {
        /// The groups.
        groups: Vec<GroupId>,
        /// Where those are born that are not there.
        replicas: Placement,
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// Groups give all their buckets to those that stay. They are kept, and may join again.
    Leave {
        /// The groups.
        groups: Vec<GroupId>,
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// A group should own these buckets; nothing else changes. It has joined from then on.
    Move {
        /// The buckets, in any order, each once.
        ranges: Vec<BucketRange>,
        /// Who should own them.
        to: GroupId,
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// The groups that have joined share the buckets equally.
    Rebalance {
        /// The version of the plan.
        planned_on: TableVersion,
    },
    /// These moves stand still, those that begin later too.
    PauseMoves(Pair),
    /// These moves go on.
    ResumeMoves(Pair),
    /// Buckets of these moves should stay with who owns them.
    CancelMoves(Pair),
    /// What the moves of one group may take together, bytes per second; `None`: as fast as they can.
    SetMoveRate(Option<u64>),
    /// Data groups say what they own. Of each bucket the highest epoch is true; what is older is ignored.
    OwnerReport(Vec<OwnerClaim>),
}

/// Where the replicas of a new group are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// As many as data groups have already, on nodes that the table chooses.
    Usual,
    /// So many, on nodes that the table chooses.
    Count(u32),
    /// On these nodes.
    Nodes(Vec<NodeId>),
}

/// A group owns these buckets since this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerClaim {
    /// The buckets.
    pub range: BucketRange,
    /// Who owns them.
    pub group: GroupId,
    /// The owner's epoch of each of them.
    pub epoch: Epoch,
}

impl ConfigCommand {
    /// Makes it a plan on this version, if it is one at all.
    pub fn plan_on(&mut self, version: TableVersion) {
        match self {
            Self::RemoveNode { planned_on, .. }
            | Self::DrainNode { planned_on, .. }
            | Self::CreateGroup { planned_on, .. }
            | Self::Join { planned_on, .. }
            | Self::Leave { planned_on, .. }
            | Self::Move { planned_on, .. }
            | Self::Rebalance { planned_on } => *planned_on = version,
            Self::Init(_)
            | Self::NodeAddress { .. }
            | Self::SetLimits(_)
            | Self::Recover { .. }
            | Self::AdoptDisk { .. }
            | Self::Replica { .. }
            | Self::SetHelper { .. }
            | Self::AddNode { .. }
            | Self::PauseMoves(_)
            | Self::ResumeMoves(_)
            | Self::CancelMoves(_)
            | Self::SetMoveRate(_)
            | Self::OwnerReport(_) => {}
        }
    }
}

/// Ids and ranges that the history names; of more it tells the number.
const NAMED_MAX: usize = 8;

/// `g1, g2 and 3 more`.
fn named(f: &mut fmt::Formatter<'_>, names: &[impl fmt::Display]) -> fmt::Result {
    for (place, name) in names.iter().take(NAMED_MAX).enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        write!(f, "{comma}{name}")?;
    }
    match names.len().checked_sub(NAMED_MAX) {
        Some(more @ 1..) => write!(f, " and {more} more"),
        _ => Ok(()),
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => Ok(()),
            Self::Count(count) => write!(f, ", {count} replicas"),
            Self::Nodes(nodes) => {
                f.write_str(", replicas on ")?;
                named(f, nodes)
            }
        }
    }
}

impl fmt::Display for OwnerClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} owns {} ({})", self.group, self.range, self.epoch)
    }
}

impl fmt::Display for ConfigCommand {
    /// The words that the history keeps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(plan) => {
                let (nodes, groups) = (plan.founders.len(), plan.data_groups);
                write!(f, "init: {nodes} nodes, {groups} data groups")
            }
            Self::NodeAddress { node, info } => {
                write!(f, "{node} is at {} (Redis {})", info.quic, info.redis)
            }
            Self::SetLimits(limits) => {
                write!(f, "limits: values up to {} bytes", limits.value_bytes_max)
            }
            Self::Recover { group, recovery: Recovery { era, node, .. }, .. } => {
                write!(f, "{group} has lost its majority and goes on with {node} alone, in {era}")
            }
            Self::AdoptDisk { node, info } => {
                write!(f, "{node} has a new disk, {:016x}", info.incarnation.0)
            }
            Self::Replica { group, node, wanted } => {
                let what = if *wanted { "a" } else { "no" };
                write!(f, "{group} should have {what} replica on {node}")
            }
            Self::SetHelper { group, node, helper, wanted } => {
                let more = if *wanted { "" } else { " no more" };
                write!(f, "{node} is {helper} of {group}{more}")
            }
            Self::AddNode { node, info } => {
                write!(f, "node add {node} at {} (Redis {})", info.quic, info.redis)
            }
            Self::RemoveNode { node, .. } => write!(f, "node remove {node}"),
            Self::DrainNode { node, undo: false, .. } => write!(f, "node drain {node}"),
            Self::DrainNode { node, undo: true, .. } => write!(f, "node drain {node}: taken back"),
            Self::CreateGroup { group, replicas, .. } => {
                write!(f, "group create {group}{replicas}")
            }
            Self::Join { groups, replicas, .. } => {
                f.write_str("join ")?;
                named(f, groups)?;
                write!(f, "{replicas}")
            }
            Self::Leave { groups, .. } => {
                f.write_str("leave ")?;
                named(f, groups)
            }
            Self::Move { ranges, to, .. } => {
                f.write_str("move ")?;
                named(f, ranges)?;
                write!(f, " to {to}")
            }
            Self::Rebalance { .. } => f.write_str("rebalance"),
            Self::PauseMoves(pair) => write!(f, "pause: {pair}"),
            Self::ResumeMoves(pair) => write!(f, "resume: {pair}"),
            Self::CancelMoves(pair) => write!(f, "cancel: {pair}"),
            Self::SetMoveRate(None) => f.write_str("rate: unlimited"),
            Self::SetMoveRate(Some(rate)) => write!(f, "rate: {rate} bytes per second"),
            Self::OwnerReport(claims) => named(f, claims),
        }
    }
}

/// A command and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRequest {
    /// Who asked.
    pub by: Author,
    /// For what.
    pub command: ConfigCommand,
}

/// The payload of one entry of the config group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPayload {
    /// The leader's stamp.
    pub time: UnixMillis,
    /// Applied in this order, each on its own: a refused one does not touch the others.
    pub requests: Vec<ConfigRequest>,
}

/// The format of an encoded payload: its first byte.
const FORMAT: u8 = 1;

impl ConfigPayload {
    /// The bytes of the payload, with their format.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        codec::encode_into(self, &mut bytes);
        bytes
    }

    /// Reads the bytes of a payload. `Ok(None)` is the empty payload of a term's first entry.
    ///
    /// # Errors
    /// When they are none, or of a format that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, PayloadError> {
        match bytes.split_first() {
            None => Ok(None),
            Some((&FORMAT, rest)) => Ok(Some(codec::decode(rest)?)),
            Some((&format, _)) => Err(PayloadError::Format(format)),
        }
    }
}

/// Why bytes are no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Malformed.
    #[error(transparent)]
    Bytes(#[from] DecodeError),
    /// Another format.
    #[error("format {0}, this program knows {FORMAT}")]
    Format(u8),
}

/// A question to the config group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigQuery {
    /// The newest table, if it is newer than the one the asker has (0: has none).
    Newest {
        /// What the asker has.
        known: TableVersion,
    },
    /// One version of the table.
    Version(TableVersion),
    /// What changed, by whom and when: the last versions up to `until`, oldest first.
    History {
        /// The last one wanted; `None` is the newest.
        until: Option<TableVersion>,
        /// How many; at most [`super::HISTORY_ROWS_MAX`] are given.
        count: u32,
    },
}

/// One link of the chain of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSummary {
    /// Which.
    pub version: TableVersion,
    /// When, in the config group's replicated time.
    pub time: UnixMillis,
    /// Who asked for it.
    pub by: String,
    /// What changed, in words.
    pub what: String,
}

/// An answer of the config group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigReply {
    /// The command made this version.
    Changed(TableVersion),
    /// All was so already; this is the newest version (0: none).
    Unchanged(TableVersion),
    /// The command was not done.
    Refused(Refusal),
    /// A table, encoded: to be read with [`super::Table::decode`], which checks it.
    Table {
        /// Its link.
        summary: VersionSummary,
        /// Its bytes.
        #[serde(with = "serde_bytes")]
        table: Vec<u8>,
    },
    /// Links of the chain, oldest first.
    History(Vec<VersionSummary>),
    /// There is no such version, or not any more.
    NoSuchVersion {
        /// The oldest that is kept (0: none).
        oldest: TableVersion,
        /// The newest (0: none).
        newest: TableVersion,
    },
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{info, plan};
    use super::*;
    use crate::ids::Incarnation;

    fn recovery() -> Recovery {
        let era = Era { number: 1, mark: 2 };
        Recovery { era, node: NodeId(1), disk: Incarnation(3) }
    }

    #[test]
    fn a_payload_survives_its_bytes() {
        let by = Author::Admin("alice".into());
        let node = NodeId(2);
        let commands = [
            ConfigCommand::Init(plan(3, 2)),
            ConfigCommand::NodeAddress { node, info: info(2) },
            ConfigCommand::SetLimits(ReplicatedLimits::default()),
            ConfigCommand::Recover {
                group: GroupId(1),
                from: Era::default(),
                recovery: recovery(),
            },
            ConfigCommand::AdoptDisk { node, info: info(2) },
            ConfigCommand::Replica { group: GroupId(1), node, wanted: true },
            ConfigCommand::SetHelper {
                group: GroupId(1),
                node,
                helper: Helper::Secretary,
                wanted: true,
            },
            ConfigCommand::Join {
                groups: vec![GroupId(3)],
                replicas: Placement::Nodes(vec![node]),
                planned_on: TableVersion(4),
            },
            ConfigCommand::CancelMoves(Pair { from: Some(GroupId(1)), to: None }),
        ];
        let request = |command| ConfigRequest { by: by.clone(), command };
        let requests = commands.into_iter().map(request).collect();
        let payload = ConfigPayload { time: UnixMillis(5), requests };
        assert_eq!(ConfigPayload::decode(&payload.encode()), Ok(Some(payload)));
        assert_eq!(ConfigPayload::decode(&[]), Ok(None));
        assert_eq!(ConfigPayload::decode(&[9, 1]), Err(PayloadError::Format(9)));
        assert!(matches!(ConfigPayload::decode(&[FORMAT, 1]), Err(PayloadError::Bytes(_))));
    }

    #[test]
    fn the_history_names_what_was_asked_and_stays_short() {
        let planned_on = TableVersion(1);
        let range = |first: u16| BucketRange { first: first.into(), last: (first + 1).into() };
        let mut ranges: Vec<BucketRange> = vec![range(0), range(5)];
        let words = |ranges: &[BucketRange]| {
            let (ranges, to) = (ranges.to_vec(), GroupId(2));
            ConfigCommand::Move { ranges, to, planned_on }.to_string()
        };
        assert_eq!(words(&ranges), "move 0-1, 5-6 to g2");
        ranges.resize(5000, range(9));
        assert!(words(&ranges).ends_with("9-10 and 4992 more to g2"));
        let replicas = Placement::Nodes(vec![NodeId(1), NodeId(2)]);
        let join = ConfigCommand::Join { groups: vec![GroupId(3)], replicas, planned_on };
        assert_eq!(join.to_string(), "join g3, replicas on n1, n2");
    }

    /// The number of a variant is its name on disk and on the wire: these bytes may never change.
    #[test]
    fn variants_keep_their_numbers() {
        let first = |bytes: Vec<u8>| bytes[0];
        let node = NodeId(1);
        assert_eq!(first(codec::encode(&ConfigCommand::Init(plan(1, 1)))), 0);
        assert_eq!(first(codec::encode(&ConfigCommand::NodeAddress { node, info: info(1) })), 1);
        assert_eq!(first(codec::encode(&ConfigCommand::SetLimits(Default::default()))), 2);
        let (group, from, recovery) = (GroupId(1), Era::default(), recovery());
        assert_eq!(first(codec::encode(&ConfigCommand::Recover { group, from, recovery })), 3);
        assert_eq!(first(codec::encode(&ConfigCommand::AdoptDisk { node, info: info(1) })), 4);
        let replica = ConfigCommand::Replica { group: GroupId(1), node, wanted: true };
        assert_eq!(first(codec::encode(&replica)), 5);
        let helper = Helper::Secretary;
        let command = ConfigCommand::SetHelper { group, node, helper, wanted: true };
        assert_eq!(codec::encode(&command), [6, 1, 1, 1, 1]);
        let planned_on = TableVersion(7);
        let (groups, replicas, group) = (vec![], Placement::Usual, GroupId(2));
        let commands = [
            ConfigCommand::AddNode { node, info: info(1) },
            ConfigCommand::RemoveNode { node, planned_on },
            ConfigCommand::DrainNode { node, undo: false, planned_on },
            ConfigCommand::CreateGroup { group, replicas: replicas.clone(), planned_on },
            ConfigCommand::Join { groups: groups.clone(), replicas, planned_on },
            ConfigCommand::Leave { groups, planned_on },
            ConfigCommand::Move { ranges: vec![], to: group, planned_on },
            ConfigCommand::Rebalance { planned_on },
            ConfigCommand::PauseMoves(Pair::default()),
            ConfigCommand::ResumeMoves(Pair::default()),
            ConfigCommand::CancelMoves(Pair::default()),
            ConfigCommand::SetMoveRate(None),
            ConfigCommand::OwnerReport(vec![]),
        ];
        for (number, command) in (7..).zip(commands) {
            assert_eq!(first(codec::encode(&command)), number, "{command}");
        }
        assert_eq!(codec::encode(&ConfigQuery::Newest { known: TableVersion(7) }), [0, 7]);
        assert_eq!(codec::encode(&ConfigQuery::Version(TableVersion(7))), [1, 7]);
        assert_eq!(codec::encode(&ConfigQuery::History { until: None, count: 7 }), [2, 0, 7]);
        assert_eq!(codec::encode(&ConfigReply::Changed(TableVersion(7))), [0, 7]);
        assert_eq!(codec::encode(&ConfigReply::Unchanged(TableVersion(7))), [1, 7]);
        assert_eq!(codec::encode(&ConfigReply::Refused(Refusal::NotInitialised)), [2, 0]);
        assert_eq!(codec::encode(&ConfigReply::History(vec![])), [4, 0]);
        let (oldest, newest) = (TableVersion(1), TableVersion(2));
        assert_eq!(codec::encode(&ConfigReply::NoSuchVersion { oldest, newest }), [5, 1, 2]);
    }
}
