//! A cluster in memory: replicas with disks that forget what was not synced, and a wire whose messages
//! the test delivers, drops, repeats or reorders as it likes.

use super::checker::Checker;
use super::disk::{Disk, Machine, Write};
use crate::ids::{Era, Index, NodeId, ReadyNumber, Term};
use crate::raft::{
    Config, Decree, DecreeError, Entry, EntryKind, Fetch, Membership, Message, Raft, ReadContext,
    ReadState, Ready, Restored, Secretary, SnapshotMeta, StepError,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) struct Replica {
    pub(super) raft: Option<Raft>,
    pub(super) disk: Disk,
    pub(super) writes: VecDeque<Write>,
    pub(super) machine: Machine,
    /// What of the machine survives a crash.
    pub(super) checkpoint: Machine,
    pub(super) fetches: VecDeque<Fetch>,
    pub(super) reads: Vec<ReadState>,
    pub(super) reads_lost: Vec<ReadContext>,
    /// Errors that messages have caused.
    pub(super) errors: Vec<StepError>,
    /// Restarts so far.
    lives: u64,
}

pub(super) struct Cluster {
    pub(super) replicas: BTreeMap<NodeId, Replica>,
    pub(super) membership: Membership,
    /// Those that are up.
    pub(super) secretaries: BTreeMap<NodeId, Secretary>,
    /// Errors that messages to secretaries have caused.
    pub(super) secretary_errors: Vec<StepError>,
    /// Whom the leader should feed and employ.
    pub(super) wanted: Helpers,
    /// Replicas that were made to observe.
    observers: BTreeSet<NodeId>,
    pub(super) wire: Vec<Message>,
    /// Directions in which nothing arrives.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    /// Snapshots on their way.
    pub(super) snapshots: Vec<(NodeId, NodeId, Machine)>,
    pub(super) checker: Checker,
    /// Every message sent, printed; for tests that look at the traffic.
    pub(super) trace: Vec<String>,
    change: Box<dyn Fn(&mut Config)>,
    seed: u64,
}

/// Who helps.
#[derive(Clone, Debug, Default)]
pub(super) struct Helpers {
    pub(super) observers: Vec<NodeId>,
    pub(super) secretaries: Vec<NodeId>,
}

pub(super) fn n(id: u32) -> NodeId {
    NodeId(id)
}

impl Cluster {
    /// Voters 1 to `size`.
    pub(super) fn of(size: u32) -> Self {
        Self::new(Membership::of_voters((1..=size).map(NodeId)), 1, |_| {})
    }

    pub(super) fn new(
        membership: Membership,
        seed: u64,
        change: impl Fn(&mut Config) + 'static,
    ) -> Self {
        let mut cluster = Self {
            replicas: BTreeMap::new(),
            secretaries: BTreeMap::new(),
            secretary_errors: Vec::new(),
            wanted: Helpers::default(),
            observers: BTreeSet::new(),
            wire: Vec::new(),
            cut: BTreeSet::new(),
            snapshots: Vec::new(),
            checker: Checker::new(membership.clone()),
            trace: Vec::new(),
            change: Box::new(change),
            seed,
            membership,
        };
        for id in cluster.membership.everyone() {
            let meta =
                SnapshotMeta { membership: cluster.membership.clone(), ..SnapshotMeta::default() };
            cluster.add(id, Disk { base: meta, ..Disk::default() });
        }
        cluster
    }

    /// Puts a replica on this disk into the cluster.
    pub(super) fn add(&mut self, id: NodeId, disk: Disk) {
        let machine = Machine { membership: disk.base.membership.clone(), ..Machine::default() };
        // A new disk is no old life: what is random in it must differ.
        let lives = self.replicas.get(&id).map_or(0, |replica| replica.lives);
        let replica = Replica {
            raft: None,
            disk,
            writes: VecDeque::new(),
            machine: machine.clone(),
            checkpoint: machine,
            fetches: VecDeque::new(),
            reads: Vec::new(),
            reads_lost: Vec::new(),
            errors: Vec::new(),
            lives,
        };
        self.replicas.insert(id, replica);
        self.restart(id, usize::MAX);
    }

