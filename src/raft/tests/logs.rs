//! Stories about logs that disagree: figures 7 and 8 of the Raft paper.

use super::cluster::{Cluster, n};
use super::disk::Disk;
use crate::ids::{Index, Term};
use crate::raft::{
    Config, Entry, EntryKind, HardState, Membership, Message, MessageBody, SnapshotMeta, StepError,
};
use bytes::Bytes;

fn disk(membership: &Membership, terms: &[u64], term: u64) -> Disk {
    let entries = (1..).zip(terms).map(|(index, &term)| Entry {
        index: Index(index),
        term: Term(term),
        kind: EntryKind::Normal,
        data: Bytes::from(format!("{index}@{term}")),
    });
    Disk {
        hard: HardState { term: Term(term), vote: None, commit: Index(0) },
        base: SnapshotMeta { membership: membership.clone(), ..SnapshotMeta::default() },
        entries: entries.collect(),
    }
}

/// Replicas with these logs, in the newest term that any of them has.
fn cluster_of(logs: &[&[u64]], change: fn(&mut Config)) -> Cluster {
    let size = u32::try_from(logs.len()).expect("small");
    let membership = Membership::of_voters((1..=size).map(n));
    let mut cluster = Cluster::new(membership.clone(), 1, change);
    let term = logs.iter().filter_map(|log| log.last()).max().expect("not all are empty");
    for (id, terms) in (1..).zip(logs) {
        cluster.add(n(id), disk(&membership, terms, *term));
    }
    cluster
}

#[test]
fn a_new_leader_repairs_all_the_logs_of_figure_7() {
    let mut cluster = cluster_of(
        &[
            &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
            &[1, 1, 1, 4, 4, 5, 5, 6, 6],
            &[1, 1, 1, 4],
            &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
            &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
            &[1, 1, 1, 4, 4, 4, 4],
            &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
        ],
        |config| (config.pre_vote, config.check_quorum) = (false, false),
    );
    cluster.raft(1).campaign();
    cluster.settle();
    assert!(cluster.raft(1).is_leader());
    let wanted = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, cluster.raft(1).term().0];
    for id in 1..=7 {
        assert_eq!(cluster.terms(id), wanted, "the log of {id}");
        assert_eq!(cluster.raft(id).commit_index(), Index(11));
    }
}

#[test]
fn a_conflict_of_many_entries_is_skipped_by_term() {
    let long: Vec<u64> = [vec![1; 3], vec![2; 200], vec![3; 200]].concat();
    let other: Vec<u64> = [vec![1; 3], vec![4; 300]].concat();
    let mut cluster = cluster_of(&[&other, &long, &other], |_| {});
    cluster.isolate(2);
    cluster.elect(1);
    cluster.heal();
    cluster.sent();
    cluster.run(2);
    assert_eq!(cluster.terms(2), cluster.terms(1));
    let rejected = cluster.sent().iter().filter(|message| message.contains("Rejected")).count();
    assert!(rejected <= 2, "{rejected} refusals for 400 entries of two terms");
}

/// Figure 8: an entry of an older term on a majority is not committed by that alone.
#[test]
fn entries_of_older_terms_are_not_committed_by_counting() {
    let mut cluster =
        cluster_of(&[&[1, 2], &[1, 2], &[1], &[1], &[1, 3]], |config| config.check_quorum = false);
    for id in [4, 5] {
        cluster.isolate(id);
    }
    cluster.raft(1).campaign();
    cluster.take_ready(n(1));
    // 1 wins with 2 and 3, and the entry of term 2 reaches 3, but the no-op of its own term does not.
    for _ in 0..100 {
        for id in 1..=3 {
            while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
        }
        let Some(message) = cluster.wire.first_mut() else {
            break;
        };
        if let MessageBody::Append { entries, .. } = &mut message.body {
            entries.retain(|entry| entry.term == Term(2));
        }
        cluster.deliver(0);
    }
    assert!(cluster.raft(1).is_leader());
    assert_eq!(cluster.terms(3), [1, 2], "the entry of term 2 is on a majority");
    assert_eq!(cluster.raft(1).commit_index(), Index(0), "and is not committed by that");
    // So another leader may still overwrite it, as in the figure.
    cluster.crash(n(1), 0);
    cluster.heal();
    cluster.wire.clear();
    cluster.raft(5).campaign();
    cluster.settle();
    cluster.raft(5).campaign();
    cluster.settle();
    assert!(cluster.raft(5).is_leader());
    assert_eq!(cluster.terms(3)[..2], [1, 3]);
}

