//! Stories about reads on the word of a quorum.

use super::cluster::{Cluster, n};
use crate::ids::{Index, Term};
use crate::raft::role::RoleState;
use crate::raft::{
    Change, ChangeKind, Config, Lease, LeaseError, Membership, MembershipChange, Message,
    MessageBody, Raft, ReadContext, Restored, Transition,
};
use bytes::Bytes;

/// A tick is ten milliseconds; the time-out is ten ticks, of which one is slack and one is drift.
const TICK: u64 = 10;

fn leases(config: &mut Config) {
    config.lease = Some(Lease { millis: 80 });
}

struct Clock {
    cluster: Cluster,
    now: u64,
}

impl Clock {
    fn new() -> Self {
        let cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, leases);
        let mut clock = Self { cluster, now: 1000 };
        clock.cluster.elect(1);
        clock
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.now += TICK;
            for replica in self.cluster.replicas.values_mut() {
                replica.raft.as_mut().expect("up").set_clock(self.now);
            }
            self.cluster.run(1);
        }
    }
}

#[test]
fn heartbeats_renew_a_lease_and_silence_ends_it() {
    let mut clock = Clock::new();
    assert_eq!(clock.cluster.raft(1).lease_read(clock.now), Err(LeaseError::Expired));
    clock.run(4);
    let now = clock.now;
    let read = clock.cluster.raft(1).lease_read(now).expect("a quorum has answered");
    assert_eq!(read.index, Index(1));
    assert!(clock.cluster.raft(1).lease_holds(&read, now));
    let elsewhere = clock.cluster.raft(2).lease_read(now);
    assert_eq!(elsewhere, Err(LeaseError::NotLeader { leader: Some(n(1)) }));
    clock.cluster.isolate(1);
    clock.run(9);
    assert!(clock.cluster.raft(1).is_leader(), "it does not know better");
    assert_eq!(clock.cluster.raft(1).lease_read(clock.now), Err(LeaseError::Expired));
}

#[test]
fn only_those_who_give_the_promise_count_for_a_lease() {
    let mut clock = Clock::new();
    let lease = clock.cluster.raft(2).config.lease.take();
    clock.cluster.raft(3).config.lease = None;
    clock.run(6);
    assert_eq!(clock.cluster.raft(1).lease_read(clock.now), Err(LeaseError::Expired));
    clock.cluster.raft(1).read_index(ReadContext(1)).expect("by asking it is served");
    clock.run(400);
    let RoleState::Leader(leader) = &clock.cluster.raft(1).role else { panic!("it leads") };
    assert!(leader.lease.begun.len() < 9, "{:?}", leader.lease);
    clock.cluster.raft(2).config.lease = lease;
    clock.run(4);
    let read = clock.cluster.raft(1).lease_read(clock.now).expect("two of three are bound");
    assert!(read.until() > clock.now && read.until() <= clock.now + 80);
}

#[test]
fn a_lease_ends_with_the_membership_it_rests_on_and_with_sleep() {
    let mut clock = Clock::new();
    clock.run(4);
    let change = MembershipChange {
        transition: Transition::Auto,
        changes: vec![Change { kind: ChangeKind::Remove, id: n(3), disk: None }],
        context: Bytes::new(),
    };
    clock.cluster.raft(1).propose_change(&change).expect("a leader");
    clock.cluster.settle();
    clock.cluster.isolate(3);
    assert_eq!(clock.cluster.raft(1).membership().voters, [n(1), n(2)]);
    assert_eq!(clock.cluster.raft(1).lease_read(clock.now), Err(LeaseError::Expired));
    clock.run(4);
    clock.cluster.raft(1).lease_read(clock.now).expect("the new members are bound");

    clock.cluster.raft(1).config.quiet_ticks = Some(3);
    clock.run(8);
    assert!(clock.cluster.raft(1).is_quiet());
    assert_eq!(clock.cluster.raft(1).lease_read(clock.now), Err(LeaseError::Expired));
    assert!(clock.cluster.raft(1).is_quiet(), "a read that is refused wakes nobody");
}

#[test]
fn a_pause_between_check_and_answer_is_noticed() {
    let mut clock = Clock::new();
    clock.run(4);
    let read = clock.cluster.raft(1).lease_read(clock.now).expect("fresh");
    assert!(!clock.cluster.raft(1).lease_holds(&read, clock.now + 200));
    clock.run(4);
    assert!(clock.cluster.raft(1).lease_holds(&read, clock.now), "renewed in the same term");
    clock.cluster.raft(1).step_down();
    assert!(!clock.cluster.raft(1).lease_holds(&read, clock.now));
}

