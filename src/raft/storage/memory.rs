//! A storage that lives as long as its value.

use super::Storage;
use crate::ids::{Index, NodeId, Term};
use crate::raft::{Entry, HardState, Restored, SnapshotMeta};
use std::convert::Infallible;

/// See the module. Cloning it is a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStorage {
    hard_state: HardState,
    base: SnapshotMeta,
    entries: Vec<Entry>,
}

impl MemoryStorage {
    /// That of a founder, before it has done anything.
    #[must_use]
    pub fn newborn(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { base: Restored::newborn(voters).base, ..Self::default() }
    }

    fn last(&self) -> Index {
        Index(self.base.index.0 + self.entries.len() as u64)
    }

    /// Where `index` stands in `entries`; for the first index that is not there, behind all.
    fn position(&self, index: Index) -> Option<usize> {
        let position = index.0.checked_sub(self.base.index.0 + 1)?;
        usize::try_from(position).ok().filter(|position| *position <= self.entries.len())
    }
}

impl Storage for MemoryStorage {
    type Error = Infallible;

    fn write(
        &mut self,
        restart: Option<&SnapshotMeta>,
        hard_state: Option<&HardState>,
        entries: &[Entry],
    ) -> Result<(), Infallible> {
        if let Some(meta) = restart {
            self.base = meta.clone();
            self.entries.clear();
        }
        if let Some(hard_state) = hard_state {
            self.hard_state = *hard_state;
        }
        if let Some(first) = entries.first() {
            let position = self.position(first.index).expect("a log has no holes");
            self.entries.truncate(position);
            self.entries.extend_from_slice(entries);
        }
        Ok(())
    }

    fn compact(&mut self, through: &SnapshotMeta) -> Result<(), Infallible> {
        let position = self.position(through.index.next()).expect("only what it has is compacted");
        self.entries.drain(..position);
        self.base = through.clone();
        Ok(())
    }

    fn read(&self, from: Index, bytes_max: usize) -> Result<Vec<Entry>, Infallible> {
        let stored = self.position(from).map_or(&[][..], |position| &self.entries[position..]);
        let mut bytes = 0;
        let fits = stored.iter().enumerate().take_while(|(at, entry)| {
            bytes += entry.cost();
            *at == 0 || bytes <= bytes_max
        });
        Ok(fits.map(|(_, entry)| entry.clone()).collect())
    }

    fn restore(&self) -> Result<Restored, Infallible> {
        let mut terms: Vec<(Index, Term)> = Vec::new();
        for entry in &self.entries {
            if terms.last().is_none_or(|run| run.1 != entry.term) {
                terms.push((entry.index, entry.term));
            }
        }
        Ok(Restored {
            hard_state: self.hard_state,
            terms,
            last: self.last(),
            tail: self.entries.clone(),
            membership: self.base.membership.clone(),
            applied: self.base.index,
            base: self.base.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn it_conforms() {
        conformance(MemoryStorage::default, |storage| storage);
    }
}
