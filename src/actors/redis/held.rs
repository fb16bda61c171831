//! What a connection holds of requests that are not whole yet, charged to the node's budget for requests.
//!
//! Only bytes that have come in count, never those a header promises: a promise costs its maker nothing.

use crate::actors::shared::Shared;
use std::sync::Arc;

/// So much of an unfinished request is not charged, bytes: nearly all requests never cost a look at the
/// budget that all threads share.
const FREE_BYTES: usize = 64 * 1024;

/// See the module's first lines. Gives everything back when dropped.
pub(super) struct Held {
    shared: Arc<Shared>,
    /// Bytes received, an upper bound of what of them is still held.
    received: usize,
    charged: usize,
}

impl Held {
    /// Nothing yet.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, received: 0, charged: 0 }
    }

    /// Bytes have come in.
    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes;
    }

    /// So many bytes at most belong to what is not whole yet, promised ones among them. `false` when
    /// the node has no room for those that have come in.
    pub(super) fn unfinished(&mut self, bytes: usize) -> bool {
        self.received = self.received.min(bytes);
        let wanted = if self.received > FREE_BYTES { self.received } else { 0 };
        if wanted < self.charged {
            self.shared.give_request_bytes(self.charged - wanted);
        } else if wanted > self.charged && !self.shared.take_request_bytes(wanted - self.charged) {
            return false;
        }
        self.charged = wanted;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.give_request_bytes(self.charged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::limits::REQUEST_BYTES_IN_FLIGHT_MAX;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn what_has_come_in_is_charged_and_comes_back() {
        let shared = Arc::new(Shared::new(NodeId(1)));
        let charged = || shared.request_bytes.load(Relaxed);
        let mut held = Held::new(shared.clone());
        // A header promises much and costs nothing.
        held.received(20);
        assert!(held.unfinished(64 * 1024 * 1024));
        assert_eq!(charged(), 0);
        held.received(FREE_BYTES);
        assert!(held.unfinished(64 * 1024 * 1024));
        assert_eq!(charged(), FREE_BYTES + 20);
        // The request is whole, and a little of the next is there.
        assert!(held.unfinished(5));
        assert_eq!(charged(), 0);
        held.received(FREE_BYTES);
        assert!(held.unfinished(usize::MAX));
        assert_eq!(charged(), FREE_BYTES + 5);
        drop(held);
        assert_eq!(charged(), 0);
    }

    #[test]
    fn over_the_budget_nothing_more_is_taken() {
        let shared = Arc::new(Shared::new(NodeId(1)));
        assert!(shared.take_request_bytes(REQUEST_BYTES_IN_FLIGHT_MAX - FREE_BYTES));
        let mut held = Held::new(shared.clone());
        held.received(FREE_BYTES + 1);
        assert!(!held.unfinished(usize::MAX));
        drop(held);
        let left = shared.request_bytes.load(Relaxed);
        assert_eq!(left, REQUEST_BYTES_IN_FLIGHT_MAX - FREE_BYTES);
    }
}
