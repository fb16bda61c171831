//! One register with read, write and compare-and-set, empty at first: what Jepsen's etcd test works on.

use super::super::history::Operation;
use super::super::model::{Effect, Model};

/// What a register holds; `None` before the first write.
pub(crate) type Value = Option<i64>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Read,
    Write(Value),
    CompareAndSet { expected: Value, new: Value },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// What was read.
    Value(Value),
    /// Written.
    Done,
    /// Whether the value was as expected, and so replaced.
    Swapped(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Holds(Value),
    /// A value that was never read nor expected: all such are the same.
    HoldsOther,
}

/// The model.
pub(crate) struct Register {
    /// What was read or expected, sorted.
    observed: Vec<Value>,
}

impl Register {
    fn holding(&self, value: Value) -> State {
        match self.observed.binary_search(&value) {
            Ok(_) => State::Holds(value),
            Err(_) => State::HoldsOther,
        }
    }
}

impl Model for Register {
    type Key = ();
    type Input = Input;
    type Output = Output;
    type State = State;

    fn key(_: &Input) {}

    fn for_key(operations: &[&Operation<Input, Output>]) -> Self {
        let mut observed = Vec::new();
        for operation in operations {
            if let Input::CompareAndSet { expected, .. } = operation.input {
                observed.push(expected);
            }
            if let Some((_, Output::Value(value))) = operation.returned {
                observed.push(value);
            }
        }
        observed.sort_unstable();
        observed.dedup();
        Self { observed }
    }

    fn start(&self) -> State {
        self.holding(None)
    }

    fn step(&self, state: &State, input: &Input, output: Option<&Output>) -> Option<State> {
        match (input, output) {
            (Input::Read, Some(Output::Value(value))) => {
                (*state == State::Holds(*value)).then_some(*state)
            }
            (Input::Write(value), Some(Output::Done) | None) => Some(self.holding(*value)),
            (Input::CompareAndSet { expected, new }, Some(Output::Swapped(_)) | None) => {
                let fits = *state == State::Holds(*expected);
                match output {
                    Some(Output::Swapped(false)) => (!fits).then_some(*state),
                    _ => fits.then(|| self.holding(*new)),
                }
            }
            _ => None,
        }
    }

    fn effect(&self, input: &Input, output: Option<&Output>) -> Effect {
        match (input, output) {
            (Input::Read, _) | (_, Some(Output::Swapped(false))) => Effect::Reads,
            (Input::Write(_), Some(Output::Done) | None) => Effect::Replaces,
            _ => Effect::Tells,
        }
    }

    fn alike(&self, one: &Input, other: &Input) -> bool {
        match (one, other) {
            (Input::Write(one), Input::Write(other)) => self.holding(*one) == self.holding(*other),
            (
                Input::CompareAndSet { expected: one_expected, new: one },
                Input::CompareAndSet { expected: other_expected, new: other },
            ) => one_expected == other_expected && self.holding(*one) == self.holding(*other),
            _ => one == other,
        }
    }

    fn describe(&self, state: &State) -> String {
        match state {
            State::Holds(Some(value)) => value.to_string(),
            State::Holds(None) => "nil".to_owned(),
            State::HoldsOther => "one that nobody read".to_owned(),
        }
    }
}
