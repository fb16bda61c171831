//! Stories about who belongs to the group.

use super::cluster::{Cluster, n};
use super::disk::Disk;
use crate::ids::Index;
use crate::raft::{
    Change, ChangeError, ChangeKind, Membership, MembershipChange, MessageBody, ProposeError,
    Transition,
};
use bytes::Bytes;

fn change(transition: Transition, list: &[(ChangeKind, u32)]) -> MembershipChange {
    let changes = list.iter().map(|&(kind, id)| Change::new(kind, n(id))).collect();
    MembershipChange { transition, changes, context: Bytes::new() }
}

/// Three voters, led by the first, and two replicas that belong to nothing yet.
fn cluster(settings: fn(&mut crate::raft::Config)) -> Cluster {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, settings);
    cluster.add(n(4), Disk::default());
    cluster.add(n(5), Disk::default());
    cluster.elect(1);
    cluster
}

use ChangeKind::{Learner, Remove, Voter};

#[test]
fn a_learner_gets_everything_by_a_snapshot_and_becomes_a_voter() {
    let mut cluster = cluster(|_| {});
    cluster.propose(1, "a");
    cluster.settle();
    let add = MembershipChange::one(Learner, n(4));
    cluster.raft(1).propose_change(&add).expect("nothing else changes");
    cluster.run(5);
    assert_eq!(cluster.applied(4), ["a"], "with the founders, who stand in no entry");
    assert!(cluster.raft(4).membership().is_learner(n(4)));
    let promote = MembershipChange::one(Voter, n(4));
    cluster.raft(1).propose_change(&promote).expect("nothing else changes");
    cluster.run(5);
    assert_eq!(cluster.raft(2).membership().voters, [n(1), n(2), n(3), n(4)]);
    cluster.raft(1).transfer_leader(n(4)).expect("it has a vote");
    cluster.settle();
    assert!(cluster.raft(4).is_leader());
}

#[test]
fn a_replica_that_lags_is_not_made_a_voter() {
    let mut cluster = cluster(|config| config.promotion_lag_max = Some(2));
    for _ in 0..5 {
        cluster.propose(1, "x");
    }
    cluster.settle();
    let promote = MembershipChange::one(Voter, n(4));
    let refused = cluster.raft(1).propose_change(&promote);
    assert_eq!(refused, Err(ProposeError::Lags { id: n(4), lag: 6 }));
    let add = MembershipChange::one(Learner, n(4));
    cluster.raft(1).propose_change(&add).expect("learners may lag");
    cluster.run(5);
    cluster.raft(1).propose_change(&promote).expect("it has caught up");
}

#[test]
fn one_change_at_a_time_and_none_before_the_terms_first_commit() {
    let mut cluster = cluster(|_| {});
    let add = MembershipChange::one(Learner, n(4));
    let (index, _) = cluster.raft(1).propose_change(&add).expect("nothing else changes");
    let next = MembershipChange::one(Learner, n(5));
    let refused = cluster.raft(1).propose_change(&next);
    assert_eq!(refused, Err(ProposeError::ChangeInFlight { through: index }));
    cluster.settle();
    cluster.raft(1).propose_change(&next).expect("the first is applied");
    cluster.settle();
    cluster.raft(2).campaign();
    cluster.settle_without(|message| matches!(message.body, MessageBody::Append { .. }));
    if cluster.raft(2).is_leader() {
        let refused = cluster.raft(2).propose_change(&next);
        assert!(matches!(refused, Err(ProposeError::ChangeInFlight { .. })), "{refused:?}");
    }
}

#[test]
fn changes_that_cannot_be_made_are_refused() {
    let mut cluster = cluster(|_| {});
    let leave = cluster.raft(1).propose_change(&MembershipChange::leave());
    assert_eq!(leave, Err(ProposeError::Change(ChangeError::NotJoint)));
    let nobody = change(Transition::Auto, &[(Remove, 1), (Remove, 2), (Remove, 3)]);
    let refused = cluster.raft(1).propose_change(&nobody);
    assert_eq!(refused, Err(ProposeError::Change(ChangeError::NoVoters)));
    let not_here = cluster.raft(2).propose_change(&nobody);
    assert_eq!(not_here, Err(ProposeError::NotLeader { leader: Some(n(1)) }));
}

