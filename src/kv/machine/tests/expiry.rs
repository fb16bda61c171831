use super::{Replica, START, b, bulk, get, pttl, set, set_for};
use crate::kv::{Command, Deadline, ExpireCondition, Reply, TtlUnit};
use crate::time::UnixMillis;

fn expire(millis: i64, condition: ExpireCondition) -> Command {
    Command::Expire { key: b("k"), deadline: Deadline::After(millis), condition }
}

#[test]
fn a_deadline_is_changed_under_conditions() {
    let none = ExpireCondition::default();
    let nx = ExpireCondition { if_none: true, ..none };
    let xx = ExpireCondition { if_some: true, ..none };
    let gt = ExpireCondition { if_later: true, ..none };
    let lt = ExpireCondition { if_earlier: true, ..none };
    let xx_gt = ExpireCondition { if_some: true, if_later: true, ..none };
    // Life before (0: endless), new life, condition → whether it is done.
    let cases = [
        (0, 50, none, true),
        (100, 50, none, true),
        (100, -1, none, true),
        (0, 50, nx, true),
        (100, 50, nx, false),
        (0, 50, xx, false),
        (100, 50, xx, true),
        (0, 50, gt, false),
        (100, 50, gt, false),
        (100, 100, gt, false),
        (100, 150, gt, true),
        (0, 50, lt, true),
        (100, 50, lt, true),
        (100, 100, lt, false),
        (100, 150, lt, false),
        (100, -1, gt, false),
        (100, -1, lt, true),
        (0, -1, lt, true),
        (0, 50, xx_gt, false),
        (100, 150, xx_gt, true),
    ];
    for (before, millis, condition, done) in cases {
        let mut replica = Replica::new();
        assert_eq!(replica.run(expire(millis, condition)), Reply::Integer(0));
        replica.run(if before == 0 { set("k", "v") } else { set_for("k", "v", before) });
        let case = format!("{before} to {millis} if {condition:?}");
        assert_eq!(replica.run(expire(millis, condition)), Reply::flag(done), "{case}");
        let after = match (done, before) {
            (true, _) if millis < 0 => -2,
            (true, _) => millis,
            (false, 0) => -1,
            (false, before) => before,
        };
        assert_eq!(replica.read(&pttl("k")), Reply::Integer(after), "{case}");
        assert_eq!(replica.meta_rows("due"), usize::from(after > 0), "{case}");
    }
}

#[test]
fn the_rest_of_a_life_is_told_in_all_units() {
    let mut replica = Replica::new();
    let ttl = |unit| Command::Ttl { key: b("k"), unit };
    assert_eq!(replica.read(&ttl(TtlUnit::SecondsLeft)), Reply::Integer(-2));
    replica.run(set("k", "v"));
    assert_eq!(replica.read(&ttl(TtlUnit::Seconds)), Reply::Integer(-1));
    assert_eq!(replica.run(Command::Persist { key: b("k") }), Reply::Integer(0));
    replica.run(set_for("k", "v", 1_500));
    assert_eq!(replica.read(&ttl(TtlUnit::SecondsLeft)), Reply::Integer(2));
    assert_eq!(replica.read(&ttl(TtlUnit::Millis)), Reply::Integer(START as i64 + 1_500));
    assert_eq!(replica.read(&ttl(TtlUnit::Seconds)), Reply::Integer(1_002));
    // A read tells the time left by its own clock, but whether the key is there by the group's.
    let later = |millis| {
        replica.machine.read(&replica.rows, &ttl(TtlUnit::MillisLeft), UnixMillis(START + millis))
    };
    assert_eq!(
        (later(600), later(1_500), later(9_999)),
        (Reply::Integer(900), Reply::Integer(0), Reply::Integer(0))
    );
    let earlier = replica.machine.read(&replica.rows, &ttl(TtlUnit::MillisLeft), UnixMillis(0));
    assert_eq!(earlier, Reply::Integer(1_500));
    assert_eq!(replica.run(Command::Persist { key: b("k") }), Reply::Integer(1));
    assert_eq!((replica.read(&pttl("k")), replica.meta_rows("due")), (Reply::Integer(-1), 0));
}

#[test]
fn a_key_goes_when_its_time_has_come_and_not_before() {
    let mut replica = Replica::new();
    replica.run(set_for("k", "v", 100));
    replica.run(set_for("l", "v", 200));
    assert_eq!(replica.machine.next_due(), Some(UnixMillis(START + 100)));
    replica.tick(99);
    assert_eq!(replica.read(&get("k")), bulk("v"));
    replica.tick(1);
    assert_eq!(replica.read(&get("k")), Reply::Nil);
    assert_eq!(replica.machine.next_due(), Some(UnixMillis(START + 200)));
    assert_eq!((replica.data_rows(), replica.run(Command::DbSize)), (1, Reply::Integer(1)));
    // A leader whose clock lags does not bring it back.
    replica.time = START;
    assert_eq!(replica.run(get("k")), Reply::Nil);
    assert_eq!(replica.machine.time(), UnixMillis(START + 100));
}

#[test]
fn more_than_one_entry_can_remove_are_all_hidden_at_once() {
    let mut replica = Replica::new();
    for number in 0..200 {
        replica.run(set_for(&format!("k{number}"), "v", 100));
    }
    replica.tick(100);
    for number in 0..200 {
        assert_eq!(replica.read(&get(&format!("k{number}"))), Reply::Nil);
    }
    assert_eq!(replica.machine.stats().keys, 136);
    assert_eq!(replica.machine.next_due(), Some(UnixMillis(START + 100)));
    // One that is written or deleted while its old row is still there.
    replica.run(set("k5", "new"));
    assert_eq!(replica.run(Command::GetDel { key: b("k6") }), Reply::Nil);
    assert_eq!(replica.run(Command::RandomKey { random: 5 }), bulk("k5"));
    replica.tick(0);
    replica.tick(0);
    assert_eq!((replica.data_rows(), replica.meta_rows("due")), (1, 0));
    assert_eq!((replica.machine.stats().keys, replica.machine.stats().bytes), (1, 5));
    assert_eq!((replica.machine.next_due(), replica.read(&get("k5"))), (None, bulk("new")));
}

#[test]
fn the_next_deadline_is_never_told_too_late() {
    let mut replica = Replica::new();
    for millis in [500, 100, 300] {
        replica.run(set_for(&format!("k{millis}"), "v", millis));
    }
    replica.run(set("k100", "for ever"));
    assert!(replica.machine.next_due() <= Some(UnixMillis(START + 300)));
    replica.tick(150);
    assert_eq!(replica.machine.next_due(), Some(UnixMillis(START + 300)));
    replica.run(set_for("k500", "sooner", 50));
    assert_eq!(replica.machine.next_due(), Some(UnixMillis(START + 200)));
    let replica = replica.reopened();
    assert_eq!(replica.machine.next_due(), Some(UnixMillis(START + 200)));
}
