//! What a replica's disk and its state machine remember, and what is still on its way there.

use crate::ids::{Index, ReadyNumber, Term};
use crate::raft::{Entry, HardState, Membership, Message, SnapshotMeta};
use bytes::Bytes;

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard: HardState,
    pub(super) base: SnapshotMeta,
    pub(super) entries: Vec<Entry>,
}

impl Disk {
    pub(super) fn last(&self) -> Index {
        Index(self.base.index.0 + self.entries.len() as u64)
    }

    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        let at = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(usize::try_from(at).expect("small"))
    }

    pub(super) fn term(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.entry(index).map(|entry| entry.term)
    }

    pub(super) fn write(&mut self, write: &Write) {
        if let Some(meta) = &write.restart {
            self.base = meta.clone();
            self.entries.clear();
        }
        if let Some(hard) = write.hard {
            self.hard = hard;
        }
        if let Some(first) = write.entries.first() {
            assert!(first.index > self.base.index && first.index <= self.last().next(), "a hole");
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(write.entries.iter().cloned());
        }
    }

    pub(super) fn compact(&mut self, through: Index, membership: &Membership) {
        let Some(term) = self.term(through) else {
            return;
        };
        self.entries.retain(|entry| entry.index > through);
        self.base = SnapshotMeta { index: through, term, membership: membership.clone() };
    }

    pub(super) fn runs(&self) -> Vec<(Index, Term)> {
        let mut runs: Vec<(Index, Term)> = Vec::new();
        for entry in &self.entries {
            if runs.last().is_none_or(|run| run.1 != entry.term) {
                runs.push((entry.index, entry.term));
            }
        }
        runs
    }
}

/// A state machine: everything it was told, in order, and who belonged to the group after that.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    pub(super) history: Vec<(Term, Bytes)>,
    pub(super) membership: Membership,
}

impl Machine {
    pub(super) fn applied(&self) -> Index {
        Index(self.history.len() as u64)
    }

    pub(super) fn meta(&self) -> SnapshotMeta {
        let term = self.history.last().map_or(Term(0), |entry| entry.0);
        SnapshotMeta { index: self.applied(), term, membership: self.membership.clone() }
    }
}

/// A Ready on its way to the disk.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) number: ReadyNumber,
    pub(super) restart: Option<SnapshotMeta>,
    pub(super) hard: Option<HardState>,
    pub(super) entries: Vec<Entry>,
    pub(super) after: Vec<Message>,
}
