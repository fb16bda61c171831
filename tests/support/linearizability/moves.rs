//! One step of the search: what may come next, and what is so after it.
//!
//! **Optional operations** are those whose outcome is unknown, from their call on and for ever; and those
//! that are *hidden*: if `p` replaces the whole state, then an operation that fits everywhere and could have
//! been placed just before `p` left no trace there. So when `p` is placed, all such operations count as done,
//! and stay open: they can still be placed later instead. Nor does `p` wait for such operations that returned
//! before its call. Two rules keep that honest:
//!
//! - an open operation is **closed** when one is placed that was called after its return, since it can no longer
//!   come after it;
//! - if an open operation is placed after all, those hidden ones that were called after its return cannot
//!   have come before it, and have to be **done again**.
//!
//! Without hiding, `n` concurrent blind writes have 2ⁿ sets of those that came before the one that was read.
//!
//! **Reads** that fit are placed at once, as this takes nothing from what can follow, unless one would close
//! an open operation.

use super::bits;
use super::memo::Configuration;
use super::model::{Effect, Model};
use super::plan::Plan;
use super::states::States;

/// What moves are made with.
pub(crate) struct Moves<'p, 'h, M: Model> {
    pub(crate) plan: &'p Plan<'h, M>,
    pub(crate) states: States<M::State>,
    /// How often the model was asked.
    pub(crate) steps: usize,
}

/// The latest calls that can come next. Everything else was called after something that is not done returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    any: u64,
    /// For what replaces the state, which does not wait for what fits everywhere.
    replacing: u64,
}

impl Until {
    pub(crate) fn allows<M: Model>(self, plan: &Plan<'_, M>, operation: usize) -> bool {
        let until =
            if plan.effect[operation] == Effect::Replaces { self.replacing } else { self.any };
        plan.called_at[operation] <= until
    }
}

impl<'p, 'h, M: Model> Moves<'p, 'h, M> {
    pub(crate) fn new(plan: &'p Plan<'h, M>) -> Self {
        Self { plan, states: States::new(), steps: 0 }
    }

    /// Before all operations.
    pub(crate) fn start(&mut self) -> Configuration {
        let mut start = Configuration::empty(self.plan.known, self.plan.operations.len());
        start.set_state(self.states.name(self.plan.model.start()));
        for lost in self.plan.known..self.plan.operations.len() {
            bits::insert(start.open_mut(), lost);
        }
        start
    }

    /// Is all done that does not fit everywhere? Then the rest can follow in the order of the calls.
    pub(crate) fn is_end(&self, at: &Configuration) -> bool {
        bits::includes(at.done(), &self.plan.telling)
    }

    /// Finds what has to be done and may come next, and until when that may have been called.
    pub(crate) fn due(&self, at: &Configuration, due: &mut Vec<usize>) -> Until {
        due.clear();
        let mut until = Until { any: u64::MAX, replacing: u64::MAX };
        let mut from = 0;
        while let Some(operation) = self.next_due(at, from, until.replacing) {
            from = operation + 1;
            if until.allows(self.plan, operation) {
                due.push(operation);
            }
            let returned_at = self.plan.returned_at[operation];
            until.any = until.any.min(returned_at);
            if !self.plan.is_silent(operation) {
                until.replacing = until.replacing.min(returned_at);
            }
        }
        until
    }

    /// Finds what is optional and may come next. Of operations that are alike, the one called first.
    pub(crate) fn optional(&self, at: &Configuration, until: Until, optional: &mut Vec<usize>) {
        optional.clear();
        let mut from = 0;
        while let Some(operation) = bits::next_in(at.open(), from) {
            from = operation + 1;
            let waits = self.plan.before_alike[operation]
                .is_some_and(|before| bits::has(at.open(), before));
            if !waits && until.allows(self.plan, operation) {
                optional.push(operation);
            }
        }
    }

    /// Places an operation and tells which ones that hides; false if it does not fit.
    pub(crate) fn place(
        &mut self,
        at: &mut Configuration,
        placed: usize,
        hides: &mut impl FnMut(usize),
    ) -> bool {
        self.steps += 1;
        let plan = self.plan;
        let Some(state) = plan.step(self.states.get(at.state()), placed) else {
            return false;
        };
        at.set_state(self.states.name(state));
        if placed < plan.known {
            bits::insert(at.done_mut(), placed);
        }
        bits::remove(at.open_mut(), placed);
        if plan.effect[placed] == Effect::Replaces {
            self.hide(at, plan.returned_at[placed], hides);
        }
        let mut from = 0;
        while let Some(hidden) = self.next_hidden(at, from) {
            from = hidden + 1;
            if plan.called_at[hidden] > plan.returned_at[placed] {
                bits::remove(at.open_mut(), hidden);
                bits::remove(at.done_mut(), hidden);
            } else if plan.returned_at[hidden] < plan.called_at[placed] {
                bits::remove(at.open_mut(), hidden);
            }
        }
        true
    }

    /// Hides all that could have come just before an operation that returned at `until`, and fits everywhere.
    fn hide(&self, at: &mut Configuration, mut until: u64, hides: &mut impl FnMut(usize)) {
        let mut from = 0;
        while let Some(operation) = self.next_due(at, from, until) {
            from = operation + 1;
            if self.plan.is_silent(operation) {
                bits::insert(at.done_mut(), operation);
                bits::insert(at.open_mut(), operation);
                hides(operation);
            } else {
                until = until.min(self.plan.returned_at[operation]);
            }
        }
    }

    /// Places all reads that fit and close nothing, and tells which.
    pub(crate) fn place_reads(&mut self, at: &mut Configuration, reads: &mut impl FnMut(usize)) {
        let plan = self.plan;
        let mut closes = u64::MAX;
        let mut from = 0;
        while let Some(hidden) = self.next_hidden(at, from) {
            closes = closes.min(plan.returned_at[hidden]);
            from = hidden + 1;
        }
        let mut until = u64::MAX;
        from = 0;
        while let Some(operation) = self.next_due(at, from, until) {
            from = operation + 1;
            if plan.effect[operation] == Effect::Reads && plan.called_at[operation] <= closes {
                self.steps += 1;
                if plan.step(self.states.get(at.state()), operation).is_some() {
                    bits::insert(at.done_mut(), operation);
                    reads(operation);
                    continue;
                }
            }
            until = until.min(plan.returned_at[operation]);
        }
    }

    /// The next operation in the order of calls that is not done, if it was called by then.
    fn next_due(&self, at: &Configuration, from: usize, until: u64) -> Option<usize> {
        bits::next_out(at.done(), from).filter(|operation| {
            *operation < self.plan.known && self.plan.called_at[*operation] <= until
        })
    }

    /// The next operation that is hidden and still open.
    fn next_hidden(&self, at: &Configuration, from: usize) -> Option<usize> {
        bits::next_in(at.open(), from).filter(|operation| *operation < self.plan.known)
    }
}
