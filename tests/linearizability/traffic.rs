//! Concurrent clients of a store: histories that are linearizable because a store really answered them so.

use crate::chance::Chance;
use crate::linearizability::{Call, History, Operation};
use crate::stores::Store;

/// How many clients do how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) clients: usize,
    pub(crate) operations: usize,
    /// Answers that are lost. About half of the operations of these take effect, some of them much later.
    pub(crate) lost_percent: usize,
}

pub(crate) type HistoryOf<S> = Vec<Operation<<S as Store>::Input, <S as Store>::Output>>;

/// A client's operation on its way. Its answer is there once it has taken effect.
struct Running<S: Store> {
    call: Call,
    input: S::Input,
    output: Option<S::Output>,
    lost: bool,
    /// Goes on in one of this many turns.
    patience: usize,
}

/// Clients with inputs from `inputs`, which are given the number of the operation.
pub(crate) fn traffic<S: Store>(
    chance: &mut Chance,
    shape: Shape,
    mut inputs: impl FnMut(&mut Chance, usize) -> S::Input,
) -> HistoryOf<S> {
    let mut store = S::default();
    let mut history = History::default();
    let mut running: Vec<Option<Running<S>>> = (0..shape.clients).map(|_| None).collect();
    let mut late: Vec<S::Input> = Vec::new();
    let (mut called, mut now) = (0, 0_u64);
    while called < shape.operations || running.iter().any(Option::is_some) {
        // Two events may have the same time.
        now += u64::from(!chance.percent(20));
        if !late.is_empty() && chance.percent(5) {
            let input = late.swap_remove(chance.below(late.len()));
            store.execute(&input);
        }
        let client = chance.below(shape.clients);
        running[client] = match running[client].take() {
            None if called == shape.operations => None,
            None => {
                let input = inputs(chance, called);
                called += 1;
                let call = history.call(client as u64, input.clone(), now);
                let (lost, patience) =
                    (chance.percent(shape.lost_percent), *chance.pick(&[1, 1, 1, 8]));
                Some(Running { call, input, output: None, lost, patience })
            }
            Some(waiting) if chance.below(waiting.patience) > 0 => Some(waiting),
            Some(Running { input, lost: true, .. }) => {
                match chance.below(4) {
                    0 => drop(store.execute(&input)),
                    1 => late.push(input),
                    _ => {}
                }
                None
            }
            Some(Running { call, output: Some(output), .. }) => {
                history.returned(call, output, now);
                None
            }
            Some(going) => Some(Running { output: Some(store.execute(&going.input)), ..going }),
        };
    }
    history.operations()
}
