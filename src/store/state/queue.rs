//! The state thread's two lanes.
//!
//! The ordinary lane is strictly first in, first out. The bulk lane (rows of snapshots and moving
//! buckets) gets its turn after each ordinary write, one batch at a time, and all turns while the
//! ordinary lane is empty: it neither holds up applied entries nor starves. A fence and the stop let the
//! bulk batches that came before them go first.
//!
//! Nobody waits to get in: a full lane says so, and the sender keeps what it has (the overlay goes on
//! growing up to its own limit, a copy waits for an acknowledgement).

use super::batch::{Batch, FrozenBatch};
use super::store::StateView;
use crate::limits;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Commands that wait in the ordinary lane.
pub const QUEUE_COMMANDS_MAX: usize = 1024;
/// Batches that wait in the bulk lane.
pub const BULK_BATCHES_MAX: usize = 4;

/// What the state thread is asked to do.
pub enum Command {
    /// Write this batch after those before it. Answered by `StateEvents::written`.
    Write(FrozenBatch),
    /// Write this batch in the bulk lane and then call `done`.
    Bulk {
        /// The rows.
        batch: Arc<Batch>,
        /// Called on the state thread; must not block. Dropped uncalled if the store fails.
        done: Box<dyn FnOnce() + Send>,
    },
    /// Sync everything written so far. Answered by `StateEvents::persisted`.
    Persist {
        /// Comes back with the answer.
        token: u64,
    },
    /// Open a view that holds exactly the ordinary batches before it.
    View {
        /// Called on the state thread; must not block. Dropped uncalled if the store fails.
        reply: Box<dyn FnOnce(Box<dyn StateView>) + Send>,
    },
    /// Say when everything before this, bulk batches too, is done. Answered by `StateEvents::fenced`.
    Fence {
        /// Comes back with the answer.
        token: u64,
    },
    /// Start giving back the space of forgotten rows.
    Reclaim,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(frozen) => write!(f, "Write({})", frozen.number.0),
            Self::Bulk { batch, .. } => write!(f, "Bulk({} rows)", batch.len()),
            Self::Persist { token } => write!(f, "Persist({token})"),
            Self::View { .. } => f.write_str("View"),
            Self::Fence { token } => write!(f, "Fence({token})"),
            Self::Reclaim => f.write_str("Reclaim"),
        }
    }
}

/// Why a command was not taken; it comes back to its sender.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The lane is full: try again after the next answer.
    #[error("the state thread has too much to do to take {0:?}")]
    Full(Command),
    /// The state thread has stopped, or the store has failed.
    #[error("the state thread has ended and takes no {0:?}")]
    Closed(Command),
}

/// What the thread does next.
pub(super) enum Work {
    /// Neighbouring writes, oldest first, never empty.
    Writes(Vec<FrozenBatch>),
    /// Any other command.
    One(Command),
    /// Nothing has come for a while.
    Idle,
    /// Everything that came before the stop is done.
    Stop,
}

/// The lanes. See the module.
#[derive(Default)]
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    arrived: Condvar,
}

/// A command with its place in the order of arrival over both lanes.
struct Place<T>(u64, T);

#[derive(Default)]
struct Lanes {
    arrivals: u64,
    ordinary: VecDeque<Place<Command>>,
    bulk: VecDeque<Place<Command>>,
    /// An ordinary write was the last thing done, so a bulk batch may go before the next one.
    is_turn_of_bulk: bool,
    is_closed: bool,
}

