//! The log's thread: takes what all groups hand in, and makes one write and one sync of it.
//!
//! Nothing waits for a timer. While a sync runs, writes collect; when it is done, all that came are the
//! next batch. So the slower the disk, the larger the batches.

use super::error::{Closed, LogError};
use super::log::Log;
use super::reader::LogReader;
use super::write::{Done, LogEvents, LogWrite};
use crate::limits;
use crate::store::disk::Disk;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Something to be done on the log's thread.
pub type LogCall<D> = Box<dyn FnOnce(&mut Log<D>) + Send>;

#[expect(clippy::large_enum_variant, reason = "nearly all are writes")]
enum Item<D: Disk> {
    Write(LogWrite),
    Call(LogCall<D>),
}

/// What is handed in. Its length is bounded by those who hand in: a group has at most
/// `UNCOMMITTED_BYTES_MAX` on its way (a follower what its leader may have in flight).
struct Queue<D: Disk> {
    inbox: Mutex<Inbox<D>>,
    arrived: Condvar,
}

struct Inbox<D: Disk> {
    items: Vec<Item<D>>,
    closed: bool,
}

impl<D: Disk> Queue<D> {
    fn inbox(&self) -> MutexGuard<'_, Inbox<D>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item<D>) -> Result<(), Closed> {
        let first = {
            let mut inbox = self.inbox();
            if inbox.closed {
                return Err(Closed);
            }
            inbox.items.push(item);
            inbox.items.len() == 1
        };
        // The thread sleeps only when the inbox is empty.
        if first {
            self.arrived.notify_one();
        }
        Ok(())
    }

    fn close(&self) {
        self.inbox().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for items and moves all of them to `into`, which is empty; `false` if there will be none.
    fn wait(&self, into: &mut Vec<Item<D>>) -> bool {
        let mut inbox = self.inbox();
        while inbox.items.is_empty() && !inbox.closed {
            inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut inbox.items, into);
        !into.is_empty()
    }
}

/// Where groups hand in what they want written. Cheap to clone, never blocks.
pub struct LogHandle<D: Disk> {
    queue: Arc<Queue<D>>,
    reader: LogReader<D>,
}

impl<D: Disk> Clone for LogHandle<D> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), reader: self.reader.clone() }
    }
}

impl<D: Disk> std::fmt::Debug for LogHandle<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogHandle").finish_non_exhaustive()
    }
}

impl<D: Disk> LogHandle<D> {
    /// Hands in a write. [`LogEvents::done`] tells when it is done.
    ///
    /// # Errors
    /// The log is closed or has failed.
    pub fn submit(&self, write: LogWrite) -> Result<(), Closed> {
        self.queue.push(Item::Write(write))
    }

    /// Has something done with the log, after all writes handed in before and before all after.
    ///
    /// # Errors
    /// The log is closed or has failed. If it fails later, the call is dropped.
    pub fn call(&self, call: LogCall<D>) -> Result<(), Closed> {
        self.queue.push(Item::Call(call))
    }

    /// A reader for any thread.
    #[must_use]
    pub fn reader(&self) -> LogReader<D> {
        self.reader.clone()
    }
}

/// The running thread.
pub struct LogThread<D: Disk> {
    handle: LogHandle<D>,
    thread: JoinHandle<()>,
}

impl<D: Disk> std::fmt::Debug for LogThread<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogThread").finish_non_exhaustive()
    }
}

impl<D: Disk> LogThread<D> {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(log: Log<D>, events: Box<dyn LogEvents>) -> io::Result<Self> {
        let inbox = Mutex::new(Inbox { items: Vec::new(), closed: false });
        let queue = Arc::new(Queue { inbox, arrived: Condvar::new() });
        let handle = LogHandle { queue: Arc::clone(&queue), reader: log.reader() };
        let thread =
            thread::Builder::new().name("log".into()).spawn(move || live(log, events, &queue))?;
        Ok(Self { handle, thread })
    }

    /// Where to hand in writes.
    #[must_use]
    pub fn handle(&self) -> LogHandle<D> {
        self.handle.clone()
    }

    /// Takes nothing more, does what was handed in, marks the log's end, and waits for all that.
    pub fn stop(self) {
        self.handle.queue.close();
        // A panic in it was reported as fatal already.
        let _ = self.thread.join();
    }
}

/// The life of the thread. Whatever ends it, nobody hands in anything for nothing after that.
fn live<D: Disk>(log: Log<D>, mut events: Box<dyn LogEvents>, queue: &Queue<D>) {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let log = work(log, events.as_mut(), queue)?;
        log.close()
    }));
    queue.close();
    queue.inbox().items.clear();
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => events.fatal(error),
        Err(_) => events.fatal(LogError::Panicked),
    }
}

fn work<D: Disk>(
    mut log: Log<D>,
    events: &mut dyn LogEvents,
    queue: &Queue<D>,
) -> Result<Log<D>, LogError> {
    let mut arrived = Vec::new();
    let mut waiting: VecDeque<Item<D>> = VecDeque::new();
    let mut batch = Vec::new();
    while queue.wait(&mut arrived) {
        waiting.extend(arrived.drain(..));
        while !waiting.is_empty() {
            if let Some(call) = take_batch(&mut waiting, &mut batch) {
                events.begins();
                call(&mut log);
                events.ends();
                // What it wrote may have failed, and nobody may ever write again to notice.
                log.usable()?;
            }
            if batch.is_empty() {
                continue;
            }
            events.begins();
            let stats = log.write(&batch)?;
            events.ends();
            let done = batch.drain(..).map(|write| Done {
                group: write.group,
                generation: write.generation,
                number: write.number,
            });
            events.done(done.collect());
            events.wrote(&stats);
            // After the answers, so that only those wait who come now.
            events.begins();
            log.maintain()?;
            events.ends();
        }
    }
    Ok(log)
}

/// Moves writes to `batch` until it is full or a call is in front; a call only if it is first.
fn take_batch<D: Disk>(
    waiting: &mut VecDeque<Item<D>>,
    batch: &mut Vec<LogWrite>,
) -> Option<LogCall<D>> {
    let mut bytes = 0;
    while let Some(item) = waiting.pop_front() {
        match item {
            Item::Write(write)
                if batch.is_empty() || bytes + write.cost() <= limits::WAL_BATCH_BYTES_MAX =>
            {
                bytes += write.cost();
                batch.push(write);
            }
            Item::Call(call) if batch.is_empty() => return Some(call),
            item => {
                waiting.push_front(item);
                break;
            }
        }
    }
    None
}
