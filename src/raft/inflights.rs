//! The window of appends that were sent to one peer and not yet acknowledged.
//!
//! It is bounded in messages and in bytes; the last message let in may exceed the bytes, so that one
//! larger than the whole window can still be sent.

use super::queue::pop_front_if;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::Index;
use std::collections::VecDeque;

/// See the module. Grows only as far as it is used.
#[derive(Clone, Debug)]
pub(super) struct Inflights {
    /// Last index and bytes of each message, oldest first.
    messages: VecDeque<(Index, usize)>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl Inflights {
    /// An empty window.
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, messages_max, bytes_max }
    }

    /// A message with entries up to `last` was sent.
    pub(super) fn add(&mut self, last: Index, bytes: usize) {
        assert!(!self.is_full(), "nothing is sent into a full window");
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `index` was acknowledged.
    pub(super) fn free_through(&mut self, index: Index) {
        #[cfg(feature = "controls")]
        if active(Control::DropInflightWindow) && self.is_full() {
            return;
        }
        while let Some((_, bytes)) = pop_front_if(&mut self.messages, |message| message.0 <= index)
        {
            self.bytes -= bytes;
        }
    }

    /// Forgets all of it: the peer's log is to be probed anew.
    pub(super) fn clear(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether nothing more may be sent.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.messages_max || self.bytes >= self.bytes_max
    }

    /// Messages in flight.
    pub(super) fn count(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_full_by_messages_or_by_bytes() {
        let mut window = Inflights::new(3, 100);
        window.add(Index(1), 1);
        window.add(Index(2), 1);
        assert!(!window.is_full());
        window.add(Index(5), 1);
        assert!(window.is_full(), "three messages");
        window.free_through(Index(4));
        assert_eq!((window.is_full(), window.count()), (false, 1));
        window.add(Index(6), 500);
        assert!(window.is_full(), "too many bytes");
        window.free_through(Index(6));
        assert_eq!((window.is_full(), window.count()), (false, 0));
        window.add(Index(7), 500);
        window.clear();
        assert!(!window.is_full());
    }
}
