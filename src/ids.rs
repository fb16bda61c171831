//! The names of things: small newtypes, so that a node is never passed where a group is meant.
//!
//! Each prints short (`n1`, `g3`, `b42`, `t5`, `i17`), the way the log lines and `eraftctl` show them.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// A process: one `eraftd` with one data directory. Never used twice in a cluster.
    NodeId(u32),
    "n"
);
id!(
    /// One Raft group. Group 0 is the config group, data groups count from 1. Never used twice.
    GroupId(u32),
    "g"
);
id!(
    /// A hash slot, 0..16384: the unit of ownership.
    Bucket(u16),
    "b"
);
id!(
    /// A Raft term.
    Term(u64),
    "t"
);
id!(
    /// A position in a Raft log; the first entry has index 1, 0 means "none".
    Index(u64),
    "i"
);
id!(
    /// The number of a `Ready`: what the core asked to be persisted, in order, from 1.
    ReadyNumber(u64),
    "r"
);
id!(
    /// One life of a group's actor on a node; raised at each rebuild, so that completions of an
    /// earlier life are recognised and dropped.
    Generation(u64),
    "gen"
);
id!(
    /// A version of the config table; 0 means "no table yet".
    TableVersion(u64),
    "v"
);
id!(
    /// A counter of a data group that only grows; with the bucket it names one life of the bucket's
    /// rows. A prefix of rows is never used twice.
    Epoch(u32),
    "e"
);
id!(
    /// One life of a node's disk: random, made when the data directory is created. A node that comes
    /// back under its old name with another incarnation has forgotten what it promised.
    Incarnation(u64),
    "inc"
);
id!(
    /// One life of a process: random at each start.
    BootId(u64),
    "boot"
);

/// The era of a group: the first begins with its birth, and each recovery from the loss of its majority
/// begins another. Replicas of different eras have nothing to say to each other.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Era {
    /// How many recoveries there were.
    pub number: u32,
    /// Drawn at random by the recovery that began it, so that two recoveries on two nodes never pass for
    /// one; 0 in the first era.
    pub mark: u64,
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "era {}", self.number)
    }
}

impl GroupId {
    /// The group that keeps the config table.
    pub const CONFIG: GroupId = GroupId(0);
}

impl Index {
    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The index before this one; 0 stays 0.
    #[must_use]
    pub fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

/// Names one cluster for ever: random, made by `init`. Everything stored or sent carries it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// A new random id.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_short() {
        assert_eq!(
            format!("{} {} {} {} {}", NodeId(1), GroupId(3), Bucket(42), Term(5), Index(17)),
            "n1 g3 b42 t5 i17"
        );
    }
}
