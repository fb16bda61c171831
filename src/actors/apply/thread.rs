//! The thread around the [`Applier`], and its inbox.

use super::applier::Applier;
use super::command::{ApplyCommand, ApplySink, Birth, Opened};
use crate::actors::supervision::guarded;
use crate::ids::{Generation, GroupId};
use crate::raft::Membership;
use crate::rows::RowGeneration;
use crate::time::MonoMillis;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many commands may wait for the thread without waking it.
const UNHURRIED_MAX: usize = 32;

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<ApplyCommand>,
    /// What has come is worth waking the thread.
    urgent: bool,
    /// The thread sleeps.
    asleep: bool,
    stopped: bool,
}

/// The way to the apply thread. Never waits; what is in it is bounded by what the drivers may have
/// handed over and not seen applied.
#[derive(Clone, Debug, Default)]
pub struct ApplyInbox(Arc<(Mutex<Queue>, Condvar)>);

impl ApplyInbox {
    /// Hands a command over. After the thread has stopped, it is dropped.
    pub fn push(&self, command: ApplyCommand) {
        self.hand_over(Some(command), true);
    }

    /// Hands over work that nobody waits for: what a follower applies. It is done with the next thing
    /// that somebody does wait for, once there are some such, or at the next [`ApplyInbox::hurry`]: to
    /// be woken for each would cost the thread more than the work.
    pub fn push_unhurried(&self, command: ApplyCommand) {
        self.hand_over(Some(command), false);
    }

    /// What was handed over unhurriedly has waited long enough.
    pub fn hurry(&self) {
        self.hand_over(None, true);
    }

    fn hand_over(&self, command: Option<ApplyCommand>, urgent: bool) {
        let (queue, wake) = &*self.0;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.stopped {
            return;
        }
        queue.commands.extend(command);
        let waiting = queue.commands.len();
        queue.urgent |= (urgent && waiting > 0) || waiting >= UNHURRIED_MAX;
        if queue.urgent && std::mem::take(&mut queue.asleep) {
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
        founders: Membership,
    ) -> Result<Opened, String> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let reply = Box::new(move |opened| {
            let _ = send.send(opened);
        });
        self.push(ApplyCommand::Open { group, generation, birth, founders, reply });
        receive.await.map_err(|_| "the apply thread has stopped".to_owned())?
    }

    /// Forgets all rows of a group that has no driver; `newest_rows` is the newest life that a snapshot of it
    /// was ever written to. Resolves when that is synced.
    ///
    /// # Errors
    /// When the state cannot be read, or the thread has stopped.
    pub async fn reset(&self, group: GroupId, newest_rows: RowGeneration) -> Result<(), String> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let reply = Box::new(move |done| {
            let _ = send.send(done);
        });
        self.push(ApplyCommand::Reset { group, newest_rows, reply });
        receive.await.map_err(|_| "the apply thread has stopped".to_owned())?
    }

    fn take(&self, wait: Option<Duration>) -> Vec<ApplyCommand> {
        let (queue, wake) = &*self.0;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.asleep = !queue.urgent;
        let mut queue = match wait {
            None => wake
                .wait_while(queue, |queue| !queue.urgent)
                .unwrap_or_else(PoisonError::into_inner),
            Some(wait) => {
                wake.wait_timeout_while(queue, wait, |queue| !queue.urgent)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        (queue.urgent, queue.asleep) = (false, false);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_urgent(inbox: &ApplyInbox) -> bool {
        inbox.0.0.lock().expect("nobody panicked").urgent
    }

    #[test]
    fn what_nobody_waits_for_wakes_nobody() {
        let inbox = ApplyInbox::default();
        inbox.hurry();
        assert!(!is_urgent(&inbox), "there is nothing to do");
        for _ in 1..UNHURRIED_MAX {
            inbox.push_unhurried(ApplyCommand::Stop);
        }
        assert!(!is_urgent(&inbox));
        inbox.push_unhurried(ApplyCommand::Stop);
        assert!(is_urgent(&inbox), "there is enough of it");
        assert_eq!(inbox.take(None).len(), UNHURRIED_MAX);

        inbox.push_unhurried(ApplyCommand::Stop);
        assert!(!is_urgent(&inbox));
        inbox.hurry();
        assert_eq!(inbox.take(None).len(), 1, "it has waited long enough");

        inbox.push_unhurried(ApplyCommand::Stop);
        inbox.push(ApplyCommand::Stop);
        assert_eq!(inbox.take(None).len(), 2, "it goes along, in order");
    }

    #[test]
    fn a_sleeping_thread_is_woken_for_what_is_urgent() {
        let inbox = ApplyInbox::default();
        let own = inbox.clone();
        let thread = std::thread::spawn(move || own.take(None).len());
        while !inbox.0.0.lock().expect("nobody panicked").asleep {
            std::thread::yield_now();
        }
        inbox.push_unhurried(ApplyCommand::Stop);
        inbox.push(ApplyCommand::Stop);
        assert_eq!(thread.join().expect("it does not panic"), 2);
    }
}
