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

/// Of a rate so many parts are given out, fewer while others wait.
const SHARES: u64 = 32;
/// The quickest of so long is what an entry takes that waits for nobody, milliseconds.
const QUICKEST_MILLIS: u64 = 300_000;
/// More than twice that, and so much besides, is waiting, milliseconds.
const SLACK_MILLIS: u64 = 5;

/// Fills at the rate and may be overdrawn: what is not paid for yet is waited for. In thousandths of a
/// byte, so that no millisecond is lost.
///
/// A rate is the most that may be taken: whoever sets one wants clients to notice little, so moves step back
/// while their entries take longer than the quickest of late (as a scavenger does with its packets: LEDBAT, RFC 6817, 2.4),
/// down to a thirty-second of the rate, and take more again step by step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    rate: Option<u64>,
    /// Of [`SHARES`].
    share: u64,
    /// What the quickest entries took, milliseconds, since this time, and in the time before.
    quickest: (MonoMillis, Option<u64>, Option<u64>),
    stepped_back: MonoMillis,
    filled: i128,
    at: MonoMillis,
}

impl Allowance {
    pub(super) fn new(now: MonoMillis) -> Self {
        let (quickest, stepped_back) = ((now, None, None), MonoMillis(0));
        Self { rate: None, share: SHARES, quickest, stepped_back, filled: 0, at: now }
    }

    /// An entry with a full page was on its way since then.
    pub(super) fn took(&mut self, now: MonoMillis, since: MonoMillis) {
        if self.rate.is_none() {
            return;
        }
        let millis = now.since(since);
        let (begun, newest, before) = self.quickest;
        let age = now.since(begun) / QUICKEST_MILLIS;
        self.quickest = match age {
            0 => (begun, Some(newest.map_or(millis, |known| known.min(millis))), before),
            1 => (now, Some(millis), newest),
            _ => (now, Some(millis), None),
        };
        let quickest = self.quickest.1.into_iter().chain(self.quickest.2).min().unwrap_or(millis);
        self.fill(now);
        if millis <= 2 * quickest + SLACK_MILLIS {
            self.share = (self.share + 1).min(SHARES);
        } else if since >= self.stepped_back {
            // Others that were on their way already tell nothing new.
            self.share = (self.share / 2).max(1);
            self.stepped_back = now;
        }
    }

    /// Another rate, bytes per second; `None`: there is none.
    pub(super) fn set(&mut self, now: MonoMillis, rate: Option<u64>) {
        self.fill(now);
        if rate.is_none() || self.rate.is_none() {
            self.filled = 0;
        }
        if rate != self.rate {
            // Pages of another size take another time.
            (self.share, self.quickest) = (SHARES, (now, None, None));
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
        let rate = self.rate.unwrap_or(0);
        let more =
            i128::from(rate) * i128::from(millis) * i128::from(self.share) / i128::from(SHARES);
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
    fn who_keeps_others_waiting_steps_back_and_comes_again() {
        let mut allowance = Allowance::new(MonoMillis(0));
        allowance.set(MonoMillis(0), Some(32_000));
        let mut now = 0;
        let mut after = |took: &[u64]| {
            for millis in took {
                now += 1_000;
                allowance.took(MonoMillis(now), MonoMillis(now - millis));
            }
            allowance.spend(1 << 20);
            let before = allowance.filled;
            now += 1_000;
            allowance.fill(MonoMillis(now));
            (allowance.filled - before) / 1_000
        };
        assert_eq!(after(&[20, 10, 25]), 32_000, "as quick as can be expected");
        assert_eq!(after(&[26]), 16_000);
        assert_eq!(after(&[90, 90, 90, 90]), 1_000, "never nothing");
        assert_eq!(after(&[12, 12]), 3_000);
        assert_eq!(after(&[10; 40]), 32_000);
        assert_eq!(after(&[90; 700]), 32_000, "what was quick long ago may never be so again");
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
