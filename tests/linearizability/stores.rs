//! The real things that the models speak of, executed without any of the models' short cuts.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::linearizability::{Map, Model, RedisStrings, Register, map, redis, register};

/// A store that executes one operation at a time.
pub(crate) trait Store: Clone + Default {
    /// The model that has to describe it.
    type Model: Model<Input = Self::Input, Output = Self::Output>;
    type Input: Clone + Eq + Debug;
    type Output: Clone + Eq + Debug;

    fn execute(&mut self, input: &Self::Input) -> Self::Output;
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RegisterStore(Option<i64>);

impl Store for RegisterStore {
    type Model = Register;
    type Input = register::Input;
    type Output = register::Output;

    fn execute(&mut self, input: &register::Input) -> register::Output {
        match input {
            register::Input::Read => register::Output::Value(self.0),
            register::Input::Write(value) => {
                self.0 = *value;
                register::Output::Done
            }
            register::Input::CompareAndSet { expected, new } => {
                let swaps = self.0 == *expected;
                if swaps {
                    self.0 = *new;
                }
                register::Output::Swapped(swaps)
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MapStore(BTreeMap<String, String>);

impl Store for MapStore {
    type Model = Map;
    type Input = map::Input;
    type Output = map::Output;

    fn execute(&mut self, input: &map::Input) -> map::Output {
        let text = self.0.entry(input.key.clone()).or_default();
        match &input.action {
            map::Action::Get => return map::Output::Text(text.clone()),
            map::Action::Put(new) => text.clone_from(new),
            map::Action::Append(new) => text.push_str(new),
        }
        map::Output::Done
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RedisStore(BTreeMap<String, String>);

impl Store for RedisStore {
    type Model = RedisStrings;
    type Input = redis::Request;
    type Output = redis::Reply;

    fn execute(&mut self, request: &redis::Request) -> redis::Reply {
        use redis::{Action, Reply};
        let held = self.0.get(&request.key).cloned();
        let (after, reply) = match &request.action {
            Action::Get => return Reply::Text(held),
            Action::Set(text) => (text.clone(), Reply::Done),
            Action::SetIfAbsent(text) if held.is_none() => (text.clone(), Reply::Flag(true)),
            Action::CompareAndSet { expected, new } if held.as_ref() == Some(expected) => {
                (new.clone(), Reply::Flag(true))
            }
            Action::SetIfAbsent(_) | Action::CompareAndSet { .. } => return Reply::Flag(false),
            Action::Append(text) => {
                let after = held.unwrap_or_default() + text;
                let length = i64::try_from(after.len()).expect("a short text");
                (after, Reply::Number(length))
            }
            Action::IncrementBy(by) => {
                let text = held.unwrap_or_else(|| "0".to_owned());
                let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
                let Some(sum) = number.and_then(|number| number.checked_add(*by)) else {
                    return Reply::Refused;
                };
                (sum.to_string(), Reply::Number(sum))
            }
            Action::Delete => return Reply::Flag(self.0.remove(&request.key).is_some()),
        };
        self.0.insert(request.key.clone(), after);
        reply
    }
}
