//! Random schedules: every seed is a run in which messages are lost, repeated and reordered, replicas
//! crash and forget what was not synced, disks and snapshots are slow or fail; and after which, once
//! the faults stop, the cluster must come back.

use super::chaos_helpers::{Helping, OBSERVERS};
use super::cluster::{Cluster, n};
use super::disk::Disk;
use crate::ids::{Index, NodeId};
use crate::raft::random::Random;
use crate::raft::{
    Change, ChangeKind, Config, Lease, LeaseRead, Membership, MembershipChange, Raft, ReadContext,
    StepError, Transition,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Limits so small that every window, page and tail is hit all the time.
fn tiny(config: &mut Config) {
    config.append_bytes_max = 120;
    config.inflight_messages_max = 3;
    config.inflight_bytes_max = 300;
    config.uncommitted_bytes_max = 1000;
    config.tail_bytes_max = 200;
    config.apply_bytes_max = 150;
    config.reads_max = 8;
}

fn plain(config: &mut Config) {
    tiny(config);
    (config.pre_vote, config.check_quorum) = (false, false);
}

fn lazy(config: &mut Config) {
    tiny(config);
    config.eager_commit = false;
}

/// What a run must have seen to count as one.
#[derive(Debug, Default)]
pub(super) struct Seen {
    commits: u64,
    terms: u64,
    reads: usize,
    restarts: u64,
    snapshots: u64,
    fetches: u64,
    changes: u64,
    leases: u64,
    /// Appends by way of secretaries.
    relayed: u64,
    /// Secretaries that died.
    pub(super) lost: u64,
    /// Reads answered by observers.
    observed: u64,
}

pub(super) struct Chaos {
    pub(super) cluster: Cluster,
    pub(super) random: Random,
    pub(super) ids: Vec<NodeId>,
    contexts: u64,
    proposals: u64,
    /// How much trouble there is at the moment, percent.
    storm: u32,
    pub(super) seen: Seen,
    /// Whether the membership changes meanwhile.
    pub(super) changes: bool,
    /// With observers and secretaries.
    pub(super) helpers: Option<Helping>,
    /// With leases: the time, in milliseconds, and when each clock ticked last.
    time: Option<(u64, BTreeMap<NodeId, u64>)>,
    /// Nodes that are asleep, and until when.
    asleep: BTreeMap<NodeId, u64>,
    /// Reads by lease that are being prepared: by whom, and what they have to see.
    prepared: Vec<(NodeId, LeaseRead, Index)>,
}

/// With leases on, one thing happens in a millisecond, and a tick takes this many.
const TICK_MILLIS: u64 = 40;

impl Chaos {
    pub(super) fn new(membership: Membership, seed: u64, change: fn(&mut Config)) -> Self {
        Self {
            ids: membership.everyone(),
            cluster: Cluster::new(membership, seed, change),
            random: Random::new(seed),
            contexts: 0,
            proposals: 0,
            storm: 0,
            seen: Seen::default(),
            changes: false,
            helpers: None,
            time: None,
            asleep: BTreeMap::new(),
            prepared: Vec::new(),
        }
    }

    /// With clocks that agree with the ticks, for leases.
    fn with_clocks(membership: Membership, seed: u64, change: fn(&mut Config)) -> Self {
        let mut chaos = Self::with_changes(membership, seed, change);
        chaos.time = Some((0, BTreeMap::new()));
        chaos
    }

    /// A millisecond passes, and the clock of this node ticks when it is due; answers whether the node
    /// is awake. One that wakes up may do this and that before it gets its ticks.
    fn pass_time(&mut self, id: NodeId) -> bool {
        let late = self.chance(50);
        let sleeps = self.random.below(2000) == 0;
        let length = u64::from(self.random.below(2000));
        let Some((now, ticked)) = &mut self.time else {
            return true;
        };
        *now += 1;
        if sleeps {
            self.asleep.insert(id, *now + length);
        }
        if self.asleep.get(&id).is_some_and(|until| *until > *now) {
            return false;
        }
        let last = ticked.entry(id).or_insert(*now);
        while *now >= *last + TICK_MILLIS && !late {
            *last += TICK_MILLIS;
            if let Some(raft) = self.cluster.replica(id.0).raft.as_mut() {
                raft.tick();
            }
        }
        let now = *now;
        if self.chance(50)
            && let Some(raft) = self.cluster.replica(id.0).raft.as_mut()
        {
            raft.set_clock(now);
        }
        true
    }

    /// Begins a read by lease, or ends one that was begun a while ago.
    fn read_by_lease(&mut self, id: NodeId) {
        let Some((now, _)) = self.time else {
            return;
        };
        let commit = self.cluster.checker.commit;
        // The clock was read a while before it is acted upon.
        let late = u64::from(self.random.below(30));
        if let Ok(read) = self.cluster.raft(id.0).lease_read(now.saturating_sub(late)) {
            self.prepared.push((id, read, commit));
        }
        for (id, read, needed) in std::mem::take(&mut self.prepared) {
            if self.chance(50) {
                self.prepared.push((id, read, needed));
            } else if let Some(raft) = &self.cluster.replica(id.0).raft
                && raft.lease_holds(&read, now)
            {
                assert!(read.index >= needed, "a stale read by lease: {read:?} of {needed}");
                self.seen.leases += 1;
            }
        }
    }

    /// With two more replicas that belong to nothing yet, and changes of the membership.
    pub(super) fn with_changes(membership: Membership, seed: u64, change: fn(&mut Config)) -> Self {
        let mut chaos = Self::new(membership, seed, change);
        for id in [n(4), n(5)] {
            chaos.cluster.add(id, Disk::default());
            chaos.ids.push(id);
        }
        chaos.changes = true;
        chaos
    }

    /// Proposes any change at all, sensible or not.
    fn change_membership(&mut self, id: NodeId) {
        let transition = [Transition::Auto, Transition::Implicit, Transition::Explicit];
        let transition = transition[self.random.below(3) as usize];
        let kinds = [ChangeKind::Voter, ChangeKind::Voter, ChangeKind::Learner, ChangeKind::Remove];
        let changes = (0..self.random.below(3))
            .map(|_| Change::new(kinds[self.random.below(4) as usize], self.any_but_observers()))
            .collect();
        let change = MembershipChange { transition, changes, context: Bytes::new() };
        _ = self.cluster.raft(id.0).propose_change(&change);
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.random.below(100) < percent
    }

    fn any(&mut self) -> NodeId {
        let at = self.random.below(u32::try_from(self.ids.len()).expect("small"));
        self.ids[at as usize]
    }

    /// An observer that runs as one gives no vote, and may lose its disk: it is made a member only once it
    /// was started as a replica like the others.
    fn any_but_observers(&mut self) -> NodeId {
        let members = self.ids.partition_point(|id| id.0 <= OBSERVERS);
        self.ids[self.random.below(u32::try_from(members).expect("small")) as usize]
    }

    fn act(&mut self) {
        let id = self.any();
        if self.cluster.replica(id.0).raft.is_none() {
            if self.chance(2) {
                let tail = self.random.below(8) as usize;
                self.cluster.restart(id, tail);
            }
            return;
        }
        if !self.pass_time(id) {
            return;
        }
        match self.random.below(1000) {
            0..350 => self.wire(),
            350..600 => _ = self.cluster.take_ready(id),
            600..760 => _ = self.cluster.sync(id),
            760..830 if self.time.is_some() => self.read_by_lease(id),
            760..830 => self.cluster.raft(id.0).tick(),
            830..890 => self.propose(id),
            890..920 => self.read(id),
            920..950 => {
                let works = self.chance(80);
                self.seen.fetches += u64::from(self.cluster.fetch(id, works));
            }
            950..965 => {
                let arrives = self.chance(70);
                self.seen.snapshots += u64::from(self.cluster.deliver_snapshot(arrives) && arrives);
            }
            965..980 => self.compact(id),
            980..983 => self.cluster.heal(),
            983..990 if self.changes => self.change_membership(id),
            990..994 if self.helpers.is_some() => self.trouble_helpers(id),
            _ if self.random.below(100) < self.storm => self.trouble(id),
            _ => {}
        }
        self.cluster.checker.observe(&self.cluster.replicas);
        self.collect_reads();
    }

    fn trouble(&mut self, id: NodeId) {
        let peer = self.any();
        match self.random.below(16) {
            0..6 => {
                let kept = self.random.below(4) as usize;
                self.cluster.crash(id, kept);
                self.seen.restarts += 1;
            }
            6..10 => self.partition(),
            10..12 => self.cluster.raft(id.0).campaign(),
            12..14 => _ = self.cluster.raft(id.0).transfer_leader(peer),
            14 => self.cluster.raft(id.0).report_unreachable(peer),
            _ => self.cluster.raft(id.0).step_down(),
        }
    }

    /// Something happens to a message that is on its way.
    fn wire(&mut self) {
        let length = u32::try_from(self.cluster.wire.len()).expect("small");
        if length == 0 {
            return;
        }
        // Mostly in order, so that something gets done.
        let reach = if self.chance(80) { length.min(4) } else { length };
        let at = self.random.below(reach) as usize;
        match self.random.below(100) {
            0..6 => _ = self.cluster.wire.remove(at),
            6..12 => {
                let again = self.cluster.wire[at].clone();
                self.cluster.wire.push(again);
            }
            _ => self.cluster.deliver(at),
        }
        // An overfull wire loses its oldest messages.
        let excess = self.cluster.wire.len().saturating_sub(200);
        self.cluster.wire.drain(..excess);
    }

    fn propose(&mut self, id: NodeId) {
        self.proposals += 1;
        let data = format!("{}{}", self.proposals, "x".repeat(self.random.below(60) as usize));
        _ = self.cluster.raft(id.0).propose(Bytes::from(data));
    }

    fn read(&mut self, id: NodeId) {
        self.contexts += 1;
        let context = ReadContext(self.contexts);
        if self.cluster.raft(id.0).read_index(context).is_ok() {
            self.cluster.checker.read_begins(context);
        }
    }

    pub(super) fn collect_reads(&mut self) {
        for (id, replica) in &mut self.cluster.replicas {
            self.seen.observed += u64::from(id.0 > OBSERVERS) * replica.reads.len() as u64;
            for state in replica.reads.drain(..) {
                self.cluster.checker.read_ends(state.context, state.index);
            }
            for context in replica.reads_lost.drain(..) {
                self.cluster.checker.read_lost(context);
            }
        }
    }

    fn compact(&mut self, id: NodeId) {
        let replica = self.cluster.replica(id.0);
        let membership = replica.machine.membership.clone();
        replica.checkpoint = replica.machine.clone();
        let through = replica.machine.applied();
        let kept = u64::from(self.random.below(6));
        let replica = self.cluster.replica(id.0);
        let raft = replica.raft.as_mut().expect("up");
        let through = Index(through.0.saturating_sub(kept)).min(raft.applied_index());
        let compacted = raft.compact(through);
        // The disk forgets later, or never; and not before what was to be written earlier.
        if self.random.below(2) == 0 && self.cluster.replica(id.0).writes.is_empty() {
            let disk = &mut self.cluster.replica(id.0).disk;
            if compacted > disk.base.index {
                disk.compact(compacted, &membership);
            }
        }
    }

    fn partition(&mut self) {
        self.cluster.heal();
        let (one, two) = (self.any(), self.any());
        match self.random.below(3) {
            0 => self.cluster.isolate(one.0),
            1 => _ = self.cluster.cut.insert((one, two)),
            _ => {
                for &from in &self.ids {
                    for &to in &self.ids {
                        if (from.0 % 2) != (to.0 % 2) {
                            self.cluster.cut.insert((from, to));
                        }
                    }
                }
            }
        }
    }

    /// The faults stop; everybody must have everything soon.
    fn recover(&mut self) {
        self.cluster.heal();
        self.agree_on_helpers();
        for id in self.ids.clone() {
            if self.cluster.replica(id.0).raft.is_none() {
                self.cluster.restart(id, 5);
            }
        }
        for _ in 0..30 {
            for id in self.ids.clone() {
                // Those who watch the nodes see that all are there.
                self.cluster.raft(id.0).wake();
            }
            self.cluster.run(10);
            self.collect_reads();
            let Some(leader) = self.cluster.leader() else {
                continue;
            };
            if !self.cluster.raft(leader.0).membership().is_voter(leader) {
                self.cluster.raft(leader.0).step_down();
            }
            let last = Bytes::from_static(b"last");
            let Ok((index, _)) = self.cluster.raft(leader.0).propose(last) else {
                continue;
            };
            self.cluster.run(10);
            let membership = self.cluster.raft(leader.0).membership().clone();
            let everywhere = self.cluster.replicas.iter().all(|(id, replica)| {
                let fed = membership.contains(*id) || self.cluster.wanted.observers.contains(id);
                !fed || replica.machine.applied() >= index
            });
            if everywhere {
                self.cluster.checker.inspect(&self.cluster.replicas);
                return;
            }
        }
        for replica in self.cluster.replicas.values() {
            println!("{:?}\n{:?}", replica.raft.as_ref().map(Raft::status), replica.errors);
        }
        panic!("the cluster did not come back");
    }

    fn run(mut self, steps: u32) -> Seen {
        for step in 0..steps {
            self.act();
            if step % 500 == 0 {
                self.cluster.checker.inspect(&self.cluster.replicas);
                self.storm = [2, 10, 60][self.random.below(3) as usize];
            }
        }
        self.recover();
        for replica in self.cluster.replicas.values() {
            // Only who was removed, or added too lately, speaks out of turn.
            let may_change = self.changes || self.helpers.is_some();
            let wrong =
                |error: &StepError| !(may_change && matches!(error, StepError::NotMember(_)));
            assert!(!replica.errors.iter().any(wrong), "nobody was wrong: {:?}", replica.errors);
        }
        let relayed = self.cluster.trace.iter().filter(|line| line.contains("Relayed for"));
        self.seen.relayed = relayed.count() as u64;
        self.seen.commits = self.cluster.checker.commit.0;
        self.seen.changes = self.cluster.checker.changed() as u64;
        self.seen.reads = self.cluster.checker.reads_answered;
        let terms = self.ids.iter().map(|id| self.cluster.raft(id.0).term().0);
        self.seen.terms = terms.max().expect("there are replicas");
        self.seen
    }
}

fn survives(name: &str, membership: &Membership, seeds: u64, change: fn(&mut Config)) {
    let mut total = Seen::default();
    // Ten times as many schedules for a night: RAFT_CHAOS_FACTOR=10.
    let factor = std::env::var("RAFT_CHAOS_FACTOR").ok().and_then(|factor| factor.parse().ok());
    let seeds = seeds * factor.unwrap_or(1);
    for seed in 0..seeds {
        let make = match name {
            "leases" => Chaos::with_clocks,
            _ if name.starts_with("helped") => Chaos::with_helpers,
            _ if name.ends_with("changes") => Chaos::with_changes,
            _ => Chaos::new,
        };
        // With more replicas less happens to each of them.
        let steps = if name.starts_with("helped") { 30_000 } else { 12_000 };
        let run = || make(membership.clone(), seed, change).run(steps);
        let seen = std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("{name}: seed {seed}"));
        total.commits += seen.commits;
        total.terms += seen.terms;
        total.reads += seen.reads;
        total.restarts += seen.restarts;
        total.snapshots += seen.snapshots;
        total.fetches += seen.fetches;
        total.changes += seen.changes;
        total.leases += seen.leases;
        total.relayed += seen.relayed;
        total.lost += seen.lost;
        total.observed += seen.observed;
    }
    // A run in which nothing happened proves nothing.
    println!("{name}: {total:?}");
    assert!(total.commits > seeds * 20 && total.terms > seeds * 3, "{total:?}");
    assert!(total.reads as u64 > seeds * 3 && total.restarts > seeds * 5, "{total:?}");
    assert!(total.fetches > seeds, "{total:?}");
    assert!(name != "leases" || total.leases > seeds * 20, "{total:?}");
    let helped = total.relayed.min(total.lost * 10).min(total.observed * 10);
    assert!(!name.starts_with("helped") || helped > seeds * 10, "{total:?}");
    assert!(!name.ends_with("changes") || total.changes > seeds * 3, "{total:?}");
    assert!(membership.everyone().len() == 1 || total.snapshots > seeds / 2, "{total:?}");
}

