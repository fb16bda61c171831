//! Observers and secretaries: what the scripts cannot tell, and random schedules.

use super::cluster::{Cluster, n};
use crate::ids::{Index, NodeId, Term};
use crate::raft::{
    Change, ChangeKind, MembershipChange, Message, MessageBody, RelayAnswer, StepError, Transition,
};
use bytes::Bytes;

fn with_secretaries(voters: u32, secretaries: &[u32]) -> Cluster {
    let mut cluster = Cluster::of(voters);
    cluster.elect(1);
    cluster.employ(&secretaries.iter().copied().map(NodeId).collect::<Vec<_>>());
    cluster.settle();
    cluster.sent();
    cluster
}

/// Takes the messages that `fits` off the wire.
fn take(cluster: &mut Cluster, fits: impl Fn(&Message) -> bool) -> Vec<Message> {
    cluster.wire.extract_if(.., |message| fits(message)).collect()
}

/// The bytes of entries that the leader sends for so many proposals of 1000 bytes.
fn bytes_sent(cluster: &mut Cluster, proposals: u32) -> usize {
    let mut bytes = 0;
    for _ in 0..proposals {
        cluster.propose(1, &"x".repeat(1000));
        cluster.take_ready(n(1));
        let sent = cluster.wire.iter().filter(|message| message.from == n(1));
        bytes += sent.map(Message::entry_bytes).sum::<usize>();
        cluster.settle();
    }
    bytes
}

#[test]
fn two_secretaries_halve_what_a_leader_of_five_sends() {
    let mut cluster = with_secretaries(5, &[6, 7]);
    let (before, commit) = (bytes_sent(&mut cluster, 20), cluster.checker.commit);
    let mut plain = with_secretaries(5, &[]);
    let without = bytes_sent(&mut plain, 20);
    assert_eq!(commit, plain.checker.commit);
    assert_eq!(before * 2, without);
    for id in 1..=5 {
        assert_eq!(cluster.replica(id).disk.last(), Index(21), "n{id}");
    }
}

#[test]
fn nothing_counts_that_was_reported_before_a_peer_was_admitted_anew() {
    let mut cluster = with_secretaries(3, &[4]);
    cluster.propose(1, "a");
    // Node 2 hears nothing, so that nothing is committed but by node 3.
    cluster.settle_without(|message| message.to == n(2) || message.to == n(1));
    let late = Message {
        from: n(4),
        to: n(1),
        term: Term(1),
        body: MessageBody::RelayReport {
            number: 2,
            answers: vec![RelayAnswer { from: n(3), session: 2, index: Index(2), reject: None }],
        },
    };
    cluster.settle();
    cluster.run(20);
    for kind in [ChangeKind::Remove, ChangeKind::Voter] {
        let changes = vec![Change { kind, id: n(3), disk: None }];
        let change =
            MembershipChange { transition: Transition::Auto, changes, context: Bytes::new() };
        cluster.raft(1).propose_change(&change).expect("a leader");
        cluster.settle_without(|message| kind == ChangeKind::Voter && message.to == n(3));
    }
    let matched = |cluster: &mut Cluster| cluster.raft(1).status().peers[1].matched;
    assert_eq!(matched(&mut cluster), Index(0));
    cluster.step(late);
    assert_eq!(matched(&mut cluster), Index(0), "that was said by another disk, for all we know");
}

#[test]
fn reports_of_strangers_and_of_the_future_are_refused() {
    let mut cluster = with_secretaries(3, &[4]);
    let report = |from, term, number, index| {
        let answers =
            vec![RelayAnswer { from: n(2), session: 1, index: Index(index), reject: None }];
        let body = MessageBody::RelayReport { number, answers };
        Message { from: NodeId(from), to: n(1), term: Term(term), body }
    };
    let raft = cluster.raft(1);
    assert_eq!(raft.step(report(9, 1, 1, 1)), Err(StepError::NotMember(n(9))));
    assert!(matches!(raft.step(report(4, 1, 99, 1)), Err(StepError::Malformed(_))));
    assert!(matches!(raft.step(report(4, 1, 1, 9)), Err(StepError::Malformed(_))));
    assert!(matches!(raft.step(report(4, 7, 1, 1)), Err(StepError::Malformed(_))));
    assert!(raft.is_leader() && raft.term() == Term(1));
}

#[test]
fn a_report_of_an_earlier_term_counts_for_nothing() {
    let mut cluster = with_secretaries(3, &[4]);
    cluster.propose(1, "lost");
    cluster.take_ready(n(1));
    for message in take(&mut cluster, |message| message.from == n(1)) {
        cluster.step(message);
    }
    // Node 3 has it, and the report of that is on its way for long.
    for message in take(&mut cluster, |message| message.to == n(3)) {
        cluster.step(message);
    }
    while cluster.take_ready(n(3)) | cluster.sync(n(3)) {}
    for message in take(&mut cluster, |message| message.to == n(4)) {
        cluster.step(message);
    }
    let late = take(&mut cluster, |message| message.to == n(1)).pop().expect("a report");
    assert!(matches!(&late.body, MessageBody::RelayReport { answers, .. } if !answers.is_empty()));
    // Meanwhile node 1 is elected again, in a later term.
    cluster.wire.clear();
    for id in [2, 3] {
        // Long enough that they do not defend the leader any more.
        cluster.raft(id).set_election_timeout(100);
        (0..10).for_each(|_| cluster.raft(id).tick());
    }
    cluster.raft(1).step_down();
    cluster.raft(1).campaign();
    cluster.settle_without(|message| message.from == n(1) && message.entry_bytes() > 0);
    assert!(cluster.raft(1).is_leader() && cluster.raft(1).term() > Term(1));
    let commit = cluster.raft(1).commit_index();
    cluster.step(late);
    assert_eq!(cluster.raft(1).commit_index(), commit);
    let status = cluster.raft(1).status();
    assert!(status.peers.iter().all(|peer| peer.matched == Index(0)), "{status:?}");
}
