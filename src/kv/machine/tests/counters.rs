use super::{Replica, b, bulk, error, get, set};
use crate::kv::{Command, Reply};

fn incr(by: i64) -> Command {
    Command::IncrBy { key: b("k"), by }
}

fn incr_float(by: &str) -> Command {
    Command::IncrByFloat { key: b("k"), by: b(by) }
}

#[test]
fn integers_are_counted_within_their_bounds() {
    let mut replica = Replica::new();
    assert_eq!(replica.run(incr(5)), Reply::Integer(5));
    assert_eq!(replica.run(incr(-7)), Reply::Integer(-2));
    assert_eq!(replica.read(&get("k")), bulk("-2"));
    for (value, by) in [(i64::MAX, 1), (i64::MIN, -1), (-1, i64::MIN), (1, i64::MAX)] {
        replica.run(set("k", &value.to_string()));
        let reply = replica.run(incr(by));
        assert_eq!(error(&reply), "ERR increment or decrement would overflow");
        assert_eq!(replica.read(&get("k")), bulk(&value.to_string()));
    }
    for value in ["", " 1", "1.5", "abc", "01"] {
        replica.run(set("k", value));
        assert_eq!(error(&replica.run(incr(1))), "ERR value is not an integer or out of range");
    }
}

#[test]
fn floats_are_counted_as_redis_writes_them() {
    let mut replica = Replica::new();
    for (by, after) in [("10.50", "10.5"), ("0.1", "10.6"), ("-5", "5.6"), ("5.0e3", "5005.6")] {
        assert_eq!(replica.run(incr_float(by)), bulk(after));
        assert_eq!(replica.read(&get("k")), bulk(after));
    }
    replica.run(set("k", "abc"));
    assert_eq!(error(&replica.run(incr_float("1"))), "ERR value is not a valid float");
    replica.run(set("k", "1.7e308"));
    let reply = replica.run(incr_float("1.7e308"));
    assert_eq!(error(&reply), "ERR increment would produce NaN or Infinity");
    assert_eq!(replica.read(&get("k")), bulk("1.7e308"));
}
