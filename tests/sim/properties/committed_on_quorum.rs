//! What a leader takes for committed is on the disks of a majority.

use super::shadow::Shadow;
use super::{Held, Replica, Violation};
use eraft::ids::{Index, Term};
use eraft::store::wal::LogWrite;
use std::collections::BTreeMap;

/// The logs as far as they are synced.
#[derive(Debug, Default)]
pub(super) struct CommittedOnQuorum {
    disks: BTreeMap<Replica, Shadow>,
    checked: BTreeMap<Replica, (Index, Term)>,
}

impl CommittedOnQuorum {
    /// This is on a replica's disk.
    pub(super) fn durable(&mut self, replica: Replica, log: &Shadow) {
        self.disks.insert(replica, log.clone());
    }

    /// This was synced as well.
    pub(super) fn synced(&mut self, replica: Replica, write: &LogWrite) {
        self.disks.entry(replica).or_default().write(write);
    }

    /// A leader has committed up to an entry.
    pub(super) fn check(&mut self, replica: Replica, at: (Index, Term), nodes: usize) -> Held {
        if self.checked.insert(replica, at) == Some(at) {
            return Ok(());
        }
        let (node, group) = replica;
        let have = self.disks.iter().filter(|((_, of), log)| *of == group && log.has(at)).count();
        if have * 2 > nodes {
            return Ok(());
        }
        let (index, term) = at;
        let story = format!("{node} commits {index} of {term} of {group}, which {have} have");
        Err(Violation::new("committed on a quorum", story))
    }
}
