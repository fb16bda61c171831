//! Stories about whose lead is preferred.

use super::cluster::{Cluster, n};
use crate::raft::{Config, Membership, MessageBody};

fn first_before_second(config: &mut Config) {
    config.priorities = vec![(n(1), 2), (n(2), 1)];
}

fn cluster() -> Cluster {
    Cluster::new(Membership::of_voters((1..=3).map(n)), 7, first_before_second)
}

#[test]
fn the_preferred_replica_gets_the_lead_back() {
    let mut cluster = cluster();
    cluster.elect(1);
    cluster.isolate(1);
    cluster.run(60);
    assert_ne!(cluster.leader(), Some(n(1)));
    cluster.propose_if_leading(2, "a");
    cluster.propose_if_leading(3, "a");
    cluster.settle();
    cluster.heal();
    cluster.run(60);
    assert_eq!(cluster.leader(), Some(n(1)));
    assert_eq!(cluster.applied(1), ["a"], "not before it had everything");
}

#[test]
fn by_time_out_the_preferred_one_mostly_comes_first() {
    let mut first = 0;
    for seed in 0..20 {
        let voters = Membership::of_voters((1..=3).map(n));
        let mut cluster = Cluster::new(voters, seed, first_before_second);
        cluster.run(25);
        first += u32::from(cluster.leader() == Some(n(1)));
    }
    assert!(first >= 18, "{first} of 20");
}

#[test]
fn a_preferred_replica_that_cannot_be_heard_does_not_hold_up_the_others() {
    let mut cluster = cluster();
    cluster.elect(1);
    cluster.raft(1).transfer_leader(n(3)).expect("a voter");
    cluster.settle();
    assert_eq!(cluster.leader(), Some(n(3)));
    cluster.isolate(3);
    // The first answers, but what it asks is lost.
    for _ in 0..200 {
        cluster.tick();
        cluster.settle_without(|message| {
            let asks =
                matches!(message.body, MessageBody::PreVote { .. } | MessageBody::Vote { .. });
            asks && message.from == n(1)
        });
    }
    assert!(cluster.raft(2).term() > cluster.raft(3).term(), "the second was elected");
}

/// Without pre-vote each candidate, however hopeless, starts everybody's clock anew.
#[test]
fn preferred_replicas_that_lack_entries_do_not_interrupt_the_one_that_has_them_for_ever() {
    for seed in 0..20 {
        let voters = Membership::of_voters((1..=4).map(n));
        let mut cluster = Cluster::new(voters, seed, |config| {
            first_before_second(config);
            (config.pre_vote, config.check_quorum) = (false, false);
        });
        cluster.elect(1);
        cluster.raft(1).transfer_leader(n(4)).expect("a voter");
        cluster.settle();
        cluster.isolate(1);
        cluster.isolate(2);
        cluster.propose(4, "a");
        cluster.settle();
        cluster.heal();
        cluster.isolate(4);
        cluster.run(800);
        assert_eq!(cluster.applied(3), ["a"], "seed {seed}: only the third could be elected");
    }
}
