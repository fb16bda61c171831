//! A replica's storage in a scenario: a log that begins after a snapshot, and the states that its state
//! machine went through.

use super::wire::describe_entry;
use eraft::ids::{Index, Term};
use eraft::raft::{Entry, Membership, SnapshotMeta};

pub(super) struct Storage {
    base: (Index, Term),
    entries: Vec<Entry>,
    /// The state machine's newest state, as far as a snapshot shows of it.
    pub(super) state: SnapshotMeta,
}

impl Storage {
    /// Begins with a snapshot.
    pub(super) fn after(state: SnapshotMeta) -> Self {
        Self { base: (state.index, state.term), entries: Vec::new(), state }
    }

    fn last(&self) -> Index {
        Index(self.base.0.0 + self.entries.len() as u64)
    }

    /// A snapshot took the log's place.
    pub(super) fn restart(&mut self, meta: &SnapshotMeta) {
        self.base = (meta.index, meta.term);
        self.entries.clear();
    }

    /// Appends entries, cutting off what stands in their place.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.base.0 && first.index <= self.last().next(), "a hole");
        self.entries.retain(|entry| entry.index < first.index);
        self.entries.extend_from_slice(entries);
    }

    /// The state machine has applied `entry`, after which `membership` was in force.
    pub(super) fn applied(&mut self, entry: &Entry, membership: Option<Membership>) {
        let membership = membership.unwrap_or_else(|| self.state.membership.clone());
        self.state = SnapshotMeta { index: entry.index, term: entry.term, membership };
    }

    /// Forgets everything up to `through`; answers whether it could.
    pub(super) fn compact(&mut self, through: Index) -> bool {
        if through <= self.base.0 || through > self.last() {
            return false;
        }
        let at = usize::try_from(through.0 - self.base.0.0).expect("small");
        self.base = (through, self.entries[at - 1].term);
        self.entries.drain(..at);
        true
    }

    /// The log as the scenarios write it.
    pub(super) fn describe(&self) -> String {
        if self.entries.is_empty() {
            let base = self.base.0;
            return format!("log is empty: first index={}, last index={}", base.next().0, base.0);
        }
        let lines: Vec<String> = self.entries.iter().map(describe_entry).collect();
        lines.join("\n")
    }
}
