//! Expiries: the options of SET and GETEX, and EXPIRE's family.
//!
//! A relative time stays relative: what it is relative to is the replicated time at which the command is
//! applied, which nobody knows yet. Redis refuses times that overflow when its clock is added; here room
//! is left for any clock up to the year 2109 ([`CLOCK_MAX_MS`]).

use super::arguments::{Answer, integer, is, key, shown};
use super::parsed::Parsed;
use crate::kv::{Command, Condition, Deadline, ExpireCondition, Expiry, GetExpiry, ReplyError};
use bytes::Bytes;

/// No clock stands later than this, milliseconds since the epoch.
const CLOCK_MAX_MS: i64 = 1 << 42;

/// The unit and the origin of a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

/// The options of SET or GETEX, as far as the words go.
#[derive(Default)]
pub(super) struct Options {
    condition: Condition,
    get: bool,
    keep: bool,
    persist: bool,
    time: Option<(Unit, Bytes)>,
}

/// Which of the two commands has the options.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Set,
    GetEx,
}

impl Options {
    pub(super) fn parse(words: &[Bytes], command: For) -> Answer<Self> {
        let (set, getex) = (command == For::Set, command == For::GetEx);
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let unit = [
                ("EX", Unit::Seconds),
                ("PX", Unit::Millis),
                ("EXAT", Unit::UnixSeconds),
                ("PXAT", Unit::UnixMillis),
            ]
            .into_iter()
            .find(|(name, _)| is(word, name))
            .map(|(_, unit)| unit);
            let same_unit = |unit| options.time.as_ref().is_none_or(|(given, _)| *given == unit);
            if let Some(unit) = unit {
                let fits = !options.keep && !options.persist && same_unit(unit);
                match words.next() {
                    Some(time) if fits => options.time = Some((unit, time.clone())),
                    _ => return Err(ReplyError::syntax()),
                }
            } else if set && is(word, "NX") && options.condition != Condition::IfPresent {
                options.condition = Condition::IfAbsent;
            } else if set && is(word, "XX") && options.condition != Condition::IfAbsent {
                options.condition = Condition::IfPresent;
            } else if set && is(word, "GET") {
                options.get = true;
            } else if set && is(word, "KEEPTTL") && options.time.is_none() {
                options.keep = true;
            } else if getex && is(word, "PERSIST") && options.time.is_none() {
                options.persist = true;
            } else {
                return Err(ReplyError::syntax());
            }
        }
        Ok(options)
    }

    pub(super) fn set(self, key: Bytes, value: Bytes) -> Answer<Command> {
        let expiry = match self.time {
            Some((unit, time)) => Expiry::Set(positive(&time, unit, "set")?),
            None if self.keep => Expiry::Keep,
            None => Expiry::Clear,
        };
        Ok(Command::Set { key, value, condition: self.condition, expiry, get: self.get })
    }

    pub(super) fn getex(self, key: Bytes) -> Answer<Command> {
        let expiry = match self.time {
            Some((unit, time)) => GetExpiry::Set(positive(&time, unit, "getex")?),
            None if self.persist => GetExpiry::Persist,
            None => GetExpiry::Keep,
        };
        Ok(Command::GetEx { key, expiry })
    }
}

/// The time at which something written now is to expire: positive.
pub(super) fn positive(word: &[u8], unit: Unit, command: &str) -> Answer<Deadline> {
    let number = Some(integer(word)?).filter(|number| *number > 0);
    number.and_then(|number| deadline(number, unit)).ok_or_else(|| invalid_time(command))
}

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT; their times may be negative.
pub(super) fn expire(arguments: &[Bytes], unit: Unit, command: &str) -> Answer<Parsed> {
    let [_, name, time, options @ ..] = arguments else { return Err(ReplyError::arity(command)) };
    let mut condition = ExpireCondition::default();
    for word in options {
        let flag = match word {
            word if is(word, "NX") => &mut condition.if_none,
            word if is(word, "XX") => &mut condition.if_some,
            word if is(word, "GT") => &mut condition.if_later,
            word if is(word, "LT") => &mut condition.if_earlier,
            word => return Err(ReplyError::err(format!("Unsupported option {}", shown(word)))),
        };
        *flag = true;
    }
    if condition.if_none && (condition.if_some || condition.if_later || condition.if_earlier) {
        let text = "NX and XX, GT or LT options at the same time are not compatible";
        return Err(ReplyError::err(text));
    }
    if condition.if_later && condition.if_earlier {
        return Err(ReplyError::err("GT and LT options at the same time are not compatible"));
    }
    let number = integer(time)?;
    let deadline = deadline(number, unit).ok_or_else(|| invalid_time(command))?;
    Ok(Parsed::Data(Command::Expire { key: key(name)?, deadline, condition }))
}

fn deadline(number: i64, unit: Unit) -> Option<Deadline> {
    let relative = |millis| (millis <= i64::MAX - CLOCK_MAX_MS).then_some(Deadline::After(millis));
    match unit {
        Unit::Seconds => relative(number.checked_mul(1000)?),
        Unit::Millis => relative(number),
        Unit::UnixSeconds => Some(Deadline::At(number.checked_mul(1000)?)),
        Unit::UnixMillis => Some(Deadline::At(number)),
    }
}

fn invalid_time(command: &str) -> ReplyError {
    ReplyError::err(format!("invalid expire time in '{command}' command"))
}
