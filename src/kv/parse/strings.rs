//! The commands on values.

use super::arguments::{Answer, integer, key, keys, shown};
use super::expiry::{For, Options, Unit, positive};
use super::parsed::Parsed;
use super::split::{Join, by_bucket, fitting, in_one_bucket};
use crate::kv::spec::Name;
use crate::kv::{Command, Condition, Deadline, Expiry, ReplyError, number};
use bytes::Bytes;

pub(super) fn parse(id: Name, arguments: &[Bytes]) -> Answer<Parsed> {
    let command = match (id, arguments) {
        (Name::Get, [_, name]) => Command::Get { key: key(name)? },
        (Name::Set, [_, name, value, options @ ..]) => {
            Options::parse(options, For::Set)?.set(key(name)?, value.clone())?
        }
        (Name::SetNx, [_, name, value]) => Command::SetNx { key: key(name)?, value: value.clone() },
        (Name::SetEx, [_, name, time, value]) => {
            expiring(name, value, positive(time, Unit::Seconds, "setex")?)?
        }
        (Name::PSetEx, [_, name, time, value]) => {
            expiring(name, value, positive(time, Unit::Millis, "psetex")?)?
        }
        (Name::GetSet, [_, name, value]) => set(name, value, Expiry::Clear, true)?,
        (Name::GetDel, [_, name]) => Command::GetDel { key: key(name)? },
        (Name::GetEx, [_, name, options @ ..]) => {
            Options::parse(options, For::GetEx)?.getex(key(name)?)?
        }
        (Name::Append, [_, name, value]) => {
            Command::Append { key: key(name)?, value: value.clone() }
        }
        (Name::StrLen, [_, name]) => Command::Strlen { key: key(name)? },
        (Name::GetRange | Name::SubStr, [_, name, start, end]) => {
            let (start, end) = (integer(start)?, integer(end)?);
            Command::GetRange { key: key(name)?, start, end }
        }
        (Name::SetRange, [_, name, offset, value]) => {
            let offset = u64::try_from(integer(offset)?)
                .map_err(|_| ReplyError::err("offset is out of range"))?;
            Command::SetRange { key: key(name)?, offset, value: value.clone() }
        }
        (Name::Incr, [_, name]) => Command::IncrBy { key: key(name)?, by: 1 },
        (Name::Decr, [_, name]) => Command::IncrBy { key: key(name)?, by: -1 },
        (Name::IncrBy, [_, name, by]) => Command::IncrBy { key: key(name)?, by: integer(by)? },
        (Name::DecrBy, [_, name, by]) => {
            let by = integer(by)?
                .checked_neg()
                .ok_or_else(|| ReplyError::err("decrement would overflow"))?;
            Command::IncrBy { key: key(name)?, by }
        }
        (Name::IncrByFloat, [_, name, by]) => {
            check_float(by)?;
            Command::IncrByFloat { key: key(name)?, by: by.clone() }
        }
        (Name::MGet, [_, names @ ..]) => {
            return by_bucket(keys(names)?, |key| key, Join::Values, |keys| Command::MGet { keys });
        }
        (Name::MSet, [_, words @ ..]) => {
            let pairs = pairs(words, "mset")?;
            let command = |pairs| Command::MSet { pairs };
            return by_bucket(pairs, |(key, _)| key, Join::AllOk, command);
        }
        (Name::MSetNx, [_, words @ ..]) => {
            let pairs = pairs(words, "msetnx")?;
            in_one_bucket(pairs.iter().map(|(key, _)| key))?;
            fitting(Command::MSetNx { pairs })?
        }
        // Numbers of arguments were checked against the table.
        _ => return Err(ReplyError::arity(&shown(&arguments[0]))),
    };
    Ok(Parsed::Data(command))
}

fn set(name: &Bytes, value: &Bytes, expiry: Expiry, get: bool) -> Answer<Command> {
    let (key, value, condition) = (key(name)?, value.clone(), Condition::Always);
    Ok(Command::Set { key, value, condition, expiry, get })
}

fn expiring(name: &Bytes, value: &Bytes, deadline: Deadline) -> Answer<Command> {
    set(name, value, Expiry::Set(deadline), false)
}

fn pairs(words: &[Bytes], command: &str) -> Answer<Vec<(Bytes, Bytes)>> {
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ReplyError::arity(command));
    }
    pairs.iter().map(|[name, value]| Ok((key(name)?, value.clone()))).collect()
}

/// A finite number in decimal notation. Redis would also take hexadecimal ones.
fn check_float(word: &[u8]) -> Answer<()> {
    match number::float(word) {
        Some(number) if number.is_finite() => Ok(()),
        // Redis takes infinity for a number, by its name but not by its digits, and refuses the sum.
        Some(_) if !word.iter().any(u8::is_ascii_digit) => {
            Err(ReplyError::err("increment would produce NaN or Infinity"))
        }
        _ => Err(ReplyError::not_a_float()),
    }
}
