//! What the driver of the destination asks of a move's source, and what it is answered. Any of it may be lost,
//! come twice, or come late: the entries of the two groups decide, questions and answers only carry.
//! `drive::errand` makes looks and entries of the questions, and answers of their replies.

use super::id::{MoveId, Ranges};
use super::item::Page;
use super::progress::Progress;
use super::record::{Handoff, MoveRefusal};
use super::state::Outgoing;
use crate::ids::GroupId;
use crate::shard::TableStamp;

/// A question of the destination `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveAsk {
    /// These buckets shall move: begin with as many of them as one move may take.
    Begin {
        /// Who asks.
        to: GroupId,
        /// The buckets.
        ranges: Ranges,
        /// The table that wants it.
        table: TableStamp,
    },
    /// What follows this progress?
    Page {
        /// The move.
        id: MoveId,
        /// How far the copy is.
        progress: Progress,
        /// How much the answer may hold; a single larger thing comes alone.
        bytes_max: u32,
    },
    /// Nearly all is there: end your ownership.
    Handoff {
        /// The move.
        id: MoveId,
        /// How far the copy is.
        progress: Progress,
    },
    /// Give the move up.
    Cancel {
        /// The move.
        id: MoveId,
    },
    /// The buckets are served here, and that is committed: forget them.
    Accepted {
        /// The move.
        id: MoveId,
    },
}

impl MoveAsk {
    /// The move that is named.
    #[must_use]
    pub fn id(&self) -> Option<MoveId> {
        match self {
            Self::Begin { .. } => None,
            Self::Page { id, .. }
            | Self::Handoff { id, .. }
            | Self::Cancel { id }
            | Self::Accepted { id } => Some(*id),
        }
    }
}

/// What the source answers.
#[derive(Clone, Debug, PartialEq)]
pub enum MoveAnswer {
    /// The move, as the source remembers it.
    Begun {
        /// Its name.
        id: MoveId,
        /// What the source knows of it.
        outgoing: Outgoing,
    },
    /// The next part of the copy.
    Page {
        /// The move.
        id: MoveId,
        /// How far the copy was.
        from: Progress,
        /// What follows.
        page: Page,
    },
    /// The source's ownership has ended; the rest of the copy comes along if it fits.
    HandedOff {
        /// The move.
        id: MoveId,
        /// When.
        handoff: Handoff,
        /// How far the copy was.
        from: Progress,
        /// What follows.
        page: Page,
    },
    /// There is no such move any more, and never will be: it was given up or all of it is done.
    Over {
        /// The move.
        id: MoveId,
    },
    /// The source does not do it.
    Refused {
        /// The move, if one was named.
        id: Option<MoveId>,
        /// Why.
        why: MoveRefusal,
    },
}
