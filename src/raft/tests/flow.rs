//! Stories about the flow of entries to followers: batches, windows, lost messages, dead peers.

use super::cluster::{Cluster, n};
use crate::ids::{Index, Term};
use crate::raft::{Config, Membership, Message, MessageBody, ProgressState, StepError};

fn cluster(size: u32, change: fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::new(Membership::of_voters((1..=size).map(n)), 1, change);
    cluster.elect(1);
    cluster.sent();
    cluster
}

#[test]
fn what_is_proposed_together_travels_together_and_before_the_leaders_own_sync() {
    let mut cluster = cluster(2, |_| {});
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.take_ready(n(1));
    assert_eq!(
        cluster.sent(),
        ["n1->n2 t1 Append after i1/t1 commit i1 entries i2/t1..i3/t1"],
        "the leader has not synced yet"
    );
    assert_eq!(cluster.raft(1).persisted_index(), Index(1));
    cluster.deliver(0);
    cluster.take_ready(n(2));
    assert!(cluster.wire.is_empty(), "the follower acknowledges what is on its disk");
    cluster.sync(n(2));
    cluster.deliver(0);
    assert_eq!(cluster.raft(1).commit_index(), Index(1), "in a group of two, both must have it");
    cluster.sync(n(1));
    assert_eq!(cluster.raft(1).commit_index(), Index(3));
}

#[test]
fn a_majority_may_commit_before_the_leader_has_synced_but_it_applies_after() {
    let mut cluster = cluster(3, |_| {});
    cluster.propose(1, "a");
    cluster.take_ready(n(1));
    while !cluster.wire.is_empty() {
        cluster.deliver(0);
        for id in [2, 3] {
            while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
        }
    }
    assert_eq!(cluster.raft(1).commit_index(), Index(2));
    cluster.take_ready(n(1));
    assert!(cluster.applied(1).is_empty(), "its own disk does not hold it");
    cluster.settle();
    assert_eq!(cluster.applied(1), ["a"]);
}

#[test]
fn a_full_window_stops_and_a_heartbeat_opens_it_again() {
    let mut cluster = cluster(3, |config| config.inflight_messages_max = 3);
    cluster.isolate(3);
    for round in 0..6 {
        cluster.propose(1, &format!("{round}"));
        cluster.take_ready(n(1));
    }
    let third = |cluster: &mut Cluster| cluster.raft(1).status().peers[1].clone();
    let peer = third(&mut cluster);
    assert_eq!((peer.inflight, peer.window_full, peer.paused), (3, true, true));
    assert_eq!(peer.next, Index(5));
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(7), "the other two go on");
    assert_eq!(third(&mut cluster).next, Index(5));
    cluster.heal();
    cluster.sent();
    cluster.run(2);
    assert_eq!(third(&mut cluster).matched, Index(7));
    let to_third: Vec<_> =
        cluster.sent().into_iter().filter(|message| message.starts_with("n1->n3")).collect();
    assert_eq!(to_third[0], "n1->n3 t1 Heartbeat commit i1 round 0");
    assert_eq!(to_third[1], "n1->n3 t1 Append after i4/t1 commit i7", "an empty one, as a probe");
    assert_eq!(to_third[2], "n1->n3 t1 Append after i1/t1 commit i7 entries i2/t1..i7/t1");
}

#[test]
fn the_window_also_counts_bytes() {
    let mut cluster = cluster(2, |config| config.inflight_bytes_max = 100);
    cluster.isolate(2);
    for _ in 0..5 {
        cluster.propose(1, "123456789 123456789 123456789 123456789 ");
        cluster.take_ready(n(1));
    }
    assert_eq!(cluster.raft(1).status().peers[0].inflight, 2);
}

#[test]
fn appends_are_capped_in_bytes_but_a_large_entry_goes_alone() {
    let mut cluster = cluster(2, |config| config.append_bytes_max = 100);
    cluster.propose(1, "1");
    cluster.propose(1, "2");
    cluster.propose(1, &"x".repeat(500));
    cluster.propose(1, "4");
    cluster.take_ready(n(1));
    assert_eq!(
        cluster.sent(),
        [
            "n1->n2 t1 Append after i1/t1 commit i1 entries i2/t1..i3/t1",
            "n1->n2 t1 Append after i3/t1 commit i1 entries i4/t1..i4/t1",
            "n1->n2 t1 Append after i4/t1 commit i1 entries i5/t1..i5/t1",
        ]
    );
}

#[test]
fn a_dead_peer_gets_heartbeats_only() {
    let mut cluster = cluster(3, |_| {});
    cluster.isolate(3);
    for _ in 0..30 {
        cluster.propose(1, "x");
        cluster.settle();
        cluster.run(1);
    }
    assert_eq!(cluster.raft(1).status().peers[1].state, ProgressState::Probe);
    assert_eq!(cluster.raft(1).status().peers[1].inflight, 0, "nothing is kept for it");
    cluster.sent();
    for context in 0..100 {
        cluster.raft(1).read_index(crate::raft::ReadContext(context)).expect("a leader");
        cluster.propose(1, "x");
        cluster.settle();
    }
    cluster.run(10);
    let to_third: Vec<_> =
        cluster.sent().into_iter().filter(|message| message.starts_with("n1->n3")).collect();
    assert_eq!(to_third.len(), 5, "one heartbeat every second tick: {to_third:?}");
    cluster.heal();
    cluster.run(3);
    assert_eq!(cluster.raft(3).commit_index(), cluster.raft(1).commit_index());
}

