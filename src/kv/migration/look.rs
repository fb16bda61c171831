//! What the destination of a move reads at the source: a look changes nothing, and may be taken on any
//! replica whose state is new enough. Its answer travels as an encoded reply ([`crate::kv::Reply::encoded`]).

use super::id::{MoveId, Ranges};
use super::item::Page;
use super::progress::Progress;
use super::record::MoveRefusal;
use super::state::Outgoing;
use crate::ids::GroupId;
use serde::{Deserialize, Serialize};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveLook {
    /// Which of these buckets could go in one move? If some are in a move to the asker already: in which?
    Begin {
        /// Who asks.
        to: GroupId,
        /// The buckets.
        ranges: Ranges,
        /// How many bytes one move should hold; a single larger bucket goes alone.
        bytes_max: u64,
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
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MoveSight {
    /// These buckets could go.
    Free(Ranges),
    /// Some are on their way to the asker in this move.
    Moving(MoveId, Box<Outgoing>),
    /// The next part of the copy.
    Page(Page),
    /// It cannot be answered.
    Refused(MoveRefusal),
    /// The state cannot be read.
    Failed(String),
}

impl MoveLook {
    /// An upper bound of what it takes in a frame, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 48;
        match self {
            Self::Begin { ranges, .. } => FIXED + ranges.bytes(),
            Self::Page { progress, .. } => FIXED + progress.bytes(),
        }
    }
}
