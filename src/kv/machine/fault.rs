//! What can go wrong, in its three kinds: an answer to the client, state that cannot be read, an entry
//! that cannot be applied.

use crate::codec::DecodeError;
use crate::ids::Index;
use crate::kv::entry::PayloadError;
use crate::kv::migration::MoveRefusal;
use crate::kv::reply::{Redirect, Reply, ReplyError};

/// How a command ends.
pub(super) type Answer = Result<Reply, Fault>;

/// Why a command was not carried out.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// The command is refused, on every replica alike, and has changed nothing.
    Refused(ReplyError),
    /// The bucket is not served here; nothing was changed.
    Elsewhere(Redirect),
    /// This replica's rows are not as they were written. It must stop.
    Damaged(DamagedRow),
}

/// A row that does not read as one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of {0} is damaged")]
pub struct DamagedRow(pub &'static str);

impl From<ReplyError> for Fault {
    fn from(error: ReplyError) -> Self {
        Self::Refused(error)
    }
}

impl From<Redirect> for Fault {
    fn from(redirect: Redirect) -> Self {
        Self::Elsewhere(redirect)
    }
}

impl From<DamagedRow> for Fault {
    fn from(row: DamagedRow) -> Self {
        Self::Damaged(row)
    }
}

/// Why an entry could not be applied. The replica must stop, and the machine must be dropped: it may
/// have gone half-way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Not the next entry.
    #[error("entry {index} does not follow {applied}")]
    OutOfOrder {
        /// The entry.
        index: Index,
        /// The last one that was applied.
        applied: Index,
    },
    /// The payload cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// State cannot be read.
    #[error(transparent)]
    Damaged(#[from] DamagedRow),
}

/// Why a page of a move cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// There is no such move here.
    #[error(transparent)]
    Refused(#[from] MoveRefusal),
    /// State cannot be read.
    #[error(transparent)]
    Damaged(#[from] DamagedRow),
}

/// Why the state in some rows cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer program.
    #[error("the state has version {0}, which this program does not know")]
    Version(u8),
    /// A meta row does not decode.
    #[error("the row {row:?} cannot be read: {error}")]
    Row {
        /// Its name.
        row: &'static str,
        /// What is wrong.
        error: DecodeError,
    },
    /// A row is not there, or is not as it was written.
    #[error(transparent)]
    Damaged(#[from] DamagedRow),
}