#[test]
fn a_joint_configuration_is_left_by_itself_or_when_asked() {
    let mut cluster = cluster(|_| {});
    let swap = change(Transition::Implicit, &[(Voter, 4), (Remove, 3)]);
    cluster.raft(1).propose_change(&swap).expect("nothing else changes");
    cluster.run(6);
    let left = Membership::of_voters([n(1), n(2), n(4)]);
    assert_eq!(*cluster.raft(4).membership(), left);
    let back = change(Transition::Explicit, &[(Voter, 3), (Remove, 4)]);
    cluster.raft(1).propose_change(&back).expect("nothing else changes");
    cluster.run(6);
    assert!(cluster.raft(1).membership().is_joint());
    assert_eq!(
        cluster.raft(1).propose_change(&swap),
        Err(ProposeError::Change(ChangeError::Joint))
    );
    cluster.raft(1).propose_change(&MembershipChange::leave()).expect("it is joint");
    cluster.run(6);
    assert_eq!(*cluster.raft(3).membership(), Membership::of_voters((1..=3).map(n)));
}

#[test]
fn a_new_leader_leaves_the_joint_configuration_that_it_found() {
    let mut cluster = cluster(|_| {});
    let swap = change(Transition::Implicit, &[(Voter, 4), (Remove, 3)]);
    cluster.raft(1).propose_change(&swap).expect("nothing else changes");
    // The leader's own attempt to leave is lost with it.
    for _ in 0..200 {
        if cluster.raft(2).membership().is_joint() {
            break;
        }
        for id in 1..=3 {
            cluster.take_ready(n(id));
            cluster.sync(n(id));
        }
        if !cluster.wire.is_empty() {
            cluster.deliver(0);
        }
    }
    assert!(cluster.raft(2).membership().is_joint());
    cluster.isolate(1);
    cluster.run(60);
    cluster.heal();
    cluster.run(60);
    assert!(!cluster.raft(2).membership().is_joint());
    assert_eq!(cluster.raft(2).membership().voters, [n(1), n(2), n(4)]);
}

#[test]
fn a_removed_leader_makes_room() {
    let mut cluster = cluster(|_| {});
    let remove = MembershipChange::one(Remove, n(1));
    cluster.raft(1).propose_change(&remove).expect("nothing else changes");
    cluster.settle();
    assert!(!cluster.raft(1).is_leader());
    cluster.run(40);
    let leader = cluster.leader().expect("the others go on");
    assert_ne!(leader, n(1));
    cluster.raft(1).campaign();
    cluster.settle();
    assert_eq!(cluster.leader(), Some(leader), "it has no vote and no say");
}

#[test]
fn a_removed_leader_that_stays_takes_no_proposals() {
    let mut cluster = cluster(|config| config.step_down_on_removal = false);
    let remove = MembershipChange::one(Remove, n(1));
    cluster.raft(1).propose_change(&remove).expect("nothing else changes");
    cluster.settle();
    assert!(cluster.raft(1).is_leader());
    assert_eq!(cluster.raft(1).propose(Bytes::new()), Err(ProposeError::NotMember));
}

/// Two of three voters know that the third, and the leader, were removed; they hold longer logs than
/// the only voter left, who does not know. It must not need their votes for ever.
#[test]
fn who_lacks_only_the_knowledge_of_a_commit_is_told_with_the_refusal() {
    let mut cluster = cluster(|config| config.eager_commit = false);
    let remove = change(Transition::Implicit, &[(Remove, 1), (Remove, 2)]);
    cluster.raft(1).propose_change(&remove).expect("nothing else changes");
    // Nothing that tells a commit index reaches the third once the change is in its log.
    let leaves = Index(3);
    cluster.settle_without(|message| {
        message.to == n(3)
            && match &message.body {
                MessageBody::Append { commit, .. } | MessageBody::Heartbeat { commit, .. } => {
                    *commit >= leaves
                }
                _ => false,
            }
    });
    for _ in 0..2 {
        cluster.propose_if_leading(1, "tail");
    }
    cluster.run(100);
    assert!(cluster.raft(3).is_leader(), "{:?}", cluster.raft(3).status());
    assert_eq!(cluster.raft(3).membership().voters, [n(3)]);
}

#[test]
fn what_is_known_about_a_replica_that_comes_back_is_void() {
    let mut cluster = cluster(|_| {});
    cluster.propose(1, "a");
    cluster.settle();
    for kind in [Remove, Voter] {
        let one = MembershipChange::one(kind, n(3));
        cluster.raft(1).propose_change(&one).expect("nothing else changes");
        cluster.settle_without(|message| message.to == n(3));
    }
    let status = cluster.raft(1).status();
    let third = status.peers.iter().find(|peer| peer.id == n(3)).expect("a peer again");
    assert_eq!((third.matched, third.active), (Index(0), true));
}
