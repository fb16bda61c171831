//! Stories about elections.

use super::cluster::{Cluster, n};
use crate::ids::{Index, Term};
use crate::raft::{Config, Membership, Message, MessageBody, Role};

fn no_pre_vote(config: &mut Config) {
    config.pre_vote = false;
    config.check_quorum = false;
}

#[test]
fn a_group_of_one_elects_itself_once_its_vote_is_durable() {
    let mut cluster = Cluster::of(1);
    cluster.raft(1).campaign();
    assert_eq!(cluster.raft(1).role(), Role::Candidate);
    assert!(cluster.take_ready(n(1)));
    assert_eq!(cluster.raft(1).role(), Role::Candidate, "the vote is not on disk yet");
    cluster.sync(n(1));
    assert!(cluster.raft(1).is_leader());
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.applied(1), ["a"]);
}

#[test]
fn five_replicas_elect_exactly_one_leader_by_time_out() {
    for seed in 1..20 {
        let voters = Membership::of_voters((1..=5).map(n));
        let mut cluster = Cluster::new(voters, seed, |_| {});
        cluster.run(60);
        let leader = cluster.leader().expect("somebody leads after three time-outs");
        for id in 1..=5 {
            assert_eq!(cluster.raft(id).leader(), Some(leader));
            assert_eq!(cluster.raft(id).commit_index(), Index(1), "the no-op is committed");
        }
    }
}

#[test]
fn votes_wait_for_the_disk() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, no_pre_vote);
    cluster.raft(1).campaign();
    cluster.take_ready(n(1));
    assert_eq!(cluster.wire.len(), 2, "requests promise nothing");
    cluster.deliver(0);
    cluster.take_ready(n(2));
    assert_eq!(cluster.wire.len(), 1, "the vote is not durable");
    cluster.sync(n(2));
    assert_eq!(cluster.wire.len(), 2);
    assert_eq!(cluster.wire[1].body, MessageBody::VoteResponse { granted: true });
    cluster.deliver(1);
    cluster.take_ready(n(1));
    assert!(!cluster.raft(1).is_leader(), "its own vote is not durable");
    cluster.sync(n(1));
    assert!(cluster.raft(1).is_leader());
}

#[test]
fn requests_for_votes_wait_for_the_entries_that_they_speak_of() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, no_pre_vote);
    cluster.elect(1);
    cluster.propose(1, "x");
    cluster.take_ready(n(1));
    while cluster.wire.len() > 1 {
        cluster.wire.pop();
    }
    cluster.deliver(0);
    cluster.take_ready(n(2));
    cluster.raft(2).campaign();
    cluster.take_ready(n(2));
    assert!(cluster.wire.is_empty(), "{:?}", cluster.wire);
    while cluster.sync(n(2)) {}
    let asked = cluster.wire.iter().filter(|it| matches!(it.body, MessageBody::Vote { .. }));
    assert_eq!(asked.count(), 2);
}

#[test]
fn a_vote_is_kept_through_a_crash() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, no_pre_vote);
    cluster.raft(1).campaign();
    cluster.isolate(3);
    while cluster.take_ready(n(1)) | cluster.sync(n(1)) {}
    cluster.deliver(0);
    while cluster.take_ready(n(2)) | cluster.sync(n(2)) {}
    cluster.wire.clear();
    cluster.crash(n(2), 0);
    cluster.restart(n(2), usize::MAX);
    let (last_index, last_term) = (Index(9), Term(0));
    let body = MessageBody::Vote { last_index, last_term, transfer: false };
    cluster.step(Message { from: n(3), to: n(2), term: Term(1), body });
    while cluster.take_ready(n(2)) | cluster.sync(n(2)) {}
    let answers: Vec<_> = cluster.wire.iter().map(|message| message.body.clone()).collect();
    assert_eq!(answers, [MessageBody::VoteResponse { granted: false }]);
}

#[test]
fn a_replica_that_comes_back_from_isolation_does_not_depose_the_leader() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.run(100);
    assert_eq!(cluster.raft(3).term(), Term(1), "a pre-vote raises no term");
    assert_eq!(cluster.raft(3).role(), Role::PreCandidate);
    cluster.heal();
    cluster.run(10);
    assert_eq!(cluster.leader(), Some(n(1)));
    assert_eq!(cluster.raft(3).leader(), Some(n(1)));
    assert_eq!(cluster.raft(1).term(), Term(1));
}

#[test]
fn a_replica_stuck_in_a_newer_term_makes_the_leader_catch_up_with_it() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(3);
    // It entered a newer term in some way that its peers have not heard of.
    let body = MessageBody::VoteResponse { granted: false };
    cluster.step(Message { from: n(2), to: n(3), term: Term(7), body });
    cluster.settle();
    assert_eq!(cluster.raft(3).term(), Term(7));
    cluster.heal();
    cluster.run(60);
    let leader = cluster.leader().expect("a leader");
    assert!(cluster.raft(1).term() > Term(7));
    assert_eq!(cluster.raft(3).leader(), Some(leader), "all three are together again");
}

