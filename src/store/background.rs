//! Work that nobody waits for, on threads that come after all others when the processor is short: preparing
//! segments of the log, flushing and compacting the state, rewriting tables for their space. Replicas of one
//! group write the same, so they do such work at the same moment, and a client would wait for all of it.
//!
//! When flushing or compacting falls far behind, writers do wait for it; then they leave the processor to it.

use nix::libc;
use std::io;

/// How nice such a thread is (`nice(2)`): it gets about a third of what another one gets beside it, so that it
/// never stands still.
const NICENESS: libc::c_int = 5;

/// Puts this thread, and those that it starts from now on, behind others. If the operating system forbids
/// that, all works still, and clients wait longer at times.
#[expect(unsafe_code, reason = "no safe wrapper names one thread")]
pub(super) fn come_last() {
    // SAFETY: the call reads and writes no memory of ours; on Linux 0 is this thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) } != 0 {
        let error = io::Error::last_os_error();
        tracing::warn!("work in the background is as urgent as all other: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::{FjallOptions, FjallStore};
    use std::time::{Duration, Instant};

    fn niceness_in(stat: &str) -> i32 {
        // The name may have blanks; the niceness is the 19th field.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        fields.split(' ').nth(16).expect("many fields").parse().expect("a number")
    }

    fn niceness() -> i32 {
        niceness_in(&std::fs::read_to_string("/proc/thread-self/stat").expect("Linux tells it"))
    }

    /// Of all threads of this process that have this name.
    fn nicenesses(name: &str) -> Vec<i32> {
        let threads = std::fs::read_dir("/proc/self/task").expect("Linux lists them");
        let stats = threads.filter_map(|thread| {
            // Of another test; it may end at any moment.
            std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()
        });
        stats.filter(|stat| stat.contains(&format!("({name})"))).map(|s| niceness_in(&s)).collect()
    }

    #[test]
    fn what_flushes_and_compacts_the_state_comes_last() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = FjallStore::open(dir.path(), &FjallOptions::default()).expect("opens");
        for name in ["fjall:worker", "compact"] {
            // A thread names itself, and puts itself behind others, when it begins.
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                let found = nicenesses(name);
                if !found.is_empty() && found.iter().all(|nice| *nice >= NICENESS) {
                    break;
                }
                assert!(Instant::now() < deadline, "{name}: {found:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        drop(store);
    }

    #[test]
    fn a_thread_that_comes_last_leaves_its_starter_alone() {
        let before = niceness();
        let inside = || {
            come_last();
            niceness()
        };
        let other = std::thread::spawn(inside).join().expect("it does not panic");
        assert!(other >= NICENESS, "{other}");
        assert_eq!(niceness(), before);
    }
}
