//! Tests of `progress.rs`.

use super::super::entry::EntryKind;
use super::super::terms::Terms;
use super::*;
use crate::ids::Term;
use bytes::Bytes;

fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    let entry = |index| Entry {
        index: Index(index),
        term: Term(1),
        kind: EntryKind::Normal,
        data: Bytes::new(),
    };
    range.map(entry).collect()
}

/// A log of 20 entries, of which 5 are compacted, 10 in memory and 15 committed.
fn log() -> Log {
    let terms = Terms::restored(Index(5), Term(1), vec![(Index(6), Term(1))], Index(20));
    Log::new(terms.expect("a log"), entries(11..=20), Index(15), 1 << 20)
}

fn config() -> Config {
    Config { inflight_messages_max: 2, ..Config::new(NodeId(1), 1) }
}

fn peer(matched: u64, state: ProgressState) -> Progress {
    let mut peer = Progress::new(NodeId(2), false, &config(), Index(20));
    peer.matched = Index(matched);
    match state {
        ProgressState::Probe => peer.become_probe(),
        ProgressState::Replicate => peer.become_replicate(),
        ProgressState::Snapshot(index) => peer.become_snapshot(index),
    }
    peer.due = false;
    peer.heard();
    peer
}

const NEWS: News = News { entries: true, commit: false };

#[test]
fn what_to_send_depends_on_where_the_next_entry_is() {
    let (log, config) = (log(), config());
    let step = |matched| peer(matched, ProgressState::Probe).step(&log, &config, NEWS);
    assert_eq!(step(4), Some(Step::Snapshot));
    assert_eq!(step(5), Some(Step::Fetch));
    assert_eq!(step(9), Some(Step::Fetch));
    assert_eq!(step(10), Some(Step::Append { entries: true }));
    assert_eq!(step(20), Some(Step::Append { entries: false }), "to learn where it is");
    let idle = peer(10, ProgressState::Probe);
    assert_eq!(idle.step(&log, &config, News::default()), None, "a probe needs a reason");
    let mut silent = peer(4, ProgressState::Probe);
    silent.active = false;
    assert_eq!(silent.step(&log, &config, NEWS), None, "nobody knows whether it exists");
}

#[test]
fn a_probe_is_one_message_and_a_stream_is_a_window() {
    let (log, config) = (log(), config());
    let mut peer = peer(10, ProgressState::Probe);
    peer.sent(&entries(11..=13), Index(15));
    assert_eq!((peer.next, peer.step(&log, &config, NEWS)), (Index(11), None));
    assert!(peer.accepted(Index(13), Index(5)));
    assert_eq!((peer.state, peer.next), (ProgressState::Replicate, Index(14)));
    peer.sent(&entries(14..=14), Index(15));
    assert!(!peer.paused);
    peer.sent(&entries(15..=15), Index(15));
    assert_eq!((peer.next, peer.step(&log, &config, NEWS)), (Index(16), None));
    assert!(!peer.accepted(Index(13), Index(5)), "no news");
    assert!(peer.accepted(Index(14), Index(5)));
    assert_eq!(peer.step(&log, &config, NEWS), Some(Step::Append { entries: true }));
}

#[test]
fn a_heartbeats_answer_reopens_a_full_window_once() {
    let (log, config) = (log(), config());
    let mut peer = peer(10, ProgressState::Replicate);
    peer.sent(&entries(11..=11), Index(15));
    peer.sent(&entries(12..=12), Index(15));
    assert_eq!(peer.step(&log, &config, NEWS), None);
    peer.reopen(Index(20));
    assert_eq!(peer.step(&log, &config, NEWS), Some(Step::Append { entries: false }));
    peer.sent(&[], Index(15));
    peer.reopen(Index(20));
    assert_eq!(peer.step(&log, &config, NEWS), None, "not before the next heartbeat");
}

#[test]
fn refusals_move_back_and_stale_ones_do_nothing() {
    let mut streaming = peer(10, ProgressState::Replicate);
    assert!(!streaming.rejected(Index(9), Index(3)), "it was acknowledged later");
    assert!(streaming.rejected(Index(14), Index(12)));
    assert_eq!((streaming.state, streaming.next), (ProgressState::Probe, Index(11)));
    let mut probing = peer(0, ProgressState::Probe);
    probing.next = Index(18);
    assert!(!probing.rejected(Index(12), Index(3)), "an answer to an older probe");
    assert!(probing.rejected(Index(17), Index(9)));
    assert_eq!(probing.next, Index(10));
    assert!(probing.rejected(Index(9), Index(30)));
    assert_eq!(probing.next, Index(9), "always backwards");
}

#[test]
fn a_snapshot_ends_by_report_or_by_catching_up() {
    let snapshot = ProgressState::Snapshot(Index(15));
    let mut caught_up = peer(2, snapshot);
    assert!(caught_up.accepted(Index(4), Index(5)));
    assert_eq!(caught_up.state, snapshot, "that is still before the log");
    assert!(caught_up.accepted(Index(5), Index(5)));
    assert_eq!((caught_up.state, caught_up.next), (ProgressState::Replicate, Index(6)));
    let mut sent = peer(2, snapshot);
    sent.become_probe();
    assert_eq!((sent.state, sent.next), (ProgressState::Probe, Index(16)));
    let mut failed = peer(2, snapshot);
    failed.snapshot_failed();
    assert_eq!((failed.state, failed.next), (ProgressState::Probe, Index(3)));
}

#[test]
fn a_silent_peer_is_taken_for_dead() {
    let (log, config) = (log(), config());
    let mut peer = peer(10, ProgressState::Replicate);
    peer.sent(&entries(11..=11), Index(15));
    for _ in 0..config.election_ticks {
        assert!(peer.is_alive(&config));
        peer.tick(&config);
    }
    assert!(!peer.is_alive(&config));
    assert_eq!((peer.inflights.count(), peer.step(&log, &config, NEWS)), (0, None));
    peer.heard();
    peer.reopen(Index(20));
    assert_eq!(peer.step(&log, &config, NEWS), Some(Step::Append { entries: true }));
}
