//! The hello: the first thing said on a connection, by both sides, on a stream of its own.
//!
//! Nothing else is read or sent before both hellos are checked. What a hello claims about its sender
//! (its role) is believed only after the certificate has been found to name it.

use crate::ids::{BootId, ClusterId, Incarnation, NodeId};
use crate::net::tls::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The oldest protocol this program speaks.
pub const PROTOCOL_OLDEST: u16 = 4;
/// The newest protocol this program speaks.
pub const PROTOCOL_NEWEST: u16 = 4;
/// The largest hello, bytes: the only thing read from somebody who has not been checked yet.
pub const HELLO_BYTES_MAX: usize = 4096;

/// A traffic class of a connection between two nodes: a stream in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Raft messages. Sent first; dropped when the lane is full, Raft sends again.
    Raft,
    /// Requests and answers between nodes. Full: the caller hears of it.
    Control,
    /// Snapshots and migrations. Sent last; a full lane makes its sender wait.
    Bulk,
}

impl Lane {
    /// Every lane, by number.
    pub const ALL: [Lane; 3] = [Lane::Raft, Lane::Control, Lane::Bulk];

    /// Its number, on the wire too.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The lane of a number.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Raft => "raft",
            Lane::Control => "control",
            Lane::Bulk => "bulk",
        })
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Two nodes, both ways, in lanes.
    Peer,
    /// One side asks, the other answers, a stream per request.
    Requests,
}

/// Who is there, and whom it means to talk to. Later versions may append fields: a reader ignores
/// what follows the ones it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest protocol that the sender speaks.
    pub oldest: u16,
    /// The newest protocol that the sender speaks.
    pub newest: u16,
    /// The sender's cluster; `None` before its birth.
    pub cluster: Option<ClusterId>,
    /// What the sender claims to be.
    pub from: Role,
    /// The node that the sender means to talk to, if it knows.
    pub to: Option<NodeId>,
    /// The life of the sender's disk; 0 for one that has none.
    pub incarnation: Incarnation,
    /// The life of the sender's process.
    pub boot: BootId,
    /// Counts the dials of this process, so that an older one never replaces a newer one.
    pub dial: u64,
    /// What the connection is for.
    pub purpose: Purpose,
}

/// Why bytes are no hello.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hello: {0}")]
pub struct HelloError(postcard::Error);

impl Hello {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::codec::encode(self)
    }

    /// Reads one; what follows the known fields is ignored.
    ///
    /// # Errors
    /// When the bytes do not begin with a hello.
    pub fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        postcard::take_from_bytes(bytes).map(|(hello, _later)| hello).map_err(HelloError)
    }

    /// The newest version that this program and the sender both speak.
    #[must_use]
    pub fn common_version(&self) -> Option<u16> {
        let newest = self.newest.min(PROTOCOL_NEWEST);
        (newest >= self.oldest.max(PROTOCOL_OLDEST)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            oldest: 1,
            newest: 1,
            cluster: Some(ClusterId([7; 16])),
            from: Role::Node(NodeId(3)),
            to: Some(NodeId(1)),
            incarnation: Incarnation(4),
            boot: BootId(5),
            dial: 6,
            purpose: Purpose::Requests,
        }
    }

    #[test]
    fn the_bytes_of_a_hello_stay() {
        let mut expected = vec![1, 1, 1];
        expected.extend([7; 16]);
        expected.extend([0, 3, 1, 1, 4, 5, 6, 1]);
        assert_eq!(hello().encode(), expected);
        expected.extend(b"fields of a later version");
        assert_eq!(Hello::decode(&expected), Ok(hello()));
        assert!(Hello::decode(&expected[..20]).is_err());
    }

    #[test]
    fn versions_meet_at_the_newest_common_one() {
        let with = |oldest, newest| Hello { oldest, newest, ..hello() }.common_version();
        assert_eq!(with(PROTOCOL_OLDEST, PROTOCOL_OLDEST), Some(PROTOCOL_OLDEST));
        assert_eq!(with(1, 1), None, "its frames look different");
        assert_eq!(with(0, 9), Some(PROTOCOL_NEWEST));
        assert_eq!(with(PROTOCOL_NEWEST + 1, 99), None);
        assert_eq!(with(0, 0), None);
    }
}
