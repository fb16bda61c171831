//! What clients ask for, and how the answers read: in the words of the product and in those of the checker
//! of linearizability.

use super::cluster::{Chance, hash_tag};
use super::linearizability::redis::{Action, Reply as Told, Request};
use bytes::Bytes;
use eraft::ids::GroupId;
use eraft::kv::{Command, Condition, Deadline, Expiry, Reply};

/// The keys of a group: two texts, two numbers, and one that expires.
const TEXTS: [&str; 2] = ["song", "tale"];
const NUMBERS: [&str; 2] = ["hits", "debt"];
const FLEETING: &str = "dew";
/// And one for large values.
const LARGE: &str = "rock";

/// One command, and what it is to the checker.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) command: Command,
    pub(crate) request: Request,
    /// The key may vanish at any time after this.
    pub(crate) expires: bool,
}

impl Operation {
    /// Any one; `token` is in no other. Large values have up to so many bytes of padding.
    pub(crate) fn choose(group: GroupId, token: &str, padding: u64, chance: &mut Chance) -> Self {
        match chance.below(20) {
            0..=5 if padding > 0 => {
                let padding = "x".repeat(chance.below(padding) as usize);
                Self::new(group, LARGE, Action::Set(format!("{token}{padding}")))
            }
            0..=12 => Self::on_text(group, chance.pick(&TEXTS), token, chance),
            13..=17 => Self::on_number(group, chance.pick(&NUMBERS), chance),
            _ => Self::on_fleeting(group, token, chance),
        }
    }

    /// A read of a text or a number.
    pub(crate) fn read(group: GroupId, chance: &mut Chance) -> Self {
        let name = match chance.below(3) {
            0 => chance.pick(&NUMBERS),
            _ => chance.pick(&TEXTS),
        };
        Self::new(group, name, Action::Get)
    }

    /// Reads of all keys.
    pub(crate) fn audit(group: GroupId) -> Vec<Self> {
        let names = TEXTS.into_iter().chain(NUMBERS).chain([FLEETING, LARGE]);
        names.map(|name| Self::new(group, name, Action::Get)).collect()
    }

    /// A write that always succeeds.
    pub(crate) fn last(group: GroupId, token: &str) -> Self {
        Self::new(group, TEXTS[0], Action::Set(token.to_owned()))
    }

    fn on_text(group: GroupId, name: &str, token: &str, chance: &mut Chance) -> Self {
        let text = token.to_owned();
        let action = match chance.below(12) {
            0..=3 => Action::Get,
            4 | 5 => Action::Set(text),
            6 => Action::SetIfAbsent(text),
            7..=10 => Action::Append(text),
            _ => Action::Delete,
        };
        Self::new(group, name, action)
    }

    fn on_number(group: GroupId, name: &str, chance: &mut Chance) -> Self {
        let action = match chance.below(12) {
            0..=2 => Action::Get,
            11 => Action::Delete,
            _ => Action::IncrementBy(chance.pick(&[1, 1, 1, 7, -3])),
        };
        Self::new(group, name, action)
    }

    fn on_fleeting(group: GroupId, token: &str, chance: &mut Chance) -> Self {
        if chance.below(2) == 0 {
            return Self::new(group, FLEETING, Action::Get);
        }
        let mut set = Self::new(group, FLEETING, Action::Set(token.to_owned()));
        if let Command::Set { expiry, .. } = &mut set.command {
            *expiry = Expiry::Set(Deadline::After(chance.between(1, 800) as i64));
        }
        set.expires = true;
        set
    }

    fn new(group: GroupId, name: &str, action: Action) -> Self {
        let text = format!("{}{name}", hash_tag(group));
        let key = Bytes::from(text.clone());
        let bytes = |text: &String| Bytes::from(text.clone());
        let command = match &action {
            Action::Get => Command::Get { key },
            Action::Set(text) => Command::Set {
                key,
                value: bytes(text),
                condition: Condition::Always,
                expiry: Expiry::Clear,
                get: false,
            },
            Action::SetIfAbsent(text) => Command::SetNx { key, value: bytes(text) },
            Action::Append(text) => Command::Append { key, value: bytes(text) },
            Action::IncrementBy(by) => Command::IncrBy { key, by: *by },
            Action::Delete => Command::Del { keys: vec![key] },
            Action::CompareAndSet { .. } => unreachable!("Redis has no such command"),
        };
        Self { command, request: Request::new(text, action), expires: false }
    }

    /// What the key's vanishing is to the checker.
    pub(crate) fn expiry(&self) -> Request {
        Request::new(self.request.key.clone(), Action::Delete)
    }

    /// What a reply tells.
    pub(crate) fn told(&self, reply: &Reply) -> Answered {
        let is_flag = matches!(self.request.action, Action::SetIfAbsent(_) | Action::Delete);
        Answered::Told(match reply {
            Reply::Ok => Told::Done,
            Reply::Nil => Told::Text(None),
            Reply::Bulk(bytes) => Told::Text(Some(String::from_utf8_lossy(bytes).into_owned())),
            Reply::Integer(number) if is_flag => Told::Flag(*number != 0),
            Reply::Integer(number) => Told::Number(*number),
            Reply::Error(error) if error.code == "UNKNOWN" => return Answered::Unknown,
            Reply::Error(error) if error.code == "TRYAGAIN" => return Answered::NotDone,
            Reply::Error(_) => Told::Refused,
            other => return Answered::Strange(format!("{other:?}")),
        })
    }
}

/// What a client learns.
#[derive(Clone, Debug)]
pub(crate) enum Answered {
    Told(Told),
    Unknown,
    NotDone,
    Strange(String),
}