    pub(super) fn replica(&mut self, id: u32) -> &mut Replica {
        self.replicas.get_mut(&NodeId(id)).expect("a replica of the test")
    }

    pub(super) fn raft(&mut self, id: u32) -> &mut Raft {
        self.replica(id).raft.as_mut().expect("a replica that is up")
    }

    /// Unsynced writes after the first `kept` are gone, and so is everything in memory.
    pub(super) fn crash(&mut self, id: NodeId, kept: usize) {
        let replica = self.replicas.get_mut(&id).expect("a replica");
        let written = kept.min(replica.writes.len());
        for write in replica.writes.drain(..).take(written) {
            replica.disk.write(&write);
        }
        replica.raft = None;
        replica.fetches.clear();
        replica.machine = replica.checkpoint.clone();
        self.snapshots.retain(|snapshot| snapshot.0 != id);
    }

    /// A person decides that `id` goes on alone, in this era.
    pub(super) fn decree(&mut self, id: NodeId, era: Era) -> Result<(), DecreeError> {
        let replica = self.replicas.get_mut(&id).expect("a replica");
        let Decree { entry, hard_state } =
            replica.raft.as_ref().expect("a replica that is up").decree(None, era)?;
        self.checker.decreed(&entry);
        self.crash(id, usize::MAX);
        let write = Write {
            number: ReadyNumber(0),
            restart: None,
            hard: Some(hard_state),
            entries: vec![entry],
            after: Vec::new(),
        };
        self.replicas.get_mut(&id).expect("a replica").disk.write(&write);
        self.restart(id, usize::MAX);
        Ok(())
    }

    /// Starts a replica from its disk with at most `tail` entries in memory.
    pub(super) fn restart(&mut self, id: NodeId, tail: usize) {
        let mut config = Config::new(id, 0);
        config.election_ticks = 10;
        config.heartbeat_ticks = 2;
        (self.change)(&mut config);
        config.observer = self.observers.contains(&id);
        let replica = self.replicas.get_mut(&id).expect("a replica");
        replica.lives += 1;
        config.seed = self.seed * 1_000_000 + u64::from(id.0) * 1000 + replica.lives;
        let meta = replica.machine.meta();
        if replica.disk.term(meta.index) != Some(meta.term) && meta.index > replica.disk.base.index
        {
            // The snapshot was installed, and the log had not heard of it.
            replica.disk.base = meta.clone();
            replica.disk.entries.clear();
        }
        let disk = &replica.disk;
        // Changes of the membership that are not applied are read in any case.
        let unapplied =
            |entry: &&Entry| entry.index > meta.index && entry.kind == EntryKind::Membership;
        let change = disk.entries.iter().find(unapplied);
        let needed = change.map_or(0, |change| disk.last().0 + 1 - change.index.0);
        let tail = tail.max(usize::try_from(needed).expect("small"));
        let tail = disk.entries.len() - disk.entries.len().min(tail);
        let restored = Restored {
            hard_state: disk.hard,
            base: disk.base.clone(),
            terms: disk.runs(),
            last: disk.last(),
            tail: disk.entries[tail..].to_vec(),
            membership: replica.machine.membership.clone(),
            applied: meta.index,
        };
        let mut raft = Raft::new(config, restored).expect("what the disk remembers fits");
        raft.set_observers(&self.wanted.observers);
        raft.set_secretaries(&self.wanted.secretaries);
        replica.raft = Some(raft);
    }

    /// Everybody hears that these are the observers; who is new begins with an empty disk.
    pub(super) fn observe(&mut self, ids: &[NodeId]) {
        for &id in ids {
            if self.observers.insert(id) || !self.replicas.contains_key(&id) {
                self.add(id, Disk::default());
            }
        }
        self.wanted.observers = ids.to_vec();
        self.tell_helpers();
    }

    /// Everybody hears that these are the secretaries; who was not there is there now.
    pub(super) fn employ(&mut self, ids: &[NodeId]) {
        for &id in ids {
            self.secretaries.entry(id).or_insert_with(|| Secretary::new(id));
        }
        self.wanted.secretaries = ids.to_vec();
        self.tell_helpers();
    }

