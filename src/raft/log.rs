//! The replicated log as one replica sees it.
//!
//! ```text
//!   base        tail_first        durable      handed        last
//!    │ compacted │ on disk only ..... │ in memory │ in memory   │
//!    ▼           ▼                    ▼           ▼             ▼
//!  ──┼───────────┼────────────────────┼───────────┼─────────────┤
//!                   commit: anywhere up to last
//! ```
//!
//! Always:
//! - `base <= durable <= handed <= last`, `base <= commit <= last`;
//! - committed entries are never cut;
//! - the tail is contiguous up to `last`, and what is not durable is in it;
//! - the term of every index in `base..=last` is known without the disk.

use super::entry::{Entry, EntryKind};
use super::queue::{pop_back_if, pop_front_if};
use super::terms::Terms;
use super::writes::{Durable, Writes};
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, ReadyNumber, Term};
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    terms: Terms,
    tail: VecDeque<Entry>,
    /// The sum of the costs in `tail`.
    tail_bytes: usize,
    /// What `tail_bytes` should stay below.
    tail_bytes_max: usize,
    /// The newest index known to be committed.
    commit: Index,
    /// Everything up to here is on this replica's own disk.
    durable: Index,
    /// Everything up to here was handed out to be written.
    handed: Index,
    /// What was handed out and is not known to be durable.
    writes: Writes,
    /// Where the log holds changes of the membership, behind `unread`.
    changes: VecDeque<Index>,
    /// Up to here nobody has looked for changes: those entries were on disk at the start.
    unread: Index,
}

impl Log {
    /// A log of which everything is on disk; `tail` are its newest entries, up to its last.
    pub(super) fn new(
        terms: Terms,
        tail: Vec<Entry>,
        commit: Index,
        tail_bytes_max: usize,
    ) -> Self {
        let last = terms.last_index();
        let tail_bytes = tail.iter().map(Entry::cost).sum();
        let changes = tail.iter().filter(|entry| entry.kind == EntryKind::Membership);
        let changes = changes.map(|entry| entry.index).collect();
        let unread = Index(last.0 - tail.len() as u64);
        Self {
            terms,
            tail: tail.into(),
            tail_bytes,
            tail_bytes_max,
            commit,
            durable: last,
            handed: last,
            writes: Writes::default(),
            changes,
            unread,
        }
    }

    /// The last index that is compacted away.
    pub(super) fn base_index(&self) -> Index {
        self.terms.base_index()
    }

    /// The last index; the base's if there are no entries.
    pub(super) fn last_index(&self) -> Index {
        self.terms.last_index()
    }

    /// The term of the last index.
    pub(super) fn last_term(&self) -> Term {
        self.terms.last_term()
    }

    /// The first index that is in memory; one after the last if none is.
    pub(super) fn tail_first(&self) -> Index {
        Index(self.last_index().0 + 1 - self.tail.len() as u64)
    }

    /// Bytes in memory.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// The newest index known to be committed.
    pub(super) fn commit(&self) -> Index {
        self.commit
    }

    /// The last index on this replica's own disk.
    pub(super) fn durable(&self) -> Index {
        self.durable
    }

    /// The last index that may be applied here: committed, and on this replica's own disk.
    pub(super) fn appliable(&self) -> Index {
        #[cfg(feature = "controls")]
        if active(Control::ApplyUnsynced) {
            return self.commit;
        }
        self.commit.min(self.durable)
    }

    /// The term of `index`, for the base and everything after it that the log has.
    pub(super) fn term(&self, index: Index) -> Option<Term> {
        self.terms.term(index)
    }

    /// The largest index at or below `index` whose term is not above `term`, and its term.
    pub(super) fn floor(&self, index: Index, term: Term) -> (Index, Option<Term>) {
        self.terms.floor(index, term)
    }

    /// Whether a log that ends with this is at least as good as this one (paper §5.4.1).
    pub(super) fn is_not_ahead_of(&self, last_index: Index, last_term: Term) -> bool {
        (last_term, last_index) >= (self.last_term(), self.last_index())
    }

    /// Adds an entry after the last.
    pub(super) fn push(&mut self, entry: Entry) {
        self.terms.push(entry.index, entry.term);
        self.tail_bytes += entry.cost();
        if entry.kind == EntryKind::Membership {
            self.changes.push_back(entry.index);
        }
        self.tail.push_back(entry);
    }

