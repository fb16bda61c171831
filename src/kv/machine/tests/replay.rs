//! What a log must give on every replica, after every restart, and for every retry.

use super::{GENERATION, GROUP, MemoryRows, Replica, START, b, bulk, error, get, set, set_for};
use crate::ids::Index;
use crate::kv::{ApplyError, Command, EntryBuilder, Machine, OpenError, Reply, SessionRef};
use crate::limits::BUCKETS;
use crate::rows::{RowGeneration, Rows, meta_key};
use crate::time::UnixMillis;
use bytes::Bytes;

fn request(client: u64, sequence: u64, lowest_unanswered: u64) -> SessionRef {
    SessionRef { client, sequence, lowest_unanswered, expires: UnixMillis(START + 1_000) }
}

fn append(text: &str) -> Command {
    Command::Append { key: b("k"), value: b(text) }
}

#[test]
fn a_retry_never_applies_twice_also_after_a_restart() {
    let mut replica = Replica::new();
    assert_eq!(replica.run_under(append("a"), Some(request(1, 1, 1))), Reply::Integer(1));
    assert_eq!(replica.run_under(append("a"), Some(request(1, 1, 1))), Reply::Integer(1));
    let mut replica = replica.reopened();
    assert_eq!(replica.run_under(append("a"), Some(request(1, 1, 1))), Reply::Integer(1));
    assert_eq!(replica.run_under(append("b"), Some(request(1, 2, 2))), Reply::Integer(2));
    let mut replica = replica.copied(RowGeneration(9));
    let late = replica.run_under(append("a"), Some(request(1, 1, 1)));
    assert!(error(&late).starts_with("UNKNOWN"));
    // A read under a session is just read, and does not count as answered.
    assert_eq!(replica.run_under(get("k"), Some(request(1, 3, 2))), bulk("ab"));
    assert_eq!(replica.run_under(append("c"), Some(request(1, 3, 2))), Reply::Integer(3));
    assert_eq!(replica.machine.stats().sessions, 1);
    replica.tick(1_000);
    assert_eq!(replica.machine.stats().sessions, 0);
    assert_eq!(
        replica.dump().iter().filter(|(key, _)| key[1..].starts_with(b"session")).count(),
        0
    );
}

#[test]
fn a_late_copy_of_a_refused_request_does_not_do_it_after_all() {
    let mut replica = Replica::new();
    replica.run(set("k", "text"));
    let incr = Command::IncrBy { key: b("k"), by: 1 };
    let refused = replica.run_under(incr.clone(), Some(request(1, 1, 1)));
    assert_eq!(error(&refused), "ERR value is not an integer or out of range");
    replica.run(set("k", "7"));
    assert_eq!(replica.run_under(incr.clone(), Some(request(1, 1, 1))), refused);
    assert_eq!(replica.run_under(incr, Some(request(1, 2, 1))), Reply::Integer(8));
}

#[test]
fn a_copy_of_the_rows_is_the_same_machine() {
    let mut replica = Replica::new();
    for number in 0..40 {
        let command = set_for(&format!("k{number}"), "v", 100 + number);
        replica.run_under(
            command,
            Some(request(number.cast_unsigned() % 3, number.cast_unsigned(), 1)),
        );
    }
    replica.run(Command::Flush);
    for number in 0..30 {
        replica.run(set_for(&format!("k{number}"), "v", 50 + number));
    }
    let mut copy = replica.copied(RowGeneration(4));
    // That is counted anew in each life.
    assert!(std::mem::take(&mut replica.machine.buckets.forgotten) > 0);
    let (machine, copied) = (&replica.machine, &copy.machine);
    assert_eq!((machine.applied(), machine.time()), (copied.applied(), copied.time()));
    assert_eq!((machine.stats(), machine.live_epochs()), (copied.stats(), copied.live_epochs()));
    assert_eq!(machine.buckets, copied.buckets);
    assert_eq!(format!("{:?}", machine.sessions), format!("{:?}", copied.sessions));
    assert_eq!(machine.next_due(), copied.next_due());
    for replica in [&mut replica, &mut copy] {
        replica.tick(70);
        replica.run(set("more", "v"));
        replica.tick(70);
    }
    assert_eq!(replica.dump(), copy.dump());
}

