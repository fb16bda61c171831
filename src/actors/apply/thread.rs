//! The thread around the [`Applier`], and its inbox.

use super::applier::Applier;
use super::command::{ApplyCommand, ApplySink, Birth, Opened};
use crate::actors::supervision::guarded;
use crate::ids::{Generation, GroupId};
use crate::time::MonoMillis;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<ApplyCommand>,
    stopped: bool,
}

/// The way to the apply thread. Never waits; what is in it is bounded by what the drivers may have
/// handed over and not seen applied.
#[derive(Clone, Debug, Default)]
pub struct ApplyInbox(Arc<(Mutex<Queue>, Condvar)>);

impl ApplyInbox {
    /// Hands a command over. After the thread has stopped, it is dropped.
    pub fn push(&self, command: ApplyCommand) {
        let (queue, wake) = &*self.0;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.stopped {
            return;
        }
        queue.commands.push(command);
        if queue.commands.len() == 1 {
            wake.notify_one();
        }
    }

    /// Opens a group's state; resolves when all earlier work of the group is done.
    ///
    /// # Errors
    /// When the state cannot be opened, or the thread has stopped.
    pub async fn open(
        &self,
        group: GroupId,
        generation: Generation,
        birth: Birth,
    ) -> Result<Opened, String> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let reply = Box::new(move |opened| {
            let _ = send.send(opened);
        });
        self.push(ApplyCommand::Open { group, generation, birth, reply });
        receive.await.map_err(|_| "the apply thread has stopped".to_owned())?
    }

    fn take(&self, wait: Option<Duration>) -> Vec<ApplyCommand> {
        let (queue, wake) = &*self.0;
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = match wait {
            None => wake
                .wait_while(queue, |queue| queue.commands.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
            Some(wait) => {
                wake.wait_timeout_while(queue, wait, |queue| queue.commands.is_empty())
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        std::mem::take(&mut queue.commands)
    }

    fn stop(&self) {
        let mut queue = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.stopped = true;
        queue.commands.clear();
    }
}

/// The running thread.
#[derive(Debug)]
pub struct ApplyThread {
    inbox: ApplyInbox,
    thread: JoinHandle<()>,
}

impl ApplyThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn spawn<S: ApplySink + 'static>(
        mut applier: Applier<S>,
        inbox: ApplyInbox,
    ) -> io::Result<Self> {
        let (own, start) = (inbox.clone(), Instant::now());
        let now =
            move || MonoMillis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        let thread = std::thread::Builder::new().name("apply".into()).spawn(move || {
            let ended = guarded(|| {
                loop {
                    let wait = applier.wait_millis(now()).map(Duration::from_millis);
                    let commands = own.take(wait);
                    let stop = commands.iter().any(|command| matches!(command, ApplyCommand::Stop));
                    applier.turn(commands, now());
                    if stop {
                        applier.finish();
                        return;
                    }
                }
            });
            // Whoever asks from here on hears that nobody answers.
            own.stop();
            if let Err(panicked) = ended {
                applier.give_up(format!("the apply thread panicked: {}", panicked.0));
            }
        })?;
        Ok(Self { inbox, thread })
    }

    /// Works off what is there, hands the rest to the state thread, and returns when it has ended.
    pub fn stop(self) {
        self.inbox.push(ApplyCommand::Stop);
        // A panic was reported where it happened.
        let _ = self.thread.join();
    }
}
