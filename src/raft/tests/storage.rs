//! Stories about disks: several Readys on their way at once, entries that are only on disk, restarts.

use super::cluster::{Cluster, n};
use crate::ids::{Index, NodeId, ReadyNumber, Term};
use crate::raft::{
    Config, Entry, EntryKind, Fetch, Membership, Message, MessageBody, Raft, Restored,
};
use bytes::Bytes;

#[test]
fn entries_that_left_memory_are_fetched_once_for_a_slow_follower() {
    let membership = Membership::of_voters((1..=3).map(n));
    let mut cluster = Cluster::new(membership, 1, |config| {
        config.tail_bytes_max = 200;
        config.append_bytes_max = 150;
    });
    cluster.elect(1);
    cluster.isolate(3);
    for number in 0..40 {
        cluster.propose(1, &format!("{number}"));
        cluster.settle();
    }
    assert!(cluster.raft(1).tail_first() > Index(30), "the rest is on disk only");
    cluster.heal();
    // The first answers fail: nothing is asked again before the next heartbeat.
    let mut asked = 0;
    for _ in 0..4 {
        cluster.tick();
        for _ in 0..100 {
            for id in 1..=3 {
                while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
            }
            if !cluster.wire.is_empty() {
                cluster.deliver(0);
            }
            asked += cluster.replica(1).fetches.len();
            while cluster.fetch(n(1), false) {}
        }
    }
    assert!((1..=2).contains(&asked), "{asked} questions in two heartbeats");
    cluster.run(3);
    assert_eq!(cluster.applied(3), cluster.applied(1));
    assert_eq!(cluster.applied(3).len(), 40);
}

#[test]
fn what_was_not_applied_before_a_restart_is_fetched_page_by_page() {
    let membership = Membership::of_voters([n(1)]);
    let mut cluster = Cluster::new(membership, 1, |config| {
        config.tail_bytes_max = 200;
        config.apply_bytes_max = 100;
    });
    cluster.elect(1);
    for number in 0..30 {
        cluster.propose(1, &format!("{number}"));
    }
    cluster.settle();
    cluster.crash(n(1), 0);
    cluster.restart(n(1), 3);
    assert!(cluster.applied(1).is_empty(), "the state machine remembers nothing");
    // What is known to be committed may change the membership: it is applied before an election.
    cluster.settle();
    cluster.elect(1);
    assert_eq!(cluster.applied(1).len(), 30);
}

#[test]
fn a_fetch_that_fails_for_apply_is_repeated_at_the_next_tick() {
    let mut cluster = Cluster::new(Membership::of_voters([n(1)]), 1, |_| {});
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.crash(n(1), 0);
    cluster.restart(n(1), 0);
    cluster.raft(1).campaign();
    assert!(!cluster.raft(1).is_leader(), "what it has to apply may change the membership");
    while cluster.take_ready(n(1)) | cluster.sync(n(1)) {}
    assert!(cluster.fetch(n(1), false));
    assert!(!cluster.take_ready(n(1)), "not asked again at once");
    cluster.tick();
    assert!(cluster.take_ready(n(1)));
    assert!(cluster.fetch(n(1), true));
    cluster.settle();
    cluster.elect(1);
    assert_eq!(cluster.applied(1), ["a"]);
}

fn follower() -> Raft {
    let config = Config::new(NodeId(2), 1);
    Raft::new(config, Restored::newborn((1..=3).map(NodeId))).expect("a newborn")
}

fn append(term: u64, from: u32, prev: (u64, u64), terms: &[u64], commit: u64) -> Message {
    let entries = (prev.0 + 1..).zip(terms).map(|(index, &term)| Entry {
        index: Index(index),
        term: Term(term),
        kind: EntryKind::Normal,
        data: Bytes::new(),
    });
    Message {
        from: NodeId(from),
        to: NodeId(2),
        term: Term(term),
        body: MessageBody::Append {
            prev_index: Index(prev.0),
            prev_term: Term(prev.1),
            commit: Index(commit),
            entries: entries.collect(),
        },
    }
}

