//! Tests of `log.rs`.

use super::super::entry::EntryKind;
use super::*;
use bytes::Bytes;

fn entry(index: u64, term: u64) -> Entry {
    let data = Bytes::from_static(&[7; 68]);
    Entry { index: Index(index), term: Term(term), kind: EntryKind::Normal, data }
}

fn log(entries: u64) -> Log {
    let mut log = Log::new(Terms::after(Index(0), Term(0)), Vec::new(), Index(0), 250);
    for index in 1..=entries {
        log.push(entry(index, 1));
    }
    log
}

fn write(log: &mut Log, number: u64) -> Vec<u64> {
    let entries = log.hand_out();
    log.writing(ReadyNumber(number), !entries.is_empty(), None);
    entries.iter().map(|entry| entry.index.0).collect()
}

#[test]
fn late_completions_do_not_make_rewritten_entries_durable() {
    let mut log = log(5);
    assert_eq!(write(&mut log, 1), [1, 2, 3, 4, 5]);
    log.truncate(Index(4));
    log.push(entry(4, 2));
    assert_eq!(write(&mut log, 2), [4]);
    log.truncate(Index(4));
    log.push(entry(4, 2));
    assert_eq!(write(&mut log, 3), [4]);
    log.persisted(ReadyNumber(1));
    assert_eq!(log.durable(), Index(3));
    log.persisted(ReadyNumber(2));
    assert_eq!(log.durable(), Index(3), "the entry may be the same, the write is another");
    log.persisted(ReadyNumber(3));
    assert_eq!(log.durable(), Index(4));
    assert!(log.is_quiet());
}

#[test]
fn memory_keeps_what_is_not_durable_and_what_is_to_be_applied() {
    let mut log = log(4);
    log.evict(Index(0));
    assert_eq!((log.tail_first(), log.tail_bytes()), (Index(1), 400), "nothing is durable");
    write(&mut log, 1);
    log.persisted(ReadyNumber(1));
    log.evict(Index(0));
    assert_eq!(log.tail_first(), Index(1), "nothing is applied, and it is not twice the limit");
    log.evict(Index(1));
    assert_eq!(log.tail_first(), Index(2));
    log.evict(Index(4));
    assert_eq!((log.tail_first(), log.tail_bytes()), (Index(3), 200));
    assert_eq!(log.term(Index(1)), Some(Term(1)), "terms stay known");
    for index in 5..=9 {
        log.push(entry(index, 1));
    }
    write(&mut log, 2);
    log.persisted(ReadyNumber(2));
    log.evict(Index(2));
    assert_eq!(log.tail_first(), Index(5), "past twice the limit only what is newest stays");
}

#[test]
fn a_slice_is_capped_in_bytes_but_never_empty() {
    let log = log(5);
    let count = |bytes| log.slice(Index(2), Index(5), bytes).len();
    assert_eq!((count(1), count(100), count(299), count(300), count(9999)), (1, 1, 2, 3, 4));
    assert!(log.slice(Index(6), Index(5), 100).is_empty());
}

#[test]
fn compaction_and_restart_keep_the_log_connected() {
    let mut log = log(5);
    write(&mut log, 1);
    log.persisted(ReadyNumber(1));
    log.commit_to(Index(4));
    log.compact(Index(3));
    assert_eq!(
        (log.base_index(), log.tail_first(), log.last_index()),
        (Index(3), Index(4), Index(5))
    );
    assert_eq!((log.term(Index(2)), log.term(Index(3))), (None, Some(Term(1))));
    log.push(entry(6, 2));
    write(&mut log, 2);
    log.restart(Index(10), Term(3));
    log.persisted(ReadyNumber(2));
    assert_eq!((log.durable(), log.last_index(), log.last_term()), (Index(10), Index(10), Term(3)));
    assert!(!log.has_unhanded());
    log.push(entry(11, 3));
    assert_eq!(write(&mut log, 3), [11]);
}

#[test]
fn the_newer_log_is_the_one_with_the_newer_last_term() {
    let log = log(5);
    assert!(log.is_not_ahead_of(Index(5), Term(1)));
    assert!(log.is_not_ahead_of(Index(1), Term(2)));
    assert!(!log.is_not_ahead_of(Index(4), Term(1)));
    assert!(!log.is_not_ahead_of(Index(9), Term(0)));
}
