//! The answer to a request, on its way back.

use super::outbox::{Outbox, OutboxLimits, SendError};
use crate::limits::FRAME_BYTES_MAX;
use bytes::Bytes;
use std::sync::Arc;

/// Frames of one answer that wait to be sent.
pub const ANSWER_FRAMES_MAX: usize = 64;
/// Their bytes.
pub const ANSWER_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Answers one request with any number of frames, from any thread. Dropping it ends the answer; an
/// answer without a frame is an error to the asker ("outcome unknown").
#[derive(Debug)]
pub struct Responder {
    outbox: Arc<Outbox>,
}

impl Responder {
    pub(super) fn new() -> (Self, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            frames: ANSWER_FRAMES_MAX,
            bytes: ANSWER_BYTES_MAX,
            frame_bytes: FRAME_BYTES_MAX,
        }));
        outbox.open();
        (Self { outbox: outbox.clone() }, outbox)
    }

    /// Queues a frame of the answer and returns at once.
    ///
    /// # Errors
    /// When too much of this answer waits already, the frame is too large, or the asker is gone.
    pub fn send(&self, frame: impl Into<Bytes>) -> Result<(), SendError> {
        self.outbox.push(frame.into())
    }

    /// Queues a frame of a long answer as soon as there is room.
    ///
    /// # Errors
    /// When the asker is gone, or the frame is too large.
    pub async fn send_wait(&self, frame: impl Into<Bytes>) -> Result<(), SendError> {
        self.outbox.push_wait(frame.into()).await
    }

    /// Queues the last frame and ends the answer.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn finish(self, frame: impl Into<Bytes>) -> Result<(), SendError> {
        self.send(frame)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.outbox.finish();
    }
}
