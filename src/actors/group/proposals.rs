//! Units on their way through the log: which unit waits for which entry, so that its replies find back,
//! and so that it is told *not done* (never a guess) when another leader's entry takes the place.
//!
//! An entry that is overwritten in this log is not yet lost: another replica may still hold it, lead next
//! and commit it. So its units wait until something is committed in its place.

use super::event::{ReplyTo, Route};
use crate::ids::{Index, Term};
use crate::net::message::{Answer, Outcome, Refusal};
use crate::raft::Entry;
use std::collections::VecDeque;

/// See the module's first lines. Entries stand in the order of their index.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    entries: VecDeque<(Index, Term, Vec<Route>)>,
    /// Gone from this log, and perhaps not from all others. In no order.
    overwritten: Vec<(Index, Term, Vec<Route>)>,
    units: usize,
}

impl Proposals {
    /// Units that wait.
    #[must_use]
    pub(super) fn units(&self) -> usize {
        self.units
    }

    /// Entries that wait.
    #[must_use]
    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// An entry with these units' commands was proposed.
    pub(super) fn push(&mut self, index: Index, term: Term, routes: Vec<Route>) {
        // Proposing again at or below an index means that what stood there was overwritten; the core
        // truncates before it proposes, and `overwrite` was called then.
        assert!(
            self.entries.back().is_none_or(|last| last.0 < index),
            "proposed {index} behind a later proposal"
        );
        self.units += routes.len();
        self.entries.push_back((index, term, routes));
    }

    /// These entries are being written: the units whose entries they replace wait for what is committed
    /// there.
    pub(super) fn overwrite(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while let Some((at, term, _)) = self.entries.back() {
            if *at < first.index {
                break;
            }
            let position = usize::try_from(at.0 - first.index.0).unwrap_or(usize::MAX);
            if entries.get(position).is_some_and(|entry| entry.term == *term) {
                break;
            }
            self.overwritten.push(self.entries.pop_back().expect("just seen"));
        }
    }

    /// The entry at `index` is committed with `term`: the routes of its replies.
    pub(super) fn committed(
        &mut self,
        index: Index,
        term: Term,
        answers: &mut Vec<(ReplyTo, Answer)>,
    ) -> Vec<Route> {
        let mut found = Vec::new();
        for (at, proposed_term, routes) in self.take_through(index) {
            if at == index && proposed_term == term {
                self.units -= routes.len();
                found = routes;
            } else {
                self.answer(&routes, &Outcome::NotDone(Refusal::Overwritten), answers);
            }
        }
        found
    }

    /// The state jumped to a snapshot at `index`: what became of the entries before it is not known.
    pub(super) fn forget_through(&mut self, index: Index, answers: &mut Vec<(ReplyTo, Answer)>) {
        for (_, _, routes) in self.take_through(index) {
            self.answer(&routes, &Outcome::Unknown, answers);
        }
    }

    /// The replica is given up: what becomes of its entries is not known here.
    pub(super) fn abandon(&mut self, answers: &mut Vec<(ReplyTo, Answer)>) {
        self.forget_through(Index(u64::MAX), answers);
    }

    fn take_through(&mut self, index: Index) -> Vec<(Index, Term, Vec<Route>)> {
        let mut taken: Vec<_> = self.overwritten.extract_if(.., |one| one.0 <= index).collect();
        while self.entries.front().is_some_and(|first| first.0 <= index) {
            taken.push(self.entries.pop_front().expect("just seen"));
        }
        taken
    }

    fn answer(
        &mut self,
        routes: &[Route],
        outcome: &Outcome,
        answers: &mut Vec<(ReplyTo, Answer)>,
    ) {
        self.units -= routes.len();
        answers.extend(
            routes
                .iter()
                .map(|route| (route.to, Answer { unit: route.unit, outcome: outcome.clone() })),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::message::UnitId;

    fn route(unit: u64) -> Vec<Route> {
        vec![Route { to: ReplyTo::Worker(0), unit: UnitId(unit), replies: 1 }]
    }

    #[test]
    fn replies_go_to_the_unit_whose_entry_was_committed() {
        let (mut proposals, mut answers) = (Proposals::default(), Vec::new());
        proposals.push(Index(5), Term(2), route(1));
        proposals.push(Index(6), Term(2), route(2));
        assert_eq!(proposals.committed(Index(4), Term(1), &mut answers), Vec::new());
        assert_eq!(proposals.committed(Index(5), Term(2), &mut answers), route(1));
        assert!(answers.is_empty());
        assert_eq!(proposals.units(), 1);
    }

    #[test]
    fn another_leaders_entry_in_the_same_place_means_not_done() {
        let (mut proposals, mut answers) = (Proposals::default(), Vec::new());
        proposals.push(Index(5), Term(2), route(1));
        assert_eq!(proposals.committed(Index(5), Term(3), &mut answers), Vec::new());
        let not_done = Outcome::NotDone(Refusal::Overwritten);
        assert_eq!(
            answers,
            vec![(ReplyTo::Worker(0), Answer { unit: UnitId(1), outcome: not_done })]
        );
        assert_eq!(proposals.units(), 0);
    }

    fn entry(index: u64, term: u64) -> Entry {
        let kind = crate::raft::EntryKind::Normal;
        Entry { index: Index(index), term: Term(term), kind, data: bytes::Bytes::new() }
    }

    #[test]
    fn what_is_overwritten_here_may_still_be_committed() {
        let (mut proposals, mut answers) = (Proposals::default(), Vec::new());
        proposals.push(Index(5), Term(2), route(1));
        proposals.push(Index(6), Term(2), route(2));
        proposals.overwrite(&[entry(5, 3)]);
        // A later leader has the first one after all, and puts another in the place of the second.
        proposals.overwrite(&[entry(5, 2), entry(6, 4)]);
        assert!(answers.is_empty() && proposals.units() == 2, "nothing is certain yet");
        assert_eq!(proposals.committed(Index(5), Term(2), &mut answers), route(1));
        assert!(answers.is_empty());
        assert_eq!(proposals.committed(Index(6), Term(4), &mut answers), Vec::new());
        assert_eq!(answers[0].1.outcome, Outcome::NotDone(Refusal::Overwritten));
        assert_eq!((answers.len(), proposals.units()), (1, 0));
    }

    #[test]
    fn what_was_overwritten_and_then_abandoned_is_not_known() {
        let (mut proposals, mut answers) = (Proposals::default(), Vec::new());
        proposals.push(Index(5), Term(2), route(1));
        proposals.push(Index(6), Term(2), route(2));
        proposals.overwrite(&[entry(6, 3)]);
        proposals.abandon(&mut answers);
        assert_eq!((answers.len(), proposals.units()), (2, 0));
        assert!(answers.iter().all(|(_, answer)| answer.outcome == Outcome::Unknown));
    }

    #[test]
    fn a_snapshot_over_a_proposal_leaves_its_outcome_unknown() {
        let (mut proposals, mut answers) = (Proposals::default(), Vec::new());
        proposals.push(Index(5), Term(2), route(1));
        proposals.push(Index(9), Term(2), route(2));
        proposals.forget_through(Index(7), &mut answers);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].1.outcome, Outcome::Unknown);
        assert_eq!(proposals.units(), 1);
    }
}
