//! Why a call of the client did not succeed.

use crate::kv::ReplyError;
use crate::net::quic;

/// What came of a command, if it was not an answer. Exactly one of these is true of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It was certainly not carried out, and never will be. Calling again is safe.
    #[error("not done: {0}")]
    NotDone(String),
    /// It may have been carried out. Calling again would be a new command.
    #[error("outcome unknown (it may or may not have been done): {0}")]
    OutcomeUnknown(String),
    /// It was refused for what it is; calling again gives the same.
    #[error("{0}")]
    Rejected(ReplyError),
    /// A question other than a command could not be answered; nothing was changed.
    #[error("{0}")]
    Unanswered(String),
    /// There is no client: its certificates or its socket cannot be used, or it has nobody to ask.
    #[error("{0}")]
    Setup(String),
}

impl From<quic::ClientError> for ClientError {
    fn from(error: quic::ClientError) -> Self {
        Self::Setup(error.to_string())
    }
}