#[test]
fn one_replica_survives_chaos() {
    survives("one", &Membership::of_voters([n(1)]), 100, tiny);
}

#[test]
fn three_replicas_survive_chaos() {
    survives("three", &Membership::of_voters((1..=3).map(n)), 400, tiny);
}

#[test]
fn five_replicas_survive_chaos() {
    survives("five", &Membership::of_voters((1..=5).map(n)), 250, tiny);
}

#[test]
fn three_replicas_survive_chaos_without_pre_vote_and_quorum_checks() {
    survives("plain", &Membership::of_voters((1..=3).map(n)), 250, plain);
}

#[test]
fn a_learner_and_lazy_commits_survive_chaos() {
    let learners = vec![n(4)];
    let membership = Membership { learners, ..Membership::of_voters((1..=3).map(n)) };
    survives("learner", &membership, 200, lazy);
}

#[test]
fn a_joint_configuration_survives_chaos() {
    let outgoing = vec![n(2), n(3), n(4)];
    let membership = Membership { outgoing, ..Membership::of_voters((1..=3).map(n)) };
    survives("joint", &membership, 200, tiny);
}

#[test]
fn changes_of_the_membership_survive_chaos() {
    survives("changes", &Membership::of_voters((1..=3).map(n)), 400, tiny);
}

