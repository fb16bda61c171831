//! How the operating system schedules a node's threads, and when the event loop sleeps.
//!
//! Linux lets a thread that wakes take the processor from one that works (`sched(7)`, wake-up preemption).
//! For a pipeline of threads that hand batches on, that is the worst order: each small event is handled at
//! once, and every hand-over costs a switch, a packet and a sync of its own. As `SCHED_BATCH` a woken thread
//! waits until the running one has finished its slice or sleeps, so that what arrives meanwhile is handled
//! together. Where a processor is idle, nothing waits.

use nix::libc;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// Has this thread, and those that it starts from now on, scheduled for throughput.
///
/// # Errors
/// When the operating system forbids it; then all works as before, at somewhat more cost.
#[expect(unsafe_code, reason = "no safe wrapper leaves the niceness alone")]
pub(super) fn in_batches() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads `parameters`, which outlives it, and writes nothing; 0 is this thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The runtime of a thread of actors. Before it sleeps it lets others have the processor: what they
/// hand it then is worth a turn together.
///
/// # Panics
/// When the operating system has no event queue to give.
pub(super) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(std::thread::yield_now);
    builder.build().expect("an event queue")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> String {
        let text = std::fs::read_to_string("/proc/thread-self/sched").expect("Linux tells it");
        let line = text.lines().find(|line| line.starts_with("policy")).expect("a policy");
        line.rsplit(' ').next().expect("a number").to_owned()
    }

    #[test]
    fn threads_are_scheduled_as_the_one_that_started_them() {
        std::thread::spawn(|| {
            in_batches().expect("needs no privilege");
            assert_eq!(policy(), libc::SCHED_BATCH.to_string());
            let child = std::thread::spawn(policy).join().expect("it does not panic");
            assert_eq!(child, libc::SCHED_BATCH.to_string());
        })
        .join()
        .expect("it does not panic");
    }
}
