//! What may go wrong, by operation.

use crate::ids::{GroupId, Index};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or the directory cannot be read or written.
    #[error("cannot use the log in {path}: {error}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no room for the first segment of this run.
    #[error("no room for the log in {path}: {error}; give back some space and start again")]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It was written by another node, another life of this node's disk, or for another cluster.
    #[error("the log in {path} belongs to {found}, but this is {wanted}")]
    OtherIdentity {
        /// The file that says so.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who we are.
        wanted: String,
    },
    /// It was written by a version that keeps its log differently.
    #[error("the log file {path} has format {found}, but this program knows only format {known}")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
}

/// Why the log failed. Except for [`LogError::Misuse`] it takes nothing any more, and the process has
/// to end: what a failed sync should have saved may be lost although a second one would succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// A write or a sync failed.
    #[error("the log cannot {what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: Arc<io::Error>,
    },
    /// Something that was written does not read back.
    #[error("{path} is damaged at {offset}, in what it holds of {group}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Whose it is.
        group: GroupId,
    },
    /// It failed before.
    #[error("the log has failed before")]
    Failed,
    /// The log thread ended by a panic.
    #[error("the log thread panicked")]
    Panicked,
    /// The write makes no sense: a bug of the caller. Nothing of its batch was written.
    #[error("a write of {group} makes no sense: {what}")]
    Misuse {
        /// Whose write.
        group: GroupId,
        /// What is wrong.
        what: &'static str,
    },
}

/// Why entries cannot be read back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The group is not in the log.
    #[error("{0} is not in the log")]
    UnknownGroup(GroupId),
    /// They are compacted away.
    #[error("{group} has compacted its log up to {base}")]
    Compacted {
        /// The group.
        group: GroupId,
        /// The last index that is gone.
        base: Index,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: Arc<io::Error>,
    },
    /// What is there is not what was written.
    #[error("{path} is damaged at {offset}, in what it holds of {group}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Whose it is.
        group: GroupId,
    },
}

/// The log thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;
