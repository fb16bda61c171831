//! A client that does anything to any key, writes down what it did, and goes to another node when its own is gone.
//!
//! Even keys hold numbers, odd ones texts. What it writes is never written twice, so that whatever is lost or doubled
//! is told apart. Beside that it makes keys with a deadline of some seconds, each once: none may be left in the end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::ledger::{Operation, name};
use crate::linearizability::redis::{Action, Reply as Told, Request};
use crate::nodes::{NODES, Nodes};
use crate::reply::Reply;
use crate::resp::{Client, request};
use crate::stop::Stop;

/// Commands that are sent together, at most.
const TOGETHER: u64 = 4;
/// The longest life of a key with a deadline.
pub(crate) const LIFE: Duration = Duration::from_secs(2);

/// One client.
pub(crate) struct Hand {
    number: u64,
    node: u16,
    chance: Chance,
    client: Option<Client>,
    tokens: u64,
    /// What it did, by key.
    pub(crate) done: Vec<(usize, Operation)>,
    /// How many of these have an unknown outcome.
    pub(crate) unknown: usize,
    /// How many commands were refused, and so not done.
    pub(crate) refused: usize,
}

/// A command, and the operation that it stands for, if the ledger knows of it.
type Step = (Vec<u8>, Option<(usize, Action)>);

impl Hand {
    /// A client that begins at any node.
    pub(crate) fn new(number: u64, seed: u64) -> Hand {
        Hand {
            number,
            node: number as u16 % NODES + 1,
            chance: Chance::new(seed, number),
            client: None,
            tokens: 0,
            done: Vec::new(),
            unknown: 0,
            refused: 0,
        }
    }

    /// Works on so many keys until told to stop; `begun` is the clock, `all` counts what all hands have done.
    pub(crate) fn work(
        &mut self,
        nodes: &Nodes,
        keys: usize,
        begun: Instant,
        stop: &Stop,
        all: &AtomicU64,
    ) {
        while !stop.told() {
            if self.client.is_none() {
                self.client = Client::connect(&nodes.plain(self.node)).ok();
            }
            let Some(client) = self.client.take() else {
                self.node = self.node % NODES + 1;
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let steps = (0..=self.chance.below(TOGETHER)).map(|_| self.choose(keys)).collect();
            self.client = self.send(client, steps, begun, all);
        }
    }

    /// Sends commands and notes what came of them. Gives the connection back if it is whole.
    fn send(
        &mut self,
        mut client: Client,
        steps: Vec<Step>,
        begun: Instant,
        all: &AtomicU64,
    ) -> Option<Client> {
        let now = || begun.elapsed().as_nanos() as u64;
        let bytes: Vec<u8> = steps.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let called_at = now();
        let mut state = client.send(&bytes);
        for (_, step) in steps {
            let reply = state.and_then(|()| client.read());
            let returned_at = now();
            state = reply.as_ref().map(|_| ()).map_err(|error| io::Error::from(error.kind()));
            all.fetch_add(1, Ordering::Relaxed);
            let Some((key, action)) = step else { continue };
            self.note(key, action, called_at, returned_at, reply.ok());
        }
        state.is_ok().then_some(client)
    }

    fn note(
        &mut self,
        key: usize,
        action: Action,
        called_at: u64,
        returned_at: u64,
        reply: Option<Reply>,
    ) {
        let told = match reply {
            Some(Reply::Error(text)) if text.contains("(not done)") => {
                self.refused += 1;
                return;
            }
            Some(Reply::Error(text)) if text.contains("(outcome unknown") => None,
            Some(reply) => Some(told(&action, &reply)),
            None => None,
        };
        if told.is_none() {
            if action == Action::Get {
                return;
            }
            self.unknown += 1;
        }
        let input = Request::new(name(key), action);
        let returned = told.map(|told| (returned_at, told));
        self.done.push((key, Operation { client: self.number, input, called_at, returned }));
    }

    fn choose(&mut self, keys: usize) -> Step {
        let key = self.chance.below(keys as u64) as usize;
        let (text, dice) = (name(key), self.chance.below(100));
        let token = self.token();
        let ours = |words: &[&[u8]], action| (request(words), Some((key, action)));
        let others = |words: &[&[u8]]| (request(words), None);
        let text = text.as_bytes();
        match dice {
            0..=24 => ours(&[b"GET", text], Action::Get),
            25..=31 => ours(&[b"DEL", text], Action::Delete),
            // A deadline that has passed deletes.
            32..=34 => ours(&[b"EXPIRE", text, b"0"], Action::Delete),
            // One that is far away changes nothing that these clients see.
            35..=38 => others(&[b"EXPIRE", text, b"100000"]),
            39 => {
                let life = (1 + self.chance.below(LIFE.as_millis() as u64)).to_string();
                others(&[
                    b"SET",
                    format!("mortal:{token}").as_bytes(),
                    b"v",
                    b"PX",
                    life.as_bytes(),
                ])
            }
            40..=54 if key.is_multiple_of(2) => {
                let number = self.chance.next() as i64 >> 24;
                let number = number.to_string();
                ours(&[b"SET", text, number.as_bytes()], Action::Set(number.clone()))
            }
            40..=54 => ours(&[b"SET", text, token.as_bytes()], Action::Set(token.clone())),
            _ if key.is_multiple_of(2) => {
                let by = self.chance.below(9) as i64 - 2;
                let action = Action::IncrementBy(by);
                ours(&[b"INCRBY", text, by.to_string().as_bytes()], action)
            }
            _ => ours(&[b"APPEND", text, token.as_bytes()], Action::Append(token.clone())),
        }
    }

    /// A text that nobody else writes.
    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("{}.{};", self.number, self.tokens)
    }
}

/// An answer in the words of the checker.
fn told(action: &Action, reply: &Reply) -> Told {
    match (action, reply) {
        (Action::Get, Reply::Nil) => Told::Text(None),
        (Action::Get, Reply::Bulk(_)) => Told::Text(Some(reply.text())),
        (Action::Set(_), reply) if reply.is_ok() => Told::Done,
        (Action::Append(_) | Action::IncrementBy(_), Reply::Integer(number)) => {
            Told::Number(*number)
        }
        (Action::Delete, Reply::Integer(count)) => Told::Flag(*count == 1),
        _ => panic!("{action:?} was answered {reply}"),
    }
}
