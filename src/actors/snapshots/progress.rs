//! How far a snapshot has come, for the log: at the start, at every tenth or five seconds, at the end.

use std::time::Duration;

/// See the module's first lines. The size is an estimate: rows take more than the keys and values in them.
#[derive(Debug)]
pub(super) struct Progress {
    bytes_expected: u64,
    bytes: u64,
    told_percent: u8,
    told_at: Duration,
}

/// Something is told at least so often while something moves.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// And whenever so much more has gone.
const TELL_PERCENT: u8 = 10;

impl Progress {
    pub(super) fn new(bytes_expected: u64) -> Self {
        Self { bytes_expected, bytes: 0, told_percent: 0, told_at: Duration::ZERO }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Below 100 until it is over.
    pub(super) fn percent(&self) -> u8 {
        let hundredths = u128::from(self.bytes) * 100 / u128::from(self.bytes_expected.max(1));
        u8::try_from(hundredths.min(99)).expect("below 100")
    }

    /// So much has gone, so long after the start; whether that is worth a line.
    pub(super) fn sent(&mut self, bytes: u64, elapsed: Duration) -> bool {
        self.bytes += bytes;
        let percent = self.percent();
        let tell = percent >= self.told_percent.saturating_add(TELL_PERCENT)
            || elapsed.saturating_sub(self.told_at) >= TELL_EVERY;
        if tell {
            (self.told_percent, self.told_at) = (percent, elapsed);
        }
        tell
    }

    pub(super) fn bytes_per_second(&self, elapsed: Duration) -> u64 {
        let rate = u128::from(self.bytes) * 1_000 / elapsed.as_millis().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_and_times_are_told() {
        let mut progress = Progress::new(1_000);
        let second = Duration::from_secs;
        assert!(!progress.sent(90, second(1)));
        assert!(progress.sent(10, second(1)), "a tenth");
        assert!(!progress.sent(10, second(2)));
        assert!(progress.sent(1, second(6)), "five seconds");
        assert!(progress.sent(5_000, second(7)), "more than expected");
        assert_eq!(progress.percent(), 99);
        assert_eq!(progress.bytes_per_second(second(2)), 5_111 / 2);
        assert_eq!(Progress::new(0).percent(), 0);
    }
}
