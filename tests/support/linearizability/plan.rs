//! The operations of one key, laid out for the search.
//!
//! Operations are numbers: first those that returned, in the order of their calls, then those whose outcome
//! is unknown, in the order of theirs. Unknown reads are left out: whatever they saw, they fit somewhere.

use super::bits;
use super::history::Operation;
use super::model::{Effect, Model};

pub(crate) struct Plan<'h, M: Model> {
    pub(crate) model: M,
    pub(crate) operations: Vec<&'h Operation<M::Input, M::Output>>,
    /// Where they stand in the history.
    pub(crate) positions: Vec<usize>,
    /// How many of them returned.
    pub(crate) known: usize,
    pub(crate) called_at: Vec<u64>,
    /// The end of time where the outcome is unknown.
    pub(crate) returned_at: Vec<u64>,
    pub(crate) effect: Vec<Effect>,
    /// For an unknown operation, the one called before it that does the same.
    pub(crate) before_alike: Vec<Option<usize>>,
    /// Those that returned and do not fit everywhere: when all of them are placed, the rest follows.
    pub(crate) telling: Vec<u64>,
}

impl<'h, M: Model> Plan<'h, M> {
    /// Of the operations of `history` that stand at these positions, which are those of one key.
    pub(crate) fn new(
        history: &'h [Operation<M::Input, M::Output>],
        mut positions: Vec<usize>,
    ) -> Self {
        let all: Vec<_> = positions.iter().map(|position| &history[*position]).collect();
        let model = M::for_key(&all);
        let effect_of = |operation: &Operation<M::Input, M::Output>| {
            model.effect(&operation.input, operation.returned.as_ref().map(|(_, output)| output))
        };
        positions.retain(|position| {
            let operation = &history[*position];
            operation.returned.is_some() || effect_of(operation) != Effect::Reads
        });
        positions.sort_by_key(|position| {
            (history[*position].returned.is_none(), history[*position].called_at)
        });
        let operations: Vec<_> = positions.iter().map(|position| &history[*position]).collect();
        let known = operations.iter().take_while(|operation| operation.returned.is_some()).count();
        let effect: Vec<_> = operations.iter().map(|operation| effect_of(operation)).collect();

        let mut telling = vec![0; bits::words(known)];
        for (operation, effect) in effect[..known].iter().enumerate() {
            if matches!(effect, Effect::Reads | Effect::Tells) {
                bits::insert(&mut telling, operation);
            }
        }
        let before_alike = (0..operations.len())
            .map(|at| {
                let alike =
                    |before: &usize| model.alike(&operations[*before].input, &operations[at].input);
                (known..at).rev().find(alike)
            })
            .collect();
        Self {
            known,
            called_at: operations.iter().map(|operation| operation.called_at).collect(),
            returned_at: operations
                .iter()
                .map(|operation| operation.returned.as_ref().map_or(u64::MAX, |(at, _)| *at))
                .collect(),
            effect,
            before_alike,
            telling,
            operations,
            positions,
            model,
        }
    }

    pub(crate) fn step(&self, state: &M::State, operation: usize) -> Option<M::State> {
        let operation = self.operations[operation];
        self.model.step(
            state,
            &operation.input,
            operation.returned.as_ref().map(|(_, output)| output),
        )
    }

    /// Does it fit in every state?
    pub(crate) fn is_silent(&self, operation: usize) -> bool {
        matches!(self.effect[operation], Effect::Silent | Effect::Replaces)
    }
}
