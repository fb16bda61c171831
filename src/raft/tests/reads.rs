//! Stories about linearizable reads.

use super::cluster::{Cluster, n};
use crate::raft::{Membership, Message, MessageBody, ReadContext, ReadError, ReadState};

fn contexts(states: &[ReadState]) -> Vec<(u64, u64)> {
    states.iter().map(|state| (state.context.0, state.index.0)).collect()
}

#[test]
fn reads_that_wait_together_share_one_round() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.sent();
    for context in 1..=3 {
        cluster.raft(1).read_index(ReadContext(context)).expect("a leader");
    }
    cluster.take_ready(n(1));
    cluster.raft(1).read_index(ReadContext(4)).expect("a leader");
    assert!(!cluster.raft(1).has_ready(), "the fourth waits for the round to end");
    cluster.propose(1, "a");
    cluster.settle();
    let rounds: Vec<_> = cluster
        .sent()
        .into_iter()
        .filter(|message| message.contains("n1->n2 t1 Heartbeat"))
        .collect();
    assert_eq!(
        rounds,
        ["n1->n2 t1 Heartbeat commit i1 round 1", "n1->n2 t1 Heartbeat commit i1 round 2"]
    );
    assert_eq!(contexts(&cluster.replica(1).reads), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}

#[test]
fn a_group_of_one_answers_at_once() {
    let mut cluster = Cluster::of(1);
    cluster.elect(1);
    cluster.raft(1).read_index(ReadContext(7)).expect("a leader");
    cluster.take_ready(n(1));
    assert_eq!(contexts(&cluster.replica(1).reads), [(7, 1)]);
}

#[test]
fn a_follower_asks_its_leader() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.raft(3).read_index(ReadContext(5)).expect("a leader is known");
    cluster.settle();
    assert_eq!(contexts(&cluster.replica(3).reads), [(5, 2)]);
    assert!(cluster.replica(1).reads.is_empty());
}

#[test]
fn nothing_is_read_before_the_first_commit_of_a_term() {
    let membership = Membership::of_voters((1..=3).map(n));
    let mut cluster = Cluster::new(membership, 1, |config| config.check_quorum = false);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    // 2 is elected, but its no-op does not come through.
    let append = |message: &Message| matches!(message.body, MessageBody::Append { .. });
    cluster.raft(2).campaign();
    cluster.settle_without(append);
    assert!(cluster.raft(2).is_leader());
    cluster.raft(2).read_index(ReadContext(9)).expect("it waits");
    for _ in 0..5 {
        cluster.tick();
        cluster.settle_without(append);
    }
    assert!(cluster.replica(2).reads.is_empty(), "all followers confirm, but that is not enough");
    cluster.run(3);
    assert_eq!(contexts(&cluster.replica(2).reads), [(9, 3)]);
}

#[test]
fn an_old_leader_answers_nothing() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.raft(1).read_index(ReadContext(1)).expect("it believes to lead");
    cluster.settle();
    assert!(cluster.replica(1).reads.is_empty(), "nobody confirms it");
    cluster.run(60);
    assert!(cluster.replica(1).reads.is_empty());
    assert_eq!(cluster.replica(1).reads_lost, [ReadContext(1)], "given up when it stepped down");
}

#[test]
fn a_lost_round_is_repeated_with_the_next_heartbeat() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.raft(1).read_index(ReadContext(1)).expect("a leader");
    cluster.take_ready(n(1));
    cluster.wire.clear();
    cluster.raft(1).read_index(ReadContext(2)).expect("a leader");
    cluster.settle();
    assert!(cluster.replica(1).reads.is_empty());
    cluster.run(2);
    assert_eq!(contexts(&cluster.replica(1).reads), [(1, 1), (2, 1)]);
}

#[test]
fn a_follower_gives_up_what_is_not_answered_or_not_answerable() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.raft(3).read_index(ReadContext(1)).expect("a leader is known");
    cluster.take_ready(n(3));
    cluster.wire.clear();
    cluster.run(15);
    assert_eq!(cluster.replica(3).reads_lost, [ReadContext(1)], "the question was lost");
    cluster.raft(3).read_index(ReadContext(2)).expect("a leader is known");
    cluster.raft(1).step_down();
    cluster.settle();
    assert_eq!(cluster.replica(3).reads_lost.last(), Some(&ReadContext(2)), "1 does not lead");
    cluster.raft(3).read_index(ReadContext(3)).expect("3 still believes in 1");
    cluster.raft(3).campaign();
    cluster.settle();
    assert_eq!(cluster.replica(3).reads_lost.last(), Some(&ReadContext(3)), "the lead changed");
    cluster.crash(n(1), 0);
    cluster.crash(n(2), 0);
    cluster.crash(n(3), 0);
    cluster.restart(n(3), 9);
    assert_eq!(cluster.raft(3).read_index(ReadContext(4)), Err(ReadError::NoLeader));
}

#[test]
fn the_number_of_waiting_reads_is_bounded() {
    let membership = Membership::of_voters((1..=3).map(n));
    let mut cluster = Cluster::new(membership, 1, |config| config.reads_max = 2);
    cluster.elect(1);
    cluster.isolate(1);
    let mut ask = |context| {
        let asked = cluster.raft(1).read_index(ReadContext(context));
        cluster.settle();
        asked
    };
    assert_eq!([ask(1), ask(2), ask(3)], [Ok(()), Ok(()), Err(ReadError::TooMany)]);
    cluster.heal();
    cluster.run(2);
    assert_eq!(cluster.raft(1).read_index(ReadContext(4)), Ok(()));
}
