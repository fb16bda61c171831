//! Stories about handing the lead over.

use super::cluster::{Cluster, n};
use crate::ids::{Index, Term};
use crate::raft::{Membership, ProposeError, TransferError};
use bytes::Bytes;

#[test]
fn a_follower_that_has_everything_takes_over_at_once() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.raft(1).transfer_leader(n(2)).expect("a voter");
    cluster.settle();
    assert_eq!(cluster.leader(), Some(n(2)));
    assert_eq!(cluster.raft(1).leader(), Some(n(2)));
    assert_eq!(cluster.raft(2).term(), Term(2), "in one election, though the leader was heard");
}

#[test]
fn a_follower_that_lags_is_brought_up_first_and_nothing_is_accepted_meanwhile() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.raft(1).transfer_leader(n(2)).expect("a voter");
    cluster.settle();
    assert!(cluster.raft(1).is_leader());
    let refused = cluster.raft(1).propose(Bytes::from_static(b"b"));
    assert_eq!(refused, Err(ProposeError::TransferInProgress { to: n(2) }));
    cluster.heal();
    cluster.run(2);
    assert_eq!(cluster.leader(), Some(n(2)));
    assert_eq!(cluster.applied(2), ["a"]);
}

#[test]
fn a_transfer_that_does_not_succeed_is_given_up() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.raft(1).transfer_leader(n(2)).expect("a voter");
    let other = cluster.raft(1).transfer_leader(n(3));
    assert_eq!(other, Err(TransferError::InProgress { to: n(2) }));
    cluster.raft(1).transfer_leader(n(2)).expect("the same again is fine");
    cluster.run(10);
    assert!(cluster.raft(1).is_leader());
    assert_eq!(cluster.raft(1).status().transfer, None);
    cluster.propose(1, "b");
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(3));
}

#[test]
fn only_another_voter_can_take_over() {
    let membership =
        Membership { learners: vec![n(4)], ..Membership::of_voters([n(1), n(2), n(3)]) };
    let mut cluster = Cluster::new(membership, 1, |_| {});
    cluster.elect(1);
    for id in [1, 4, 9] {
        let refused = cluster.raft(1).transfer_leader(n(id));
        assert_eq!(refused, Err(TransferError::NotVoter(n(id))));
    }
    let refused = cluster.raft(2).transfer_leader(n(3));
    assert_eq!(refused, Err(TransferError::NotLeader { leader: Some(n(1)) }));
}