#[test]
fn an_unreachable_peer_is_probed_when_it_answers_again() {
    let mut cluster = cluster(2, |_| {});
    cluster.raft(1).report_unreachable(n(2));
    cluster.propose(1, "w");
    cluster.settle_without(|message| message.to == n(2));
    cluster.propose(1, "x");
    cluster.settle();
    assert_eq!(
        cluster.raft(1).status().peers[0].state,
        ProgressState::Probe,
        "one probe at a time"
    );
    cluster.run(2);
    assert_eq!(cluster.raft(1).status().peers[0].state, ProgressState::Replicate);
    assert_eq!(cluster.applied(2), ["w", "x"]);
}

#[test]
fn too_much_uncommitted_is_refused_and_taken_again_later() {
    let mut cluster = cluster(3, |config| config.uncommitted_bytes_max = 100);
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.propose(1, "c");
    let refused = cluster.raft(1).propose(bytes::Bytes::from_static(b"d"));
    assert_eq!(refused, Err(crate::raft::ProposeError::TooMuchUncommitted { bytes: 99 }));
    cluster.settle();
    cluster.propose(1, "d");
    cluster.settle();
    assert_eq!(cluster.applied(2), ["a", "b", "c", "d"]);
}

#[test]
fn learners_get_everything_and_decide_nothing() {
    let membership =
        Membership { learners: vec![n(3), n(4), n(5)], ..Membership::of_voters([n(1), n(2)]) };
    let mut cluster = Cluster::new(membership, 1, |_| {});
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.raft(5).last_index(), Index(2));
    assert_eq!(cluster.raft(1).commit_index(), Index(1), "three learners are no majority");
    cluster.heal();
    cluster.run(4);
    assert_eq!(cluster.applied(5), ["a"]);
}

#[test]
fn in_a_joint_configuration_both_majorities_decide() {
    let membership = Membership {
        outgoing: vec![n(3), n(4), n(5)],
        ..Membership::of_voters([n(1), n(2), n(3)])
    };
    let mut cluster = Cluster::new(membership, 1, |_| {});
    cluster.elect(1);
    cluster.isolate(4);
    cluster.isolate(5);
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(1), "one of three outgoing voters");
    cluster.cut.retain(|pair| pair.0 != n(4) && pair.1 != n(4));
    cluster.run(4);
    assert_eq!(cluster.raft(1).commit_index(), Index(2));
}

#[test]
fn a_smaller_membership_may_commit_what_was_waiting() {
    let mut cluster = cluster(3, |_| {});
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(1));
    cluster.checker = super::checker::Checker::new(Membership::of_voters([n(1)]));
    cluster.raft(1).membership_applied(Membership::of_voters([n(1)]));
    assert_eq!(cluster.raft(1).commit_index(), Index(2));
    assert!(cluster.raft(1).status().peers.is_empty());
    cluster.raft(1).membership_applied(Membership::of_voters([n(1), n(3), n(4)]));
    let peers: Vec<_> = cluster.raft(1).status().peers.iter().map(|peer| peer.id).collect();
    assert_eq!(peers, [n(3), n(4)]);
}

#[test]
fn wrong_messages_are_errors_and_change_nothing() {
    let mut cluster = cluster(3, |_| {});
    let response = |index| MessageBody::AppendResponse { index: Index(index), reject: None };
    let message =
        |from, to, term, body| Message { from: n(from), to: n(to), term: Term(term), body };
    let before = cluster.raft(1).status();
    let mut refused = |message| cluster.raft(1).step(message).expect_err("refused");
    assert_eq!(refused(message(2, 3, 1, response(1))), StepError::WrongReceiver(n(3)));
    assert_eq!(refused(message(1, 1, 1, response(1))), StepError::WrongSender);
    assert_eq!(refused(message(9, 1, 1, response(1))), StepError::NotMember(n(9)));
    assert!(matches!(refused(message(2, 1, 1, response(99))), StepError::Malformed(_)));
    let round = MessageBody::HeartbeatResponse { round: 5, bound: false };
    assert!(matches!(refused(message(2, 1, 1, round)), StepError::Malformed(_)));
    let heartbeat = MessageBody::Heartbeat { commit: Index(1), round: 0 };
    assert_eq!(refused(message(2, 1, 1, heartbeat.clone())), StepError::RivalLeader(n(2)));
    assert_eq!(refused(message(2, 1, 1, MessageBody::TimeoutNow)), StepError::RivalLeader(n(2)));
    assert_eq!(cluster.raft(1).status(), before);
    let rival = cluster.raft(3).step(message(2, 3, 1, heartbeat));
    assert_eq!(rival, Err(StepError::RivalLeader(n(2))));
}
