//! What must never happen, whatever the schedule: Raft's safety properties (paper, figure 3), and the
//! promises about disks that they rest on. Each is checked against the disks, not against what the
//! replicas believe.

use super::cluster::Replica;
use crate::ids::{Index, NodeId, Term};
use crate::raft::{Entry, Membership, Message, MessageBody, ReadContext, quorum};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Checker {
    /// Who belonged to the group after each change.
    memberships: BTreeMap<Index, Membership>,
    /// Election safety: the leader of each term.
    leaders: BTreeMap<Term, NodeId>,
    /// Whom each replica has voted for, as it told others.
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// What was acknowledged, by whom and in which term.
    acknowledged: BTreeSet<(NodeId, Term, Index)>,
    /// State machine safety: what was applied at each index, from 1.
    pub(super) history: Vec<(Term, Bytes)>,
    /// The largest commit index that any replica has known.
    pub(super) commit: Index,
    /// For each of those indexes, from 1, the term in which it was known to be committed first.
    committed_in: Vec<Term>,
    /// The commit index that each read has to see.
    reads: BTreeMap<ReadContext, Index>,
    /// Reads that were answered.
    pub(super) reads_answered: usize,
}

impl Checker {
    pub(super) fn new(membership: Membership) -> Self {
        Self { memberships: [(Index(0), membership)].into(), ..Self::default() }
    }

    /// `entry`, when applied, leaves this membership in force.
    pub(super) fn changes(&mut self, entry: &Entry, membership: &Membership) {
        assert!(membership.is_consistent(), "{membership:?}");
        let first = self.memberships.entry(entry.index).or_insert_with(|| membership.clone());
        assert_eq!(first, membership, "after {}", entry.index);
    }

    /// Everything up to this entry counts as committed, although nobody has counted.
    pub(super) fn decreed(&mut self, entry: &Entry) {
        self.commit = entry.index;
        let length = usize::try_from(self.commit.0).expect("small");
        self.committed_in.resize(length, entry.term);
    }

    /// How often the membership has changed.
    pub(super) fn changed(&self) -> usize {
        self.memberships.len() - 1
    }

    /// `replica` applies `entry`.
    pub(super) fn applies(&mut self, id: NodeId, replica: &Replica, entry: &Entry) {
        let applied = Index(replica.machine.history.len() as u64);
        assert_eq!(entry.index, applied.next(), "{id} applies in order");
        assert_eq!(
            replica.disk.entry(entry.index),
            Some(entry),
            "{id} applies what its own disk holds"
        );
        let at = usize::try_from(applied.0).expect("small");
        match self.history.get(at) {
            Some(known) => {
                assert_eq!(*known, (entry.term, entry.data.clone()), "{id} at {}", entry.index);
            }
            None => self.history.push((entry.term, entry.data.clone())),
        }
    }

    /// A replica sends `message`, or a secretary.
    pub(super) fn sends(&mut self, message: &Message, replicas: &BTreeMap<NodeId, Replica>) {
        if let MessageBody::RelayReport { answers, .. } = &message.body {
            for answer in answers.iter().filter(|answer| answer.reject.is_none()) {
                assert!(
                    self.acknowledged.contains(&(answer.from, message.term, answer.index)),
                    "{message}: what {} never said",
                    answer.from
                );
            }
            return;
        }
        let Some(replica) = replicas.get(&message.from) else {
            return; // What a secretary passes on is the leader's.
        };
        let disk = &replica.disk;
        let vote = match message.body {
            MessageBody::Vote { last_index, last_term, .. } => {
                let durable = disk.term(last_index) == Some(last_term)
                    || replica.checkpoint.applied() >= last_index;
                assert!(durable, "{message}: it would forget entries that it speaks of");
                None
            }
            MessageBody::VoteResponse { granted: true } => Some(message.to),
            MessageBody::AppendResponse { index, reject: None }
            | MessageBody::RelayedResponse { index, reject: None, .. } => {
                self.acknowledged.insert((message.from, message.term, index));
                // A durable later term says as much as the entries: they were taken and then cut off,
                // both before this Ready, and all of that is durable.
                let durable = disk.hard.term > message.term
                    || (disk.hard.term == message.term && disk.last() >= index);
                assert!(durable || index == Index(0), "{message}: before it was durable");
                None
            }
            _ => None,
        };
        if let Some(vote) = vote {
            let key = (message.from, message.term);
            let first = *self.votes.entry(key).or_insert(vote);
            assert_eq!(first, vote, "{message}: the second vote of a term");
            // A durable later term is as good: it can never vote in this one again.
            let durable = disk.hard.term > message.term
                || (disk.hard.term, disk.hard.vote) == (message.term, Some(vote));
            assert!(durable, "{message}: before it was durable");
        }
    }

