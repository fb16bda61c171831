//! Terms, commit indexes and applied indexes only grow in a replica's life.

use super::{Held, Replica, Violation};
use eraft::ids::{Index, Term};
use eraft::raft::{Role, Status};
use std::collections::BTreeMap;

/// How the replicas stood last.
#[derive(Debug, Default)]
pub(super) struct Monotonic(BTreeMap<Replica, Stand>);

#[derive(Clone, Copy, Debug)]
struct Stand {
    term: Term,
    commit: Index,
    applied: Index,
    leads: bool,
}

impl Monotonic {
    /// A new life begins.
    pub(super) fn started(&mut self, replica: Replica) {
        self.0.remove(&replica);
    }

    /// The term in which a replica led when it was last asked, if it did.
    pub(super) fn leads(&self, replica: Replica) -> Option<Term> {
        self.0.get(&replica).filter(|stand| stand.leads).map(|stand| stand.term)
    }

    /// How it stands now.
    pub(super) fn stands(&mut self, replica: Replica, status: &Status) -> Held {
        let now = Stand {
            term: status.term,
            commit: status.commit,
            applied: status.applied,
            leads: status.role == Role::Leader,
        };
        let before = self.0.insert(replica, now).unwrap_or(now);
        let falls = now.term < before.term
            || now.commit < before.commit
            || now.applied < before.applied
            || now.applied > now.commit;
        if !falls {
            return Ok(());
        }
        let (node, group) = replica;
        let story = format!("{node} in {group}: {before:?}, and then {now:?}");
        Err(Violation::new("monotonic indexes", story))
    }
}
