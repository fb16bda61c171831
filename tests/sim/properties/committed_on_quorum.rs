//! What a leader takes for committed is on the disks of a majority of those who belong to the group. A disk
//! that is lost later had it: nobody can say more.

use super::memberships::is_quorum;
use super::shadow::Shadow;
use super::{Held, Replica, Violation};
use eraft::ids::{GroupId, Incarnation, Index, NodeId, Term};
use eraft::raft::Membership;
use eraft::store::wal::LogWrite;
use std::collections::BTreeMap;

/// The logs as far as they are synced.
#[derive(Debug, Default)]
pub(super) struct CommittedOnQuorum {
    disks: BTreeMap<(GroupId, NodeId, Incarnation), Shadow>,
    /// What each replica is known to take for committed.
    known: BTreeMap<Replica, (Index, Term)>,
}

impl CommittedOnQuorum {
    /// This is on the disk of a replica.
    pub(super) fn durable(&mut self, (node, group): Replica, disk: Incarnation, log: &Shadow) {
        self.disks.insert((group, node, disk), log.clone());
    }

    /// This was synced as well.
    pub(super) fn synced(&mut self, (node, group): Replica, disk: Incarnation, write: &LogWrite) {
        self.disks.entry((group, node, disk)).or_default().write(write);
    }

    /// A replica has learnt from a leader that everything up to an entry is committed. If it leads later, it
    /// need not have counted that itself: others may have belonged to the group then.
    pub(super) fn learnt(&mut self, replica: Replica, at: (Index, Term)) {
        self.known.insert(replica, at);
    }

    /// A leader has committed up to an entry, and counted by one of these.
    pub(super) fn check(
        &mut self,
        replica: Replica,
        at: (Index, Term),
        memberships: [&Membership; 2],
    ) -> Held {
        if self.known.insert(replica, at) == Some(at) {
            return Ok(());
        }
        let (node, group) = replica;
        let has = |id: NodeId, disk: Option<Incarnation>| {
            let from = (group, id, disk.unwrap_or_default());
            let to = (group, id, disk.unwrap_or(Incarnation(u64::MAX)));
            self.disks.range(from..=to).any(|(_, log)| log.has(at))
        };
        if memberships.into_iter().any(|membership| is_quorum(membership, has)) {
            return Ok(());
        }
        let (index, term) = at;
        let membership = memberships[1];
        let have: Vec<_> =
            membership.everyone().into_iter().filter(|id| has(*id, membership.disk(*id))).collect();
        let story = format!(
            "{node} commits {index} of {term} of {group}, which {have:?} have of {membership:?}"
        );
        Err(Violation::new("committed on a quorum", story))
    }
}
