//! The commands on keys, whatever their values, and on all keys together.

use super::arguments::{Answer, integer, is, key, keys, shown};
use super::expiry::{Unit, expire};
use super::parsed::{ClusterWide, Parsed};
use super::resolve::Resolved;
use super::split::{Join, by_bucket, in_one_bucket};
use crate::kv::scan::PAGE_KEYS_MAX;
use crate::kv::spec::{Name, help};
use crate::kv::{Command, Describe, ReplyError, TtlUnit};
use bytes::Bytes;

/// How many keys a step of SCAN looks at when the client does not say.
const SCAN_COUNT: u32 = 10;

pub(super) fn parse(found: Resolved, arguments: &[Bytes]) -> Answer<Parsed> {
    let command = match (found.command.id, arguments) {
        (Name::Del | Name::Unlink, [_, names @ ..]) => {
            return summed(names, |keys| Command::Del { keys });
        }
        (Name::Exists, [_, names @ ..]) => return summed(names, |keys| Command::Exists { keys }),
        (Name::Touch, [_, names @ ..]) => return summed(names, |keys| Command::Touch { keys }),
        (Name::Type, [_, name]) => Command::Type { key: key(name)? },
        (Name::Expire, _) => return expire(arguments, Unit::Seconds, "expire"),
        (Name::PExpire, _) => return expire(arguments, Unit::Millis, "pexpire"),
        (Name::ExpireAt, _) => return expire(arguments, Unit::UnixSeconds, "expireat"),
        (Name::PExpireAt, _) => return expire(arguments, Unit::UnixMillis, "pexpireat"),
        (Name::Ttl, [_, name]) => Command::Ttl { key: key(name)?, unit: TtlUnit::SecondsLeft },
        (Name::PTtl, [_, name]) => Command::Ttl { key: key(name)?, unit: TtlUnit::MillisLeft },
        (Name::ExpireTime, [_, name]) => Command::Ttl { key: key(name)?, unit: TtlUnit::Seconds },
        (Name::PExpireTime, [_, name]) => Command::Ttl { key: key(name)?, unit: TtlUnit::Millis },
        (Name::Persist, [_, name]) => Command::Persist { key: key(name)? },
        (Name::Rename, [_, from, to]) => {
            in_one_bucket([from, to].into_iter())?;
            Command::Rename { from: key(from)?, to: key(to)?, if_absent: false }
        }
        (Name::RenameNx, [_, from, to]) => {
            in_one_bucket([from, to].into_iter())?;
            Command::Rename { from: key(from)?, to: key(to)?, if_absent: true }
        }
        (Name::Copy, [_, from, to, options @ ..]) => copy(from, to, options)?,
        (Name::Object, [_, word, rest @ ..]) => match rest {
            [name] if is(word, "encoding") => {
                Command::Describe { key: key(name)?, what: Describe::Encoding }
            }
            _ => return Ok(Parsed::Answer(help(found.command))),
        },
        (Name::DbSize, _) => return Ok(Parsed::Cluster(ClusterWide::DbSize)),
        (Name::RandomKey, _) => return Ok(Parsed::Cluster(ClusterWide::RandomKey)),
        (Name::Keys, [_, pattern]) => {
            return Ok(Parsed::Cluster(ClusterWide::Keys { pattern: pattern.clone() }));
        }
        (Name::FlushAll | Name::FlushDb, [_, how @ ..]) => {
            return match how {
                [] => Ok(Parsed::Cluster(ClusterWide::FlushAll)),
                [how] if is(how, "ASYNC") || is(how, "SYNC") => {
                    Ok(Parsed::Cluster(ClusterWide::FlushAll))
                }
                _ => Err(ReplyError::syntax()),
            };
        }
        (Name::Scan, [_, cursor, options @ ..]) => {
            return scan(cursor, options).map(Parsed::Cluster);
        }
        // Numbers of arguments were checked against the table.
        _ => return Err(ReplyError::arity(&shown(&arguments[0]))),
    };
    Ok(Parsed::Data(command))
}

fn summed(names: &[Bytes], command: impl Fn(Vec<Bytes>) -> Command) -> Answer<Parsed> {
    by_bucket(keys(names)?, |key| key, Join::Sum, command)
}

fn copy(from: &Bytes, to: &Bytes, options: &[Bytes]) -> Answer<Command> {
    in_one_bucket([from, to].into_iter())?;
    let mut replace = false;
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if is(word, "REPLACE") {
            replace = true;
        } else if is(word, "DB") {
            let number = words.next().ok_or_else(ReplyError::syntax)?;
            if integer(number)? != 0 {
                return Err(ReplyError::err("DB index is out of range"));
            }
        } else {
            return Err(ReplyError::syntax());
        }
    }
    if from == to {
        return Err(ReplyError::err("source and destination objects are the same"));
    }
    Ok(Command::Copy { from: key(from)?, to: key(to)?, replace })
}

fn scan(cursor: &[u8], options: &[Bytes]) -> Answer<ClusterWide> {
    let digits = !cursor.is_empty() && cursor.iter().all(u8::is_ascii_digit);
    let cursor = std::str::from_utf8(cursor).ok().filter(|_| digits);
    let cursor = cursor
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ReplyError::err("invalid cursor"))?;
    let (mut count, mut pattern, mut kind) = (SCAN_COUNT, None, None);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(ReplyError::syntax)?;
        if is(word, "COUNT") {
            count = match integer(value)? {
                ..=0 => return Err(ReplyError::syntax()),
                number => page(number),
            };
        } else if is(word, "MATCH") {
            pattern = Some(value.clone()).filter(|pattern| pattern != "*");
        } else if is(word, "TYPE") {
            kind = Some(value.clone());
        } else {
            return Err(ReplyError::syntax());
        }
    }
    Ok(ClusterWide::Scan { cursor, count, pattern, kind })
}

/// How many keys to look at: no more than a page holds, which a hint may be cut down to.
pub(super) fn page(count: i64) -> u32 {
    let most = u32::try_from(PAGE_KEYS_MAX).unwrap_or(u32::MAX);
    u32::try_from(count.max(0)).map_or(most, |count| count.min(most))
}
