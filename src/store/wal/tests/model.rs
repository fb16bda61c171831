//! What a log should remember, kept in plain lists; and random work for both.

use crate::ids::{ClusterId, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term};
use crate::raft::{Entry, EntryKind, HardState, Membership, SnapshotMeta};
use crate::store::disk::{Disk, SimDisk};
use crate::store::wal::{Log, LogIdentity, LogOp, LogOptions, LogWrite, Recovered, RecoveredGroup};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) const DIR: &str = "/log";
pub(super) const SMALL: LogOptions =
    LogOptions { segment_bytes: 32 * 1024, background_prepare: false };

pub(super) fn identity() -> LogIdentity {
    LogIdentity { cluster: ClusterId([1; 16]), node: NodeId(1), incarnation: Incarnation(77) }
}

pub(super) fn open(disk: &SimDisk) -> (Log<SimDisk>, Recovered) {
    Log::open(disk.clone(), Path::new(DIR), identity(), SMALL).expect("the log opens")
}

pub(super) fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let kind = if index.is_multiple_of(7) { EntryKind::Membership } else { EntryKind::Normal };
    let data = (0..bytes)
        .map(|at| (index as usize * 31 + term as usize * 7 + at) as u8)
        .collect::<Vec<_>>();
    Entry { index: Index(index), term: Term(term), kind, data: Bytes::from(data) }
}

pub(super) fn meta(index: u64, term: u64) -> SnapshotMeta {
    let membership = Membership::of_voters([NodeId(1), NodeId(index as u32 + 2)]);
    SnapshotMeta { index: Index(index), term: Term(term), membership }
}

pub(super) fn hard(term: u64, vote: u32, commit: u64) -> HardState {
    HardState { term: Term(term), vote: Some(NodeId(vote)), commit: Index(commit) }
}

/// A synced write of nothing yet.
pub(super) fn write(group: u32) -> LogWrite {
    LogWrite {
        group: GroupId(group),
        generation: Generation(1),
        number: ReadyNumber(1),
        entries: Vec::new(),
        hard_state: None,
        op: None,
        must_sync: true,
    }
}

pub(super) fn append(group: u32, entries: Vec<Entry>) -> LogWrite {
    LogWrite { entries, ..write(group) }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelGroup {
    pub(super) hard_state: HardState,
    pub(super) base: SnapshotMeta,
    pub(super) entries: Vec<Entry>,
}

impl ModelGroup {
    pub(super) fn last(&self) -> u64 {
        self.base.index.0 + self.entries.len() as u64
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<GroupId, ModelGroup>,
    pub(super) dead: BTreeSet<GroupId>,
}

impl Model {
    pub(super) fn apply(&mut self, write: &LogWrite) {
        match &write.op {
            Some(LogOp::Dead) => {
                self.groups.remove(&write.group);
                self.dead.insert(write.group);
                return;
            }
            Some(LogOp::Born(_)) => {
                self.dead.remove(&write.group);
            }
            _ if self.dead.contains(&write.group) => return,
            _ => {}
        }
        let group = self.groups.entry(write.group).or_default();
        match &write.op {
            Some(LogOp::Born(membership))
                if group.base.index.0 == 0 && group.entries.is_empty() =>
            {
                group.base.membership = membership.clone();
            }
            Some(LogOp::Compacted(meta)) if meta.index >= group.base.index => {
                group.entries.retain(|entry| entry.index > meta.index);
                group.base = meta.clone();
            }
            Some(LogOp::SnapshotInstalled(meta)) => {
                group.entries.clear();
                group.base = meta.clone();
            }
            _ => {}
        }
        group.hard_state = write.hard_state.unwrap_or(group.hard_state);
        if let Some(first) = write.entries.first() {
            group.entries.retain(|entry| entry.index < first.index);
            group.entries.extend_from_slice(&write.entries);
        }
    }

    /// What the log remembers, read in small pieces; checks that all its answers agree.
    pub(super) fn of<D: Disk>(log: &Log<D>, recovered: &Recovered) -> Self {
        let mut model = Self { groups: BTreeMap::new(), dead: recovered.dead.clone() };
        for (group, found) in &recovered.groups {
            let again = log.recover_group(*group, Index(0)).expect("reads").expect("is there");
            assert_eq!(&again, found);
            let RecoveredGroup { hard_state, identity, left_behind, base, terms, last, tail } =
                found.clone();
            assert_eq!((identity, left_behind), (None, None), "nobody wrote one");
            let mut entries: Vec<Entry> = Vec::new();
            while base.index.0 + (entries.len() as u64) < last.0 {
                let from = Index(base.index.0 + entries.len() as u64 + 1);
                let more = log.reader().read(*group, from, 3000).expect("reads");
                assert!(!more.is_empty());
                entries.extend(more);
            }
            let none = log.reader().read(*group, last.next(), 3000).expect("reads");
            assert!(none.is_empty());
            assert!(entries.ends_with(&tail));
            let mut runs: Vec<(Index, Term)> = Vec::new();
            for entry in &entries {
                if runs.last().is_none_or(|run| run.1 != entry.term) {
                    runs.push((entry.index, entry.term));
                }
            }
            assert_eq!(terms, runs);
            model.groups.insert(*group, ModelGroup { hard_state, base, entries });
        }
        model
    }
}

/// Random work, the same for the same seed.
pub(super) struct Work {
    random: u64,
    pub(super) model: Model,
}

impl Work {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed, model: Model::default() }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.random >> 33) % bound
    }

    /// The next batch: one to four writes. The model has taken it in.
    pub(super) fn batch(&mut self) -> Vec<LogWrite> {
        (0..=self.below(4)).map(|_| self.write()).collect()
    }

    fn write(&mut self) -> LogWrite {
        // Group 9 is quiet: it is rarely heard of, and must be remembered all the same.
        let group = if self.below(25) == 0 { 9 } else { self.below(3) as u32 };
        let known = self.model.groups.get(&GroupId(group)).cloned();
        let mut made = LogWrite { must_sync: self.below(3) > 0, ..write(group) };
        let Some(known) = known else {
            made.op = Some(LogOp::Born(Membership::of_voters([NodeId(1), NodeId(2)])));
            self.model.apply(&made);
            return made;
        };
        let (base, last, term) = (known.base.index.0, known.last(), known.hard_state.term.0.max(1));
        match self.below(20) {
            0 if group != 9 => made.op = Some(LogOp::Dead),
            1 => made.op = Some(LogOp::SnapshotInstalled(meta(last + self.below(9), term))),
            2..=5 => {
                made.op = Some(LogOp::Compacted(meta(base + self.below(last - base + 1), term)))
            }
            6 | 7 => made.hard_state = Some(hard(term + self.below(2), group, last)),
            kind => {
                let cut = if kind < 10 { self.below((last - base).min(4) + 1) } else { 0 };
                let first = last + 1 - cut;
                let term = if cut > 0 { term + 1 } else { term };
                let size = [10, 300, 3000][self.below(3) as usize];
                let entries = (0..=self.below(4)).map(|at| entry(first + at, term, size)).collect();
                made.entries = entries;
                made.hard_state = Some(hard(term, group, base));
            }
        }
        self.model.apply(&made);
        made
    }
}
