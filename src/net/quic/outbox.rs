//! The queue between whoever has a frame to send and the task that writes a stream.
//!
//! Bounded in frames and bytes. A frame counts until QUIC has taken it over, so a peer that does not read
//! fills the queue and no more. A closed queue holds nothing: what cannot be sent now is refused at once,
//! never kept for later.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

/// Why a frame was not queued. It was not and will not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// As much waits already as may.
    #[error("the lane is full")]
    Full,
    /// There is no connection at the moment.
    #[error("not connected")]
    NotConnected,
    /// The frame is larger than the other side would take.
    #[error("the frame is larger than the limit")]
    TooLong,
}

/// What a queue may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxLimits {
    /// Frames.
    pub(crate) frames: usize,
    /// Bytes of payload.
    pub(crate) bytes: usize,
    /// Bytes of one payload.
    pub(crate) frame_bytes: usize,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Bytes>,
    /// Frames queued or being written.
    frames: usize,
    /// Their bytes.
    bytes: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// No more will come; what waits is still written.
    Ending,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    limits: OutboxLimits,
    state: Mutex<State>,
    /// Something waits, or the phase changed: for the writer.
    filled: Notify,
    /// There is room again, or the phase changed: for those who wait to send.
    drained: Notify,
}

impl Outbox {
    /// A closed queue.
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        let state = State { waiting: VecDeque::new(), frames: 0, bytes: 0, phase: Phase::Closed };
        Self { limits, state: Mutex::new(state), filled: Notify::new(), drained: Notify::new() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it is held; the queue is sound in any case.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Begins to take frames.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        assert!(state.phase == Phase::Closed && state.waiting.is_empty(), "opened while in use");
        state.phase = Phase::Open;
        (state.frames, state.bytes) = (0, 0);
    }

    /// Takes no more frames and forgets those that wait; says how many that were.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.state();
        let forgotten = state.waiting.len();
        state.phase = Phase::Closed;
        state.waiting = VecDeque::new();
        (state.frames, state.bytes) = (0, 0);
        drop(state);
        self.filled.notify_one();
        self.drained.notify_waiters();
        forgotten
    }

    /// Takes no more frames; the writer ends when it has written those that wait.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Ending;
        }
        drop(state);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Queues a frame, or says at once why not.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > self.limits.frame_bytes {
            return Err(SendError::TooLong);
        }
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(SendError::NotConnected);
        }
        if state.frames >= self.limits.frames || state.bytes + frame.len() > self.limits.bytes {
            return Err(SendError::Full);
        }
        state.frames += 1;
        state.bytes += frame.len();
        let first = state.waiting.is_empty();
        state.waiting.push_back(frame);
        drop(state);
        // The writer looks again until it finds nothing, so only the first frame has to wake it.
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Queues a frame as soon as there is room.
    pub(crate) async fn push_wait(&self, frame: Bytes) -> Result<(), SendError> {
        loop {
            let room = self.drained.notified();
            tokio::pin!(room);
            // Registered before the look, so that room made in between is not missed.
            room.as_mut().enable();
            match self.push(frame.clone()) {
                Err(SendError::Full) => room.await,
                outcome => return outcome,
            }
        }
    }

    /// For the writer: waits for frames and moves some to `into`, `bytes` of them at most unless the
    /// first is larger. `false`: no more will come.
    pub(crate) async fn take(&self, into: &mut Vec<Bytes>, bytes: usize) -> bool {
        loop {
            {
                let mut state = self.state();
                if !state.waiting.is_empty() {
                    let mut taken = 0;
                    while let Some(next) = state.waiting.front() {
                        if taken > 0 && taken + next.len() > bytes {
                            break;
                        }
                        taken += next.len();
                        into.extend(state.waiting.pop_front());
                    }
                    return true;
                }
                if state.phase != Phase::Open {
                    return false;
                }
            }
            self.filled.notified().await;
        }
    }

    /// For the writer: these frames of these many bytes were taken over by QUIC.
    pub(crate) fn written(&self, frames: usize, bytes: usize) {
        let mut state = self.state();
        // After a close the counts start at 0.
        state.frames = state.frames.saturating_sub(frames);
        state.bytes = state.bytes.saturating_sub(bytes);
        drop(state);
        self.drained.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    const LIMITS: OutboxLimits = OutboxLimits { frames: 3, bytes: 100, frame_bytes: 80 };

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![1; bytes])
    }

    #[tokio::test]
    async fn both_bounds_hold_until_the_frames_are_written() {
        let outbox = Outbox::new(LIMITS);
        assert_eq!(outbox.push(frame(1)), Err(SendError::NotConnected));
        outbox.open();
        assert_eq!(outbox.push(frame(81)), Err(SendError::TooLong));
        outbox.push(frame(60)).unwrap();
        assert_eq!(outbox.push(frame(41)), Err(SendError::Full));
        outbox.push(frame(1)).unwrap();
        outbox.push(frame(1)).unwrap();
        assert_eq!(outbox.push(frame(1)), Err(SendError::Full));

        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken, 61).await);
        assert_eq!(taken.len(), 2);
        assert_eq!(outbox.push(frame(1)), Err(SendError::Full), "taken is not yet written");
        outbox.written(2, 61);
        outbox.push(frame(80)).unwrap();

        assert_eq!(outbox.close(), 2);
        assert!(!outbox.take(&mut taken, 61).await);
        assert_eq!(outbox.push(frame(1)), Err(SendError::NotConnected));
    }

    #[tokio::test]
    async fn a_waiting_sender_goes_on_when_there_is_room_and_fails_on_close() {
        let outbox = Arc::new(Outbox::new(LIMITS));
        outbox.open();
        outbox.push(frame(80)).unwrap();
        let sender =
            |outbox: Arc<Outbox>| tokio::spawn(async move { outbox.push_wait(frame(50)).await });
        let waiting = sender(outbox.clone());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken, 1).await);
        outbox.written(1, 80);
        assert_eq!(waiting.await.unwrap(), Ok(()));

        let waiting = sender(outbox.clone());
        let also = sender(outbox.clone());
        tokio::time::sleep(Duration::from_millis(20)).await;
        outbox.close();
        let mut outcomes = [waiting.await.unwrap(), also.await.unwrap()];
        outcomes.sort_by_key(Result::is_err);
        assert_eq!(outcomes[1], Err(SendError::NotConnected));
    }

    #[tokio::test]
    async fn a_finished_queue_is_emptied_first() {
        let outbox = Outbox::new(LIMITS);
        outbox.open();
        outbox.push(frame(5)).unwrap();
        outbox.finish();
        assert_eq!(outbox.push(frame(5)), Err(SendError::NotConnected));
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken, 100).await);
        assert!(!outbox.take(&mut taken, 100).await);
        assert_eq!(taken.len(), 1);
    }
}
