//! If a replica has applied an entry at an index, no other one ever applies another entry there; and
//! replicas that have applied the same entries hold the same state.

use super::{Held, Replica, Violation};
use eraft::ids::{GroupId, Index};
use eraft::raft::Entry;
use std::collections::BTreeMap;

/// What was applied, and what came of it.
#[derive(Debug, Default)]
pub(super) struct StateMachineSafety {
    applied: BTreeMap<(GroupId, Index), Entry>,
    states: BTreeMap<(GroupId, Index), (Replica, u64)>,
}

impl StateMachineSafety {
    /// A replica applies this.
    pub(super) fn applies(&mut self, (node, group): Replica, entry: &Entry) -> Held {
        let known = self.applied.entry((group, entry.index)).or_insert_with(|| entry.clone());
        if known == entry {
            return Ok(());
        }
        let (index, was, is) = (entry.index, known.term, entry.term);
        let story = format!("{node} applies {index} of {is} in {group}, another one that of {was}");
        Err(Violation::new("state-machine safety", story))
    }

    /// A replica's state at this index comes to this.
    pub(super) fn state(
        &mut self,
        replica: Replica,
        index: Index,
        digest: u64,
    ) -> Result<bool, Violation> {
        let group = replica.1;
        let (first, known) = *self.states.entry((group, index)).or_insert((replica, digest));
        if known == digest {
            return Ok(first != replica);
        }
        let story = format!("{} and {} differ in {group} at {index}", first.0, replica.0);
        Err(Violation::new("state-machine safety", story))
    }
}
