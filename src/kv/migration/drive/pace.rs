//! How long to wait after a failure, and how much may be taken in.

use super::bounds::PAGE_BYTES_MIN;
use crate::limits::CHUNK_BYTES;
use crate::time::MonoMillis;

const WAIT_MIN_MILLIS: u64 = 50;
const WAIT_MAX_MILLIS: u64 = 2_000;

/// Waits twice as long after each failure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    wait: u64,
    until: MonoMillis,
    failed: MonoMillis,
}

impl Backoff {
    pub(super) fn failed(&mut self, now: MonoMillis) {
        self.wait = (self.wait * 2).clamp(WAIT_MIN_MILLIS, WAIT_MAX_MILLIS);
        self.until = MonoMillis(now.0 + self.wait);
        self.failed = now;
    }

    /// What was tried at `sent` failed. What was sent before the last failure tells nothing new.
    pub(super) fn failed_since(&mut self, sent: MonoMillis, now: MonoMillis) {
        if !self.is_failing() || sent >= self.failed {
            self.failed(now);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_over(&self, now: MonoMillis) -> bool {
        now >= self.until
    }

    pub(super) fn is_failing(&self) -> bool {
        self.wait > 0
    }
}

/// Fills at the rate and may be overdrawn: what is not paid for yet is waited for. In thousandths of a
/// byte, so that no millisecond is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    rate: Option<u64>,
    filled: i128,
    at: MonoMillis,
}

impl Allowance {
    pub(super) fn new(now: MonoMillis) -> Self {
        Self { rate: None, filled: 0, at: now }
    }

    /// Another rate, bytes per second; `None`: there is none.
    pub(super) fn set(&mut self, now: MonoMillis, rate: Option<u64>) {
        self.fill(now);
        if rate.is_none() || self.rate.is_none() {
            self.filled = 0;
        }
        self.rate = rate;
        self.filled = self.filled.min(self.most());
    }

    /// An eighth of a second.
    fn most(&self) -> i128 {
        i128::from(self.rate.unwrap_or(0)) * 125
    }

    pub(super) fn fill(&mut self, now: MonoMillis) {
        let millis = now.since(self.at);
        self.at = self.at.max(now);
        let more = i128::from(self.rate.unwrap_or(0)) * i128::from(millis);
        self.filled = (self.filled + more).min(self.most());
    }

    pub(super) fn is_open(&self) -> bool {
        self.rate.is_none_or(|rate| rate > 0 && self.filled >= 0)
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.filled -= i128::from(bytes) * 1_000;
        }
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.filled = (self.filled + i128::from(bytes) * 1_000).min(self.most());
        }
    }

    /// How large a page should be: many of them in a second, so that the rate is kept in every second.
    pub(super) fn page_bytes(&self) -> u32 {
        let bytes = self.rate.map_or(u64::MAX, |rate| (rate / 16).max(PAGE_BYTES_MIN));
        u32::try_from(bytes).unwrap_or(u32::MAX).min(CHUNK_BYTES as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_and_old_failures_tell_nothing() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_over(MonoMillis(0)) && !backoff.is_failing());
        let waits = (0..8).map(|_| {
            backoff.failed(MonoMillis(100));
            backoff.until.0 - 100
        });
        assert_eq!(waits.collect::<Vec<_>>(), [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        backoff.clear();
        backoff.failed_since(MonoMillis(5), MonoMillis(200));
        backoff.failed_since(MonoMillis(5), MonoMillis(201));
        assert!(backoff.is_over(MonoMillis(250)) && !backoff.is_over(MonoMillis(249)));
    }

    #[test]
    fn an_overdrawn_allowance_is_waited_for() {
        let mut allowance = Allowance::new(MonoMillis(0));
        allowance.spend(1 << 40);
        assert!(allowance.is_open());
        allowance.set(MonoMillis(10), Some(1_000));
        assert_eq!(allowance.page_bytes(), 4_096);
        allowance.spend(500);
        allowance.fill(MonoMillis(509));
        assert!(!allowance.is_open());
        allowance.fill(MonoMillis(510));
        assert!(allowance.is_open());
        allowance.fill(MonoMillis(90_000));
        allowance.spend(126);
        assert!(!allowance.is_open(), "what is not used is not kept");
        allowance.set(MonoMillis(90_000), Some(0));
        allowance.fill(MonoMillis(99_000));
        assert!(!allowance.is_open());
    }
}
