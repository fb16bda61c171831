//! strace, attached to a running node: to count its system calls, or to make some of them slow.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::outside;
use crate::process;

/// Lets go of the node when dropped.
pub(crate) struct Tracer(Child);

impl Tracer {
    /// Attaches to all threads of a process; `None`, which it says, where that is not possible.
    pub(crate) fn attach(process: u32, options: &[&str]) -> Option<Tracer> {
        let strace = outside::find("strace")?;
        let child = Command::new(strace)
            .args(["-f", "-q"])
            .args(options)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace starts");
        let mut tracer = Tracer(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !traced(process) {
            if tracer.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                outside::skipped("permission to trace processes with strace");
                return None;
            }
            assert!(Instant::now() < deadline, "strace does not attach");
            thread::sleep(Duration::from_millis(20));
        }
        Some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        process::signal(self.0.id(), Signal::SIGINT);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        // It may not want to be interrupted in the middle of a delay; the system lets go of the node for it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a tracer is attached to all its threads.
fn traced(process: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    tasks.flatten().all(|task| {
        fs::read_to_string(task.path().join("status")).is_ok_and(|status| {
            status.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0"))
        })
    })
}
