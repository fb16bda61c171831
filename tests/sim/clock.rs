//! A node's clock: it may run too fast or too slowly, and its wall time may be wrong and jump.

use eraft::time::{MonoMillis, UnixMillis};

/// The true wall time at the start of a run.
const START_MILLIS: u64 = 1_700_000_000_000;
const MILLION: u64 = 1_000_000;

/// See the module's first lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// True microseconds, and what the clock showed then.
    since: u64,
    shown: u64,
    /// Microseconds that it counts in a true second.
    rate: u64,
    /// Its wall time minus the true one, milliseconds.
    ahead: i64,
    /// What it showed when the process started.
    boot: u64,
}

impl Clock {
    pub(crate) fn new(ahead: i64) -> Self {
        Self { since: 0, shown: 0, rate: MILLION, ahead, boot: 0 }
    }

    /// Microseconds that it has counted.
    fn elapsed(&self, now: u64) -> u64 {
        self.shown + (now - self.since) * self.rate / MILLION
    }

    /// A process starts: its monotonic time begins.
    pub(crate) fn start(&mut self, now: u64) {
        self.boot = self.elapsed(now);
    }

    /// For time-outs.
    pub(crate) fn mono(&self, now: u64) -> MonoMillis {
        MonoMillis((self.elapsed(now) - self.boot) / 1_000)
    }

    /// For people.
    pub(crate) fn wall(&self, now: u64) -> UnixMillis {
        UnixMillis((START_MILLIS + self.elapsed(now) / 1_000).saturating_add_signed(self.ahead))
    }

    /// From now on it counts so many microseconds in a true second.
    pub(crate) fn set_rate(&mut self, rate: u64, now: u64) {
        self.shown = self.elapsed(now);
        self.since = now;
        self.rate = rate;
    }

    /// Its wall time jumps.
    pub(crate) fn jump(&mut self, millis: i64) {
        self.ahead += millis;
    }

    /// True microseconds in which it counts these.
    pub(crate) fn truly(&self, micros: u64) -> u64 {
        micros * MILLION / self.rate
    }

    /// The true time, by which the clients judge.
    pub(crate) fn true_wall(now: u64) -> UnixMillis {
        UnixMillis(START_MILLIS + now / 1_000)
    }
}
