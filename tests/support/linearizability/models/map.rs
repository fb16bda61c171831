//! A map of texts with get, put and append, empty texts at first: what porcupine's key-value histories work on.
//!
//! Only a get tells anything. So a text that is not the beginning of any text that was read is of no
//! use: nothing but a put leads out of it, and a put hides how it came about.

use super::super::history::Operation;
use super::super::model::{Effect, Model};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) key: String,
    pub(crate) action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get,
    Put(String),
    Append(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// What was read.
    Text(String),
    /// Written.
    Done,
}

/// The model.
pub(crate) struct Map {
    /// The texts that were read, sorted.
    read: Vec<String>,
}

impl Map {
    /// The text, if it leads to one that was read.
    fn useful(&self, text: String) -> Option<String> {
        let first = self.read.partition_point(|read| *read < text);
        self.read.get(first).is_some_and(|read| read.starts_with(&text)).then_some(text)
    }
}

impl Model for Map {
    type Key = String;
    type Input = Input;
    type Output = Output;
    type State = String;

    fn key(input: &Input) -> String {
        input.key.clone()
    }

    fn for_key(operations: &[&Operation<Input, Output>]) -> Self {
        let mut read: Vec<_> = operations
            .iter()
            .filter_map(|operation| match &operation.returned {
                Some((_, Output::Text(text))) => Some(text.clone()),
                _ => None,
            })
            .collect();
        read.sort_unstable();
        read.dedup();
        Self { read }
    }

    fn start(&self) -> String {
        String::new()
    }

    fn step(&self, state: &String, input: &Input, output: Option<&Output>) -> Option<String> {
        match (&input.action, output) {
            (Action::Get, Some(Output::Text(text))) => (state == text).then(|| state.clone()),
            (Action::Put(text), Some(Output::Done) | None) => self.useful(text.clone()),
            (Action::Append(text), Some(Output::Done) | None) => {
                self.useful(format!("{state}{text}"))
            }
            _ => None,
        }
    }

    fn effect(&self, input: &Input, output: Option<&Output>) -> Effect {
        match (&input.action, output) {
            (Action::Get, _) => Effect::Reads,
            (Action::Put(_), Some(Output::Done) | None) => Effect::Replaces,
            (Action::Append(_), Some(Output::Done) | None) => Effect::Silent,
            _ => Effect::Tells,
        }
    }

    fn describe(&self, state: &String) -> String {
        format!("{state:?}")
    }
}
