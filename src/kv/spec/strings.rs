//! The commands on values.

use super::facts::{KeySpec, Name, Spec, category, flag};
use flag::{DENYOOM, FAST, READONLY, WRITE};

const fn one(flags: &'static [&'static str]) -> [KeySpec; 1] {
    [KeySpec { first: 1, last: 0, step: 1, flags }]
}
const fn all(step: u8, flags: &'static [&'static str]) -> [KeySpec; 1] {
    [KeySpec { first: 1, last: -1, step, flags }]
}

const READ: &[KeySpec] = &one(&["RO", "access"]);
const LENGTH: &[KeySpec] = &one(&["RO"]);
const UPDATE: &[KeySpec] = &one(&["RW", "access", "update"]);
const MAYBE_UPDATE: &[KeySpec] = &one(&["RW", "access", "update", "variable_flags"]);
const OVERWRITE: &[KeySpec] = &one(&["OW", "update"]);

const fn string(id: Name, name: &'static str, arity: i8, flags: u32) -> Spec {
    Spec::new(id, name, arity, flags).of("string", category::STRING)
}

#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    string(Name::Append, "append", 3, WRITE | DENYOOM | FAST).keys(&one(&["RW", "insert"]))
        .since("2.0.0", "Adds bytes to the end of a value, or makes one of them.")
        .costs("O(N) for N bytes of the result"),
    string(Name::Decr, "decr", 2, WRITE | DENYOOM | FAST).keys(UPDATE)
        .since("1.0.0", "Takes one from a number; a missing one counts as 0."),
    string(Name::DecrBy, "decrby", 3, WRITE | DENYOOM | FAST).keys(UPDATE)
        .since("1.0.0", "Takes an amount from a number; a missing one counts as 0."),
    string(Name::Get, "get", 2, READONLY | FAST).keys(READ)
        .since("1.0.0", "Reads a value."),
    string(Name::GetDel, "getdel", 2, WRITE | FAST).keys(&one(&["RW", "access", "delete"]))
        .since("6.2.0", "Reads a value and removes it."),
    string(Name::GetEx, "getex", -2, WRITE | FAST).keys(UPDATE)
        .since("6.2.0", "Reads a value and sets or clears its expiry."),
    string(Name::GetRange, "getrange", 4, READONLY).keys(READ)
        .since("2.4.0", "Reads a part of a value.")
        .costs("O(N) for N bytes of the value"),
    string(Name::GetSet, "getset", 3, WRITE | DENYOOM | FAST).keys(UPDATE)
        .since("1.0.0", "Writes a value and answers with the one before.")
        .replaced("6.2.0", "`SET` with the `!GET` argument"),
    string(Name::Incr, "incr", 2, WRITE | DENYOOM | FAST).keys(UPDATE)
        .since("1.0.0", "Adds one to a number; a missing one counts as 0."),
    string(Name::IncrBy, "incrby", 3, WRITE | DENYOOM | FAST).keys(UPDATE)
        .since("1.0.0", "Adds an amount to a number; a missing one counts as 0."),
    string(Name::IncrByFloat, "incrbyfloat", 3, WRITE | DENYOOM | FAST).keys(UPDATE)
        .since("2.6.0", "Adds a fraction to a number; a missing one counts as 0."),
    string(Name::MGet, "mget", -2, READONLY | FAST).keys(&all(1, &["RO", "access"]))
        .since("1.0.0", "Reads several values; atomic within a bucket.")
        .costs("O(N) for N keys").tips(&["request_policy:multi_shard"]),
    string(Name::MSet, "mset", -3, WRITE | DENYOOM).keys(&all(2, &["OW", "update"]))
        .since("1.0.1", "Writes several values; atomic within a bucket.")
        .costs("O(N) for N keys")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    string(Name::MSetNx, "msetnx", -3, WRITE | DENYOOM).keys(&all(2, &["OW", "insert"]))
        .since("1.0.1", "Writes several values of one bucket if none of the keys exists.")
        .costs("O(N) for N keys")
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"]),
    string(Name::PSetEx, "psetex", 4, WRITE | DENYOOM).keys(OVERWRITE)
        .since("2.6.0", "Writes a value that expires after some milliseconds."),
    string(Name::Set, "set", -3, WRITE | DENYOOM).keys(MAYBE_UPDATE)
        .since("1.0.0", "Writes a value, on conditions and with an expiry if asked."),
    string(Name::SetEx, "setex", 4, WRITE | DENYOOM).keys(OVERWRITE)
        .since("2.0.0", "Writes a value that expires after some seconds."),
    string(Name::SetNx, "setnx", 3, WRITE | DENYOOM | FAST).keys(&one(&["OW", "insert"]))
        .since("1.0.0", "Writes a value if the key does not exist."),
    string(Name::SetRange, "setrange", 4, WRITE | DENYOOM).keys(&one(&["RW", "update"]))
        .since("2.2.0", "Writes over a part of a value, filling a gap with zero bytes.")
        .costs("O(N) for N bytes of the result"),
    string(Name::StrLen, "strlen", 2, READONLY | FAST).keys(LENGTH)
        .since("2.2.0", "Counts the bytes of a value."),
    string(Name::SubStr, "substr", 4, READONLY).keys(READ)
        .since("1.0.0", "Reads a part of a value.")
        .costs("O(N) for N bytes of the value").replaced("2.0.0", "`GETRANGE`"),
];
