//! Decides how the node's own disk is, from what its log thread is doing. A plain struct.
//!
//! Whoever leads must be able to sync, or its clients wait for answers although the group goes on: a
//! replica applies only what is on its own disk. So a node whose syncs take long says that it is slow, and
//! gives its leads away; and one that cannot sync at all stops beating, so that the others take it for
//! lost. A log to which nobody writes is asked to sync now and then, to find out in time.

use crate::limits;
use crate::time::MonoMillis;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The log thread is slow when one piece of its work takes this long, milliseconds: half an election
/// time-out, and a bit.
const SLOW_MILLIS: u64 = limits::TICK.as_millis() as u64 * (limits::ELECTION_TICKS as u64 / 2 + 2);
/// … and stuck after this long: it vouches for nothing any more.
const STUCK_MILLIS: u64 = limits::TICK.as_millis() as u64 * limits::ELECTION_TICKS as u64;
/// A disk counts as slow until it was not for this long, milliseconds: leads that come and go cost more
/// than a slow disk.
const HEAL_MILLIS: u64 = 10_000;
/// A log that has done nothing for this long is asked to sync, milliseconds.
const PROBE_MILLIS: u64 = 1_000;

/// What the log thread is doing; written by it, read by the warden.
#[derive(Debug, Default)]
pub struct LogPulse {
    /// When the present piece of work began; 0 while there is none.
    begun: AtomicU64,
    /// When the last one ended.
    ended: AtomicU64,
    /// The longest since it was last looked at, milliseconds.
    longest: AtomicU64,
}

impl LogPulse {
    /// The log thread begins a piece of work.
    pub fn begin(&self, now: MonoMillis) {
        self.begun.store(now.0.max(1), Relaxed);
    }

    /// It has ended it.
    pub fn end(&self, now: MonoMillis) {
        let took = now.0.saturating_sub(self.begun.swap(0, Relaxed));
        self.longest.fetch_max(took, Relaxed);
        self.ended.store(now.0, Relaxed);
    }

    /// What it does, and has done since this was last asked.
    pub fn look(&self, now: MonoMillis) -> Syncing {
        let begun = self.begun.load(Relaxed);
        Syncing {
            busy_millis: if begun == 0 { 0 } else { now.0.saturating_sub(begun) },
            idle_millis: if begun == 0 {
                now.0.saturating_sub(self.ended.load(Relaxed))
            } else {
                0
            },
            longest_millis: self.longest.swap(0, Relaxed),
        }
    }
}

/// What the log thread is doing at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncing {
    /// For how long it has been at its present work.
    pub busy_millis: u64,
    /// For how long it has had none.
    pub idle_millis: u64,
    /// The longest piece of work that ended since the last look.
    pub longest_millis: u64,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskTurn {
    /// Grows while the disk is well enough to vouch for the node.
    pub beat: u64,
    /// The disk is slow: no place for leads.
    pub slow: bool,
    /// The disk does not answer.
    pub stuck: bool,
    /// The log is to be asked to sync.
    pub probe: bool,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct DiskWatch {
    beat: u64,
    slow_at: Option<MonoMillis>,
    probed_at: Option<MonoMillis>,
    stepped_at: Option<MonoMillis>,
    /// Since when this process runs without being held up.
    running_since: MonoMillis,
}

impl DiskWatch {
    /// Looks at the log.
    pub fn step(&mut self, now: MonoMillis, seen: Syncing) -> DiskTurn {
        let gap = self.stepped_at.replace(now).map_or(0, |last| now.since(last));
        let held_up = gap > super::watch::HELD_UP_MILLIS;
        if held_up {
            self.running_since = now;
        }
        // What took long because the whole process was held up says nothing of the disk.
        let busy = seen.busy_millis.min(now.since(self.running_since));
        let longest = if held_up { 0 } else { seen.longest_millis };
        if busy.max(longest) >= SLOW_MILLIS {
            self.slow_at = Some(now);
        } else if self.slow_at.is_some_and(|at| now.since(at) >= HEAL_MILLIS) {
            self.slow_at = None;
        }
        let stuck = busy >= STUCK_MILLIS;
        self.beat += u64::from(!stuck);
        let probe = seen.idle_millis >= PROBE_MILLIS
            && self.probed_at.is_none_or(|at| now.since(at) >= PROBE_MILLIS);
        if probe {
            self.probed_at = Some(now);
        }
        DiskTurn { beat: self.beat, slow: self.slow_at.is_some(), stuck, probe }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Story {
        watch: DiskWatch,
        log: LogPulse,
        now: u64,
    }

    impl Story {
        fn new() -> Self {
            Self { watch: DiskWatch::default(), log: LogPulse::default(), now: 5_000 }
        }

        fn at(&self) -> MonoMillis {
            MonoMillis(self.now)
        }

        /// Looks every tick for so many milliseconds; answers the last finding.
        fn pass(&mut self, millis: u64) -> DiskTurn {
            let mut turn = DiskTurn::default();
            for _ in 0..millis / 50 {
                self.now += 50;
                turn = self.watch.step(self.at(), self.log.look(self.at()));
                if turn.probe {
                    self.log.begin(self.at());
                    self.log.end(self.at());
                }
            }
            turn
        }
    }

    #[test]
    fn an_idle_log_is_probed_now_and_then_and_vouches() {
        let mut story = Story::new();
        let mut probes = 0;
        for _ in 0..200 {
            probes += u64::from(story.pass(50).probe);
        }
        assert!((8..=10).contains(&probes), "{probes} in ten seconds");
        let turn = story.pass(50);
        assert_eq!((turn.slow, turn.stuck, turn.beat), (false, false, 201));
    }

    #[test]
    fn a_sync_that_does_not_end_makes_the_disk_slow_and_then_stuck() {
        let mut story = Story::new();
        story.pass(500);
        story.log.begin(story.at());
        let turn = story.pass(SLOW_MILLIS);
        assert!(turn.slow && !turn.stuck);
        let stuck = story.pass(STUCK_MILLIS - SLOW_MILLIS);
        assert!(stuck.stuck);
        assert_eq!(story.pass(5_000).beat, stuck.beat, "it does not vouch");
        story.log.end(story.at());
        let turn = story.pass(50);
        assert!(turn.slow && !turn.stuck && turn.beat > stuck.beat);
        assert!(story.pass(HEAL_MILLIS - 100).slow, "not to be trusted at once");
        assert!(!story.pass(150).slow);
    }

    #[test]
    fn a_sync_that_was_slow_between_two_looks_counts() {
        let mut story = Story::new();
        story.pass(100);
        story.log.begin(MonoMillis(story.now - SLOW_MILLIS));
        story.log.end(story.at());
        assert!(story.pass(50).slow);
    }

    #[test]
    fn a_process_that_was_stopped_does_not_blame_its_disk() {
        let mut story = Story::new();
        story.pass(500);
        story.log.begin(story.at());
        story.now += 30_000;
        let turn = story.pass(50);
        assert!(!turn.slow && !turn.stuck);
        assert!(story.pass(SLOW_MILLIS).slow, "from then on it counts");
    }
}