#[test]
fn only_what_changed_is_written_again() {
    let mut replica = Replica::new();
    replica.run_under(set("k", "v"), Some(request(1, 1, 1)));
    replica.machine.flush_meta(&mut replica.rows);
    let puts = replica.rows.puts;
    replica.machine.flush_meta(&mut replica.rows);
    assert_eq!(replica.rows.puts, puts + 1, "how far, and nothing else");
    replica.run_under(set("k", "vv"), Some(request(1, 2, 2)));
    replica.machine.flush_meta(&mut replica.rows);
    assert_eq!(replica.rows.puts, puts + 5, "the key, its buckets, the session, how far");
}

#[test]
fn entries_are_applied_in_order_and_whole() {
    let mut replica = Replica::new();
    assert_eq!(replica.apply(b""), []);
    assert_eq!((replica.machine.applied(), replica.machine.time()), (Index(1), UnixMillis(START)));
    for index in [Index(1), Index(3)] {
        let result = replica.machine.apply(&mut replica.rows, index, b"");
        assert_eq!(result, Err(ApplyError::OutOfOrder { index, applied: Index(1) }));
    }
    let mut entry = EntryBuilder::new(UnixMillis(START + 5));
    entry.push(&set("a", "1"), None);
    entry.push_tick();
    entry.push(&get("a"), None);
    let payload = entry.finish();
    assert_eq!(replica.apply(&payload), [Reply::Ok, bulk("1")]);
    assert_eq!(replica.machine.time(), UnixMillis(START + 5));
    let cut = &payload[..payload.len() - 1];
    let result = replica.machine.apply(&mut replica.rows, Index(3), cut);
    assert!(matches!(result, Err(ApplyError::Payload(_))));
}

#[test]
fn damaged_rows_are_noticed() {
    assert!(Machine::open(GROUP, GENERATION, &MemoryRows::default()).unwrap().is_none());
    let mut replica = Replica::new();
    replica.run_under(set_for("k", "v", 100), Some(request(1, 1, 1)));
    replica.machine.flush_meta(&mut replica.rows);
    let row = |name: &[u8]| meta_key(GROUP, GENERATION, name);
    let mut of_client = row(b"session");
    of_client.extend_from_slice(&1_u64.to_be_bytes());
    for (name, value) in [
        (row(b"applied"), &b""[..]),
        (row(b"applied"), b"\x63"),
        (row(b"applied"), b"\x01\x01"),
        (row(b"buckets\x05"), b"\xff\xff"),
        (row(b"buckets\x05"), b"\x00"),
        (row(b"due\0"), b""),
        (row(b"session1"), b"\x00\x00\x00"),
        (of_client, b"\xff"),
    ] {
        let mut rows = replica.rows.clone();
        rows.put(name.clone(), Bytes::copy_from_slice(value));
        assert!(Machine::open(GROUP, GENERATION, &rows).is_err(), "{name:?} {value:?}");
    }
    let mut rows = replica.rows.clone();
    rows.delete(row(b"buckets\x7f"));
    assert!(matches!(Machine::open(GROUP, GENERATION, &rows), Err(OpenError::Damaged(_))));
    // A data row stops the replica when it is needed.
    let data = replica.rows.rows.keys().find(|key| key[8] == 1).unwrap().clone();
    replica.rows.put(data, Bytes::from_static(b"\xff"));
    assert!(error(&replica.read(&get("k"))).starts_with("TRYAGAIN"));
    let mut entry = EntryBuilder::new(UnixMillis(START));
    entry.push(&set("k", "w"), None);
    let result = replica.machine.apply(&mut replica.rows, Index(2), &entry.finish());
    assert!(matches!(result, Err(ApplyError::Damaged(_))));
}

#[test]
fn a_newborn_group_is_in_its_rows_at_once() {
    let replica = Replica::with_buckets([1, 2, BUCKETS - 1]);
    let machine = Machine::open(GROUP, GENERATION, &replica.rows).unwrap().unwrap();
    assert_eq!(machine.stats().buckets, 3);
    assert_eq!((machine.applied(), machine.time()), (Index(0), UnixMillis(START)));
}
