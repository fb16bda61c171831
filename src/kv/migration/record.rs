//! What an entry says about a move, and what it answers. Each may be said again: it then changes
//! nothing, and answers as the first time or that it is over.

use super::id::{MoveId, Ranges};
use super::item::{Item, Page};
use super::progress::Progress;
use super::state::Outgoing;
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::shard::TableStamp;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The end of the source's ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// The source's entry.
    pub index: Index,
    /// The source's replicated time then.
    pub time: UnixMillis,
}

/// See the module's first lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MoveRecord {
    /// *Source.* The buckets are going to move: from now on what changes in them is marked.
    BeginMove {
        /// The buckets.
        ranges: Ranges,
        /// The group that shall own them.
        to: GroupId,
        /// The config table that wants it. One that is older than the newest seen here is refused.
        table: TableStamp,
    },
    /// *Source.* The end of its ownership. Proposed only when the destination has nearly everything.
    Handoff {
        /// The move.
        id: MoveId,
        /// How far the destination has reported to be.
        destination: Progress,
    },
    /// *Source.* The move is given up. Refused after the hand-off.
    Cancel {
        /// The move.
        id: MoveId,
    },
    /// *Source.* The destination has accepted: the rows are forgotten.
    Forget {
        /// The move.
        id: MoveId,
    },
    /// *Destination.* Takes in the buckets of a move that has begun, empty and not served.
    Pull {
        /// The move.
        id: MoveId,
        /// The group that the move goes to: this one.
        to: GroupId,
        /// The buckets.
        ranges: Ranges,
        /// The source's highest epoch of them.
        epoch: Epoch,
        /// The source's entry that began the move.
        begun: Index,
    },
    /// *Destination.* A part of the copy.
    Chunk {
        /// The move.
        id: MoveId,
        /// How far the copy must be.
        expects: Progress,
        /// How far it is then.
        becomes: Progress,
        /// It was read after the hand-off: the buckets wait for it.
        frozen: bool,
        /// What to take in.
        items: Vec<Item>,
    },
    /// *Destination.* All is there: the buckets are served from now on.
    Accept {
        /// The move.
        id: MoveId,
        /// The hand-off.
        handoff: Handoff,
    },
    /// *Destination.* The source has given the move up: the copy is forgotten.
    Discard {
        /// The move.
        id: MoveId,
    },
    /// *Destination.* The source has forgotten an accepted move: so does the destination.
    Close {
        /// The move.
        id: MoveId,
    },
}

/// What a record answers; it travels as an encoded reply ([`crate::kv::Reply::encoded`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MoveReply {
    /// It is so, now or since before.
    Done,
    /// The move has this name, and the source remembers this of it.
    Begun(MoveId, Box<Outgoing>),
    /// The source's ownership has ended, and this is the rest of the copy, as much as fits.
    HandedOff(Handoff, Box<Page>),
    /// Nothing was changed.
    Refused(MoveRefusal),
}

/// Why a record changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MoveRefusal {
    /// The group does not own it.
    #[error("{0} is not owned by this group")]
    NotOwned(Bucket),
    /// One move of a bucket at a time.
    #[error("{bucket} is in the move {id} already")]
    InMove {
        /// The bucket.
        bucket: Bucket,
        /// Its move.
        id: MoveId,
    },
    /// A newer table is known.
    #[error("table {0} is known here, which is newer")]
    OldTable(TableStamp),
    /// The other group is no other data group.
    #[error("{0} is no group that these buckets could move to")]
    NoDestination(GroupId),
    /// The group has as many moves as it may.
    #[error("too many moves at a time, wait until one is over")]
    TooMany,
    /// There is no such move any more, and never will be: it was given up, or all of it is done.
    #[error("{0} is over")]
    Over(MoveId),
    /// This group has not heard of the move yet, or is not its source or destination.
    #[error("{0} is not known here")]
    Unknown(MoveId),
    /// The source has handed off already.
    #[error("{0} is handed off and can only go on")]
    HandedOff(MoveId),
    /// The source still owns the buckets.
    #[error("{0} is not handed off")]
    NotHandedOff(MoveId),
    /// The copy is not complete.
    #[error("the copy of {0} is not complete")]
    Incomplete(MoveId),
    /// The destination serves the buckets already.
    #[error("{0} is accepted")]
    Accepted(MoveId),
    /// The copy is elsewhere.
    #[error("the copy of {0} is at another place")]
    Elsewhere(MoveId, Box<Progress>),
    /// So many replies are kept for clients that those of the move must wait.
    #[error("too many replies are kept for clients, the copy goes on when some are acknowledged")]
    NoRoom,
    /// It contradicts itself.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl MoveRecord {
    /// An upper bound of what it takes in an entry or a frame, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 64;
        match self {
            Self::BeginMove { ranges, .. } | Self::Pull { ranges, .. } => FIXED + ranges.bytes(),
            Self::Handoff { destination, .. } => FIXED + destination.bytes(),
            Self::Chunk { expects, becomes, items, .. } => {
                let of_items: usize = items.iter().map(Item::bytes).sum();
                FIXED + expects.bytes() + becomes.bytes() + of_items
            }
            Self::Cancel { .. }
            | Self::Forget { .. }
            | Self::Accept { .. }
            | Self::Discard { .. }
            | Self::Close { .. } => FIXED,
        }
    }

    /// Whether it may wait while the disk is nearly full. What was handed off may not: nobody serves it.
    #[must_use]
    pub fn grows(&self) -> bool {
        matches!(
            self,
            Self::BeginMove { .. } | Self::Pull { .. } | Self::Chunk { frozen: false, .. }
        )
    }

    /// Whether clients wait for it: from the hand-off to the acceptance nobody serves the buckets.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        matches!(
            self,
            Self::Handoff { .. } | Self::Chunk { frozen: true, .. } | Self::Accept { .. }
        )
    }
}

impl From<MoveRefusal> for MoveReply {
    fn from(refusal: MoveRefusal) -> Self {
        Self::Refused(refusal)
    }
}
