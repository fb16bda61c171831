//! What clients get told, word by word, and what their commands become.

use super::*;
use crate::ids::Bucket;
use crate::kv::{
    Command, Condition, Deadline, ExpireCondition, Expiry, GetExpiry, Reply, ReplyError, TtlUnit,
};
use crate::limits::KEY_BYTES_MAX;
use bytes::Bytes;
use proptest::prelude::*;

fn try_words(words: &[Bytes]) -> Result<Parsed, ReplyError> {
    parse(resolve(words)?, words)
}

/// Splits at blanks; `''` is an empty word.
fn words(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|word| Bytes::from(word.replace("''", "").into_bytes())).collect()
}

fn ok(line: &str) -> Parsed {
    try_words(&words(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn data(line: &str) -> Command {
    match ok(line) {
        Parsed::Data(command) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn b(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

const ARITY: &str = "ERR wrong number of arguments for ";
const INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";
const FLOAT: &str = "ERR value is not a valid float";
const SLOTS: &str = "CROSSSLOT Keys in request don't hash to the same slot";
const TOGETHER: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
const SLOT_OR_KEYS: &str = "ERR Invalid slot or number of keys";

/// As Redis 7.0.15 answers them.
#[rustfmt::skip]
const ERRORS: &[(&str, &str)] = &[
    ("''", "ERR unknown command '', with args beginning with: "),
    ("foo", "ERR unknown command 'foo', with args beginning with: "),
    ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
    ("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
    ("client maint_notifications on", "ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP."),
    ("config foo", "ERR unknown subcommand 'foo'. Try CONFIG HELP."),
    ("cluster foo", "ERR unknown subcommand 'foo'. Try CLUSTER HELP."),
    ("set a b EX 10 PX 10", SYNTAX), ("set a b EX", SYNTAX), ("set a b foo", SYNTAX),
    ("set a b NX XX", SYNTAX), ("set a b KEEPTTL EX 10", SYNTAX), ("set a b EX 10 KEEPTTL", SYNTAX),
    ("set a b PERSIST", SYNTAX), ("set a b EX x NX XX", SYNTAX),
    ("set a b EX x", INTEGER), ("set a b EX 1.5", INTEGER), ("set a b EX 01", INTEGER),
    ("set a b PX 9223372036854775808", INTEGER),
    ("set a b EX 0", "ERR invalid expire time in 'set' command"),
    ("set a b EX -1", "ERR invalid expire time in 'set' command"),
    ("set a b EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
    ("set a b EX 9223372036854775", "ERR invalid expire time in 'set' command"),
    ("set a b PX 9223372036854775807", "ERR invalid expire time in 'set' command"),
    ("set a b EXAT 9223372036854776", "ERR invalid expire time in 'set' command"),
    ("set a b PXAT 0", "ERR invalid expire time in 'set' command"),
    ("setex a 0 b", "ERR invalid expire time in 'setex' command"), ("setex a x b", INTEGER),
    ("psetex a -1 b", "ERR invalid expire time in 'psetex' command"),
    ("getex a KEEPTTL", SYNTAX), ("getex a NX", SYNTAX), ("getex a GET", SYNTAX),
    ("getex a PERSIST EX 10", SYNTAX), ("getex a EX 10 PERSIST", SYNTAX), ("getex a EX x", INTEGER),
    ("getex a EX 0", "ERR invalid expire time in 'getex' command"),
    ("getrange a 0 x", INTEGER), ("substr a x 0", INTEGER),
    ("setrange k -1 a", "ERR offset is out of range"), ("setrange k x a", INTEGER),
    ("incrby n +1", INTEGER), ("incrby n ''", INTEGER), ("incrby n -0", INTEGER),
    ("incrby n 9223372036854775808", INTEGER),
    ("decrby n -9223372036854775808", "ERR decrement would overflow"), ("decrby n x", INTEGER),
    ("incrbyfloat n x", FLOAT), ("incrbyfloat n nan", FLOAT), ("incrbyfloat n 1e5000", FLOAT),
    ("incrbyfloat n ''", FLOAT), ("incrbyfloat n 1e", FLOAT), ("incrbyfloat n .", FLOAT),
    ("incrbyfloat n -inf", "ERR increment would produce NaN or Infinity"),
    ("expire a x", INTEGER), ("expire a x foo", "ERR Unsupported option foo"),
    ("expire a 10 NX XX", TOGETHER), ("expire a x NX GT", TOGETHER), ("expire a 10 LT NX", TOGETHER),
    ("expire a 10 GT LT", "ERR GT and LT options at the same time are not compatible"),
    ("expire a 9223372036854775", "ERR invalid expire time in 'expire' command"),
    ("expire a -9223372036854775808", "ERR invalid expire time in 'expire' command"),
    ("pexpire a 9223372036854775807", "ERR invalid expire time in 'pexpire' command"),
    ("expireat a 9223372036854775807", "ERR invalid expire time in 'expireat' command"),
    ("msetnx a 1 b 2", SLOTS), ("rename a b", SLOTS), ("renamenx a b", SLOTS), ("copy a b foo", SLOTS),
    ("copy a a", "ERR source and destination objects are the same"),
    ("copy {a} b{a} DB", SYNTAX), ("copy {a} b{a} DB x", INTEGER), ("copy {a} b{a} foo", SYNTAX),
    ("copy {a} b{a} DB 1", "ERR DB index is out of range"),
    ("scan x", "ERR invalid cursor"), ("scan ''", "ERR invalid cursor"),
    ("scan 18446744073709551616", "ERR invalid cursor"),
    ("scan 0 COUNT 0", SYNTAX), ("scan 0 COUNT x", INTEGER), ("scan 0 MATCH", SYNTAX),
    ("scan 0 foo bar", SYNTAX), ("scan 0 COUNT x MATCH", INTEGER),
    ("flushall foo", SYNTAX), ("flushdb sync async", SYNTAX),
    ("hello 4", "NOPROTO unsupported protocol version"),
    ("hello x", "ERR Protocol version is not an integer or out of range"),
    ("hello 3 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
    ("hello 3 foo", "ERR Syntax error in HELLO option 'foo'"),
    ("hello 3 setname \u{e4}", "ERR Client names cannot contain spaces, newlines or special characters."),
    ("auth a b c", SYNTAX), ("select x", INTEGER), ("select 1", "ERR DB index is out of range"),
    ("wait x 1", INTEGER), ("wait 1 x", "ERR timeout is not an integer or out of range"),
    ("wait 1 -1", "ERR timeout is negative"),
    ("shutdown foo", SYNTAX), ("shutdown nosave save", SYNTAX), ("shutdown abort now", SYNTAX),
    ("client setname a\nb", "ERR Client names cannot contain spaces, newlines or special characters."),
    ("client no-evict x", SYNTAX), ("client reply x", SYNTAX), ("client list foo", SYNTAX),
    ("client list ID", SYNTAX), ("client list ID x", "ERR Invalid client ID"),
    ("client list TYPE x", "ERR Unknown client type 'x'"),
    ("client kill ID 0", "ERR client-id should be greater than 0"),
    ("client kill foo bar", SYNTAX), ("client kill ID 1 ADDR", SYNTAX),
    ("client kill USER nobody", "ERR No such user 'nobody'"),
    ("command getkeys foo a", "ERR Invalid command specified"),
    ("command getkeys ping a", "ERR The command has no key arguments"),
    ("command getkeys get a b", "ERR Invalid number of arguments specified for command"),
    ("command list filterby foo bar", SYNTAX),
    ("config set a b c", SYNTAX), ("config rewrite", "ERR The server is running without a config file"),
    ("cluster countkeysinslot 16384", "ERR Invalid slot"), ("cluster countkeysinslot x", INTEGER),
    ("cluster getkeysinslot 0 -1", SLOT_OR_KEYS), ("cluster getkeysinslot 99999 1", SLOT_OR_KEYS),
    ("memory usage a foo", SYNTAX), ("memory usage a samples -1", SYNTAX),
];

#[test]
fn errors_are_in_the_words_of_redis() {
    for (line, wanted) in ERRORS {
        match try_words(&words(line)) {
            Err(error) => assert_eq!(error.to_string(), *wanted, "{line}"),
            Ok(parsed) => panic!("{line}: {parsed:?}"),
        }
    }
}

#[test]
fn wrong_numbers_of_arguments_are_told_with_the_full_name() {
    for (line, name) in [
        ("get", "get"),
        ("GET a b", "get"),
        ("set a", "set"),
        ("mset", "mset"),
        ("mset a b c", "mset"),
        ("msetnx a 1 a", "msetnx"),
        ("expire a", "expire"),
        ("ping a b", "ping"),
        ("client", "client"),
        ("client setname", "client|setname"),
        ("config get", "config|get"),
        ("cluster slots x", "cluster|slots"),
        ("command getkeys", "command|getkeys"),
    ] {
        let error = try_words(&words(line)).unwrap_err();
        assert_eq!(error.to_string(), format!("{ARITY}'{name}' command"), "{line}");
    }
}

#[test]
fn of_unknown_words_only_the_start_is_repeated() {
    let long = "x".repeat(200);
    let error = try_words(&words(&format!("{long} {long} b"))).unwrap_err().to_string();
    let x = "x".repeat(128);
    assert_eq!(error, format!("ERR unknown command '{x}', with args beginning with: '{x}' "));
    let many = try_words(&words(&"word ".repeat(1000))).unwrap_err().to_string();
    assert!(many.len() < 250, "{many}");
    assert!(try_words(&[]).is_err());
}

#[test]
fn sets_become_one_command() {
    let set = |condition, expiry, get| Command::Set {
        key: b("k"),
        value: b("v"),
        condition,
        expiry,
        get,
    };
    use Condition::{Always, IfAbsent, IfPresent};
    let after = |millis| Expiry::Set(Deadline::After(millis));
    let at = |millis| Expiry::Set(Deadline::At(millis));
    for (line, command) in [
        ("SET k v", set(Always, Expiry::Clear, false)),
        ("set k v nx get", set(IfAbsent, Expiry::Clear, true)),
        ("set k v KeepTTL XX", set(IfPresent, Expiry::Keep, false)),
        ("set k v EX 10 EX 11", set(Always, after(11_000), false)),
        ("set k v px 7 nx", set(IfAbsent, after(7), false)),
        ("set k v EXAT 5", set(Always, at(5_000), false)),
        ("set k v PXAT 9223372036854775807", set(Always, at(i64::MAX), false)),
        ("setex k 2 v", set(Always, after(2_000), false)),
        ("psetex k 2 v", set(Always, after(2), false)),
        ("getset k v", set(Always, Expiry::Clear, true)),
        ("setnx k v", Command::SetNx { key: b("k"), value: b("v") }),
        ("getex k", Command::GetEx { key: b("k"), expiry: GetExpiry::Keep }),
        ("getex k persist", Command::GetEx { key: b("k"), expiry: GetExpiry::Persist }),
        (
            "getex k px 3",
            Command::GetEx { key: b("k"), expiry: GetExpiry::Set(Deadline::After(3)) },
        ),
    ] {
        assert_eq!(data(line), command, "{line}");
    }
}

#[test]
fn other_commands_keep_their_arguments() {
    let key = b("k");
    let none = ExpireCondition::default();
    let expire = |deadline, condition| Command::Expire { key: b("k"), deadline, condition };
    let ttl = |unit| Command::Ttl { key: b("k"), unit };
    for (line, command) in [
        ("get k", Command::Get { key: key.clone() }),
        ("incr k", Command::IncrBy { key: key.clone(), by: 1 }),
        ("decr k", Command::IncrBy { key: key.clone(), by: -1 }),
        ("decrby k 5", Command::IncrBy { key: key.clone(), by: -5 }),
        ("incrbyfloat k 1.5e2", Command::IncrByFloat { key: key.clone(), by: b("1.5e2") }),
        ("substr k 0 -1", Command::GetRange { key: key.clone(), start: 0, end: -1 }),
        ("setrange k 4 x", Command::SetRange { key: key.clone(), offset: 4, value: b("x") }),
        ("unlink k", Command::Del { keys: vec![key.clone()] }),
        ("expire k -5", expire(Deadline::After(-5_000), none)),
        (
            "pexpire k 5 xx gt",
            expire(Deadline::After(5), ExpireCondition { if_some: true, if_later: true, ..none }),
        ),
        (
            "expireat k 5 lt",
            expire(Deadline::At(5_000), ExpireCondition { if_earlier: true, ..none }),
        ),
        ("pexpireat k -9223372036854775808", expire(Deadline::At(i64::MIN), none)),
        ("ttl k", ttl(TtlUnit::SecondsLeft)),
        ("pttl k", ttl(TtlUnit::MillisLeft)),
        ("expiretime k", ttl(TtlUnit::Seconds)),
        ("pexpiretime k", ttl(TtlUnit::Millis)),
        ("rename k k", Command::Rename { from: b("k"), to: b("k"), if_absent: false }),
        ("renamenx {k}1 k", Command::Rename { from: b("{k}1"), to: b("k"), if_absent: true }),
        ("copy k {k}2 db 0 replace", Command::Copy { from: b("k"), to: b("{k}2"), replace: true }),
    ] {
        assert_eq!(data(line), command, "{line}");
    }
}

#[test]
fn the_rest_goes_where_it_belongs() {
    use ClusterWide as W;
    use ConnectionCommand as C;
    use ServerCommand as S;
    let scan = |count, pattern| Parsed::Cluster(W::Scan { cursor: 7, count, pattern, kind: None });
    for (line, parsed) in [
        ("scan 7", scan(10, None)),
        ("scan 7 count 999999999999 match a*", scan(10_000, Some(b("a*")))),
        ("scan 7 match *", scan(10, None)),
        ("keys *", Parsed::Cluster(W::Keys { pattern: b("*") })),
        ("flushdb async", Parsed::Cluster(W::FlushAll)),
        ("dbsize", Parsed::Cluster(W::DbSize)),
        ("ping", Parsed::Answer(Reply::Status("PONG".into()))),
        ("ping hi", Parsed::Answer(Reply::text("hi"))),
        ("select 0", Parsed::Answer(Reply::Ok)),
        ("cluster keyslot foo", Parsed::Answer(Reply::Integer(12_182))),
        (
            "command getkeys mset a 1 b 2",
            Parsed::Answer(Reply::Array(vec![Reply::text("a"), Reply::text("b")])),
        ),
        ("hello", Parsed::Connection(C::Hello(Hello::default()))),
        (
            "hello 3 auth u p setname n",
            Parsed::Connection(C::Hello(Hello {
                version: Some(3),
                auth: Some((b("u"), b("p"))),
                name: Some(b("n")),
            })),
        ),
        ("auth p", Parsed::Connection(C::Auth { user: None, password: b("p") })),
        (
            "client setinfo lib-name redis-py(x)",
            Parsed::Connection(C::Client(ClientCommand::SetLibraryName(b("redis-py(x)")))),
        ),
        (
            "client kill 1.2.3.4:5",
            Parsed::Connection(C::Client(ClientCommand::Kill(Kill::Address(b("1.2.3.4:5"))))),
        ),
        (
            "client list id 1 2",
            Parsed::Connection(C::Client(ClientCommand::List(ClientFilter::Ids(vec![1, 2])))),
        ),
        ("info Server KEYSPACE", Parsed::Server(S::Info(vec!["server".into(), "keyspace".into()]))),
        ("config get SAVE a*", Parsed::Server(S::ConfigGet(vec![b("save"), b("a*")]))),
        ("wait 1 500", Parsed::Server(S::Wait { replicas: 1, timeout_ms: 500 })),
        ("shutdown nosave now", Parsed::Server(S::Shutdown { abort: false })),
        ("cluster countkeysinslot 16383", Parsed::Server(S::CountKeysInSlot(Bucket(16_383)))),
        (
            "cluster getkeysinslot 3 5",
            Parsed::Server(S::GetKeysInSlot { bucket: Bucket(3), count: 5 }),
        ),
        ("shardgroup query 4", Parsed::Server(S::ShardGroupQuery { version: Some(4) })),
        ("shardgroup join 3", Parsed::Server(S::ShardGroupJoin { group: 3, nodes: vec![] })),
        (
            "shardgroup join 3 1,H:6379 2",
            Parsed::Server(S::ShardGroupJoin {
                group: 3,
                nodes: ["1", "h:6379", "2"].map(str::to_owned).to_vec(),
            }),
        ),
        ("shardgroup leave 3", Parsed::Server(S::ShardGroupLeave { group: 3 })),
        (
            "shardgroup move 2 0-4095 16383",
            Parsed::Server(S::ShardGroupMove {
                group: 2,
                ranges: vec![(Bucket(0), Bucket(4095)), (Bucket(16_383), Bucket(16_383))],
            }),
        ),
    ] {
        assert_eq!(ok(line), parsed, "{line}");
    }
}

#[test]
fn every_command_of_the_table_is_parsed_by_its_family() {
    for command in &crate::kv::spec::COMMANDS {
        let subcommands = command.subcommands.iter().map(|spec| (Some(spec.name), spec));
        // A container needs a subcommand, unless it takes no word at all.
        let alone = command.subcommands.is_empty() || command.arity == -1;
        for (name, spec) in alone.then_some((None, command)).into_iter().chain(subcommands) {
            let mut line = vec![b(command.name)];
            line.extend(name.map(b));
            line.resize(usize::from(spec.arity.unsigned_abs()), b("1"));
            if let Err(error) = try_words(&line) {
                let text = error.to_string();
                assert!(!text.contains("wrong number") && !text.contains("unknown"), "{text}");
            }
        }
    }
}

#[test]
fn keys_are_limited_wherever_they_stand() {
    let long = Bytes::from(vec![b'{'; KEY_BYTES_MAX + 1]);
    let fits = long.slice(1..);
    for line in ["get", "mget", "del", "exists", "type", "incr", "ttl", "persist"] {
        assert!(try_words(&[b(line), fits.clone()]).is_ok(), "{line}");
        let error = try_words(&[b(line), long.clone()]).unwrap_err();
        assert_eq!(error.to_string(), "ERR key is larger than 32768 bytes", "{line}");
    }
    assert!(try_words(&[b("mset"), b("a"), b("1"), long.clone(), b("1")]).is_err());
    assert!(try_words(&[b("rename"), long.clone(), long.clone()]).is_err());
    assert!(try_words(&[b("expire"), long, b("1")]).is_err());
}

#[test]
fn a_command_that_fits_no_entry_is_refused() {
    let value = Bytes::from(vec![0; COMMAND_BYTES_MAX / 8]);
    let mut line = vec![b("mset")];
    for _ in 0..9 {
        line.extend([b("k"), value.clone()]);
    }
    assert!(try_words(&line).unwrap_err().to_string().contains("larger"));
    line.truncate(1 + 2 * 7);
    assert!(try_words(&line).is_ok());
}

proptest! {
    #[test]
    fn random_words_do_no_harm(
        at in 0..crate::kv::spec::COMMANDS.len(),
        rest in prop::collection::vec(prop_oneof![
            "[a-z]{0,8}".prop_map(String::into_bytes),
            "-?[0-9]{1,20}".prop_map(String::into_bytes),
            prop::sample::select(vec!["EX", "NX", "GET", "COUNT", "MATCH", "DB", "ID", "id", "AUTH", "help"])
                .prop_map(|word| word.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..10),
        ], 0..6),
    ) {
        let mut line = vec![b(crate::kv::spec::COMMANDS[at].name)];
        line.extend(rest.into_iter().map(Bytes::from));
        if let Ok(Parsed::Split(split)) = try_words(&line) {
            prop_assert!(split.parts.len() > 1);
            let places: usize = split.parts.iter().map(|part| part.places.len()).sum();
            prop_assert!(places < line.len());
        }
    }
}
