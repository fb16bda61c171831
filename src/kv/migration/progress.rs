//! How far a copy is: first all rows, then the replies kept for clients, then what has changed since.
//!
//! ```text
//! Rows ──last row──► Sessions ──last client──► Changes{begun} ──marks──► Changes{hand-off} : all is there
//! ```
//!
//! The order of the values is the order of time: a copy only goes on to a greater one.

use crate::ids::{Bucket, Index};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where a key stands in the order of all keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its hash.
    pub hash: u64,
    /// Itself.
    pub key: Bytes,
}

/// What a change has touched. Of one entry they come in this order, so that what was written after a
/// FLUSHALL in the same entry follows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mark {
    /// All keys of the bucket were forgotten at once.
    Emptied(Bucket),
    /// A key was written or removed.
    Key(Place),
    /// A reply was kept for this client. As progress: its replies through this sequence are in the copy.
    Session {
        /// The client.
        client: u64,
        /// The sequence; `u64::MAX`: all of them.
        through: u64,
    },
}

/// See the module's first lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress {
    /// Rows through this place are in the copy.
    Rows {
        /// The last row taken in.
        behind: Option<Place>,
    },
    /// All rows are, and the replies kept for clients through this one.
    Sessions {
        /// Client, and the last sequence taken in (`u64::MAX`: all of them).
        behind: Option<(u64, u64)>,
    },
    /// And what the source's entries have changed, through this one.
    Changes {
        /// The source's entry.
        through: Index,
        /// And of the next entry that changed something, everything through this.
        within: Option<Mark>,
    },
}

impl Progress {
    /// Nothing is there yet.
    pub const START: Self = Self::Rows { behind: None };

    /// Whether everything is there that the source had written through this entry.
    #[must_use]
    pub fn is_through(&self, index: Index) -> bool {
        *self == Self::Changes { through: index, within: None }
    }

    /// An upper bound of what it takes, encoded, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 48;
        match self {
            Self::Rows { behind: Some(place) }
            | Self::Changes { within: Some(Mark::Key(place)), .. } => FIXED + place.key.len(),
            _ => FIXED,
        }
    }

    /// Whether only changes are still to come.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        matches!(self, Self::Changes { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_in_the_order_of_time() {
        let place = |bucket, hash, key: &'static [u8]| Place {
            bucket: Bucket(bucket),
            hash,
            key: Bytes::from_static(key),
        };
        let changes = |through, within| Progress::Changes { through: Index(through), within };
        let steps = [
            Progress::START,
            Progress::Rows { behind: Some(place(1, 9, b"z")) },
            Progress::Rows { behind: Some(place(2, 0, b"")) },
            Progress::Rows { behind: Some(place(2, 0, b"a")) },
            Progress::Rows { behind: Some(place(2, 1, b"")) },
            Progress::Sessions { behind: None },
            Progress::Sessions { behind: Some((1, 5)) },
            Progress::Sessions { behind: Some((1, u64::MAX)) },
            Progress::Sessions { behind: Some((2, 0)) },
            changes(7, None),
            changes(7, Some(Mark::Emptied(Bucket(3)))),
            changes(7, Some(Mark::Key(place(1, 1, b"a")))),
            changes(7, Some(Mark::Session { client: 0, through: 1 })),
            changes(8, None),
        ];
        assert!(steps.is_sorted_by(|one, next| one < next));
        assert!(steps[13].is_through(Index(8)) && !steps[12].is_through(Index(7)));
    }
}
