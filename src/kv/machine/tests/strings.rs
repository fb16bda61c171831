use super::{Replica, VALUE_BYTES_MAX, b, bulk, del, error, get, pttl, set, set_for};
use crate::kv::{Command, Condition, Deadline, Expiry, GetExpiry, Reply};
use bytes::Bytes;

fn set_with(condition: Condition, expiry: Expiry, get: bool) -> Command {
    Command::Set { key: b("k"), value: b("new"), condition, expiry, get }
}

#[test]
fn set_judges_its_conditions() {
    use Condition::{Always, IfAbsent, IfPresent};
    // Condition, GET, whether the key is there → the reply and whether it was written.
    let cases = [
        (Always, false, false, Reply::Ok, true),
        (Always, true, false, Reply::Nil, true),
        (Always, true, true, bulk("old"), true),
        (IfAbsent, false, false, Reply::Ok, true),
        (IfAbsent, false, true, Reply::Nil, false),
        (IfAbsent, true, false, Reply::Nil, true),
        (IfAbsent, true, true, bulk("old"), false),
        (IfPresent, false, false, Reply::Nil, false),
        (IfPresent, false, true, Reply::Ok, true),
        (IfPresent, true, false, Reply::Nil, false),
        (IfPresent, true, true, bulk("old"), true),
    ];
    for (condition, with_get, there, reply, written) in cases {
        let mut replica = Replica::new();
        if there {
            replica.run(set("k", "old"));
        }
        let case = format!("{condition:?} get {with_get} there {there}");
        assert_eq!(replica.run(set_with(condition, Expiry::Clear, with_get)), reply, "{case}");
        let after = if written {
            bulk("new")
        } else if there {
            bulk("old")
        } else {
            Reply::Nil
        };
        assert_eq!(replica.read(&get("k")), after, "{case}");
    }
}

#[test]
fn set_keeps_clears_or_sets_the_deadline() {
    let mut replica = Replica::new();
    replica.run(set_for("k", "v", 500));
    assert_eq!(replica.read(&pttl("k")), Reply::Integer(500));
    replica.run(set_with(Condition::Always, Expiry::Keep, false));
    assert_eq!(replica.read(&pttl("k")), Reply::Integer(500));
    replica.run(set("k", "v"));
    assert_eq!((replica.read(&pttl("k")), replica.meta_rows("due")), (Reply::Integer(-1), 0));
    for past in [Deadline::At(5), Deadline::At(-5), Deadline::After(0), Deadline::After(-1)] {
        replica.run(set("k", "v"));
        let reply = replica.run(set_with(Condition::Always, Expiry::Set(past), true));
        assert_eq!((reply, replica.read(&get("k"))), (bulk("v"), Reply::Nil), "{past:?}");
    }
    let never = Expiry::Set(Deadline::After(i64::MAX));
    let reply = replica.run(set_with(Condition::Always, never, false));
    assert_eq!(error(&reply), "ERR invalid expire time in 'set' command");
    assert_eq!((replica.data_rows(), replica.machine.stats().keys), (0, 0));
}

#[test]
fn a_set_reads_one_row_and_writes_one() {
    let mut replica = Replica::new();
    replica.run(set("k", "v"));
    let before = (replica.rows.gets.get(), replica.rows.puts);
    replica.run(set("k", "w"));
    assert_eq!((replica.rows.gets.get(), replica.rows.puts), (before.0 + 1, before.1 + 1));
    assert_eq!(replica.rows.ranges.get(), 0);
}

#[test]
fn getting_may_delete_or_change_the_deadline() {
    let mut replica = Replica::new();
    let get_ex = |expiry| Command::GetEx { key: b("k"), expiry };
    assert_eq!(replica.run(get_ex(GetExpiry::Persist)), Reply::Nil);
    replica.run(set("k", "v"));
    assert_eq!(replica.run(get_ex(GetExpiry::Set(Deadline::After(9)))), bulk("v"));
    assert_eq!(replica.read(&pttl("k")), Reply::Integer(9));
    assert_eq!(replica.run(get_ex(GetExpiry::Keep)), bulk("v"));
    assert_eq!(replica.read(&pttl("k")), Reply::Integer(9));
    assert_eq!(replica.run(get_ex(GetExpiry::Persist)), bulk("v"));
    assert_eq!(replica.read(&pttl("k")), Reply::Integer(-1));
    assert_eq!(replica.run(get_ex(GetExpiry::Set(Deadline::At(1)))), bulk("v"));
    assert_eq!(replica.run(Command::GetDel { key: b("k") }), Reply::Nil);
    replica.run(set("k", "v"));
    assert_eq!(replica.run(Command::GetDel { key: b("k") }), bulk("v"));
    assert_eq!(replica.data_rows(), 0);
}

