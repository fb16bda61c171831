//! String keys as Redis has them: absent at first, with the commands that tests of linearizability use.

use super::super::history::Operation;
use super::super::model::{Effect, Model};

/// A command on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) action: Action,
}

impl Request {
    pub(crate) fn new(key: impl Into<String>, action: Action) -> Self {
        Self { key: key.into(), action }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Answers [`Reply::Text`].
    Get,
    /// Answers [`Reply::Done`].
    Set(String),
    /// Answers [`Reply::Flag`]: whether it was set.
    SetIfAbsent(String),
    /// Answers [`Reply::Flag`]: whether the text was as expected, and so replaced.
    CompareAndSet { expected: String, new: String },
    /// Answers [`Reply::Number`]: the length after it in bytes.
    Append(String),
    /// Answers [`Reply::Number`]: the number after it; or [`Reply::Refused`].
    IncrementBy(i64),
    /// Answers [`Reply::Flag`]: whether there was something to delete.
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    Text(Option<String>),
    Flag(bool),
    Number(i64),
    /// The text is not a number, or the sum is not one of 64 bits. Nothing was changed.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Absent,
    Text(String),
    /// A text of that many bytes that was never read, nor leads to one that was: only its length tells.
    Unread(usize),
}

/// The model.
pub(crate) struct RedisStrings {
    /// The texts that were read or expected, sorted.
    observed: Vec<String>,
    /// Is there an increment? Then texts that are, or may become, numbers have to be known.
    counts: bool,
}

impl RedisStrings {
    fn holding(&self, text: String) -> State {
        let first = self.observed.partition_point(|observed| *observed < text);
        let leads_on = self.observed.get(first).is_some_and(|observed| observed.starts_with(&text));
        if leads_on || self.may_count(&text) {
            State::Text(text)
        } else {
            State::Unread(text.len())
        }
    }

    fn may_count(&self, text: &str) -> bool {
        self.counts
            && text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Can no answer tell this text, or one that it was appended to, from another one of its length?
    fn never_shows(&self, text: &str) -> bool {
        !self.may_count(text) && !self.observed.iter().any(|observed| observed.contains(text))
    }

    fn never_tells_apart(&self, one: &str, other: &str) -> bool {
        one == other
            || (one.len() == other.len() && self.never_shows(one) && self.never_shows(other))
    }

    /// The state with the text appended, and its length.
    fn appended(&self, state: &State, text: &str) -> (State, usize) {
        match state {
            State::Absent => (self.holding(text.to_owned()), text.len()),
            State::Text(before) => {
                (self.holding(format!("{before}{text}")), before.len() + text.len())
            }
            State::Unread(length) => (State::Unread(length + text.len()), length + text.len()),
        }
    }

    /// What the action does and answers; `None` if it would answer what nobody was told.
    fn execute(&self, state: &State, action: &Action) -> Option<(State, Reply)> {
        let same = |reply| (state.clone(), reply);
        Some(match action {
            Action::Get => match state {
                State::Absent => same(Reply::Text(None)),
                State::Text(text) => same(Reply::Text(Some(text.clone()))),
                State::Unread(_) => return None,
            },
            Action::Set(text) => (self.holding(text.clone()), Reply::Done),
            Action::SetIfAbsent(text) if *state == State::Absent => {
                (self.holding(text.clone()), Reply::Flag(true))
            }
            Action::CompareAndSet { expected, new } if matches!(state, State::Text(text) if text == expected) => {
                (self.holding(new.clone()), Reply::Flag(true))
            }
            Action::SetIfAbsent(_) | Action::CompareAndSet { .. } => same(Reply::Flag(false)),
            Action::Append(text) => {
                let (after, length) = self.appended(state, text);
                (after, Reply::Number(i64::try_from(length).unwrap_or(i64::MAX)))
            }
            Action::IncrementBy(by) => {
                match number(state).and_then(|number| number.checked_add(*by)) {
                    Some(sum) => (self.holding(sum.to_string()), Reply::Number(sum)),
                    None => same(Reply::Refused),
                }
            }
            Action::Delete => (State::Absent, Reply::Flag(*state != State::Absent)),
        })
    }
}

/// The state as a number, which is strict in Redis: no sign but a minus, no zeros before.
fn number(state: &State) -> Option<i64> {
    match state {
        State::Absent => Some(0),
        State::Text(text) => text.parse().ok().filter(|number: &i64| number.to_string() == *text),
        State::Unread(_) => None,
    }
}

impl Model for RedisStrings {
    type Key = String;
    type Input = Request;
    type Output = Reply;
    type State = State;

    fn key(input: &Request) -> String {
        input.key.clone()
    }

    fn for_key(operations: &[&Operation<Request, Reply>]) -> Self {
        let mut observed = Vec::new();
        let mut counts = false;
        for operation in operations {
            counts |= matches!(operation.input.action, Action::IncrementBy(_));
            if let Action::CompareAndSet { expected, .. } = &operation.input.action {
                observed.push(expected.clone());
            }
            if let Some((_, Reply::Text(Some(text)))) = &operation.returned {
                observed.push(text.clone());
            }
        }
        observed.sort_unstable();
        observed.dedup();
        Self { observed, counts }
    }

    fn start(&self) -> State {
        State::Absent
    }

    fn step(&self, state: &State, input: &Request, output: Option<&Reply>) -> Option<State> {
        let (after, reply) = self.execute(state, &input.action)?;
        let useful = match output {
            Some(output) => *output == reply,
            None => after != *state || self.effect(input, None) == Effect::Replaces,
        };
        useful.then_some(after)
    }

    fn effect(&self, input: &Request, output: Option<&Reply>) -> Effect {
        match (&input.action, output) {
            (Action::Get, _) | (_, Some(Reply::Refused)) => Effect::Reads,
            (
                Action::SetIfAbsent(_) | Action::CompareAndSet { .. } | Action::Delete,
                Some(Reply::Flag(false)),
            ) => Effect::Reads,
            (Action::Set(_), Some(Reply::Done) | None) | (Action::Delete, None) => Effect::Replaces,
            _ => Effect::Tells,
        }
    }

    fn alike(&self, one: &Request, other: &Request) -> bool {
        match (&one.action, &other.action) {
            (Action::Set(one), Action::Set(other))
            | (Action::SetIfAbsent(one), Action::SetIfAbsent(other))
            | (Action::Append(one), Action::Append(other)) => self.never_tells_apart(one, other),
            (one, other) => one == other,
        }
    }

    fn describe(&self, state: &State) -> String {
        match state {
            State::Absent => "absent".to_owned(),
            State::Text(text) => format!("{text:?}"),
            State::Unread(length) => format!("a text of {length} bytes that nobody read"),
        }
    }
}
