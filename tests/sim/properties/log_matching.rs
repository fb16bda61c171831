//! If two logs have an entry of the same index and term, they are the same up to there (paper §5.3).
//!
//! By induction it is enough that an index and a term always stand for the same entry after the same term.

use super::shadow::Shadow;
use super::{Held, Replica, Violation};
use crate::sim::cluster::Digest;
use eraft::ids::{GroupId, Index, Term};
use eraft::store::wal::LogWrite;
use std::collections::BTreeMap;

/// For each entry that was ever written: the term before it, and a digest of it.
#[derive(Debug, Default)]
pub(super) struct LogMatching(BTreeMap<(GroupId, Index, Term), (Term, u64)>);

impl LogMatching {
    /// Checks a write against the log before it.
    pub(super) fn check(&mut self, (node, group): Replica, log: &Shadow, write: &LogWrite) -> Held {
        let Some(first) = write.entries.first() else { return Ok(()) };
        let Some(mut before) = log.term(first.index.prev()) else {
            let (first, last) = (first.index, log.last());
            let story = format!("{node} writes {first} of {group} after {last}");
            return Err(Violation::new("log matching", story));
        };
        for entry in &write.entries {
            let mut digest = Digest::new();
            digest.bytes(&entry.data);
            let here = (before, digest.finish());
            let known = *self.0.entry((group, entry.index, entry.term)).or_insert(here);
            if known != here {
                let (index, term) = (entry.index, entry.term);
                let story = format!(
                    "{node} writes {index} of {term} of {group} after {before}, another replica \
                     has it after {}, or it is another entry",
                    known.0
                );
                return Err(Violation::new("log matching", story));
            }
            before = entry.term;
        }
        Ok(())
    }
}