/// The same entry is written, cut off and written again; each completion counts for its own write.
#[test]
fn completions_count_for_what_their_ready_wrote_and_nobody_cut_since() {
    let mut raft = follower();
    raft.step(append(2, 1, (0, 0), &[1, 2], 0)).expect("fine");
    let first = raft.ready();
    assert_eq!((first.number, first.entries.len()), (ReadyNumber(1), 2));
    raft.step(append(3, 3, (1, 1), &[3], 0)).expect("fine");
    let second = raft.ready();
    assert_eq!(second.entries[0].index, Index(2), "to be cut off and written anew");
    raft.step(append(4, 1, (1, 1), &[2], 0)).expect("fine");
    let third = raft.ready();
    raft.persisted(first.number);
    assert_eq!(raft.persisted_index(), Index(1), "on disk, entry 2 will be cut off again");
    raft.persisted(second.number);
    assert_eq!(raft.persisted_index(), Index(1), "on disk stands the entry of term 3");
    // Even if it is committed meanwhile, nothing of it is applied.
    raft.step(append(4, 1, (2, 2), &[], 2)).expect("fine");
    let fourth = raft.ready();
    assert_eq!(fourth.committed.last().map(|entry| entry.index), Some(Index(1)));
    raft.persisted(third.number);
    assert_eq!(raft.persisted_index(), Index(2));
    assert_eq!(raft.ready().committed.len(), 1);
}

#[test]
fn the_commit_hint_never_passes_what_was_durable_before() {
    let mut raft = follower();
    raft.step(append(1, 1, (0, 0), &[1, 1], 2)).expect("fine");
    let first = raft.ready();
    assert_eq!(first.hard_state.map(|hard| (hard.term, hard.commit)), Some((Term(1), Index(0))));
    assert!(first.committed.is_empty(), "nothing is durable");
    raft.persisted(first.number);
    let second = raft.ready();
    assert_eq!(
        (second.committed.len(), second.hard_state),
        (2, None),
        "a hint alone is not written"
    );
    raft.step(append(1, 1, (2, 1), &[1], 3)).expect("fine");
    assert_eq!(raft.ready().hard_state.map(|hard| hard.commit), Some(Index(2)));
}

#[test]
fn what_has_nothing_to_wait_for_is_sent_at_once() {
    let mut raft = follower();
    raft.step(append(1, 1, (0, 0), &[1], 0)).expect("fine");
    let first = raft.ready();
    assert_eq!((first.messages.len(), first.after_persist.len()), (0, 1));
    // A repeated append says nothing new, but its answer speaks of an entry that is not durable.
    raft.step(append(1, 1, (0, 0), &[1], 0)).expect("fine");
    let second = raft.ready();
    assert!(second.needs_persist() && !second.must_sync, "it only keeps its place in the queue");
    assert_eq!((second.messages.len(), second.after_persist.len()), (0, 1));
    raft.persisted(second.number);
    raft.step(append(1, 1, (0, 0), &[1], 0)).expect("fine");
    let third = raft.ready();
    assert_eq!((third.messages.len(), third.after_persist.len()), (1, 0));
    assert!(!third.needs_persist());
}

#[test]
fn late_and_wrong_answers_to_fetches_are_ignored() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=2).map(n)), 1, |config| {
        config.tail_bytes_max = 1;
    });
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    let entries = cluster.replica(1).disk.entries.clone();
    let before = cluster.raft(1).status();
    cluster.raft(1).fetched(n(2), entries.clone());
    cluster.raft(1).fetched(n(1), entries.clone());
    cluster.raft(1).fetched(n(9), entries);
    cluster.raft(2).fetched(n(1), Vec::new());
    assert_eq!(cluster.raft(1).status(), before);
    assert!(!cluster.raft(1).has_ready());
}

#[test]
fn a_fetch_names_its_reader_its_place_and_its_size() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=2).map(n)), 1, |config| {
        config.tail_bytes_max = 1;
        config.append_bytes_max = 77;
        config.inflight_messages_max = 2;
    });
    cluster.elect(1);
    cluster.isolate(2);
    for _ in 0..5 {
        cluster.propose(1, "a");
        while cluster.take_ready(n(1)) | cluster.sync(n(1)) {}
    }
    cluster.wire.clear();
    cluster.heal();
    cluster.tick();
    cluster.tick();
    for _ in 0..20 {
        for id in [1, 2] {
            while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
        }
        if !cluster.wire.is_empty() {
            cluster.deliver(0);
        }
    }
    let wanted = Fetch { to: n(2), from_index: Index(2), bytes_max: 77 };
    assert_eq!(cluster.replica(1).fetches, [wanted]);
    // Entries that stood there once, and no longer do, are as good as none.
    let mut stale = cluster.replica(1).disk.entries[1..3].to_vec();
    stale.iter_mut().for_each(|entry| entry.term = Term(0));
    cluster.sent();
    cluster.raft(1).fetched(n(2), stale);
    cluster.take_ready(n(1));
    assert!(cluster.sent().is_empty());
    cluster.replica(1).fetches.clear();
    cluster.run(2);
    cluster.settle();
    assert_eq!(cluster.raft(2).commit_index(), Index(6));
}
