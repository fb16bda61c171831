//! No acknowledged write is lost: the entry that carries it is in the log of every later leader, and at the
//! end in every log.

use super::shadow::Shadow;
use super::{Held, Replica, Violation};
use eraft::ids::{GroupId, Index, NodeId, Term};
use eraft::net::message::UnitId;
use eraft::raft::Entry;
use std::collections::BTreeMap;

/// Which entry carries which unit, and what was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    carried: BTreeMap<UnitId, (GroupId, Term, (Index, Term))>,
    /// The newest entry that is known to be done, by the group and the term in which it was learnt.
    done: BTreeMap<(GroupId, Term), (Index, Term)>,
}

impl Acknowledged {
    /// A replica in this term knows that an entry with these units is committed.
    pub(super) fn carries(&mut self, group: GroupId, term: Term, entry: &Entry, units: &[UnitId]) {
        let place = (group, term, (entry.index, entry.term));
        self.carried.extend(units.iter().map(|unit| (*unit, place)));
    }

    /// A client is told that this unit, of writes, is done.
    pub(super) fn done(&mut self, unit: UnitId) -> Held {
        let Some((group, term, at)) = self.carried.get(&unit) else {
            let story = format!("{unit:?} is answered, and no entry carries it");
            return Err(Violation::new("acknowledged writes", story));
        };
        let newest = self.done.entry((*group, *term)).or_default();
        *newest = (*at).max(*newest);
        Ok(())
    }

    /// A node leads, with this log.
    pub(super) fn leads(&self, node: NodeId, group: GroupId, term: Term, log: &Shadow) -> Held {
        let before = self.done.range((group, Term(0))..(group, term));
        before.map(|(_, at)| *at).try_for_each(|at| missing((node, group), log, at))
    }

    /// This log should have everything.
    pub(super) fn is_in(&self, replica: Replica, log: &Shadow) -> Held {
        let of_group = self.done.iter().filter(|((group, _), _)| *group == replica.1);
        of_group.map(|(_, at)| *at).try_for_each(|at| missing(replica, log, at))
    }
}

fn missing((node, group): Replica, log: &Shadow, at: (Index, Term)) -> Held {
    if log.has(at) {
        return Ok(());
    }
    let (index, term) = at;
    let story = format!("{node} has not got {index} of {term} of {group}, which was acknowledged");
    Err(Violation::new("acknowledged writes", story))
}
