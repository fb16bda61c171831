//! Stories about a replica whose disk has forgotten.

use super::cluster::{Cluster, n};
use super::disk::{Disk, Machine};
use crate::ids::{Index, Term};
use crate::raft::{
    ChangeKind, Config, HardState, InstallError, MembershipChange, Message, MessageBody, Raft,
    ReadContext, ReadError, Restored, Role, SnapshotMeta,
};

fn forgotten() -> Raft {
    let config = Config { forgotten: true, ..Config::new(n(2), 1) };
    Raft::new(config, Restored::newborn((1..=3).map(n))).expect("a newborn, as far as it knows")
}

fn says(term: u64, from: u32, body: MessageBody) -> Message {
    Message { from: n(from), to: n(2), term: Term(term), body }
}

#[test]
fn nothing_that_would_count_is_said() {
    let mut raft = forgotten();
    let (last_index, last_term) = (Index(9), Term(1));
    let heartbeat = MessageBody::Heartbeat { commit: Index(7), round: 3 };
    let append = MessageBody::Append {
        prev_index: Index(0),
        prev_term: Term(0),
        commit: Index(0),
        entries: Vec::new(),
    };
    for body in [
        MessageBody::PreVote { last_index, last_term },
        MessageBody::Vote { last_index, last_term, transfer: false },
        MessageBody::Vote { last_index, last_term, transfer: true },
        heartbeat,
        append,
        MessageBody::TimeoutNow,
        MessageBody::ReadIndex { id: 7 },
    ] {
        raft.step(says(4, 1, body)).expect("it is only late");
    }
    assert_eq!((raft.leader(), raft.term()), (Some(n(1)), Term(4)), "it knows whom to ask");
    for _ in 0..100 {
        raft.tick();
    }
    raft.campaign();
    assert_eq!(raft.role(), Role::Follower);
    assert_eq!(raft.read_index(ReadContext(1)), Err(ReadError::Forgotten));
    let meta = SnapshotMeta { index: Index(9), term: Term(1), ..SnapshotMeta::default() };
    assert_eq!(raft.snapshot_offered(n(1), Term(4), &meta), Ok(false));
    assert_eq!(raft.snapshot_installed(meta), Err(InstallError::Forgotten));
    let ready = raft.ready();
    assert!(ready.messages.is_empty() && ready.after_persist.is_empty(), "{ready:?}");
    assert_eq!(ready.hard_state.map(|hard: HardState| hard.vote), Some(None));
    assert!(raft.status().forgotten);
}

/// A voter's disk is wiped; it comes back as a learner, and votes again when it is made a voter.
#[test]
fn a_replica_that_was_removed_and_added_again_counts_again() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.crash(n(2), 0);
    cluster.replica(2).disk = Disk::default();
    cluster.replica(2).machine = Machine::default();
    cluster.replica(2).checkpoint = Machine::default();
    for kind in [ChangeKind::Remove, ChangeKind::Learner] {
        let change = MembershipChange::one(kind, n(2));
        cluster.raft(1).propose_change(&change).expect("the others are a quorum");
        cluster.settle();
    }
    cluster.restart(n(2), usize::MAX);
    cluster.run(6);
    assert_eq!(cluster.applied(2), ["a"]);
    let change = MembershipChange::one(ChangeKind::Voter, n(2));
    cluster.raft(1).propose_change(&change).expect("it has caught up");
    cluster.settle();
    cluster.isolate(3);
    cluster.propose(1, "b");
    cluster.settle();
    assert_eq!(cluster.applied(2), ["a", "b"], "its acknowledgement counts");
}