    fn tell_helpers(&mut self) {
        for raft in self.replicas.values_mut().filter_map(|replica| replica.raft.as_mut()) {
            raft.set_observers(&self.wanted.observers);
            raft.set_secretaries(&self.wanted.secretaries);
        }
    }

    /// Takes one Ready, if there is one, and does all of it that needs no waiting.
    pub(super) fn take_ready(&mut self, id: NodeId) -> bool {
        let replica = self.replicas.get_mut(&id).expect("a replica");
        let Some(raft) = replica.raft.as_mut().filter(|raft| raft.has_ready()) else {
            return false;
        };
        let ready = raft.ready();
        let needs_persist = ready.needs_persist();
        let Ready { number, restart, hard_state, entries, must_sync, messages, .. } = ready;
        assert!(
            must_sync || (restart.is_none() && hard_state.is_none() && entries.is_empty()),
            "what is to be written is to be synced"
        );
        assert!(needs_persist || ready.after_persist.is_empty());
        if needs_persist {
            let after = ready.after_persist;
            replica.writes.push_back(Write { number, restart, hard: hard_state, entries, after });
        }
        for entry in ready.committed {
            self.checker.applies(id, replica, &entry);
            let raft = replica.raft.as_mut().expect("still up");
            if entry.kind == EntryKind::Membership {
                _ = raft.apply_change(&entry.data);
                replica.machine.membership = raft.membership().clone();
                self.checker.changes(&entry, &replica.machine.membership);
            }
            replica.machine.history.push((entry.term, entry.data));
        }
        let raft = replica.raft.as_mut().expect("still up");
        raft.applied(replica.machine.applied());
        replica.fetches.extend(ready.fetches);
        replica.reads.extend(ready.read_states);
        replica.reads_lost.extend(ready.reads_lost);
        for needed in ready.snapshots {
            assert!(replica.machine.applied() >= needed.index_min, "cannot make that snapshot");
            self.snapshots.push((id, needed.to, replica.machine.clone()));
        }
        self.post(messages);
        true
    }

    /// Makes the oldest unsynced write durable.
    pub(super) fn sync(&mut self, id: NodeId) -> bool {
        let replica = self.replicas.get_mut(&id).expect("a replica");
        let Some(write) = replica.writes.pop_front() else {
            return false;
        };
        replica.disk.write(&write);
        if let Some(raft) = replica.raft.as_mut() {
            raft.persisted(write.number);
        }
        self.post(write.after);
        true
    }

    /// Answers the oldest open fetch from the disk, or fails it.
    pub(super) fn fetch(&mut self, id: NodeId, works: bool) -> bool {
        let replica = self.replicas.get_mut(&id).expect("a replica");
        let Some(fetch) = replica.fetches.pop_front() else {
            return false;
        };
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut index = fetch.from_index;
        while let Some(entry) = replica.disk.entry(index).filter(|_| works) {
            bytes += entry.cost();
            if bytes > fetch.bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
            index = index.next();
        }
        replica.raft.as_mut().expect("up").fetched(fetch.to, entries);
        true
    }

    /// Brings the oldest snapshot on its way to its end.
    pub(super) fn deliver_snapshot(&mut self, arrives: bool) -> bool {
        if self.snapshots.is_empty() {
            return false;
        }
        let (from, to, machine) = self.snapshots.remove(0);
        let meta = machine.meta();
        let target = self.replicas.get_mut(&to).expect("a replica");
        let mut done = false;
        if let Some(raft) = target.raft.as_mut().filter(|_| arrives)
            && raft.check_snapshot(&meta).is_ok()
        {
            target.machine = machine.clone();
            target.checkpoint = machine;
            raft.snapshot_installed(meta).expect("checked just now");
            done = true;
        }
        if let Some(raft) = self.replicas.get_mut(&from).expect("a replica").raft.as_mut() {
            raft.report_snapshot(to, done);
        }
        true
    }