#[test]
fn a_leader_without_a_quorum_steps_down_and_its_followers_elect_another() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.run(25);
    assert_eq!(cluster.raft(1).leader(), None, "it has heard nobody for an election time-out");
    cluster.run(40);
    let leader = cluster.leader().expect("the other two are a majority");
    assert_ne!(leader, n(1));
    cluster.heal();
    cluster.run(20);
    assert_eq!(cluster.raft(1).leader(), Some(leader));
}

#[test]
fn followers_that_hear_their_leader_do_not_vote() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.sent();
    cluster.raft(2).campaign();
    cluster.settle();
    assert_eq!(cluster.sent(), ["n2->n1 t2 PreVote last i1/t1", "n2->n3 t2 PreVote last i1/t1"]);
    assert_eq!(cluster.raft(1).role(), Role::Leader);
    cluster.run(4);
    assert_eq!(cluster.raft(2).leader(), Some(n(1)), "the next heartbeat brings it back");
}

#[test]
fn without_pre_votes_followers_that_hear_their_leader_still_defend_it() {
    let membership = Membership::of_voters((1..=3).map(n));
    let mut cluster = Cluster::new(membership, 1, |config| config.pre_vote = false);
    cluster.elect(1);
    cluster.raft(2).campaign();
    cluster.settle();
    assert_eq!(cluster.raft(2).role(), Role::Candidate);
    assert_eq!(cluster.raft(3).term(), Term(1));
    assert!(cluster.raft(1).is_leader());
}

#[test]
fn a_shorter_log_wins_no_votes() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, |config| {
        config.check_quorum = false;
    });
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.heal();
    cluster.raft(3).campaign();
    cluster.settle();
    assert_eq!(cluster.raft(3).role(), Role::Follower, "refused by both");
    assert_eq!(cluster.raft(3).term(), Term(1));
}

#[test]
fn strangers_and_learners_do_not_campaign_but_vote_when_asked() {
    let learners = vec![n(4)];
    let membership = Membership { learners, ..Membership::of_voters((1..=3).map(n)) };
    let mut cluster = Cluster::new(membership, 1, no_pre_vote);
    cluster.raft(4).campaign();
    assert_eq!(cluster.raft(4).role(), Role::Follower);
    cluster.raft(4).membership_applied(Membership::default());
    cluster.raft(4).campaign();
    assert_eq!(cluster.raft(4).role(), Role::Follower, "an empty membership elects nobody");
    let (last_index, last_term) = (Index(3), Term(1));
    let body = MessageBody::Vote { last_index, last_term, transfer: false };
    cluster.step(Message { from: n(9), to: n(4), term: Term(2), body });
    cluster.settle();
    assert!(cluster.sent().contains(&"n4->n9 t2 VoteResponse yes".to_owned()));
}

#[test]
fn stale_and_foreign_answers_elect_nobody() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=5).map(n)), 1, |_| {});
    cluster.raft(1).campaign();
    cluster.take_ready(n(1));
    cluster.wire.clear();
    let yes = |from, term| Message {
        from: n(from),
        to: n(1),
        term: Term(term),
        body: MessageBody::PreVoteResponse { granted: true },
    };
    for message in [yes(2, 1), yes(2, 1), yes(7, 1), yes(8, 1), yes(3, 2), yes(4, 9)] {
        cluster.step(message);
    }
    assert_eq!(cluster.raft(1).role(), Role::PreCandidate, "one yes, repeated, is not three");
    cluster.step(yes(3, 1));
    assert_eq!(cluster.raft(1).role(), Role::Candidate);
    cluster.take_ready(n(1));
    cluster.sync(n(1));
    for message in [yes(2, 1), yes(3, 1), yes(4, 2), yes(5, 2)] {
        cluster.step(message);
    }
    assert_eq!(cluster.raft(1).role(), Role::Candidate, "a pre-vote is not a vote");
}

#[test]
fn a_leader_that_steps_down_lets_another_be_elected() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.raft(1).step_down();
    assert_eq!(cluster.raft(1).role(), Role::Follower);
    cluster.run(60);
    assert!(cluster.leader().is_some());
}

#[test]
fn nobody_leads_in_a_term_that_its_disk_does_not_know() {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, no_pre_vote);
    cluster.raft(1).campaign();
    cluster.take_ready(n(1));
    while !cluster.wire.is_empty() {
        cluster.deliver(0);
        for id in 2..=3 {
            while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
        }
    }
    assert_eq!(cluster.raft(1).role(), Role::Candidate, "both others have voted");
    cluster.sync(n(1));
    assert!(cluster.raft(1).is_leader());
}
