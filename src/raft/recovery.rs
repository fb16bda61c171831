//! What is left when a majority is lost for good: one replica goes on alone, by decree.
//!
//! The decree is an entry behind everything that the replica has, of a term of its own, and counts as committed from
//! the moment in which it is durable: so does all before it, for what the replica has may have been acknowledged. It
//! leaves everybody else out and begins another [`Era`]. Nobody has agreed to it, so nothing in here makes it safe:
//! what the lost replicas alone knew to be committed is lost, and should they come back, a majority of them can
//! still elect a leader. Messages carry no era; whoever carries them must keep the eras apart, and the caller must
//! have made sure that the others are gone.

use super::change::MembershipChange;
use super::entry::{Entry, EntryKind, HardState};
use super::replica::Raft;
use crate::ids::{Era, Incarnation, NodeId, Term};

/// What is to be written, at once and synced, to recover a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decree {
    /// The entry, one behind the last.
    pub entry: Entry,
    /// The hard state that goes with it.
    pub hard_state: HardState,
}

/// Why a replica cannot go on alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecreeError {
    /// Somebody leads, so there is a majority, or was a moment ago.
    #[error("{0} leads the group")]
    Led(NodeId),
    /// It does not belong to the group.
    #[error("this replica is no member of the group")]
    NotMember,
    /// Its disk has forgotten what it knew, or it only observes.
    #[error("this replica does not count, so its log may miss anything")]
    Forgotten,
    /// Its state is older than its log's start: it waits for a snapshot, and has nothing to go on with.
    #[error("this replica's state is incomplete: it waits for a snapshot")]
    NeedsSnapshot,
    /// The era has begun already, or is over.
    #[error("the group is in {0} already")]
    Era(Era),
}

impl Raft {
    /// What makes this replica its group's only voter, known by this life of its disk, in a later era. Once
    /// it is durable the replica must be built anew from its disk ([`Raft::new`]); this one must not be used
    /// any more.
    ///
    /// # Errors
    /// When it cannot go on alone.
    pub fn decree(&self, disk: Option<Incarnation>, era: Era) -> Result<Decree, DecreeError> {
        let id = self.config.id;
        if let Some(leader) = self.leader() {
            return Err(DecreeError::Led(leader));
        }
        if self.config.forgotten || self.config.observer {
            return Err(DecreeError::Forgotten);
        }
        if self.has_lost_state() {
            return Err(DecreeError::NeedsSnapshot);
        }
        let means = self.membership.means(id, self.config.disk);
        if !self.membership.contains(id) || !means {
            return Err(DecreeError::NotMember);
        }
        if era.number <= self.membership.era.number {
            return Err(DecreeError::Era(self.membership.era));
        }
        let (index, term) = (self.log.last_index().next(), Term(self.term.0 + 1));
        let data = MembershipChange::recovery(id, disk, era).encode();
        Ok(Decree {
            entry: Entry { index, term, kind: EntryKind::Membership, data },
            hard_state: HardState { term, vote: Some(id), commit: index },
        })
    }
}