    fn post(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.checker.sends(&message, &self.replicas);
            self.trace.push(message.to_string());
            self.wire.push(message);
        }
    }

    /// Delivers the message at `at` of the wire, if its direction is open and its receiver up.
    pub(super) fn deliver(&mut self, at: usize) {
        let message = self.wire.remove(at);
        if self.cut.contains(&(message.from, message.to)) {
            return;
        }
        self.step(message);
    }

    pub(super) fn step(&mut self, message: Message) {
        let to = message.to;
        if message.is_for_secretary() {
            let Some(secretary) = self.secretaries.get_mut(&to) else {
                return;
            };
            if let Err(error) = secretary.step(message) {
                self.secretary_errors.push(error);
            }
            let messages = secretary.take_messages();
            self.post(messages);
            return;
        }
        let Some(replica) = self.replicas.get_mut(&to) else {
            return;
        };
        let Some(raft) = replica.raft.as_mut() else {
            return;
        };
        if let Err(error) = raft.step(message) {
            replica.errors.push(error);
        }
        self.checker.observe(&self.replicas);
    }

    /// Lets everything happen that needs no time, in order, until nothing does.
    pub(super) fn settle(&mut self) {
        self.settle_without(|_| false);
    }

    /// The same, but messages that are `lost` do not arrive.
    pub(super) fn settle_without(&mut self, lost: impl Fn(&Message) -> bool) {
        for _ in 0..100_000 {
            let mut moved = false;
            let ids: Vec<NodeId> = self.replicas.keys().copied().collect();
            for id in ids {
                moved |= self.take_ready(id) | self.sync(id) | self.fetch(id, true);
            }
            moved |= self.deliver_snapshot(true);
            self.wire.retain(|message| !lost(message));
            if !self.wire.is_empty() {
                self.deliver(0);
                moved = true;
            }
            self.checker.observe(&self.replicas);
            if !moved {
                return;
            }
        }
        panic!("the cluster does not come to rest: {:?}", &self.trace[self.trace.len() - 20..]);
    }

    /// All clocks move on, tick by tick, and everything settles in between.
    pub(super) fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tick();
            self.settle();
        }
    }

    pub(super) fn tick(&mut self) {
        for replica in self.replicas.values_mut() {
            if let Some(raft) = replica.raft.as_mut() {
                raft.tick();
            }
        }
        self.checker.observe(&self.replicas);
    }

    /// Makes `id` the leader.
    pub(super) fn elect(&mut self, id: u32) {
        self.raft(id).campaign();
        self.settle();
        assert!(self.raft(id).is_leader(), "{:?}", self.raft(id).status());
    }

    pub(super) fn propose(&mut self, id: u32, data: &str) -> (Index, Term) {
        let data = Bytes::copy_from_slice(data.as_bytes());
        self.raft(id).propose(data).expect("a leader with room")
    }

    /// The same, if `id` leads.
    pub(super) fn propose_if_leading(&mut self, id: u32, data: &str) {
        _ = self.raft(id).propose(Bytes::copy_from_slice(data.as_bytes()));
    }

    /// Nothing to or from `id` arrives any more.
    pub(super) fn isolate(&mut self, id: u32) {
        let ids = self.replicas.keys().chain(self.secretaries.keys());
        for other in ids.copied().collect::<Vec<_>>() {
            self.cut.insert((NodeId(id), other));
            self.cut.insert((other, NodeId(id)));
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The replica that leads in the newest term.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.replicas
            .iter()
            .filter_map(|(id, replica)| Some((replica.raft.as_ref()?, *id)))
            .filter(|(raft, _)| raft.is_leader())
            .max_by_key(|(raft, _)| raft.term())
            .map(|(_, id)| id)
    }

    /// What `id` has applied, without the no-ops.
    pub(super) fn applied(&mut self, id: u32) -> Vec<String> {
        let history = &self.replica(id).machine.history;
        let data = history.iter().map(|entry| String::from_utf8_lossy(&entry.1).into_owned());
        // Neither no-ops nor changes of the membership are printable.
        data.filter(|data| !data.is_empty() && !data.contains(char::is_control)).collect()
    }

    /// The terms of the log of `id`, by index from 1, as on its disk.
    pub(super) fn terms(&mut self, id: u32) -> Vec<u64> {
        self.replica(id).disk.entries.iter().map(|entry| entry.term.0).collect()
    }

    /// The messages sent since the last call.
    pub(super) fn sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }
}
