//! Stories about idle groups.

use super::cluster::{Cluster, n};
use crate::ids::{Index, Term};
use crate::raft::{Config, Membership, Message, MessageBody, ReadContext};

fn sleepy(config: &mut Config) {
    config.quiet_ticks = Some(5);
}

fn asleep() -> Cluster {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, sleepy);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.run(12);
    for id in 1..=3 {
        assert!(cluster.raft(id).is_quiet(), "{id}");
    }
    cluster.sent();
    cluster
}

#[test]
fn an_idle_group_sends_nothing_and_keeps_its_leader() {
    let mut cluster = asleep();
    cluster.run(500);
    assert_eq!(cluster.sent(), Vec::<String>::new());
    assert_eq!(cluster.leader(), Some(n(1)));
}

#[test]
fn anything_wakes_everybody() {
    let mut cluster = asleep();
    cluster.propose(1, "b");
    cluster.settle();
    assert_eq!(cluster.applied(3), ["a", "b"]);
    assert!((1..=3).all(|id| !cluster.raft(id).is_quiet()));
    let mut cluster = asleep();
    cluster.raft(3).read_index(ReadContext(7)).expect("the leader is known");
    cluster.settle();
    assert_eq!(cluster.replica(3).reads.len(), 1);
    cluster.run(40);
    assert!((1..=3).all(|id| cluster.raft(id).is_quiet()), "and then it sleeps again");
}

#[test]
fn a_dead_leader_is_replaced_when_its_followers_are_woken() {
    let mut cluster = asleep();
    cluster.isolate(1);
    cluster.run(100);
    assert_eq!(cluster.leader(), Some(n(1)), "nobody noticed");
    cluster.raft(2).wake();
    cluster.raft(3).wake();
    cluster.run(60);
    assert!(cluster.raft(2).is_leader() || cluster.raft(3).is_leader());
}

#[test]
fn who_missed_the_good_night_wakes_the_leader_and_is_calmed() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, sleepy);
    cluster.elect(1);
    for _ in 0..12 {
        cluster.tick();
        cluster.settle_without(|message| {
            message.to == n(3) && matches!(message.body, MessageBody::Quiet { .. })
        });
    }
    assert!(cluster.raft(1).is_quiet() && !cluster.raft(3).is_quiet());
    cluster.run(60);
    assert_eq!((cluster.leader(), cluster.raft(1).term()), (Some(n(1)), Term(1)));
    assert!(cluster.raft(3).is_quiet(), "it was told again");
}

#[test]
fn who_lacks_something_does_not_sleep_and_a_late_good_night_means_nothing() {
    let mut cluster = asleep();
    let raft = cluster.raft(2);
    raft.wake();
    let quiet = |index, log_term| Message {
        from: n(1),
        to: n(2),
        term: Term(1),
        body: MessageBody::Quiet { index: Index(index), log_term: Term(log_term) },
    };
    raft.step(quiet(9, 1)).expect("it may have lost something");
    assert!(!raft.is_quiet());
    raft.step(quiet(2, 1)).expect("exactly so");
    assert!(raft.is_quiet());
}

#[test]
fn a_group_sleeps_without_the_dead_and_wakes_for_them_if_they_lack_anything() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, sleepy);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.run(8);
    assert!(!cluster.raft(1).is_quiet(), "the third may only be slow");
    cluster.run(20);
    assert!(cluster.raft(1).is_quiet() && cluster.raft(2).is_quiet());
    cluster.heal();
    cluster.raft(1).peer_returned(n(2));
    assert!(cluster.raft(1).is_quiet(), "the second has everything");
    cluster.raft(1).peer_returned(n(3));
    cluster.run(20);
    assert_eq!(cluster.applied(3), ["a"]);
}
