//! A log of a key-value map: a map in EDN on each line.
//!
//! ```text
//! {:process 0, :type :invoke, :f :append, :key "3", :value "x"}
//! {:process 0, :type :ok, :f :append, :key "3", :value "x"}
//! {:process 0, :type :invoke, :f :get, :key "3", :value nil}
//! {:process 0, :type :ok, :f :get, :key "3", :value "x"}
//! ```
//!
//! Fields are in any order, and others than these are ignored. `:info`, or no end at all, is an unknown
//! outcome; `:fail` is an operation that was not done.

use super::session::Session;
use crate::linearizability::Operation;
use crate::linearizability::map::{Action, Input, Output};

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
    let fields = fields(line).ok_or("not a map")?;
    let field = |name: &str| {
        let mut found = fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value);
        found
            .next()
            .filter(|_| found.next().is_none())
            .ok_or_else(|| format!("not one field {name}"))
    };
    let Term::Word(process) = field(":process")? else {
        return Err("not the number of a process".to_owned());
    };
    let process = process.parse().map_err(|_| "not the number of a process")?;
    let (Term::Word(kind), Term::Word(function)) = (field(":type")?, field(":f")?) else {
        return Err("a type or a function that is not a word".to_owned());
    };
    let Term::Text(key) = field(":key")? else { return Err("a key that is not a text".to_owned()) };
    let value = field(":value")?;

    if kind == ":invoke" {
        let input =
            Input { key: key.clone(), action: action(function, value).ok_or("not a call")? };
        return session.call(process, input, at);
    }
    let (call, called) = session.end(process)?;
    if called.key != *key || function != function_of(&called.action) {
        return Err("an end of something else than was called".to_owned());
    }
    match kind.as_str() {
        ":ok" => session.returned(
            call,
            answer(&called.action, value).ok_or("not an answer to the call")?,
            at,
        ),
        ":fail" => session.not_done(call),
        ":info" => {}
        _ => return Err("neither :invoke nor :ok, :fail or :info".to_owned()),
    }
    Ok(())
}

fn function_of(action: &Action) -> &'static str {
    match action {
        Action::Get => ":get",
        Action::Put(_) => ":put",
        Action::Append(_) => ":append",
    }
}

fn action(function: &str, value: &Term) -> Option<Action> {
    match (function, value) {
        (":get", Term::Word(word)) if word == "nil" => Some(Action::Get),
        (":put", Term::Text(text)) => Some(Action::Put(text.clone())),
        (":append", Term::Text(text)) => Some(Action::Append(text.clone())),
        _ => None,
    }
}

fn answer(called: &Action, value: &Term) -> Option<Output> {
    match (called, value) {
        (Action::Get, Term::Text(text)) => Some(Output::Text(text.clone())),
        // What was never written reads as an empty text.
        (Action::Get, Term::Word(word)) if word == "nil" => Some(Output::Text(String::new())),
        (Action::Put(called) | Action::Append(called), Term::Text(text)) => {
            (called == text).then_some(Output::Done)
        }
        _ => None,
    }
}

/// A value of a field.
enum Term {
    /// A keyword, a number or `nil`.
    Word(String),
    Text(String),
}

/// The fields of a flat map.
fn fields(line: &str) -> Option<Vec<(String, Term)>> {
    let mut rest = line.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = Vec::new();
    while let Some((Term::Word(name), after)) = term(rest) {
        let (value, after) = term(after)?;
        fields.push((name, value));
        rest = after;
    }
    skip(rest).is_empty().then_some(fields)
}

/// Commas are white space in EDN.
fn skip(text: &str) -> &str {
    text.trim_start_matches(|letter: char| letter == ',' || letter.is_whitespace())
}

/// The first term of the text, and what follows it.
fn term(text: &str) -> Option<(Term, &str)> {
    let text = skip(text);
    let Some(quoted) = text.strip_prefix('"') else {
        let end =
            text.find(|letter: char| letter == ',' || letter == '"' || letter.is_whitespace());
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!word.is_empty()).then(|| (Term::Word(word.to_owned()), rest));
    };
    let mut read = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((Term::Text(read), &quoted[at + 1..])),
            '\\' => read.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            _ => read.push(letter),
        }
    }
    None
}
