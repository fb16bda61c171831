//! How much one entry may write and one answer may carry: small commands can ask for a great deal (a COPY
//! of a large value, an APPEND of one byte to it), a thousand to an entry.
//!
//! These numbers are part of the replicated state machine: a replica that counted otherwise would
//! refuse other commands. To change one, a new version of the entries' payload is needed.

use super::fault::Answer;
use crate::kv::command::Command;
use crate::kv::reply::{Reply, ReplyError};
use crate::limits;

/// Bytes of rows that one entry may write; its next command that writes a value is refused.
pub(super) const ROW_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of replies to one unit of reads, and to one entry; what would go beyond is refused. One largest
/// value and some small ones fit, and all of it fits one frame between nodes.
pub(super) const REPLY_BYTES_MAX: usize = 65 * 1024 * 1024;

const _: () = {
    assert!(limits::VALUE_BYTES_MAX < REPLY_BYTES_MAX);
    assert!(REPLY_BYTES_MAX < limits::FRAME_BYTES_MAX);
};

/// What the present entry, or unit of reads, has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    rows: usize,
    replies: usize,
    /// A reply was refused: what follows it must not get through beside it.
    full: bool,
}

impl Budget {
    /// A row was written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.rows = self.rows.saturating_add(bytes);
    }

    /// Refuses a command before it has done anything.
    pub(super) fn admit(&self, command: &Command) -> Result<(), ReplyError> {
        let removes =
            matches!(command, Command::Del { .. } | Command::GetDel { .. } | Command::Flush);
        if self.rows >= ROW_BYTES_MAX && command.is_write() && !removes {
            return Err(ReplyError::not_done(
                "the commands sent together write too much, send fewer at a time",
            ));
        }
        if self.full && !command.is_write() {
            return Err(too_large());
        }
        Ok(())
    }

    /// Refuses a command that would answer this value, before it has changed anything.
    pub(super) fn check_reply(&self, value_bytes: usize) -> Result<(), ReplyError> {
        let total = self.replies.saturating_add(value_bytes);
        if total > REPLY_BYTES_MAX { Err(too_large()) } else { Ok(()) }
    }

    /// Counts the answer of a read, or refuses it.
    pub(super) fn answered(&mut self, answer: Answer) -> Answer {
        let answer = answer?;
        if let Err(error) = self.check_reply(answer.bytes()) {
            self.full = true;
            return Err(error.into());
        }
        self.replied(&answer);
        Ok(answer)
    }

    /// Counts a reply.
    pub(super) fn replied(&mut self, reply: &Reply) {
        self.replies = self.replies.saturating_add(reply.bytes());
    }
}

/// The refusal of a reply.
pub(super) fn too_large() -> ReplyError {
    ReplyError::err("reply too large, ask for less at a time")
}
