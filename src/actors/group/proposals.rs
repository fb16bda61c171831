//! Units on their way through the log: which unit waits for which entry, so that its replies find back,
//! and so that it is told *not done* (never a guess) when another leader's entry takes the place.

use super::event::{ReplyTo, Route};
use crate::ids::{Index, Term};
use crate::net::message::{Answer, Outcome, Refusal};
use crate::raft::Entry;
use std::collections::VecDeque;

/// See the module's first lines. Entries stand in the order of their index.
#[derive(Debug, Default)]
pub struct Proposals {
    entries: VecDeque<(Index, Term, Vec<Route>)>,
    units: usize,
}

impl Proposals {
    /// Units that wait.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// An entry with these units' commands was proposed.
    pub fn push(&mut self, index: Index, term: Term, routes: Vec<Route>) {
        // Proposing again at or below an index means that what stood there was overwritten; the core
        // truncates before it proposes, and `refuse_overwritten` was called then.
        assert!(
            self.entries.back().is_none_or(|last| last.0 < index),
            "proposed {index} behind a later proposal"
        );
        self.units += routes.len();
        self.entries.push_back((index, term, routes));
    }

    /// These entries are being written: units whose entries they replace are not done.
    pub fn refuse_overwritten(&mut self, entries: &[Entry], answers: &mut Vec<(ReplyTo, Answer)>) {
        let Some(first) = entries.first() else { return };
        while let Some((at, term, _)) = self.entries.back() {
            if *at < first.index {
                break;
            }
            let position = usize::try_from(at.0 - first.index.0).unwrap_or(usize::MAX);
            if entries.get(position).is_some_and(|entry| entry.term == *term) {
                break;
            }
            let (_, _, routes) = self.entries.pop_back().expect("just seen");
            self.answer(&routes, &Outcome::NotDone(Refusal::Overwritten), answers);
        }
    }

    /// The entry at `index` is committed with `term`: the routes of its replies.
    pub fn committed(
        &mut self,
        index: Index,
        term: Term,
        answers: &mut Vec<(ReplyTo, Answer)>,
    ) -> Vec<Route> {
        while let Some((at, proposed_term, _)) = self.entries.front() {
            if *at > index {
                break;
            }
            let matches = *at == index && *proposed_term == term;
            let (_, _, routes) = self.entries.pop_front().expect("just seen");
            if matches {
                self.units -= routes.len();
                return routes;
            }
            self.answer(&routes, &Outcome::NotDone(Refusal::Overwritten), answers);
        }
        Vec::new()
    }

    /// The state jumped to a snapshot at `index`: what became of the entries before it is not known.
    pub fn forget_through(&mut self, index: Index, answers: &mut Vec<(ReplyTo, Answer)>) {
        while self.entries.front().is_some_and(|first| first.0 <= index) {
            let (_, _, routes) = self.entries.pop_front().expect("just seen");
            self.answer(&routes, &Outcome::Unknown, answers);
        }
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
