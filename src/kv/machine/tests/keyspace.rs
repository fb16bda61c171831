use super::{Replica, b, bulk, del, error, flushed, get, pttl, set, set_for};
use crate::ids::{Bucket, Epoch};
use crate::kv::{Command, Describe, Reply};
use crate::limits::BUCKETS;
use crate::shard::bucket_of;

fn rename(from: &str, to: &str, if_absent: bool) -> Command {
    Command::Rename { from: b(from), to: b(to), if_absent }
}

fn copy(from: &str, to: &str, replace: bool) -> Command {
    Command::Copy { from: b(from), to: b(to), replace }
}

#[test]
fn keys_are_counted_and_named() {
    let mut replica = Replica::new();
    replica.run(set("a", "1"));
    replica.run(set("b", "2"));
    let keys = vec![b("a"), b("none"), b("b"), b("a")];
    assert_eq!(replica.read(&Command::Exists { keys: keys.clone() }), Reply::Integer(3));
    assert_eq!(replica.read(&Command::Touch { keys: keys.clone() }), Reply::Integer(3));
    let kind = |key| Command::Type { key: b(key) };
    assert_eq!(replica.read(&kind("a")), Reply::Status("string".into()));
    assert_eq!(replica.read(&kind("none")), Reply::Status("none".into()));
    assert_eq!(replica.run(Command::Del { keys }), Reply::Integer(2));
    assert_eq!((replica.machine.stats().keys, replica.machine.stats().bytes), (0, 0));
}

#[test]
fn a_renamed_key_keeps_its_life() {
    let mut replica = Replica::new();
    for if_absent in [false, true] {
        let reply = replica.run(rename("none", "none", if_absent));
        assert_eq!(error(&reply), "ERR no such key");
    }
    replica.run(set_for("a", "1", 900));
    replica.run(set_for("b", "2", 50));
    assert_eq!(replica.run(rename("a", "a", false)), Reply::Ok);
    assert_eq!(replica.run(rename("a", "a", true)), Reply::Integer(0));
    assert_eq!(replica.run(rename("a", "b", true)), Reply::Integer(0));
    assert_eq!(replica.run(rename("a", "b", false)), Reply::Ok);
    assert_eq!((replica.read(&get("a")), replica.read(&get("b"))), (Reply::Nil, bulk("1")));
    assert_eq!((replica.read(&pttl("b")), replica.meta_rows("due")), (Reply::Integer(900), 1));
    assert_eq!(replica.run(rename("b", "c", true)), Reply::Integer(1));
    replica.run(set("d", "of endless life"));
    assert_eq!(replica.run(rename("d", "c", false)), Reply::Ok);
    assert_eq!((replica.read(&pttl("c")), replica.meta_rows("due")), (Reply::Integer(-1), 0));
    assert_eq!((replica.machine.stats().keys, replica.data_rows()), (1, 1));
}

#[test]
fn a_copy_keeps_the_life_too() {
    let mut replica = Replica::new();
    let reply = replica.run(copy("a", "a", true));
    assert_eq!(error(&reply), "ERR source and destination objects are the same");
    assert_eq!(replica.run(copy("a", "b", true)), Reply::Integer(0));
    replica.run(set_for("a", "1", 900));
    assert_eq!(replica.run(copy("a", "b", false)), Reply::Integer(1));
    assert_eq!(
        (replica.read(&get("b")), replica.read(&pttl("b"))),
        (bulk("1"), Reply::Integer(900))
    );
    replica.run(set("c", "3"));
    assert_eq!(replica.run(copy("c", "b", false)), Reply::Integer(0));
    assert_eq!(replica.run(copy("c", "b", true)), Reply::Integer(1));
    assert_eq!(
        (replica.read(&get("b")), replica.read(&pttl("b"))),
        (bulk("3"), Reply::Integer(-1))
    );
    assert_eq!((replica.machine.stats().keys, replica.meta_rows("due")), (3, 1));
}

#[test]
fn a_key_is_described() {
    let mut replica = Replica::new();
    let describe = |what| Command::Describe { key: b("k"), what };
    assert_eq!(replica.read(&describe(Describe::Encoding)), Reply::Nil);
    let (short, long) = ("x".repeat(44), "x".repeat(45));
    for (value, encoding) in [
        ("12", "int"),
        ("-1", "int"),
        ("012", "embstr"),
        ("", "embstr"),
        (&short, "embstr"),
        (&long, "raw"),
    ] {
        replica.run(set("k", value));
        assert_eq!(replica.read(&describe(Describe::Encoding)), bulk(encoding), "{value}");
    }
    assert_eq!(replica.read(&describe(Describe::Memory)), Reply::Integer(1 + 45 + 22));
}

#[test]
fn a_bucket_that_is_elsewhere_is_not_touched() {
    let here = bucket_of(b"a");
    let mut replica = Replica::with_buckets([here.0]);
    assert_eq!(replica.run(set("a", "1")), Reply::Ok);
    let there = bucket_of(b"b");
    let expected = format!("TRYAGAIN bucket b{} is not here (not done)", there.0);
    assert_eq!(error(&replica.run(set("b", "1"))), expected);
    assert_eq!(error(&replica.read(&get("b"))), expected);
    assert_eq!(error(&replica.run(Command::Del { keys: vec![b("a"), b("b")] })), expected);
    assert_eq!(
        error(&replica.run(Command::MSet { pairs: vec![(b("a"), b("2")), (b("b"), b("2"))] })),
        expected
    );
    assert_eq!(error(&replica.run(rename("a", "b", false))), expected);
    assert_eq!(replica.read(&get("a")), bulk("1"));
    let count = |bucket| Command::CountKeys { bucket };
    assert_eq!(replica.read(&count(here)), Reply::Integer(1));
    assert_eq!(error(&replica.read(&count(there))), expected);
    assert_eq!(error(&replica.read(&count(Bucket(16_384)))), "ERR Invalid slot");
    assert_eq!(replica.machine.stats().buckets, 1);
    assert!(error(&replica.read(&del("a"))).starts_with("TRYAGAIN"));
}

#[test]
fn a_flush_forgets_all_keys_and_looks_at_none() {
    let mut replica = Replica::new();
    for number in 0..50 {
        replica.run(set_for(&format!("k{number}"), "v", 1_000));
    }
    let reads = (replica.rows.gets.get(), replica.rows.ranges.get());
    assert_eq!(replica.run(Command::Flush), flushed(0, BUCKETS - 1));
    assert_eq!((replica.rows.gets.get(), replica.rows.ranges.get()), reads);
    assert_eq!(replica.run(Command::DbSize), Reply::Integer(0));
    assert_eq!(replica.machine.stats().bytes, 0);
    assert_eq!(replica.read(&get("k7")), Reply::Nil);
    let bucket = bucket_of(b"k7");
    assert_eq!(replica.machine.live_epochs().len(), 16_384);
    assert_eq!(replica.machine.live_epochs()[usize::from(bucket.0)], Epoch(2));
    // A key of the new life is not taken for the old one when that one's time has come.
    replica.run(set("k7", "new"));
    replica.tick(1_000);
    assert_eq!((replica.read(&get("k7")), replica.meta_rows("due")), (bulk("new"), 0));
    assert_eq!(replica.machine.stats().keys, 1);
    assert_eq!(replica.machine.next_due(), None);
}