impl Queue {
    pub(super) fn submit(&self, command: Command) -> Result<(), SubmitError> {
        let mut lanes = self.lanes();
        if lanes.is_closed {
            return Err(SubmitError::Closed(command));
        }
        let is_bulk = matches!(command, Command::Bulk { .. });
        let place = lanes.arrivals;
        let (lane, max) = match is_bulk {
            true => (&mut lanes.bulk, BULK_BATCHES_MAX),
            false => (&mut lanes.ordinary, QUEUE_COMMANDS_MAX),
        };
        if lane.len() >= max {
            return Err(SubmitError::Full(command));
        }
        lane.push_back(Place(place, command));
        lanes.arrivals += 1;
        drop(lanes);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes no more commands; what waits is still done.
    pub(super) fn close(&self) {
        self.lanes().is_closed = true;
        self.arrived.notify_one();
    }

    /// Takes no more commands and drops what waits.
    pub(super) fn abandon(&self) {
        let dropped = {
            let mut lanes = self.lanes();
            lanes.is_closed = true;
            (std::mem::take(&mut lanes.ordinary), std::mem::take(&mut lanes.bulk))
        };
        // Outside of the lock: a closure's drop may do anything.
        drop(dropped);
    }

    /// Commands that wait, of both lanes.
    pub(super) fn len(&self) -> usize {
        let lanes = self.lanes();
        lanes.ordinary.len() + lanes.bulk.len()
    }

    /// Waits for work, at most `idle`.
    pub(super) fn next(&self, idle: Duration) -> Work {
        let mut lanes = self.lanes();
        loop {
            if let Some(work) = lanes.next() {
                return work;
            }
            if lanes.is_closed {
                return Work::Stop;
            }
            let (woken, wait) =
                self.arrived.wait_timeout(lanes, idle).unwrap_or_else(PoisonError::into_inner);
            lanes = woken;
            if wait.timed_out() && lanes.ordinary.is_empty() && lanes.bulk.is_empty() {
                return Work::Idle;
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // Nothing that could panic runs under this lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn next(&mut self) -> Option<Work> {
        let bulk_goes_first = match (self.ordinary.front(), self.bulk.front()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(Place(fence, Command::Fence { .. })), Some(Place(bulk, _))) => bulk < fence,
            (Some(_), Some(_)) => self.is_turn_of_bulk,
        };
        if bulk_goes_first {
            self.is_turn_of_bulk = false;
            return self.bulk.pop_front().map(|Place(_, command)| Work::One(command));
        }
        match self.ordinary.pop_front()? {
            Place(_, Command::Write(first)) => Some(Work::Writes(self.neighbours_of(first))),
            Place(_, command) => Some(Work::One(command)),
        }
    }

    /// `first` and the writes right behind it, as far as they make one batch.
    fn neighbours_of(&mut self, first: FrozenBatch) -> Vec<FrozenBatch> {
        self.is_turn_of_bulk = true;
        let mut bytes = first.batch.bytes();
        let mut writes = vec![first];
        while let Some(Place(_, Command::Write(next))) = self.ordinary.front() {
            bytes += next.batch.bytes();
            if bytes > limits::STATE_BATCH_BYTES {
                break;
            }
            writes.push(next.clone());
            self.ordinary.pop_front();
        }
        writes
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::BatchNumber;
    use super::*;

    fn write(number: u64) -> Command {
        let mut batch = Batch::new();
        batch.put(b"key".to_vec(), bytes::Bytes::from(vec![0; limits::STATE_BATCH_BYTES / 3]));
        Command::Write(FrozenBatch { number: BatchNumber(number), batch: Arc::new(batch) })
    }

    fn bulk() -> Command {
        Command::Bulk { batch: Arc::default(), done: Box::new(|| {}) }
    }

    fn drain(queue: &Queue) -> String {
        let mut seen = Vec::new();
        loop {
            seen.push(match queue.next(Duration::ZERO) {
                Work::Writes(writes) => {
                    let numbers: Vec<_> = writes.iter().map(|w| w.number.0.to_string()).collect();
                    format!("w{}", numbers.join("+"))
                }
                Work::One(Command::Bulk { .. }) => "b".to_string(),
                Work::One(Command::Fence { .. }) => "f".to_string(),
                Work::One(Command::Persist { .. }) => "p".to_string(),
                Work::One(_) => "?".to_string(),
                Work::Idle => return seen.join(" "),
                Work::Stop => "stop".to_string(),
            });
            if seen.last().is_some_and(|last| last == "stop") {
                return seen.join(" ");
            }
        }
    }

    #[test]
    fn bulk_batches_get_every_second_turn() {
        let queue = Queue::default();
        for command in [bulk(), bulk(), bulk(), write(1), write(2), write(3), write(4), write(5)] {
            queue.submit(command).expect("room");
        }
        queue.submit(Command::Persist { token: 1 }).expect("room");
        assert_eq!(drain(&queue), "w1+2 b w3+4 b w5 b p");
    }

    #[test]
    fn a_fence_lets_earlier_bulk_batches_go_first() {
        let queue = Queue::default();
        let fence = || Command::Fence { token: 1 };
        for command in [bulk(), bulk(), fence(), bulk(), fence(), bulk()] {
            queue.submit(command).expect("room");
        }
        queue.close();
        assert_eq!(drain(&queue), "b b f b f b stop");
        assert!(matches!(queue.submit(bulk()), Err(SubmitError::Closed(_))));
    }

    #[test]
    fn a_full_lane_gives_the_command_back() {
        let queue = Queue::default();
        for _ in 0..BULK_BATCHES_MAX {
            queue.submit(bulk()).expect("room");
        }
        assert!(matches!(queue.submit(bulk()), Err(SubmitError::Full(Command::Bulk { .. }))));
        for number in 0..QUEUE_COMMANDS_MAX {
            queue.submit(Command::Fence { token: number as u64 }).expect("room");
        }
        let full = queue.submit(Command::Fence { token: 7 });
        assert!(matches!(full, Err(SubmitError::Full(Command::Fence { token: 7 }))));
        queue.abandon();
        assert_eq!(queue.len(), 0);
    }
}
