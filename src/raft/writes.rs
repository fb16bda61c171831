//! Readys that were handed out to be written and are not yet known to be durable.
//!
//! Several may be on their way at once, and completions come in order. Between the order and its
//! completion the log may have been cut and written anew (a change of leader), so a completion counts
//! only for what the Ready wrote and nobody has cut since: cutting the log cuts the records here too.
//! Comparing terms at the completion would not do: the same entry may have been cut and be back
//! again, while on disk, at that moment, stands what was in between.

use super::queue::pop_front_if;
use crate::ids::{Index, NodeId, ReadyNumber, Term};
use std::collections::VecDeque;

#[derive(Debug)]
struct Write {
    number: ReadyNumber,
    /// The last entry that it wrote and that has not been cut since; 0 if none.
    last: Index,
    /// The term and vote that it wrote.
    vote: Option<(Term, Option<NodeId>)>,
}

/// What became durable at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Durable {
    /// Entries up to here; 0 if none.
    pub(super) last: Index,
    /// The newest term and vote among them.
    pub(super) vote: Option<(Term, Option<NodeId>)>,
}

/// The queue, oldest first. Bounded by the number of Readys that the caller takes without
/// persisting them.
#[derive(Debug, Default)]
pub(super) struct Writes {
    queue: VecDeque<Write>,
}

impl Writes {
    /// Ready `number` was handed out with entries up to `last` (0: none) and this term and vote.
    pub(super) fn push(
        &mut self,
        number: ReadyNumber,
        last: Index,
        vote: Option<(Term, Option<NodeId>)>,
    ) {
        debug_assert!(self.queue.back().is_none_or(|write| write.number < number));
        self.queue.push_back(Write { number, last, vote });
    }

    /// All Readys up to `number` are durable.
    pub(super) fn complete(&mut self, number: ReadyNumber) -> Durable {
        let mut durable = Durable::default();
        while let Some(write) = pop_front_if(&mut self.queue, |write| write.number <= number) {
            durable.last = durable.last.max(write.last);
            durable.vote = write.vote.or(durable.vote);
        }
        durable
    }

    /// The log was cut: `from` and everything after it is no longer what these Readys wrote.
    pub(super) fn cut(&mut self, from: Index) {
        for write in &mut self.queue {
            write.last = write.last.min(from.prev());
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_completion_does_not_count_for_what_was_cut() {
        let mut writes = Writes::default();
        writes.push(ReadyNumber(1), Index(5), None);
        writes.cut(Index(4));
        writes.push(ReadyNumber(2), Index(4), Some((Term(3), None)));
        writes.cut(Index(4));
        // The very entry of Ready 1 is back, on its way with Ready 3.
        writes.push(ReadyNumber(3), Index(5), None);
        assert_eq!(writes.complete(ReadyNumber(1)), Durable { last: Index(3), vote: None });
        let second = Durable { last: Index(3), vote: Some((Term(3), None)) };
        assert_eq!(writes.complete(ReadyNumber(2)), second);
        assert_eq!(writes.complete(ReadyNumber(3)), Durable { last: Index(5), vote: None });
        assert!(writes.is_empty());
    }

    #[test]
    fn one_completion_may_stand_for_several() {
        let mut writes = Writes::default();
        writes.push(ReadyNumber(1), Index(5), Some((Term(1), None)));
        writes.push(ReadyNumber(4), Index(0), Some((Term(2), Some(NodeId(3)))));
        writes.push(ReadyNumber(5), Index(9), None);
        let both = Durable { last: Index(5), vote: Some((Term(2), Some(NodeId(3)))) };
        assert_eq!(writes.complete(ReadyNumber(4)), both);
        assert!(!writes.is_empty());
    }
}
