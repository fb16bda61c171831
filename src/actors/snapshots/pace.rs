//! The rate limit that all snapshots of a node share. A plain struct.

use std::time::Duration;

/// See the module's first lines.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When everything that was let through will have gone, microseconds.
    free_at: u64,
}

impl Pace {
    /// At most so many bytes per second; 0 counts as 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: 0 }
    }

    /// So many bytes are to be sent; answers how long they have to wait for those before them.
    pub fn reserve(&mut self, bytes: u64, now_micros: u64) -> Duration {
        let begin = self.free_at.max(now_micros);
        let takes = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        self.free_at = begin.saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        Duration::from_micros(begin - now_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_sent_shares_the_rate() {
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.reserve(500, 10), Duration::ZERO, "nothing is before it");
        assert_eq!(pace.reserve(1_000, 10), Duration::from_millis(500));
        assert_eq!(pace.reserve(1, 400_010), Duration::from_millis(1_100));
    }

    #[test]
    fn time_in_which_nothing_was_sent_is_not_saved_up() {
        let mut pace = Pace::new(1_000);
        let later = 3_600_000_000;
        assert_eq!(pace.reserve(2_000, later), Duration::ZERO);
        assert_eq!(pace.reserve(1, later), Duration::from_secs(2));
        assert_eq!(Pace::new(0).reserve(0, 0), Duration::ZERO, "slow, but no division by zero");
    }
}
