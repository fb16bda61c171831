//! A store in memory that forgets at a crash what was not persisted: for the simulator and for tests.
//!
//! It does what the promises allow and nothing more helpful: at a crash the caller says how many of the
//! unpersisted writes had reached the disk by chance, always the oldest ones; forgotten rows go at once.
//! No time, no randomness, no order of a hash map: the same calls give the same answers.

use super::batch::Batch;
use super::layers::Layers;
use super::store::{Forgotten, StateError, StateStats, StateStore, StateView};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// A simulated disk with rows on it. Clones are handles of the same disk, so that a test can keep one
/// while a store is "open" on another.
#[derive(Clone)]
pub struct ModelStore {
    disk: Arc<Mutex<Disk>>,
    forgotten: Forgotten,
}

#[derive(Default)]
struct Disk {
    /// What every reader sees. Shared with the views: a write copies it if one is open.
    rows: Arc<Rows>,
    /// What a crash leaves behind for certain.
    persisted: Rows,
    /// Writes since the last persist, oldest first.
    unpersisted: Vec<Vec<Arc<Batch>>>,
    reclaims: u64,
    writes_before_failure: Option<u64>,
}

impl Default for ModelStore {
    fn default() -> Self {
        Self::new(Arc::new(|_| false))
    }
}

impl ModelStore {
    /// An empty disk.
    #[must_use]
    pub fn new(forgotten: Forgotten) -> Self {
        Self { disk: Arc::default(), forgotten }
    }

    /// How many writes a crash could take away.
    #[must_use]
    pub fn unpersisted(&self) -> usize {
        self.disk().unpersisted.len()
    }

    /// The machine stops and starts again: of the unpersisted writes the oldest `keep` survive.
    pub fn crash(&self, keep: usize) {
        let mut disk = self.disk();
        let Disk { persisted, unpersisted, .. } = &mut *disk;
        for batches in unpersisted.drain(..).take(keep) {
            apply(persisted, &batches);
        }
        disk.rows = Arc::new(disk.persisted.clone());
        disk.writes_before_failure = None;
    }

    /// After `writes` more writes every write and persist fails, until the next crash.
    pub fn fail_after(&self, writes: u64) {
        self.disk().writes_before_failure = Some(writes);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A reader's closure that panicked under the lock has changed nothing.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(rows: &mut Rows, batches: &[Arc<Batch>]) {
    for (key, value) in Layers::all(batches.iter().rev().map(AsRef::as_ref)) {
        match value {
            Some(value) => rows.insert(key.to_vec(), value.clone()),
            None => rows.remove(key),
        };
    }
}

fn check(failing: Option<u64>) -> Result<(), StateError> {
    match failing {
        Some(0) => Err(StateError::Fatal("the simulated disk failed".to_string())),
        _ => Ok(()),
    }
}

impl StateStore for ModelStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.disk().rows.get(key).cloned())
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        self.view().range(from, to, each)
    }

    fn write(&self, batches: &[Arc<Batch>]) -> Result<(), StateError> {
        let mut disk = self.disk();
        check(disk.writes_before_failure)?;
        if let Some(writes) = &mut disk.writes_before_failure {
            *writes -= 1;
        }
        apply(Arc::make_mut(&mut disk.rows), batches);
        disk.unpersisted.push(batches.to_vec());
        Ok(())
    }

    fn persist(&self) -> Result<(), StateError> {
        let mut disk = self.disk();
        check(disk.writes_before_failure)?;
        let Disk { persisted, unpersisted, .. } = &mut *disk;
        for batches in unpersisted.drain(..) {
            apply(persisted, &batches);
        }
        Ok(())
    }

    fn view(&self) -> Box<dyn StateView> {
        Box::new(ModelView(Arc::clone(&self.disk().rows)))
    }

    fn maintain(&self) -> Result<(), StateError> {
        Ok(())
    }

    fn reclaim(&self) -> Result<(), StateError> {
        let mut disk = self.disk();
        let Disk { rows, persisted, reclaims, .. } = &mut *disk;
        Arc::make_mut(rows).retain(|key, _| !(self.forgotten)(key));
        persisted.retain(|key, _| !(self.forgotten)(key));
        *reclaims += 1;
        Ok(())
    }

    fn stats(&self) -> StateStats {
        let disk = self.disk();
        let bytes =
            |rows: &Rows| rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        StateStats {
            disk_bytes: bytes(&disk.rows) as u64,
            reclaims: disk.reclaims,
            ..StateStats::default()
        }
    }
}

struct ModelView(Arc<Rows>);

impl StateView for ModelView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        if from < to {
            let bounds = (Bound::Included(from), Bound::Excluded(to));
            for (key, value) in self.0.range::<[u8], _>(bounds) {
                if !each(key, value) {
                    break;
                }
            }
        }
        Ok(())
    }
}
