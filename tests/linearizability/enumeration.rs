//! The definition of linearizability, executed: all orders are tried. For small histories only.

use crate::linearizability::Operation;
use crate::stores::Store;
use crate::traffic::HistoryOf;

/// Is there an order of all keys' operations together that a store answers like this?
pub(crate) fn is_linearizable<S: Store>(history: &HistoryOf<S>) -> bool {
    assert!(history.len() < 16, "too many orders");
    let mut left: Vec<_> = history.iter().collect();
    some_order::<S>(&S::default(), &mut left)
}

fn some_order<S: Store>(store: &S, left: &mut Vec<&Operation<S::Input, S::Output>>) -> bool {
    // What never returned may have had no effect.
    if left.iter().all(|operation| operation.returned.is_none()) {
        return true;
    }
    for at in 0..left.len() {
        let operation = left.remove(at);
        let waits = left.iter().any(|other| {
            other.returned.as_ref().is_some_and(|(end, _)| *end < operation.called_at)
        });
        if !waits {
            let mut after = store.clone();
            let output = after.execute(&operation.input);
            let fits = operation.returned.as_ref().is_none_or(|(_, told)| *told == output);
            if fits && some_order(&after, left) {
                return true;
            }
        }
        left.insert(at, operation);
    }
    false
}
