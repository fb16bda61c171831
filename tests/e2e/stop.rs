//! Tells background threads of a test to end, also when the test itself fails: a scope waits for its threads.

use std::sync::atomic::{AtomicBool, Ordering};

/// Not yet, until told or dropped.
pub(crate) struct Stop(AtomicBool);

impl Stop {
    /// Not yet.
    pub(crate) fn new() -> Stop {
        Stop(AtomicBool::new(false))
    }

    /// Whether to end.
    pub(crate) fn told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For those who look at a flag.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// To be held by who tells: tells when dropped.
    pub(crate) fn at_end(&self) -> StopAtEnd<'_> {
        StopAtEnd(self)
    }
}

/// See [`Stop::at_end`].
pub(crate) struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
