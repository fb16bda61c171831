//! What every supervised actor of ours does about panics.
//!
//! actix restarts an actor that stops, but one whose handler panics is gone for good. So every entry
//! point runs under [`guarded`]: after a panic the actor drops its state and stops itself, and
//! its `restarting` rebuilds the state from the store; the address stays valid. [`Restarts`] says how
//! long to wait before that, and when to give up.

use crate::limits;
use crate::time::MonoMillis;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// A panic was caught; what it said.
#[derive(Debug)]
pub struct Panicked(pub String);

/// Runs `work`; a panic in it becomes an error. Whatever `work` was changing must be dropped then.
///
/// # Errors
/// When `work` panicked.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Panicked(text.unwrap_or_else(|| "a panic without words".into()))
    })
}

/// The pause before the first restart; it doubles with each death in the window.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Remembers an actor's deaths.
#[derive(Debug, Default)]
pub struct Restarts {
    deaths: VecDeque<MonoMillis>,
    total: u32,
}

impl Restarts {
    /// The actor has died: how long to wait before the restart, or `None` to give up.
    pub fn died(&mut self, now: MonoMillis) -> Option<Duration> {
        self.total += 1;
        self.deaths.push_back(now);
        let window = u64::try_from(limits::RESTART_WINDOW.as_millis()).unwrap_or(u64::MAX);
        while self.deaths.front().is_some_and(|first| now.since(*first) > window) {
            self.deaths.pop_front();
        }
        let deaths = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX);
        if deaths > limits::RESTARTS_MAX {
            return None;
        }
        Some(PAUSE.saturating_mul(1 << (deaths - 1).min(16)).min(PAUSE_MAX))
    }

    /// All deaths so far.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(guarded(|| 7).unwrap(), 7);
        let Panicked(words) = guarded(|| -> u8 { panic!("index {}", 9) }).unwrap_err();
        assert_eq!(words, "index 9");
    }

    #[test]
    fn pauses_grow_and_then_it_gives_up() {
        let mut restarts = Restarts::default();
        let first = restarts.died(MonoMillis(0)).unwrap();
        let second = restarts.died(MonoMillis(1)).unwrap();
        assert!(second > first);
        for _ in 2..limits::RESTARTS_MAX {
            assert!(restarts.died(MonoMillis(2)).is_some());
        }
        assert_eq!(restarts.died(MonoMillis(3)), None);
        // An hour later the window is empty again.
        assert_eq!(restarts.died(MonoMillis(3_600_000)), Some(PAUSE));
    }
}