    /// Cuts off `from` and everything after it, also for Readys that are still being written.
    pub(super) fn truncate(&mut self, from: Index) {
        assert!(from > self.commit, "a committed entry is never cut");
        while let Some(entry) = pop_back_if(&mut self.tail, |entry| entry.index >= from) {
            self.tail_bytes -= entry.cost();
        }
        while pop_back_if(&mut self.changes, |index| *index >= from).is_some() {}
        self.unread = self.unread.min(from.prev());
        self.terms.truncate(from);
        self.handed = self.handed.min(from.prev());
        self.durable = self.durable.min(from.prev());
        self.writes.cut(from);
    }

    /// Moves the commit index forward; a smaller one changes nothing. Answers whether it moved.
    pub(super) fn commit_to(&mut self, index: Index) -> bool {
        assert!(index <= self.last_index(), "only what is in the log can be committed");
        let moves = index > self.commit;
        if moves {
            self.commit = index;
        }
        moves
    }

    /// Whether there are entries that were never handed out to be written.
    pub(super) fn has_unhanded(&self) -> bool {
        self.handed < self.last_index()
    }

    /// Entries to be written, all that were not handed out yet.
    pub(super) fn hand_out(&mut self) -> Vec<Entry> {
        let entries = self.slice(self.handed.next(), self.last_index(), usize::MAX);
        self.handed = self.last_index();
        entries
    }

    /// Ready `number` was handed out; `wrote` says whether with entries.
    pub(super) fn writing(
        &mut self,
        number: ReadyNumber,
        wrote: bool,
        vote: Option<(Term, Option<NodeId>)>,
    ) {
        self.writes.push(number, if wrote { self.handed } else { Index(0) }, vote);
    }

    /// Whether no Ready is on its way to the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.writes.is_empty()
    }

    /// All Readys up to `number` are durable.
    pub(super) fn persisted(&mut self, number: ReadyNumber) -> Durable {
        let durable = self.writes.complete(number);
        self.durable = self.durable.max(durable.last);
        durable
    }

    /// Entries `from..=through` up to `bytes_max` in all, but at least one; all must be in memory.
    pub(super) fn slice(&self, from: Index, through: Index, bytes_max: usize) -> Vec<Entry> {
        if from > through {
            return Vec::new();
        }
        let first = self.tail_first();
        assert!(from >= first && through <= self.last_index(), "only the tail is in memory");
        let start = position(from, first);
        let wanted = position(through, first) + 1 - start;
        let mut bytes = 0usize;
        let count = self
            .tail
            .range(start..start + wanted)
            .take_while(|entry| {
                let fits = bytes == 0 || bytes.saturating_add(entry.cost()) <= bytes_max;
                bytes += entry.cost();
                fits
            })
            .count();
        self.tail.range(start..start + count).cloned().collect()
    }

    /// Drops the oldest entries from memory while there are too many bytes of them: those that are
    /// durable and `applying` (handed out to be applied), and, past twice the limit, also those that
    /// would still have to be applied; they are read from disk then.
    pub(super) fn evict(&mut self, applying: Index) {
        while self.tail_bytes > self.tail_bytes_max {
            let all = self.tail_bytes / 2 > self.tail_bytes_max;
            let through = if all { self.durable } else { self.durable.min(applying) };
            match pop_front_if(&mut self.tail, |entry| entry.index <= through) {
                Some(entry) => self.tail_bytes -= entry.cost(),
                None => return,
            }
        }
    }

    /// Forgets everything up to `through`, as far as it is committed and durable.
    pub(super) fn compact(&mut self, through: Index) {
        let through = through.min(self.appliable());
        if through <= self.base_index() {
            return;
        }
        while let Some(entry) = pop_front_if(&mut self.tail, |entry| entry.index <= through) {
            self.tail_bytes -= entry.cost();
        }
        while pop_front_if(&mut self.changes, |index| *index <= through).is_some() {}
        self.terms.compact(through);
    }

    /// Whether an entry after `after`, up to `through`, may change the membership.
    pub(super) fn may_change_membership(&self, after: Index, through: Index) -> bool {
        let after = after.max(self.base_index());
        after < self.unread.min(through)
            || self.changes.iter().any(|index| *index > after && *index <= through)
    }

    /// A snapshot took the place of the whole log.
    pub(super) fn restart(&mut self, index: Index, term: Term) {
        self.tail.clear();
        self.tail_bytes = 0;
        self.terms = Terms::after(index, term);
        self.commit = index;
        self.durable = index;
        self.handed = index;
        self.changes.clear();
        self.unread = index;
        // Nothing that is still being written belongs to this log.
        self.writes.cut(Index(0));
    }
}

fn position(index: Index, first: Index) -> usize {
    usize::try_from(index.0 - first.0).expect("the tail fits into memory")
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
