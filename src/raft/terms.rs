//! Which term each index of the log has, without the entries.
//!
//! A log has few changes of term, so its terms are kept as runs, for the whole log, in memory. That is
//! what lets `term(index)` never touch the disk although most entries are only there.
//!
//! Always: the first run starts right after the base, indexes and terms of the runs grow strictly, and
//! there is no run exactly if the log is empty.

use crate::ids::{Index, Term};

/// The terms of a log that starts after `base` and ends with `last`.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    base: (Index, Term),
    /// First index and term of each run.
    runs: Vec<(Index, Term)>,
    last: Index,
}

impl Terms {
    /// An empty log after `base`.
    pub(super) fn after(base: Index, term: Term) -> Self {
        Self { base: (base, term), runs: Vec::new(), last: base }
    }

    /// A log as the disk remembers it; `None` if the runs cannot be those of a log.
    pub(super) fn restored(
        base: Index,
        term: Term,
        runs: Vec<(Index, Term)>,
        last: Index,
    ) -> Option<Self> {
        let starts = match runs.first() {
            Some(first) => first.0 == base.next() && first.1 >= term,
            None => last == base,
        };
        let grows = runs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let ends = runs.last().is_none_or(|run| run.0 <= last);
        (starts && grows && ends).then_some(Self { base: (base, term), runs, last })
    }

    /// The last index that is compacted away.
    pub(super) fn base_index(&self) -> Index {
        self.base.0
    }

    /// The last index; the base's if the log is empty.
    pub(super) fn last_index(&self) -> Index {
        self.last
    }

    /// The term of the last index.
    pub(super) fn last_term(&self) -> Term {
        self.runs.last().map_or(self.base.1, |run| run.1)
    }

    /// The term of `index`, for the base and everything after it that the log has.
    pub(super) fn term(&self, index: Index) -> Option<Term> {
        if index < self.base.0 || index > self.last {
            return None;
        }
        // Nearly all questions are about the newest term.
        match self.runs.last() {
            Some(run) if index >= run.0 => return Some(run.1),
            _ => {}
        }
        Some(match self.run_of(index) {
            Some(run) => self.runs[run].1,
            None => self.base.1,
        })
    }

    /// The largest index at or below `index` whose term is not above `term`, and its term: below it
    /// lies the first place where a log of that term can agree. The term is `None` if that index is
    /// outside of this log.
    pub(super) fn floor(&self, index: Index, term: Term) -> (Index, Option<Term>) {
        if index > self.last || index < self.base.0 {
            return (index, None);
        }
        let mut index = index;
        let mut next = self.run_of(index);
        while let Some(run) = next {
            let (first, run_term) = self.runs[run];
            if run_term <= term {
                return (index, Some(run_term));
            }
            index = first.prev();
            next = run.checked_sub(1);
        }
        if self.base.1 <= term { (index, Some(self.base.1)) } else { (index.prev(), None) }
    }

    /// Adds the next index.
    pub(super) fn push(&mut self, index: Index, term: Term) {
        assert_eq!(index, self.last.next(), "a log has no holes");
        assert!(term >= self.last_term(), "the terms of a log never fall");
        if self.runs.is_empty() || term > self.last_term() {
            self.runs.push((index, term));
        }
        self.last = index;
    }

    /// Forgets `from` and everything after it.
    pub(super) fn truncate(&mut self, from: Index) {
        assert!(from > self.base.0, "what is compacted cannot be cut off");
        if from > self.last {
            return;
        }
        let kept = self.runs.partition_point(|run| run.0 < from);
        self.runs.truncate(kept);
        self.last = from.prev();
    }

    /// Makes `through` the new base.
    pub(super) fn compact(&mut self, through: Index) {
        let term = self.term(through).expect("only what the log has is compacted");
        let dropped = self.runs.partition_point(|run| run.0 <= through);
        // The run that `through` lies in goes on behind it, if there is anything behind it in it.
        let goes_on = self.runs.get(dropped).map_or(self.last, |next| next.0.prev()) > through;
        self.runs.drain(..dropped);
        if dropped > 0 && goes_on {
            self.runs.insert(0, (through.next(), term));
        }
        self.base = (through, term);
    }

    fn run_of(&self, index: Index) -> Option<usize> {
        self.runs.partition_point(|run| run.0 <= index).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn model(terms: &Terms) -> Vec<(u64, u64)> {
        (terms.base_index().0..=terms.last_index().0)
            .map(|i| (i, terms.term(Index(i)).expect("inside the log").0))
            .collect()
    }

    #[test]
    fn runs_agree_with_a_plain_list() {
        let mut random = Random::new(11);
        let mut terms = Terms::after(Index(0), Term(0));
        let mut list = vec![(0u64, 0u64)];
        for _ in 0..4000 {
            let (base, last) = (list[0].0, list[list.len() - 1]);
            let length = u32::try_from(last.0 - base).expect("short");
            match random.below(8) {
                0 if length > 0 => {
                    let from = base + 1 + u64::from(random.below(length));
                    terms.truncate(Index(from));
                    list.retain(|x| x.0 < from);
                }
                1 => {
                    let through = base + u64::from(random.below(length + 1));
                    terms.compact(Index(through));
                    list.retain(|x| x.0 >= through);
                }
                _ => {
                    let term = last.1 + u64::from(random.below(4) / 3);
                    terms.push(Index(last.0 + 1), Term(term));
                    list.push((last.0 + 1, term));
                }
            }
            assert_eq!(model(&terms), list);
            let restored = Terms::restored(
                terms.base_index(),
                terms.base.1,
                terms.runs.clone(),
                terms.last_index(),
            );
            assert_eq!(model(&restored.expect("its own runs are valid")), list);
            let (at, term) = (
                list[0].0 + u64::from(random.below(u32::try_from(list.len()).expect("short"))),
                Term(u64::from(random.below(u32::try_from(last.1).expect("small") + 2))),
            );
            let wanted = list.iter().rev().find(|x| x.0 <= at && x.1 <= term.0);
            match wanted {
                Some(x) => {
                    assert_eq!(terms.floor(Index(at), term), (Index(x.0), Some(Term(x.1))));
                }
                None => assert_eq!(terms.floor(Index(at), term), (Index(list[0].0).prev(), None)),
            }
        }
        assert!(list.last().expect("never empty").1 > 20, "the run changed terms");
    }

    #[test]
    fn runs_that_are_no_log_are_refused() {
        let runs = |runs: &[(u64, u64)], last| {
            let runs = runs.iter().map(|&(i, t)| (Index(i), Term(t))).collect();
            Terms::restored(Index(4), Term(2), runs, Index(last)).is_some()
        };
        assert!(runs(&[], 4) && runs(&[(5, 2)], 5) && runs(&[(5, 2), (7, 3)], 9));
        assert!(!runs(&[], 5), "entries without a run");
        assert!(!runs(&[(6, 2)], 9), "a hole after the base");
        assert!(!runs(&[(5, 1)], 9), "terms that fall");
        assert!(!runs(&[(5, 3), (7, 3)], 9), "one run written as two");
        assert!(!runs(&[(5, 2), (9, 3)], 8), "a run behind the end");
    }
}
