//! What many clients did to some keys, judged in rounds, so that millions of operations need little memory.
//!
//! At the end of a round all clients stand still and every key is read. The history of each key must be linearizable,
//! that read included, and the key's next round begins with what was read. A key of which an operation has an unknown
//! outcome keeps its whole history for ever, since that operation may take effect at any later time.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use crate::linearizability::redis::{Action, Reply as Told, Request};
use crate::linearizability::{RedisStrings, Verdict, check};
use crate::nodes::Nodes;
use crate::reply::Reply;
use crate::resp::{Client, request};

/// One operation of a client on a key.
pub(crate) type Operation = crate::linearizability::Operation<Request, Told>;

/// Keys read together at the end of a round.
const READ_TOGETHER: usize = 200;
/// All keys can be read within this time after a round.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// The histories of all keys.
pub(crate) struct Ledger {
    keys: Vec<Vec<Operation>>,
    /// The clock of all clients.
    pub(crate) begun: Instant,
    /// Operations that were judged.
    pub(crate) judged: usize,
}

/// The name of a key.
pub(crate) fn name(key: usize) -> String {
    format!("ledger:{key}")
}

impl Ledger {
    /// So many keys, none of which is there.
    pub(crate) fn new(keys: usize) -> Ledger {
        Ledger { keys: vec![Vec::new(); keys], begun: Instant::now(), judged: 0 }
    }

    /// Takes in what a client did in this round.
    pub(crate) fn take(&mut self, operations: Vec<(usize, Operation)>) {
        self.judged += operations.len();
        for (key, operation) in operations {
            self.keys[key].push(operation);
        }
    }

    /// Ends a round: reads every key, judges its history, and cuts it off. Returns the keys that are there.
    pub(crate) fn judge(&mut self, nodes: &Nodes) -> BTreeSet<String> {
        let mut there = BTreeSet::new();
        for first in (0..self.keys.len()).step_by(READ_TOGETHER) {
            let last = self.keys.len().min(first + READ_TOGETHER);
            let (called_at, texts, returned_at) = self.read(nodes, first..last);
            for (key, text) in (first..last).zip(texts) {
                if text.is_some() {
                    there.insert(name(key));
                }
                let input = Request::new(name(key), Action::Get);
                let told = Told::Text(text.clone());
                let read =
                    Operation { client: 0, input, called_at, returned: Some((returned_at, told)) };
                let history = &mut self.keys[key];
                history.push(read);
                match close(history, text) {
                    Verdict::Linearizable => {}
                    Verdict::Violation(violation) => panic!("{violation}\n{}", nodes.node_logs()),
                    Verdict::Unknown { key } => panic!("the history of {key} is too hard to judge"),
                }
            }
        }
        there
    }

    /// What some keys hold, and when that was asked and answered.
    fn read(&self, nodes: &Nodes, keys: std::ops::Range<usize>) -> (u64, Vec<Option<String>>, u64) {
        let deadline = Instant::now() + READ_LIMIT;
        let asked: Vec<u8> =
            keys.clone().flat_map(|key| request(&[b"GET", name(key).as_bytes()])).collect();
        loop {
            let called_at = self.now();
            let answer = ask(nodes, &asked, keys.len());
            match answer {
                Ok(texts) => return (called_at, texts, self.now()),
                Err(trouble) => {
                    let late = Instant::now() > deadline;
                    assert!(!late, "keys cannot be read: {trouble}\n{}", nodes.node_logs());
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// The time of the clients' clock.
    pub(crate) fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }
}

/// Judges the history of one key, which ends with a read of this text, and lets it begin anew with that if nothing else
/// of the past can still take effect.
fn close(history: &mut Vec<Operation>, text: Option<String>) -> Verdict {
    let verdict = check::<RedisStrings>(history);
    if history.iter().all(|operation| operation.returned.is_some()) {
        let read = history.pop().expect("it ends with a read");
        history.clear();
        history.extend(text.map(|text| Operation {
            input: Request { action: Action::Set(text), ..read.input },
            returned: read.returned.map(|(at, _)| (at, Told::Done)),
            ..read
        }));
        history.shrink_to_fit();
    }
    verdict
}

fn ask(nodes: &Nodes, asked: &[u8], count: usize) -> io::Result<Vec<Option<String>>> {
    let mut client = Client::connect(&nodes.plain(1))?;
    client.send(asked)?;
    (0..count)
        .map(|_| match client.read()? {
            Reply::Nil => Ok(None),
            Reply::Bulk(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            other => Err(io::Error::other(other.to_string())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(history: &mut Vec<Operation>, at: u64, action: Action, told: Option<Told>) {
        let (input, returned) = (Request::new("k", action), told.map(|told| (at + 5, told)));
        history.push(Operation { client: 1, input, called_at: at, returned });
    }

    fn append(history: &mut Vec<Operation>, at: u64, text: &str, length: Option<i64>) {
        add(history, at, Action::Append(text.into()), length.map(Told::Number));
    }

    /// Ends the round with a read; whether the history is linearizable.
    fn ends(history: &mut Vec<Operation>, at: u64, text: &str) -> bool {
        add(history, at, Action::Get, Some(Told::Text(Some(text.into()))));
        close(history, Some(text.into())) == Verdict::Linearizable
    }

    #[test]
    fn what_is_lost_or_doubled_after_a_round_is_noticed() {
        for (length, text, fits) in [(2, "ab", true), (1, "b", false), (2, "abb", false)] {
            let mut history = Vec::new();
            append(&mut history, 0, "a", Some(1));
            assert!(ends(&mut history, 10, "a"));
            assert_eq!(history.len(), 1, "it begins anew");
            append(&mut history, 20, "b", Some(length));
            assert_eq!(ends(&mut history, 30, text), fits, "{text}");
        }
    }

    #[test]
    fn what_is_unknown_may_happen_in_a_later_round_and_once() {
        for (text, fits) in [("ac", true), ("abc", true), ("acb", true), ("abcb", false)] {
            let mut history = Vec::new();
            append(&mut history, 0, "a", Some(1));
            append(&mut history, 10, "b", None);
            assert!(ends(&mut history, 20, "a"));
            assert_eq!(history.len(), 3, "all of it is kept");
            append(&mut history, 30, "c", None);
            assert_eq!(ends(&mut history, 40, text), fits, "{text}");
        }
    }
}
