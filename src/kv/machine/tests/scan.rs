use super::{Replica, b, bulk, del, set, set_for};
use crate::ids::Bucket;
use crate::kv::scan::{cursor, split};
use crate::kv::{Command, Redirect, Reply, ScanPage};
use crate::limits::BUCKETS;
use crate::shard::bucket_of;
use bytes::Bytes;
use std::collections::BTreeMap;

fn page(cursor: u64, until: u16, count: u32) -> ScanPage {
    ScanPage { cursor, until, count, pattern: None, kind: None }
}

fn scan(replica: &Replica, page: &ScanPage) -> (u64, Vec<Bytes>) {
    let Reply::Array(parts) = replica.read(&Command::Scan(page.clone())) else {
        panic!("no page");
    };
    let [Reply::Integer(next), Reply::Array(keys)] = parts.as_slice() else {
        panic!("no page: {parts:?}");
    };
    let key = |reply: &Reply| match reply {
        Reply::Bulk(key) => key.clone(),
        other => panic!("no key: {other:?}"),
    };
    (next.cast_unsigned(), keys.iter().map(key).collect())
}

/// All keys, and how often each was given.
fn scan_all(replica: &Replica, until: u16, count: u32) -> BTreeMap<Bytes, usize> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    loop {
        let (next, keys) = scan(replica, &page(at, until, count));
        assert!(keys.len() <= count as usize + 1 && (next > at || next == 0));
        keys.into_iter().for_each(|key| *found.entry(key).or_default() += 1);
        at = next;
        if at == 0 {
            return found;
        }
    }
}

fn filled(keys: usize) -> Replica {
    let mut replica = Replica::new();
    for number in 0..keys {
        // Some buckets with many keys, many with one.
        let key = if number % 2 == 0 {
            format!("{{t{}}}{number}", number % 6)
        } else {
            format!("k{number}")
        };
        replica.run(set(&key, "v"));
    }
    replica
}

#[test]
fn a_scan_gives_each_key_once() {
    let replica = filled(300);
    for count in [1, 7, 1_000] {
        let found = scan_all(&replica, BUCKETS, count);
        assert_eq!(found.len(), 300, "count {count}");
        assert!(found.values().all(|times| *times == 1));
    }
    assert!(scan_all(&Replica::new(), BUCKETS, 10).is_empty());
    assert_eq!(scan(&replica, &page(u64::MAX, BUCKETS, 10)), (0, vec![]));
    let (_, keys) = scan(&replica, &page(0, BUCKETS, 0));
    assert_eq!(keys.len(), 1, "a count of nothing is a count of one");
}

#[test]
fn a_scan_over_ranges_gives_each_key_once() {
    let replica = filled(300);
    let mut found = Vec::new();
    for (first, until) in [(0, 1), (1, 5_000), (5_000, 9_000), (9_000, BUCKETS)] {
        let mut at = cursor(Bucket(first), 0);
        loop {
            let (next, keys) = scan(&replica, &page(at, until, 10));
            assert!(keys.iter().all(|key| (first..until).contains(&bucket_of(key).0)));
            found.extend(keys);
            if next == 0 {
                break;
            }
            assert!(split(next).0.0 < until);
            at = next;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 300);
}

#[test]
fn what_is_there_all_the_time_is_found_whatever_else_changes() {
    let mut replica = filled(200);
    let (mut at, mut found) = (0, BTreeMap::new());
    let mut round = 0;
    loop {
        let (next, keys) = scan(&replica, &page(at, BUCKETS, 5));
        for key in keys {
            *found.entry(key).or_insert(0) += 1;
        }
        // Others come and go, also the one that the cursor stands on.
        replica.run(set(&format!("{{t{}}}new{round}", round % 6), "v"));
        replica.run(del(&format!("{{t{}}}new{}", (round + 3) % 6, round / 2)));
        replica.run(del(&format!("k{}", 101 + 2 * (round % 50))));
        replica = replica.reopened();
        round += 1;
        at = next;
        if at == 0 {
            break;
        }
    }
    assert!(round > 20);
    for number in 0..200 {
        let key = if number % 2 == 0 {
            format!("{{t{}}}{number}", number % 6)
        } else {
            format!("k{number}")
        };
        if number % 2 == 0 || number < 101 {
            assert_eq!(found.get(&b(&key)), Some(&1), "{key}");
        }
    }
}

#[test]
fn a_scan_filters_and_passes_over_what_has_expired() {
    let mut replica = filled(100);
    for number in 0..100 {
        replica.run(set_for(&format!("e{number}"), "v", 50));
    }
    replica.tick(50);
    assert_eq!(scan_all(&replica, BUCKETS, 10).len(), 100);
    let only = |pattern: Option<&str>, kind: Option<&str>| {
        let filters = (pattern.map(b), kind.map(b));
        let page = ScanPage { pattern: filters.0, kind: filters.1, ..page(0, BUCKETS, 10_000) };
        scan(&replica, &page)
    };
    assert_eq!(only(Some("k*"), None).1.len(), 50);
    assert_eq!(only(Some("k[13]"), Some("STRING")).1.len(), 2);
    assert_eq!(only(None, Some("hash")), (0, vec![]));
}

#[test]
fn empty_buckets_cost_no_row_and_foreign_ones_end_a_page() {
    let home = bucket_of(b"a");
    let mut replica = Replica::with_buckets([home.0, 5, 6, 7]);
    replica.run(set("a", "v"));
    let ranges = replica.rows.ranges.get();
    let five = cursor(Bucket(5), 0);
    assert_eq!(scan(&replica, &page(five, 8, 10)), (0, vec![]));
    assert_eq!(scan(&replica, &page(five, BUCKETS, 10)), (cursor(Bucket(8), 0), vec![]));
    let behind = cursor(Bucket(home.0 + 1), 0);
    assert_eq!(
        scan(&replica, &page(cursor(home, 0), BUCKETS, 10)),
        (behind, vec![Bytes::from("a")])
    );
    assert_eq!(replica.rows.ranges.get(), ranges + 1);
    let elsewhere = replica.read(&Command::Scan(page(0, BUCKETS, 10)));
    assert_eq!(elsewhere, Reply::Redirect(Redirect::NotHere { bucket: Bucket(0) }));
}

#[test]
fn a_slot_is_looked_into() {
    let replica = filled(300);
    let bucket = bucket_of(b"t0");
    assert_eq!(replica.read(&Command::CountKeys { bucket }), Reply::Integer(50));
    for (count, expected) in [(0, 0), (10, 10), (1_000, 50)] {
        let Reply::Array(keys) = replica.read(&Command::KeysInBucket { bucket, count }) else {
            panic!("no list");
        };
        assert_eq!(keys.len(), expected);
    }
}

#[test]
fn a_random_key_is_one_of_all_and_any_of_them() {
    assert_eq!(Replica::new().read(&Command::RandomKey { random: 9 }), Reply::Nil);
    let mut replica = filled(40);
    let mut found = std::collections::BTreeSet::new();
    for number in 0..4_000_u64 {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Reply::Bulk(key) = replica.read(&Command::RandomKey { random }) else {
            panic!("no key");
        };
        found.insert(key);
    }
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|key| scan_all(&replica, BUCKETS, 99).contains_key(key)));
    replica.run(Command::Flush);
    replica.run(set("one", "v"));
    assert_eq!(replica.read(&Command::RandomKey { random: u64::MAX }), bulk("one"));
}
