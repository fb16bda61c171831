//! A log of Jepsen's etcd test, a compare-and-set register.
//!
//! ```text
//! INFO  jepsen.util - 3   :invoke :cas    [1 2]      process 3 calls
//! INFO  jepsen.util - 3   :ok     :cas    [1 2]      it was 1, and is 2
//! INFO  jepsen.util - 4   :fail   :cas    [0 2]      it was not 0
//! INFO  jepsen.util - 5   :fail   :read   :timed-out not done; for a read, never mind
//! INFO  jepsen.util - 6   :info   :write  :timed-out outcome unknown
//! ```
//!
//! White space is of any width. A call without an end has an unknown outcome as well. Lines of the nemesis
//! are not operations.

use super::session::Session;
use crate::linearizability::Operation;
use crate::linearizability::register::{Input, Output, Value};

pub(crate) fn parse(log: &str) -> Result<Vec<Operation<Input, Output>>, String> {
    let mut session = Session::new();
    for (number, line) in (1..).zip(log.lines()) {
        if !line.trim().is_empty() {
            read_line(&mut session, line, number)
                .map_err(|why| format!("line {number}: {why}: {line:?}"))?;
        }
    }
    Ok(session.operations())
}

fn read_line(session: &mut Session<Input, Output>, line: &str, at: u64) -> Result<(), String> {
    let mut words = line.split_whitespace();
    if [words.next(), words.next(), words.next()] != [Some("INFO"), Some("jepsen.util"), Some("-")]
    {
        return Err("not an event of jepsen.util".to_owned());
    }
    let mut word = || words.next().ok_or("the line ends too early");
    let process = word()?;
    if process == ":nemesis" {
        return Ok(());
    }
    let process = process.parse().map_err(|_| "not the number of a process")?;
    let kind = word()?;
    let function = word()?;
    let value = words.collect::<Vec<_>>().join(" ");

    if kind == ":invoke" {
        let input = input(function, &value).ok_or("not a call")?;
        return session.call(process, input, at);
    }
    let (call, called) = session.end(process)?;
    if function != function_of(&called) {
        return Err("an end of another function than was called".to_owned());
    }
    match kind {
        ":ok" => {
            session.returned(call, answer(&called, &value).ok_or("not an answer to the call")?, at)
        }
        // A compare-and-set that says its values was refused for the value that it found.
        ":fail" if input(function, &value).as_ref() == Some(&called) && function == ":cas" => {
            session.returned(call, Output::Swapped(false), at);
        }
        // A write that timed out may be done whatever the log calls it.
        ":fail" if value == ":timed-out" && called != Input::Read => {}
        ":fail" => session.not_done(call),
        ":info" => {}
        _ => return Err("neither :invoke nor :ok, :fail or :info".to_owned()),
    }
    Ok(())
}

fn function_of(input: &Input) -> &'static str {
    match input {
        Input::Read => ":read",
        Input::Write(_) => ":write",
        Input::CompareAndSet { .. } => ":cas",
    }
}

fn input(function: &str, value: &str) -> Option<Input> {
    match function {
        ":read" => (value == "nil").then_some(Input::Read),
        ":write" => number(value).map(Input::Write),
        ":cas" => {
            let (expected, new) =
                value.strip_prefix('[')?.strip_suffix(']')?.trim().split_once(' ')?;
            Some(Input::CompareAndSet { expected: number(expected)?, new: number(new)? })
        }
        _ => None,
    }
}

/// The answer of an operation that was done.
fn answer(called: &Input, value: &str) -> Option<Output> {
    match called {
        Input::Read => number(value).map(Output::Value),
        Input::Write(_) => (input(":write", value)? == *called).then_some(Output::Done),
        Input::CompareAndSet { .. } => {
            (input(":cas", value)? == *called).then_some(Output::Swapped(true))
        }
    }
}

fn number(word: &str) -> Option<Value> {
    if word == "nil" { Some(None) } else { word.parse().ok().map(Some) }
}
