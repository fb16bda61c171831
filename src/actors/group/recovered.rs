//! From what the log and the state remember to what a core starts from.
//!
//! A crash while a snapshot is installed may leave a state without its mark in the log. The next start finds
//! out here, and makes up for it.

use crate::ids::Index;
use crate::raft::{Membership, Restored, SnapshotMeta};
use crate::store::wal::RecoveredGroup;

/// What a core starts from whose state is applied up to `applied`, where `membership` was in force. A state
/// that is older than the log's start knows less of the membership than the log.
#[must_use]
pub fn restored(recovered: RecoveredGroup, applied: Index, membership: Membership) -> Restored {
    let is_older = applied < recovered.base.index;
    Restored {
        hard_state: recovered.hard_state,
        membership: if is_older { recovered.base.membership.clone() } else { membership },
        base: recovered.base,
        terms: recovered.terms,
        last: recovered.last,
        tail: recovered.tail,
        applied,
    }
}

/// Whether the log goes with a state that began with this snapshot: it starts there or later, or has the
/// same entry there.
#[must_use]
pub fn goes_with(log: &RecoveredGroup, snapshot: &SnapshotMeta) -> bool {
    if snapshot.index <= log.base.index {
        return true;
    }
    let run = log.terms.iter().rev().find(|run| run.0 <= snapshot.index);
    snapshot.index <= log.last && run.is_some_and(|run| run.1 == snapshot.term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Term;

    #[test]
    fn a_log_that_does_not_go_with_the_installed_snapshot_is_marked() {
        let meta = |index, term| SnapshotMeta {
            index: Index(index),
            term: Term(term),
            ..SnapshotMeta::default()
        };
        let log = RecoveredGroup {
            base: meta(4, 1),
            terms: vec![(Index(5), Term(1)), (Index(8), Term(3))],
            last: Index(9),
            ..RecoveredGroup::default()
        };
        assert!(goes_with(&log, &meta(3, 1)) && goes_with(&log, &meta(4, 1)));
        assert!(goes_with(&log, &meta(7, 1)) && goes_with(&log, &meta(9, 3)));
        assert!(!goes_with(&log, &meta(7, 2)), "its entries there are another leader's");
        assert!(!goes_with(&log, &meta(10, 3)), "it ends earlier");
    }
}
