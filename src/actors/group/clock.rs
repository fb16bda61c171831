//! The time that a leader stamps into entries.
//!
//! Expiry is judged by this *replicated* time alone. So it never runs backwards, a leader takes it from
//! the median of its voters' clocks (one node in the year 2099 must not expire every key), and while it
//! leads it lets it advance no faster and no slower than time really passes, but for a small part.

use crate::time::{MonoMillis, UnixMillis};

/// While it leads, replicated time may gain or lose this part of the time that passed (one in …) …
const CATCH_UP_DIVISOR: u64 = 8;
/// … and gain this much besides in each stretch, milliseconds.
const CATCH_UP_SLACK_MILLIS: u64 = 5;
/// What passes is measured over a stretch of this length and not from stamp to stamp, which may be less
/// than a millisecond apart.
const STRETCH_MILLIS: u64 = 1_000;

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct StampClock {
    newest: UnixMillis,
    /// Where the present stretch of a lead began, on both clocks.
    stretch: Option<(MonoMillis, UnixMillis)>,
}

impl StampClock {
    /// A clock that stands at the newest time found in the replica's state.
    #[must_use]
    pub(super) fn new(replicated: UnixMillis) -> Self {
        Self { newest: replicated, stretch: None }
    }

    /// An entry with this time was applied here: never stamp less.
    pub(super) fn observe(&mut self, replicated: UnixMillis) {
        let Some(ahead) = replicated.0.checked_sub(self.newest.0) else { return };
        self.newest = replicated;
        if let Some((_, began)) = &mut self.stretch {
            // Time goes on from there, and does not wait until the stretch has come so far.
            began.0 = began.0.saturating_add(ahead);
        }
    }

    /// The replica no longer leads: the next lead starts from the voters' clocks again.
    pub(super) fn reset(&mut self) {
        self.stretch = None;
    }

    /// The time for an entry made now, or `None` while the voters' clocks are unknown.
    ///
    /// `median` is the median of the voters' clocks, as far as a majority of them is known.
    pub(super) fn stamp(
        &mut self,
        median: Option<UnixMillis>,
        now: MonoMillis,
    ) -> Option<UnixMillis> {
        let Some((since, began)) = self.stretch else {
            // The first stamp of a lead may jump: the group may have been idle, or down, for hours.
            self.newest = self.newest.max(median?);
            self.stretch = Some((now, self.newest));
            return Some(self.newest);
        };
        let passed = now.since(since);
        let steady = began.0.saturating_add(passed);
        let part = passed / CATCH_UP_DIVISOR;
        let most = steady.saturating_add(part + CATCH_UP_SLACK_MILLIS);
        // With no median (a partition), time goes on by itself.
        let wanted = median.map_or(steady, |median| median.0);
        let stamp = wanted.min(most).max(steady - part);
        self.newest = self.newest.max(UnixMillis(stamp));
        if passed >= STRETCH_MILLIS {
            self.stretch = Some((now, self.newest));
        }
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
        let mut newest = UnixMillis(5_000);
        for (millis, median) in [(10, 3_000), (11, 9_000), (12, 100), (5_000, 0), (5_000, 1)] {
            let stamp = clock.stamp(Some(UnixMillis(median)), at(millis)).unwrap();
            assert!(stamp >= newest, "{stamp} after {newest}");
            newest = stamp;
        }
        clock.observe(UnixMillis(70_000));
        assert!(clock.stamp(Some(UnixMillis(6_000)), at(5_001)) >= Some(UnixMillis(70_000)));
    }

    #[test]
    fn time_goes_on_although_the_voters_clocks_are_behind() {
        let mut clock = StampClock::new(UnixMillis(50_000));
        clock.stamp(Some(UnixMillis(4_000)), at(0));
        for millis in 1..8_000 {
            let stamp = clock.stamp(Some(UnixMillis(4_000 + millis)), at(millis)).unwrap();
            let least = 50_000 + millis - millis.div_ceil(8);
            assert!(stamp.0 >= least && stamp.0 <= least + 8, "{stamp} after {millis} ms");
        }
        clock.observe(UnixMillis(90_000));
        assert!(clock.stamp(Some(UnixMillis(4_000)), at(7_999)) >= Some(UnixMillis(90_000)));
        assert!(clock.stamp(Some(UnixMillis(4_000)), at(8_079)) >= Some(UnixMillis(90_060)));
    }

    #[test]
    fn many_stamps_gain_no_more_than_few() {
        let mut clock = StampClock::new(UnixMillis(0));
        clock.stamp(Some(UnixMillis(1_000)), at(0));
        let mut newest = UnixMillis(0);
        for millis in 0..=900 {
            newest = clock.stamp(Some(UnixMillis(u64::MAX)), at(millis)).unwrap();
        }
        assert_eq!(newest, UnixMillis(1_000 + 900 + 112 + 5));
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