#[test]
fn late_and_repeated_appends_change_nothing_but_may_bring_news() {
    let mut cluster = Cluster::of(2);
    cluster.elect(1);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data);
    }
    cluster.settle();
    let entries: Vec<Entry> = cluster.replica(1).disk.entries.clone();
    let append = |prev: usize, to: usize| Message {
        from: n(1),
        to: n(2),
        term: Term(1),
        body: MessageBody::Append {
            prev_index: Index(prev as u64),
            prev_term: Term(u64::from(prev > 0)),
            commit: Index(1),
            entries: entries[prev..to].to_vec(),
        },
    };
    cluster.sent();
    cluster.step(append(0, 2));
    cluster.step(append(3, 4));
    cluster.settle();
    assert_eq!(cluster.terms(2), [1, 1, 1, 1]);
    assert_eq!(cluster.raft(2).commit_index(), Index(4));
    assert_eq!(cluster.sent(), ["n2->n1 t1 Appended i4"], "one answer for both");
    // What reaches past the commit index is taken, although it starts before it.
    let mut more = entries.clone();
    more.push(Entry { index: Index(5), ..entries[3].clone() });
    let body = MessageBody::Append {
        prev_index: Index(1),
        prev_term: Term(1),
        commit: Index(4),
        entries: more[1..].to_vec(),
    };
    cluster.raft(2).step(Message { body, ..append(0, 0) }).expect("fine");
    assert_eq!(cluster.raft(2).last_index(), Index(5));
}

/// An empty append that fits says nothing about what stands behind it.
#[test]
fn a_commit_index_does_not_reach_into_a_tail_that_the_leader_did_not_send() {
    let mut cluster = cluster_of(&[&[1, 1, 1], &[1, 1, 2], &[1]], |_| {});
    let body = MessageBody::Append {
        prev_index: Index(2),
        prev_term: Term(1),
        commit: Index(3),
        entries: Vec::new(),
    };
    let message = Message { from: n(1), to: n(2), term: Term(3), body };
    cluster.raft(2).step(message).expect("fine");
    assert_eq!(cluster.raft(2).commit_index(), Index(2), "its third entry is another one");
    cluster.take_ready(n(2));
    cluster.sync(n(2));
    assert_eq!(cluster.sent(), ["n2->n1 t3 Appended i2"], "nor does the acknowledgement");
}

#[test]
fn nobody_can_rewrite_what_is_committed() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    let entry = |index, term| Entry {
        index: Index(index),
        term: Term(term),
        kind: EntryKind::Normal,
        data: Bytes::from_static(b"forged"),
    };
    let body = MessageBody::Append {
        prev_index: Index(1),
        prev_term: Term(1),
        commit: Index(2),
        entries: vec![entry(2, 9), entry(3, 9)],
    };
    let forged = Message { from: n(3), to: n(2), term: Term(9), body };
    let refused = cluster.raft(2).step(forged);
    assert_eq!(refused, Err(StepError::ConflictsWithCommitted { from: n(3), index: Index(2) }));
    assert_eq!(cluster.raft(2).term_at(Index(2)), Some(Term(1)));
}

#[test]
fn a_follower_that_has_forgotten_notices_and_is_not_hammered() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    // 3 comes back with an empty disk, which its node should have prevented.
    cluster.crash(n(3), 0);
    let membership = cluster.membership.clone();
    cluster.add(n(3), disk(&membership, &[], 1));
    cluster.run(1);
    cluster.sent();
    cluster.propose(1, "b");
    cluster.run(6);
    let appends =
        cluster.sent().iter().filter(|message| message.starts_with("n1->n3 t1 Append")).count();
    assert!(appends <= 5, "{appends} appends in six ticks");
    assert!(cluster.replica(3).errors.contains(&StepError::LogForgotten(Index(2))));
    assert_eq!(cluster.applied(2), ["a", "b"], "the others go on");
}