#[test]
fn many_at_once_are_all_or_none() {
    let mut replica = Replica::new();
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (b(k), b(v))).collect::<Vec<_>>();
    let twice = pairs(&[("a", "1"), ("b", "2"), ("a", "3")]);
    assert_eq!(replica.run(Command::MSetNx { pairs: twice.clone() }), Reply::Integer(1));
    let mget = Command::MGet { keys: vec![b("a"), b("none"), b("b"), b("a")] };
    let values = Reply::Array(vec![bulk("3"), Reply::Nil, bulk("2"), bulk("3")]);
    assert_eq!(replica.read(&mget), values);
    assert_eq!(replica.machine.stats().keys, 2);
    let one_there = pairs(&[("c", "1"), ("b", "9")]);
    assert_eq!(replica.run(Command::MSetNx { pairs: one_there }), Reply::Integer(0));
    assert_eq!(replica.run(Command::MSet { pairs: twice }), Reply::Ok);
    assert_eq!((replica.machine.stats().keys, replica.machine.stats().bytes), (2, 4));
    let long = "x".repeat(VALUE_BYTES_MAX as usize + 1);
    let reply = replica.run(Command::MSet { pairs: pairs(&[("a", "0"), ("b", &long)]) });
    assert_eq!(error(&reply), "ERR value is larger than 100 bytes");
    assert_eq!(replica.read(&get("a")), bulk("3"));
}

#[test]
fn parts_of_a_value_are_read_and_written() {
    let mut replica = Replica::new();
    let append = |text: &str| Command::Append { key: b("k"), value: b(text) };
    let set_range = |offset, text: &str| Command::SetRange { key: b("k"), offset, value: b(text) };
    assert_eq!(replica.run(set_range(5, "")), Reply::Integer(0));
    assert_eq!(replica.read(&Command::Exists { keys: vec![b("k")] }), Reply::Integer(0));
    assert_eq!(replica.run(set_range(2, "cd")), Reply::Integer(4));
    assert_eq!(replica.read(&get("k")), bulk("\0\0cd"));
    assert_eq!(replica.run(append("ef")), Reply::Integer(6));
    assert_eq!(replica.run(set_range(0, "ab")), Reply::Integer(6));
    assert_eq!(replica.run(set_range(99, "")), Reply::Integer(6));
    assert_eq!(replica.read(&get("k")), bulk("abcdef"));
    assert_eq!(replica.read(&Command::Strlen { key: b("k") }), Reply::Integer(6));
    for (start, end, expected) in [
        (0, -1, "abcdef"),
        (1, 2, "bc"),
        (-2, -1, "ef"),
        (-1, -2, ""),
        (4, 99, "ef"),
        (6, 9, ""),
        (0, -7, "a"),
        (-99, 0, "a"),
        (i64::MIN, i64::MAX, "abcdef"),
        (3, 1, ""),
        (i64::MAX, i64::MIN, ""),
    ] {
        let reply = replica.read(&Command::GetRange { key: b("k"), start, end });
        assert_eq!(reply, bulk(expected), "{start} to {end}");
    }
    let none = Command::GetRange { key: b("none"), start: 0, end: -1 };
    assert_eq!(replica.read(&none), Reply::Bulk(Bytes::new()));
}

#[test]
fn a_value_over_the_limit_changes_nothing() {
    let mut replica = Replica::new();
    let full = "x".repeat(VALUE_BYTES_MAX as usize);
    assert_eq!(replica.run(set("k", &full)), Reply::Ok);
    for command in [
        set("k", &(full.clone() + "x")),
        Command::Append { key: b("k"), value: b("x") },
        Command::SetRange { key: b("k"), offset: VALUE_BYTES_MAX, value: b("x") },
        Command::SetRange { key: b("k"), offset: u64::MAX, value: b("x") },
    ] {
        let reply = replica.run(command.clone());
        assert_eq!(error(&reply), "ERR value is larger than 100 bytes", "{command:?}");
        assert_eq!(replica.read(&get("k")), bulk(&full));
    }
    let long = "k".repeat(crate::limits::KEY_BYTES_MAX + 1);
    assert!(error(&replica.run(set(&long, "v"))).starts_with("ERR key is larger"));
    assert_eq!(replica.run(set("", "of the empty key")), Reply::Ok);
    assert_eq!(replica.run(del("")), Reply::Integer(1));
}

#[test]
fn the_rest_of_a_life_stays_when_a_part_changes() {
    let mut replica = Replica::new();
    replica.run(set_for("k", "1", 700));
    replica.run(Command::Append { key: b("k"), value: b("0") });
    replica.run(Command::SetRange { key: b("k"), offset: 0, value: b("2") });
    replica.run(Command::IncrBy { key: b("k"), by: 1 });
    replica.run(Command::IncrByFloat { key: b("k"), by: b("0.5") });
    assert_eq!(replica.read(&get("k")), bulk("21.5"));
    assert_eq!(replica.read(&pttl("k")), Reply::Integer(700));
    assert_eq!(replica.meta_rows("due"), 1);
}
