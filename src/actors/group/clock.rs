//! The time that a leader stamps into entries.
//!
//! Expiry is judged by this *replicated* time alone. So it never runs backwards, a leader takes it from
//! the median of its voters' clocks (one node in the year 2099 must not expire every key), and while it
//! leads it lets it advance no faster than time really passes, plus a bound.

use crate::time::{MonoMillis, UnixMillis};

/// While it leads, replicated time may gain this part of the time that passed (one in …) …
const CATCH_UP_DIVISOR: u64 = 8;
/// … and this much besides, milliseconds.
const CATCH_UP_SLACK_MILLIS: u64 = 5;

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct StampClock {
    newest: UnixMillis,
    led_since: Option<MonoMillis>,
}

impl StampClock {
    /// A clock that stands at the newest time found in the replica's state.
    #[must_use]
    pub fn new(replicated: UnixMillis) -> Self {
        Self { newest: replicated, led_since: None }
    }

    /// An entry with this time was applied here: never stamp less.
    pub fn observe(&mut self, replicated: UnixMillis) {
        self.newest = self.newest.max(replicated);
    }

    /// The replica no longer leads: the next lead starts from the voters' clocks again.
    pub fn reset(&mut self) {
        self.led_since = None;
    }

    /// The time for an entry made now, or `None` while the voters' clocks are unknown.
    ///
    /// `median` is the median of the voters' clocks, as far as a majority of them is known.
    pub fn stamp(&mut self, median: Option<UnixMillis>, now: MonoMillis) -> Option<UnixMillis> {
        match self.led_since {
            // The first stamp of a lead may jump: the group may have been idle, or down, for hours.
            None => self.newest = self.newest.max(median?),
            Some(last) => {
                let passed = now.since(last);
                let most = self.newest.0 + passed + passed / CATCH_UP_DIVISOR + CATCH_UP_SLACK_MILLIS;
                // With no median (a partition), time goes on by itself.
                let wanted = median.map_or(self.newest.0 + passed, |median| median.0);
                self.newest = UnixMillis(wanted.clamp(self.newest.0, most));
            }
        }
        self.led_since = Some(now);
        Some(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoMillis {
        MonoMillis(millis)
    }

    #[test]
    fn unknown_clocks_stamp_nothing_at_the_start_of_a_lead() {
        let mut clock = StampClock::new(UnixMillis(1_000));
        assert_eq!(clock.stamp(None, at(5)), None);
        assert_eq!(clock.stamp(Some(UnixMillis(9_000)), at(6)), Some(UnixMillis(9_000)));
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut clock = StampClock::new(UnixMillis(5_000));
        assert_eq!(clock.stamp(Some(UnixMillis(4_000)), at(0)), Some(UnixMillis(5_000)));
        assert_eq!(clock.stamp(Some(UnixMillis(3_000)), at(10)), Some(UnixMillis(5_000)));
        clock.observe(UnixMillis(7_000));
        assert_eq!(clock.stamp(Some(UnixMillis(6_000)), at(20)), Some(UnixMillis(7_000)));
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_followed_slowly() {
        let mut clock = StampClock::new(UnixMillis(0));
        clock.stamp(Some(UnixMillis(1_000)), at(0));
        let year_2099 = UnixMillis(4_070_908_800_000);
        assert_eq!(clock.stamp(Some(year_2099), at(80)), Some(UnixMillis(1_000 + 80 + 10 + 5)));
    }

    #[test]
    fn a_partitioned_leader_goes_on_by_elapsed_time() {
        let mut clock = StampClock::new(UnixMillis(0));
        clock.stamp(Some(UnixMillis(1_000)), at(0));
        assert_eq!(clock.stamp(None, at(40)), Some(UnixMillis(1_040)));
    }
}
