//! Stories about compaction, and followers that only a snapshot can help.

use super::cluster::{Cluster, n};
use crate::ids::{Index, Term};
use crate::raft::{InstallError, Installed, Membership, ProgressState, SnapshotMeta};

/// Three replicas of which the third has missed entries that the leader has compacted away.
fn one_left_behind() -> Cluster {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.isolate(3);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data);
        cluster.settle();
    }
    compact(&mut cluster, 1, 3);
    cluster
}

fn compact(cluster: &mut Cluster, id: u32, through: u64) {
    let membership = cluster.membership.clone();
    let replica = cluster.replica(id);
    replica.checkpoint = replica.machine.clone();
    let compacted = replica.raft.as_mut().expect("up").compact(Index(through));
    replica.disk.compact(compacted, &membership);
}

#[test]
fn a_follower_behind_the_logs_start_gets_a_snapshot_and_goes_on() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.tick();
    cluster.tick();
    for _ in 0..20 {
        for id in 1..=3 {
            while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
        }
        if !cluster.wire.is_empty() {
            cluster.deliver(0);
        }
    }
    assert_eq!(cluster.snapshots.len(), 1, "asked for once");
    assert!(matches!(cluster.raft(1).status().peers[1].state, ProgressState::Snapshot(_)));
    // Nothing is sent to it meanwhile but heartbeats.
    cluster.propose(1, "d");
    cluster.sent();
    cluster.take_ready(n(1));
    assert!(cluster.sent().iter().all(|message| !message.starts_with("n1->n3 t1 Append")));
    cluster.settle();
    assert_eq!(cluster.raft(3).status().base, Index(4));
    cluster.run(2);
    assert_eq!(cluster.applied(3), ["a", "b", "c", "d"]);
    assert_eq!(cluster.raft(1).status().peers[1].state, ProgressState::Replicate);
}

#[test]
fn a_failed_snapshot_is_asked_for_again_at_the_pace_of_heartbeats() {
    let mut cluster = one_left_behind();
    cluster.heal();
    let mut asked = 0;
    for _ in 0..10 {
        cluster.tick();
        for _ in 0..50 {
            for id in 1..=3 {
                while cluster.take_ready(n(id)) | cluster.sync(n(id)) {}
            }
            if !cluster.wire.is_empty() {
                cluster.deliver(0);
            }
            asked += cluster.snapshots.len();
            while cluster.deliver_snapshot(false) {}
        }
    }
    assert_eq!(asked, 5, "once per heartbeat");
    cluster.run(3);
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
}

#[test]
fn no_snapshot_is_made_for_a_peer_that_nobody_hears() {
    let mut cluster = one_left_behind();
    cluster.run(30);
    cluster.propose(1, "d");
    cluster.run(10);
    assert!(cluster.snapshots.is_empty());
    assert_eq!(cluster.raft(1).status().peers[1].state, ProgressState::Probe);
}

#[test]
fn a_snapshot_of_the_very_last_entry_lets_the_follower_go_on() {
    let mut cluster = one_left_behind();
    compact(&mut cluster, 1, 4);
    cluster.heal();
    cluster.run(2);
    assert_eq!(cluster.raft(1).status().peers[1].state, ProgressState::Replicate);
    cluster.propose(1, "d");
    cluster.settle();
    assert_eq!(cluster.applied(3), ["a", "b", "c", "d"]);
}

fn meta(index: u64, term: u64) -> SnapshotMeta {
    let membership = Membership::of_voters((1..=3).map(n));
    SnapshotMeta { index: Index(index), term: Term(term), membership }
}

#[test]
fn old_and_foreign_snapshots_are_refused() {
    let mut cluster = one_left_behind();
    let install = |cluster: &mut Cluster, id, meta| cluster.raft(id).snapshot_installed(meta);
    let too_old = InstallError::TooOld { snapshot: Index(3), needed: Index(5) };
    assert_eq!(install(&mut cluster, 2, meta(3, 1)), Err(too_old));
    assert_eq!(install(&mut cluster, 2, meta(9, 8)), Err(InstallError::Foreign));
    let mut unsorted = meta(9, 1);
    unsorted.membership.voters.reverse();
    assert_eq!(install(&mut cluster, 2, unsorted), Err(InstallError::Foreign));
    assert_eq!(install(&mut cluster, 1, meta(9, 1)), Err(InstallError::Leading));
    assert_eq!(cluster.raft(2).status().base, Index(0));
}

#[test]
fn a_log_that_agrees_with_the_snapshot_is_kept() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    // 2 has the entries, but does not know that they are committed.
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.take_ready(n(1));
    cluster.deliver(0);
    while cluster.take_ready(n(2)) | cluster.sync(n(2)) {}
    assert_eq!(cluster.raft(2).commit_index(), Index(1));
    let installed = cluster.raft(2).snapshot_installed(meta(2, 1));
    assert_eq!(installed, Ok(Installed::LogKept));
    let status = cluster.raft(2).status();
    assert_eq!((status.applied, status.commit, status.last), (Index(2), Index(2), Index(3)));
    let ready = cluster.raft(2).ready();
    assert!(ready.restart.is_none());
}

#[test]
fn a_restarted_log_is_acknowledged_when_the_restart_is_durable() {
    let mut cluster = one_left_behind();
    let machine = cluster.replica(1).machine.clone();
    cluster.replica(3).machine = machine.clone();
    cluster.replica(3).checkpoint = machine;
    let installed = cluster.raft(3).snapshot_installed(meta(4, 1));
    assert_eq!(installed, Ok(Installed::LogRestarted));
    cluster.sent();
    cluster.take_ready(n(3));
    assert!(cluster.sent().is_empty());
    assert_eq!(cluster.replica(3).disk.base.index, Index(0));
    // A crash before that: the installed state is found, and the log follows it.
    cluster.crash(n(3), 0);
    cluster.restart(n(3), 9);
    assert_eq!(cluster.raft(3).status().base, Index(4));
    cluster.heal();
    cluster.run(2);
    cluster.propose(1, "d");
    cluster.settle();
    assert_eq!(cluster.applied(3), ["a", "b", "c", "d"]);
}

#[test]
fn a_replica_whose_state_is_older_than_its_log_asks_for_a_snapshot() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data);
    }
    cluster.settle();
    compact(&mut cluster, 3, 3);
    // Its state machine forgets what it had promised to remember.
    cluster.replica(3).checkpoint = Default::default();
    cluster.crash(n(3), 0);
    cluster.restart(n(3), 9);
    assert!(cluster.raft(3).status().needs_snapshot);
    cluster.raft(3).campaign();
    assert!(cluster.raft(3).status().leader.is_none() && cluster.raft(3).term() == Term(1));
    cluster.propose(1, "d");
    cluster.run(4);
    assert_eq!(cluster.applied(3), ["a", "b", "c", "d"]);
    assert!(!cluster.raft(3).status().needs_snapshot);
    assert_eq!(cluster.raft(3).status().last, Index(5), "its log was never touched");
}

#[test]
#[should_panic(expected = "only what is applied is compacted")]
fn what_is_not_applied_is_not_compacted() {
    let mut cluster = Cluster::of(1);
    cluster.elect(1);
    cluster.raft(1).compact(Index(5));
}
