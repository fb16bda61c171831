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
pub(super) struct Panicked(pub String);

/// Runs `work`; a panic in it becomes an error. Whatever `work` was changing must be dropped then.
///
/// # Errors
/// When `work` panicked.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
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
pub(super) struct Restarts {
    deaths: VecDeque<MonoMillis>,
    total: u32,
}

impl Restarts {
    /// The actor has died: how long to wait before the restart, or `None` to give up.
    pub(super) fn died(&mut self, now: MonoMillis) -> Option<Duration> {
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
    pub(super) fn total(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::prelude::*;

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

    /// What our actors do about panics, and nothing else.
    struct Fragile {
        restarts: u32,
        handled: u32,
    }

    /// Handled, or panicked at.
    struct Poke {
        panic: bool,
    }

    impl Message for Poke {
        type Result = Option<(u32, u32)>;
    }

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    impl Supervised for Fragile {
        fn restarting(&mut self, _: &mut Self::Context) {
            self.restarts += 1;
            self.handled = 0;
        }
    }

    impl Handler<Poke> for Fragile {
        type Result = Option<(u32, u32)>;

        fn handle(&mut self, poke: Poke, context: &mut Self::Context) -> Self::Result {
            let handled = guarded(|| {
                assert!(!poke.panic, "asked to");
                self.handled += 1;
            });
            if handled.is_err() {
                context.stop();
                return None;
            }
            Some((self.restarts, self.handled))
        }
    }

    #[test]
    fn an_actor_that_panics_restarts_behind_the_same_address() {
        actix_rt::System::new().block_on(async {
            let addr = Supervisor::start(|_| Fragile { restarts: 0, handled: 0 });
            let poke = async |panic| addr.send(Poke { panic }).await.expect("the address is valid");
            assert_eq!(poke(false).await, Some((0, 1)));
            assert_eq!(poke(true).await, None);
            assert_eq!(poke(false).await, Some((1, 1)), "a new life, from the start");
            // What was sent before the panic was dealt with arrives all the same.
            addr.do_send(Poke { panic: true });
            addr.do_send(Poke { panic: false });
            assert_eq!(poke(false).await, Some((2, 2)));
        });
    }
}
