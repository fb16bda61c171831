//! The numbers of a session: how a retry of a write is told from another write.
//!
//! Must always hold: a number is given once; a request is "unanswered" from the moment it is numbered until
//! its caller has an answer or waits no more, and only then may later requests acknowledge it.

use crate::kv::SessionRef;
use crate::time::UnixMillis;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// See the module's first lines.
#[derive(Debug)]
pub(super) struct Numbers {
    client: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The next number.
    next: u64,
    unanswered: BTreeSet<u64>,
}

/// A numbered request. Dropped, it is no longer waited for, and the group may forget its reply.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    numbers: &'a Numbers,
    /// The same in every retry.
    pub(super) session: SessionRef,
}

impl Numbers {
    /// A session of this client id, which nobody else may use.
    pub(super) fn new(client: u64) -> Self {
        Self { client, state: Mutex::new(State { next: 1, unanswered: BTreeSet::new() }) }
    }

    /// Numbers a request that may be forgotten at `expires`.
    pub(super) fn take(&self, expires: UnixMillis) -> Numbered<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = state.next;
        state.next += 1;
        state.unanswered.insert(sequence);
        let lowest_unanswered = *state.unanswered.first().expect("one was just put in");
        let client = self.client;
        Numbered {
            numbers: self,
            session: SessionRef { client, sequence, lowest_unanswered, expires },
        }
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        let mut state = self.numbers.state.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(state.unanswered.remove(&self.session.sequence), "a number is given once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_waits_for_is_acknowledged() {
        let numbers = Numbers::new(7);
        let take = || numbers.take(UnixMillis(1));
        let (first, second) = (take(), take());
        assert_eq!((first.session.sequence, first.session.lowest_unanswered), (1, 1));
        assert_eq!((second.session.sequence, second.session.lowest_unanswered), (2, 1));
        drop(second);
        let third = take();
        assert_eq!((third.session.sequence, third.session.lowest_unanswered), (3, 1));
        drop(first);
        let fourth = take();
        assert_eq!((fourth.session.sequence, fourth.session.lowest_unanswered), (4, 3));
        assert_eq!(fourth.session.client, 7);
    }
}
