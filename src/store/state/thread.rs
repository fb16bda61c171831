//! The state thread: the only one that writes to the store.
//!
//! Commands come through a [`StateHandle`], answers go out through [`StateEvents`], in order. After a
//! failure of the store it says so once and ends; from then on every handle answers `Closed`. What an
//! unsynced batch may lose at a crash is replayed from the log, so nothing here waits for a sync but
//! `Persist`.

use super::batch::{BatchNumber, FrozenBatch};
use super::queue::{Command, Queue, SubmitError, Work};
use super::store::{StateError, StateStore};
use crate::ids::{GroupId, Index};
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long without a command until the store gets a chance to tidy up.
const IDLE: Duration = Duration::from_secs(1);

/// Where the state thread's answers go. Called on that thread: must not block.
pub trait StateEvents: Send + 'static {
    /// The store has all batches of the overlay up to this one.
    fn written(&mut self, up_to: BatchNumber);

    /// The sync asked for by `Persist { token }` is done. `applied` lists the groups whose persisted
    /// applied index has changed since the last time.
    fn persisted(&mut self, token: u64, applied: &[(GroupId, Index)]);

    /// Everything before `Fence { token }` is done.
    fn fenced(&mut self, token: u64);

    /// The store has failed. The last call there is; the process should end.
    fn fatal(&mut self, error: StateError);
}

/// The way to the state thread. Cheap to clone.
#[derive(Clone)]
pub struct StateHandle(Arc<Queue>);

impl StateHandle {
    /// Hands a command over. Never waits.
    ///
    /// # Errors
    /// When the lane is full or the thread has ended; the command is in the error.
    pub fn submit(&self, command: Command) -> Result<(), SubmitError> {
        self.0.submit(command)
    }

    /// Commands that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.len()
    }
}

/// The running thread. Dropping it stops it as [`StateThread::stop`] does.
pub struct StateThread {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl StateThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn spawn(store: Arc<dyn StateStore>, events: Box<dyn StateEvents>) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let worker =
            Worker { store, events, queue: Arc::clone(&queue), unpersisted: BTreeMap::new() };
        let thread =
            std::thread::Builder::new().name("state".to_string()).spawn(move || worker.run())?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// A handle to send commands by.
    #[must_use]
    pub fn handle(&self) -> StateHandle {
        StateHandle(Arc::clone(&self.queue))
    }

    /// Takes no more commands, does those that wait, syncs, and returns when the thread has ended.
    pub fn stop(self) {}
}

impl Drop for StateThread {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // It catches its own panics.
            let _ = thread.join();
        }
    }
}

struct Worker {
    store: Arc<dyn StateStore>,
    events: Box<dyn StateEvents>,
    queue: Arc<Queue>,
    /// Applied indices of batches written since the last sync. Bounded by the groups of the node.
    unpersisted: BTreeMap<GroupId, Index>,
}

impl Worker {
    fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work()))
            .unwrap_or_else(|_| Err(StateError::Fatal("the state thread panicked".to_string())));
        if let Err(error) = outcome {
            self.queue.abandon();
            self.events.fatal(error);
        }
    }

    fn work(&mut self) -> Result<(), StateError> {
        loop {
            match self.queue.next(IDLE) {
                Work::Writes(writes) => self.write(&writes)?,
                Work::One(command) => self.handle(command)?,
                Work::Idle => self.store.maintain()?,
                Work::Stop => return self.store.persist(),
            }
        }
    }

    fn write(&mut self, writes: &[FrozenBatch]) -> Result<(), StateError> {
        let batches: Vec<_> = writes.iter().map(|frozen| Arc::clone(&frozen.batch)).collect();
        self.store.write(&batches)?;
        for batch in &batches {
            self.unpersisted.extend(batch.applied());
        }
        if let Some(last) = writes.last() {
            self.events.written(last.number);
        }
        self.store.maintain()
    }

    fn handle(&mut self, command: Command) -> Result<(), StateError> {
        match command {
            Command::Write(frozen) => self.write(&[frozen])?,
            Command::Bulk { batch, done } => {
                self.store.write(std::slice::from_ref(&batch))?;
                self.unpersisted.extend(batch.applied());
                done();
                self.store.maintain()?;
            }
            Command::Persist { token } => {
                self.store.persist()?;
                let applied: Vec<_> = std::mem::take(&mut self.unpersisted).into_iter().collect();
                self.events.persisted(token, &applied);
            }
            Command::View { reply } => reply(self.store.view()),
            Command::Fence { token } => self.events.fenced(token),
            Command::Reclaim => self.store.reclaim()?,
        }
        Ok(())
    }
}
