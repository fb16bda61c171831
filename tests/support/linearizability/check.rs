//! The verdict on a whole history: that of its keys, one after the other.

use std::collections::BTreeMap;

use super::explain::Violation;
use super::history::Operation;
use super::model::Model;
use super::plan::Plan;
use super::search::{Found, Search};

/// Configurations kept for one key before the checker gives up, which takes it one or two seconds.
pub(crate) const STATES_MAX: usize = 1 << 19;

/// Is the history linearizable?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    /// It is not, and here is the first key for which this is so.
    Violation(Box<Violation>),
    /// Not found out for some key (the first such one), and no violation for the others.
    Unknown {
        key: String,
    },
}

/// Checks a history with the usual bound.
pub(crate) fn check<M: Model>(history: &[Operation<M::Input, M::Output>]) -> Verdict {
    check_within::<M>(history, STATES_MAX)
}

/// Checks a history; the bound is in configurations for each key.
pub(crate) fn check_within<M: Model>(
    history: &[Operation<M::Input, M::Output>],
    states_max: usize,
) -> Verdict {
    let mut keys: BTreeMap<M::Key, Vec<usize>> = BTreeMap::new();
    for (position, operation) in history.iter().enumerate() {
        keys.entry(M::key(&operation.input)).or_default().push(position);
    }
    let mut gave_up = None;
    for (key, positions) in keys {
        let plan = Plan::<M>::new(history, positions);
        match Search::new(&plan).run(states_max) {
            Found::Order => {}
            Found::NoOrder(prefix) => {
                return Verdict::Violation(Box::new(Violation::new(&key, &plan, &prefix)));
            }
            Found::TooMany => gave_up = gave_up.or(Some(key)),
        }
    }
    gave_up.map_or(Verdict::Linearizable, |key| Verdict::Unknown { key: format!("{key:?}") })
}
