//! The knobs of a client, with their bounds.

use crate::limits;
use std::time::Duration;

/// How a client behaves. `Default` is meant for a LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long one call may take, with all its retries.
    pub timeout: Duration,
    /// How long the groups remember a write so that a retry of it is recognised, from the moment it is
    /// first sent. Between `timeout` and the nodes' own bound, whatever is asked for: a retry that comes
    /// after it would be refused. Judged by the nodes' clocks, which should not be further from this
    /// machine's than this.
    pub remembered: Duration,
    /// Which of the endpoints is tried first, counted from 0; the others follow in order.
    pub first: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), remembered: Duration::from_secs(60), first: 0 }
    }
}

impl ClientOptions {
    /// The life of a request in milliseconds, within its bounds.
    pub(super) fn life_millis(&self) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // Half of what is allowed leaves as much room for clocks that differ.
        let most = limits::SESSION_LIFE_MAX_MILLIS / 2;
        millis(self.remembered).max(millis(self.timeout).saturating_mul(2)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_lives_longer_than_its_retries_and_not_too_long() {
        let life = |timeout, remembered| {
            let (timeout, remembered) =
                (Duration::from_secs(timeout), Duration::from_secs(remembered));
            ClientOptions { timeout, remembered, first: 0 }.life_millis()
        };
        assert_eq!(ClientOptions::default().life_millis(), 60_000);
        assert_eq!(life(50, 1), 100_000);
        assert!(life(10, u64::MAX / 2) < limits::SESSION_LIFE_MAX_MILLIS);
    }
}