#[test]
fn who_has_offered_the_lead_serves_no_read_by_lease_in_this_term() {
    let mut clock = Clock::new();
    clock.run(4);
    clock.cluster.raft(1).transfer_leader(n(2)).expect("a voter");
    clock.cluster.settle_without(|message| message.body == MessageBody::TimeoutNow);
    clock.cluster.raft(1).abort_transfer();
    clock.run(6);
    assert!(clock.cluster.raft(1).is_leader());
    assert_eq!(clock.cluster.raft(1).lease_read(clock.now), Err(LeaseError::Released));
    clock.cluster.raft(1).read_index(ReadContext(1)).expect("by asking a quorum it still may");
}

#[test]
fn a_voter_keeps_its_word_through_a_restart() {
    let mut clock = Clock::new();
    clock.run(4);
    clock.cluster.crash(n(2), usize::MAX);
    clock.cluster.restart(n(2), usize::MAX);
    let vote = |transfer| Message {
        from: n(3),
        to: n(2),
        term: Term(9),
        body: MessageBody::Vote { last_index: Index(9), last_term: Term(1), transfer },
    };
    clock.cluster.raft(2).step(vote(false)).expect("fine");
    clock.cluster.raft(2).campaign();
    assert_eq!(clock.cluster.raft(2).term(), Term(1), "it stands by whom it may have promised to");
    let mut transferred = Clock::new();
    transferred.cluster.crash(n(2), usize::MAX);
    transferred.cluster.restart(n(2), usize::MAX);
    transferred.cluster.raft(2).step(vote(true)).expect("fine");
    assert_eq!(transferred.cluster.raft(2).status().vote, Some(n(3)), "the leader wants it");
    clock.cluster.isolate(1);
    clock.run(60);
    assert!(clock.cluster.leader() != Some(n(1)), "in the end another is elected");
}

#[test]
fn a_newer_term_does_not_release_a_voter() {
    let mut clock = Clock::new();
    clock.run(4);
    let raft = clock.cluster.raft(2);
    let body = MessageBody::ReadIndexResponse { id: 7, index: None };
    raft.step(Message { from: n(3), to: n(2), term: Term(5), body }).expect("fine");
    assert_eq!((raft.term(), raft.leader()), (Term(5), None));
    let body = MessageBody::Vote { last_index: Index(9), last_term: Term(1), transfer: false };
    raft.step(Message { from: n(3), to: n(2), term: Term(5), body }).expect("fine");
    assert_eq!(raft.status().vote, None);
}

#[test]
fn with_leases_a_leader_is_not_forgotten_and_a_newborn_may_vote_at_once() {
    let mut clock = Clock::new();
    clock.run(4);
    assert!(clock.cluster.raft(2).forget_leader().is_err());
    assert_eq!(clock.cluster.raft(2).leader(), Some(n(1)));
    let mut config = Config::new(n(1), 1);
    leases(&mut config);
    let mut alone = Raft::new(config, Restored::newborn([n(1)])).expect("a newborn");
    alone.campaign();
    assert!(alone.has_ready());
}

/// The leader sleeps while others elect another and go on: what it would read when it wakes up.
fn read_after_sleep(change: fn(&mut Config)) -> (Result<Index, LeaseError>, Index) {
    let mut cluster = Cluster::new(Membership::of_voters((1..=3).map(n)), 1, change);
    cluster.elect(1);
    let mut now = 1000;
    for ticks in 0..60 {
        now += TICK;
        for id in 1..=3 {
            let raft = cluster.raft(id);
            raft.set_clock(now);
            if ticks < 6 || id > 1 {
                raft.tick();
            }
        }
        if ticks == 6 {
            cluster.isolate(1);
        }
        cluster.settle();
    }
    for id in 2..=3 {
        cluster.propose_if_leading(id, "news");
    }
    cluster.settle();
    let read = cluster.raft(1).lease_read(now).map(|read| read.index);
    (read, cluster.raft(2).commit_index())
}

#[test]
fn a_lease_is_worth_as_much_as_its_margin() {
    let (read, commit) = read_after_sleep(leases);
    assert_eq!((read, commit), (Err(LeaseError::Expired), Index(3)));
    let (stale, commit) = read_after_sleep(|config| config.lease = Some(Lease { millis: 5000 }));
    assert!(stale.expect("it believes in its lease") < commit, "and would be wrong");
}
