//! This router as a client of the groups: the session under which it forwards writes.

use crate::kv::SessionRef;
use crate::net::message::{Ask, Work};
use crate::time::UnixMillis;
use std::collections::BTreeSet;

/// How long a forwarded write may be retried and is remembered by its group, milliseconds of
/// replicated time. Well above the router's own deadline, clocks that differ included.
const REMEMBERED_MILLIS: u64 = 60_000;

/// See the module's first lines.
#[derive(Debug)]
pub(super) struct Sessions {
    client: u64,
    next: u64,
    unanswered: BTreeSet<u64>,
}

impl Sessions {
    /// A session under a fresh random client id.
    pub(super) fn new(client: u64) -> Self {
        Self { client, next: 1, unanswered: BTreeSet::new() }
    }

    /// Numbers the writes of a unit that is about to be forwarded. Those that carry a session already
    /// (a retry, or a native client's own) keep it.
    pub(super) fn number(&mut self, work: &mut Work, wall: UnixMillis) {
        let Work::Keys(asks) = work else { return };
        for ask in asks.iter_mut().filter(|ask| ask.command.is_write() && ask.session.is_none()) {
            let sequence = self.next;
            self.next += 1;
            self.unanswered.insert(sequence);
            ask.session = Some(SessionRef {
                client: self.client,
                sequence,
                lowest_unanswered: self.unanswered.first().copied().unwrap_or(sequence),
                expires: UnixMillis(wall.0 + REMEMBERED_MILLIS),
            });
        }
    }

    /// The unit will not be sent again.
    pub(super) fn settle(&mut self, work: &Work) {
        let Work::Keys(asks) = work else { return };
        for session in asks.iter().filter_map(|ask: &Ask| ask.session) {
            if session.client == self.client {
                self.unanswered.remove(&session.sequence);
            }
        }
    }
}
