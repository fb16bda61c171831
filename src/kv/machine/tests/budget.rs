//! Small commands that ask for a great deal, many in one entry.

use super::{GENERATION, GROUP, MemoryRows, Replica, START, b, del, error, genesis, get, set};
use crate::kv::machine::budget::{REPLY_BYTES_MAX, ROW_BYTES_MAX};
use crate::kv::{Command, EntryBuilder, Genesis, Machine, Reply};
use crate::time::UnixMillis;
use bytes::Bytes;

const LARGE: usize = 8 * 1024 * 1024;

/// A replica with a large value under "large".
fn replica() -> Replica {
    let mut rows = MemoryRows::default();
    let genesis = Genesis { value_bytes_max: LARGE as u64, ..genesis(0..crate::limits::BUCKETS) };
    let machine = Machine::create(GROUP, GENERATION, &mut rows, &genesis);
    let mut replica = Replica { group: GROUP, rows, machine, time: START };
    let grow = Command::SetRange { key: b("large"), offset: LARGE as u64 - 1, value: b("x") };
    assert_eq!(replica.run(grow), Reply::Integer(LARGE as i64));
    replica
}

fn run_together(replica: &mut Replica, commands: &[Command]) -> Vec<Reply> {
    let mut entry = EntryBuilder::new(UnixMillis(replica.time));
    commands.iter().for_each(|command| entry.push(command, None));
    replica.apply(&entry.finish())
}

#[test]
fn one_entry_writes_only_so_much_and_removes_what_it_likes() {
    let mut replica = replica();
    let fit = ROW_BYTES_MAX / LARGE;
    let touch = Command::SetRange { key: b("large"), offset: 0, value: b("y") };
    let persist = Command::GetEx { key: b("large"), expiry: crate::kv::GetExpiry::Persist };
    let mut commands = vec![touch; fit + 3];
    commands.extend([set("small", "1"), persist, get("small"), del("large")]);
    let replies = run_together(&mut replica, &commands);
    assert!(replies[..fit].iter().all(|reply| *reply == Reply::Integer(LARGE as i64)));
    for reply in &replies[fit..fit + 5] {
        assert!(error(reply).starts_with("TRYAGAIN the commands sent together"), "{reply:?}");
    }
    assert_eq!(replies[fit + 5..], [Reply::Nil, Reply::Integer(1)]);
    assert_eq!(replica.run(set("small", "1")), Reply::Ok, "the next entry begins anew");
}

#[test]
fn the_replies_of_one_entry_carry_only_so_much() {
    let mut replica = replica();
    let fit = REPLY_BYTES_MAX / LARGE;
    let mut commands = vec![get("large"); fit + 1];
    let take = Command::GetDel { key: b("large") };
    commands.extend([set("small", "1"), take.clone(), get("small")]);
    let replies = run_together(&mut replica, &commands);
    assert!(replies[..fit].iter().all(|reply| matches!(reply, Reply::Bulk(_))));
    assert!(error(&replies[fit]).starts_with("ERR reply too large"));
    assert_eq!(replies[fit + 1], Reply::Ok);
    assert!(error(&replies[fit + 2]).starts_with("ERR reply too large"));
    assert!(error(&replies[fit + 3]).starts_with("ERR reply too large"));
    // What was refused was not done.
    assert!(matches!(replica.run(take), Reply::Bulk(value) if value.len() == LARGE));
}

#[test]
fn the_replies_of_one_unit_of_reads_carry_only_so_much() {
    let replica = replica();
    let fit = REPLY_BYTES_MAX / LARGE;
    let read =
        |commands: &[Command]| replica.machine.read_all(&replica.rows, commands, UnixMillis(0));
    let replies = read(&vec![get("large"); fit + 2]);
    assert!(matches!(&replies[fit - 1], Reply::Bulk(value) if value.len() == LARGE));
    assert!(replies[fit..].iter().all(|reply| error(reply).starts_with("ERR reply too large")));
    let many = Command::MGet { keys: vec![Bytes::from_static(b"large"); fit + 1] };
    assert!(error(&read(&[many])[0]).starts_with("ERR reply too large"));
    let few = Command::MGet { keys: vec![Bytes::from_static(b"large"); 2] };
    assert!(matches!(&read(&[few])[0], Reply::Array(values) if values.len() == 2));
}
