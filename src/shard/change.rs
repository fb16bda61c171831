//! What may be asked of the config group: commands, which are entries of its log, and queries.
//!
//! Variants are only ever appended: their number is their name in logs and on the wire. A command that
//! comes later may be proposed only once every node reports the feature level that knows it.
//! Commands of `join`, `leave` and `move` will name the version they were planned on and be refused if
//! the table has moved on in a way that matters to them.

use super::plan::{InitPlan, PlanError};
use super::table::{NodeInfo, ReplicatedLimits};
use crate::codec::{self, DecodeError};
use crate::ids::{ClusterId, NodeId, TableVersion};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// A node, of its own accord.
    Node(NodeId),
    /// A person; the name is that of the certificate.
    Admin(String),
}

/// The longest name of an author that is kept, characters.
const AUTHOR_CHARS_MAX: usize = 64;

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

/// Why a command was not done. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no table yet: `init` comes first.
    #[error("the cluster is not initialised")]
    NotInitialised,
    /// `init` with another plan than the first time.
    #[error("already initialised, as cluster {0}")]
    AlreadyInitialised(ClusterId),
    /// The plan makes no cluster.
    #[error(transparent)]
    Plan(PlanError),
    /// The table has no such node.
    #[error("{0} is not a node of this cluster")]
    UnknownNode(NodeId),
    /// A node came back with another disk. It has forgotten what it promised and must be removed and
    /// added again.
    #[error("{0} has another disk than the one that belongs to the cluster")]
    OtherIncarnation(NodeId),
    /// An address or a limit is not right.
    #[error("{0}")]
    Invalid(String),
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{info, plan};
    use super::*;

    #[test]
    fn a_payload_survives_its_bytes() {
        let by = Author::Admin("alice".into());
        let node = NodeId(2);
        let commands = [
            ConfigCommand::Init(plan(3, 2)),
            ConfigCommand::NodeAddress { node, info: info(2) },
            ConfigCommand::SetLimits(ReplicatedLimits::default()),
        ];
        let request = |command| ConfigRequest { by: by.clone(), command };
        let requests = commands.into_iter().map(request).collect();
        let payload = ConfigPayload { time: UnixMillis(5), requests };
        assert_eq!(ConfigPayload::decode(&payload.encode()), Ok(Some(payload)));
        assert_eq!(ConfigPayload::decode(&[]), Ok(None));
        assert_eq!(ConfigPayload::decode(&[9, 1]), Err(PayloadError::Format(9)));
        assert!(matches!(ConfigPayload::decode(&[FORMAT, 1]), Err(PayloadError::Bytes(_))));
    }

    /// The number of a variant is its name on disk and on the wire: these bytes may never change.
    #[test]
    fn variants_keep_their_numbers() {
        let first = |bytes: Vec<u8>| bytes[0];
        let node = NodeId(1);
        assert_eq!(first(codec::encode(&ConfigCommand::Init(plan(1, 1)))), 0);
        assert_eq!(first(codec::encode(&ConfigCommand::NodeAddress { node, info: info(1) })), 1);
        assert_eq!(first(codec::encode(&ConfigCommand::SetLimits(Default::default()))), 2);
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
