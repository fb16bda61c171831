//! The commands on keys, whatever their values, and on all keys together.

use super::facts::{KeySpec, Name, Spec, category, flag};
use category::{DANGEROUS, KEYSPACE};
use flag::{DENYOOM, FAST, LOADING, READONLY, STALE, WRITE};

const fn key(first: u8, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { first, last: 0, step: 1, flags }
}
const fn all(flags: &'static [&'static str]) -> [KeySpec; 1] {
    [KeySpec { first: 1, last: -1, step: 1, flags }]
}

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const UPDATE: &[KeySpec] = &[key(1, &["RW", "update"])];
const SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const EVERYWHERE: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const fn generic(id: Name, name: &'static str, arity: i8, flags: u32) -> Spec {
    Spec::new(id, name, arity, flags).of("generic", KEYSPACE)
}

#[rustfmt::skip]
const OBJECT: &[Spec] = &[
    generic(Name::Object, "encoding", 3, READONLY).keys(&[key(2, &["RO"])])
        .tips(&["nondeterministic_output"])
        .since("2.2.3", "How Redis would hold the value in memory."),
    generic(Name::Object, "help", 2, LOADING | STALE).since("6.2.0", "Lists the subcommands."),
];

#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    generic(Name::Copy, "copy", -3, WRITE | DENYOOM)
        .keys(&[key(1, &["RO", "access"]), key(2, &["OW", "update"])])
        .since("6.2.0", "Copies a value and its expiry to another key of the same bucket.")
        .costs("O(N) for N bytes of the value"),
    generic(Name::DbSize, "dbsize", 1, READONLY | FAST).of("server", KEYSPACE)
        .since("1.0.0", "Counts the keys.")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    generic(Name::Del, "del", -2, WRITE).keys(&all(&["RM", "delete"])).tips(SUM)
        .since("1.0.0", "Removes keys; atomic within a bucket.").costs("O(N) for N keys"),
    generic(Name::Exists, "exists", -2, READONLY | FAST).keys(&all(&["RO"])).tips(SUM)
        .since("1.0.0", "Counts which of the keys named exist.").costs("O(N) for N keys"),
    generic(Name::Expire, "expire", -3, WRITE | FAST).keys(UPDATE)
        .since("1.0.0", "Lets a key expire after some seconds."),
    generic(Name::ExpireAt, "expireat", -3, WRITE | FAST).keys(UPDATE)
        .since("1.2.0", "Lets a key expire at a time in Unix seconds."),
    generic(Name::ExpireTime, "expiretime", 2, READONLY | FAST).keys(READ)
        .since("7.0.0", "The time at which a key expires, in Unix seconds."),
    generic(Name::FlushAll, "flushall", -1, WRITE).of("server", KEYSPACE | DANGEROUS)
        .since("1.0.0", "Removes all keys.").costs("O(G) for G groups").tips(EVERYWHERE),
    generic(Name::FlushDb, "flushdb", -1, WRITE).of("server", KEYSPACE | DANGEROUS)
        .since("1.0.0", "Removes all keys.").costs("O(G) for G groups").tips(EVERYWHERE),
    generic(Name::Keys, "keys", 2, READONLY).of("generic", KEYSPACE | DANGEROUS)
        .since("1.0.0", "Lists the keys that match a pattern.").costs("O(N) for N keys of all")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    generic(Name::Object, "object", -2, 0).of("generic", 0).subcommands(OBJECT)
        .since("2.2.3", "What is known of a key besides its value.")
        .costs("depends on the subcommand"),
    generic(Name::Persist, "persist", 2, WRITE | FAST).keys(UPDATE)
        .since("2.2.0", "Lets a key no longer expire."),
    generic(Name::PExpire, "pexpire", -3, WRITE | FAST).keys(UPDATE)
        .since("2.6.0", "Lets a key expire after some milliseconds."),
    generic(Name::PExpireAt, "pexpireat", -3, WRITE | FAST).keys(UPDATE)
        .since("2.6.0", "Lets a key expire at a time in Unix milliseconds."),
    generic(Name::PExpireTime, "pexpiretime", 2, READONLY | FAST).keys(READ)
        .since("7.0.0", "The time at which a key expires, in Unix milliseconds."),
    generic(Name::PTtl, "pttl", 2, READONLY | FAST).keys(READ).tips(&["nondeterministic_output"])
        .since("2.6.0", "The milliseconds that a key has left."),
    generic(Name::RandomKey, "randomkey", 1, READONLY)
        .since("1.0.0", "Some key.")
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
    generic(Name::Rename, "rename", 3, WRITE)
        .keys(&[key(1, &["RW", "access", "delete"]), key(2, &["OW", "update"])])
        .since("1.0.0", "Moves a value to another key of the same bucket."),
    generic(Name::RenameNx, "renamenx", 3, WRITE | FAST)
        .keys(&[key(1, &["RW", "access", "delete"]), key(2, &["OW", "insert"])])
        .since("1.0.0", "Moves a value to another key of the same bucket if that does not exist."),
    generic(Name::Scan, "scan", -2, READONLY)
        .since("2.8.0", "Goes through the keys in steps.")
        .costs("O(N) for N keys of a step")
        .tips(&["nondeterministic_output", "request_policy:special"]),
    generic(Name::Touch, "touch", -2, READONLY | FAST).keys(&all(&["RO"])).tips(SUM)
        .since("3.2.1", "Counts which of the keys named exist.").costs("O(N) for N keys"),
    generic(Name::Ttl, "ttl", 2, READONLY | FAST).keys(READ).tips(&["nondeterministic_output"])
        .since("1.0.0", "The seconds that a key has left."),
    generic(Name::Type, "type", 2, READONLY | FAST).keys(&[key(1, &["RO"])])
        .since("1.0.0", "The type of a value."),
    generic(Name::Unlink, "unlink", -2, WRITE | FAST).keys(&all(&["RM", "delete"])).tips(SUM)
        .since("4.0.0", "Removes keys; atomic within a bucket.").costs("O(N) for N keys"),
];