    /// Looks at all replicas, after anything happened.
    pub(super) fn observe(&mut self, replicas: &BTreeMap<NodeId, Replica>) {
        for (&id, replica) in replicas {
            let Some(raft) = &replica.raft else { continue };
            if raft.is_leader() {
                let first = *self.leaders.entry(raft.term()).or_insert(id);
                assert_eq!(first, id, "two leaders in {}", raft.term());
            }
            let commit = raft.commit_index();
            if commit <= self.commit {
                continue;
            }
            // Somebody knows of a new commit: a quorum must have it on disk.
            let term = raft.term_at(commit).expect("a committed index is in the log");
            let has = |id: NodeId| {
                let disk = replicas.get(&id).map(|replica| &replica.disk);
                // What lies before the start of a log is covered by a snapshot.
                let has = disk.is_some_and(|disk| {
                    disk.term(commit) == Some(term) || disk.base.index > commit
                });
                u64::from(has)
            };
            // The quorum of those who believe it: neighbouring memberships share one.
            let held = quorum::joint_reached(raft.membership(), has);
            assert!(held >= 1, "{id} commits {commit} without a quorum of disks");
            self.commit = commit;
            let length = usize::try_from(commit.0).expect("small");
            self.committed_in.resize(length, raft.term());
        }
    }

    /// Leader completeness and log matching, which take longer to check.
    pub(super) fn inspect(&self, replicas: &BTreeMap<NodeId, Replica>) {
        let rafts = replicas.values().filter_map(|replica| replica.raft.as_ref());
        for leader in rafts.filter(|raft| raft.is_leader()) {
            let base = leader.status().base;
            for (index, (entry, committed_in)) in
                (1..).map(Index).zip(self.history.iter().zip(&self.committed_in))
            {
                assert!(
                    index < base
                        || *committed_in > leader.term()
                        || leader.term_at(index) == Some(entry.0),
                    "{} leads {} without {index}, committed in {committed_in}",
                    leader.id(),
                    leader.term()
                );
            }
        }
        let disks: Vec<_> = replicas.values().map(|replica| &replica.disk).collect();
        for (at, one) in disks.iter().enumerate() {
            for two in &disks[at + 1..] {
                let first = one.base.index.max(two.base.index).next();
                let last = one.last().min(two.last());
                let indexes = || (first.0..=last.0).rev().map(Index);
                let same = indexes().find(|&index| one.term(index) == two.term(index));
                for index in indexes().filter(|&index| same.is_some_and(|same| index <= same)) {
                    assert_eq!(one.entry(index), two.entry(index), "logs differ below {same:?}");
                }
            }
        }
    }

    /// A read begins: it must see everything that anybody knows to be committed.
    pub(super) fn read_begins(&mut self, context: ReadContext) {
        self.reads.insert(context, self.commit);
    }

    /// A read may be answered from `index` on.
    pub(super) fn read_ends(&mut self, context: ReadContext, index: Index) {
        let needed = self.reads.remove(&context).expect("a read that was asked for, answered once");
        assert!(index >= needed, "a stale read: {index}, but {needed} was committed");
        self.reads_answered += 1;
    }

    /// A read is given up.
    pub(super) fn read_lost(&mut self, context: ReadContext) {
        assert!(self.reads.remove(&context).is_some(), "a read that was asked for, lost once");
    }
}
