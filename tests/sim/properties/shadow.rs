//! A replica's log, as seen from outside: the term of each index.

use crate::sim::cluster::Remembered;
use eraft::ids::{Index, Term};
use eraft::store::wal::{LogOp, LogWrite};

/// See the module's first lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Shadow {
    base: (Index, Term),
    /// Of the indexes after the base.
    terms: Vec<Term>,
}

impl Shadow {
    /// The log that the disk remembers.
    pub(super) fn of(remembered: &Remembered) -> Self {
        let mut log = Self { base: remembered.base, terms: Vec::new() };
        let mut runs = remembered.terms.iter().peekable();
        while let Some((first, term)) = runs.next() {
            let end = runs.peek().map_or(remembered.last.next(), |next| next.0);
            log.terms.extend((first.0..end.0).map(|_| *term));
        }
        log
    }

    pub(super) fn base(&self) -> Index {
        self.base.0
    }

    pub(super) fn last(&self) -> Index {
        Index(self.base.0.0 + self.terms.len() as u64)
    }

    /// The term of the base or of an entry.
    pub(super) fn term(&self, index: Index) -> Option<Term> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        let at = index.0.checked_sub(self.base.0.0 + 1)?;
        self.terms.get(usize::try_from(at).ok()?).copied()
    }

    /// Whether it has this entry, or has forgotten it because it was applied.
    pub(super) fn has(&self, (index, term): (Index, Term)) -> bool {
        index < self.base.0 || self.term(index) == Some(term)
    }

    /// What a write makes of it.
    pub(super) fn write(&mut self, write: &LogWrite) {
        match &write.op {
            Some(LogOp::SnapshotInstalled(meta)) => {
                *self = Self { base: (meta.index, meta.term), terms: Vec::new() };
            }
            Some(LogOp::Compacted(meta)) if meta.index > self.base.0 => {
                let gone = usize::try_from(meta.index.0 - self.base.0.0).expect("a short log");
                self.terms.drain(..gone.min(self.terms.len()));
                self.base = (meta.index, meta.term);
            }
            _ => {}
        }
        if let Some(first) = write.entries.first() {
            let kept = first.index.0.saturating_sub(self.base.0.0 + 1);
            self.terms.truncate(usize::try_from(kept).expect("a short log"));
            self.terms.extend(write.entries.iter().map(|entry| entry.term));
        }
    }
}