#[test]
fn a_removed_leader_that_leads_on_survives_chaos() {
    survives("stubborn changes", &Membership::of_voters((1..=3).map(n)), 150, |config| {
        tiny(config);
        config.step_down_on_removal = false;
        config.changes_await_commit = false;
        config.eager_commit = false;
    });
}

#[test]
fn sleepy_groups_survive_chaos() {
    survives("sleepy changes", &Membership::of_voters((1..=3).map(n)), 150, |config| {
        tiny(config);
        config.quiet_ticks = Some(3);
        config.priorities = vec![(n(2), 1)];
    });
}

fn leases(config: &mut Config) {
    tiny(config);
    config.lease = Some(Lease { millis: 8 * TICK_MILLIS });
}

#[test]
fn reads_by_lease_survive_chaos() {
    survives("leases", &Membership::of_voters((1..=3).map(n)), 300, leases);
}

#[test]
fn observers_and_secretaries_survive_chaos() {
    survives("helped", &Membership::of_voters((1..=3).map(n)), 200, tiny);
}

#[test]
fn observers_and_secretaries_survive_chaos_and_changes() {
    survives("helped changes", &Membership::of_voters((1..=3).map(n)), 150, |config| {
        lazy(config);
        config.quiet_ticks = Some(6);
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut chaos = Chaos::new(Membership::of_voters((1..=3).map(n)), seed, tiny);
        chaos.storm = 20;
        for _ in 0..4000 {
            chaos.act();
        }
        chaos.cluster.sent()
    };
    assert!(trace(5).len() > 300);
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}
