//! Questions about who belongs to a group. How that changes stands in `change` and `reconfigure`.

use super::entry::Membership;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Incarnation, NodeId};

impl Membership {
    /// Whether `id` has a vote, in either list of a joint configuration.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.binary_search(&id).is_ok() || self.outgoing.binary_search(&id).is_ok()
    }

    /// Whether `id` is a voter, a learner, or about to become one.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.is_voter(id) || self.is_learner(id)
    }

    /// Whether `id` gets the log and has no vote.
    #[must_use]
    pub fn is_learner(&self, id: NodeId) -> bool {
        !self.is_voter(id)
            && (self.learners.binary_search(&id).is_ok()
                || self.learners_next.binary_search(&id).is_ok())
    }

    /// The life of its disk that `id` is known by.
    #[must_use]
    pub fn disk(&self, id: NodeId) -> Option<Incarnation> {
        let at = self.disks.binary_search_by_key(&id, |disk| disk.0).ok()?;
        Some(self.disks[at].1)
    }

    /// Whether `id` belongs to it with this life of its disk.
    #[must_use]
    pub fn holds(&self, id: NodeId, disk: Incarnation) -> bool {
        self.contains(id) && self.disk(id) == Some(disk)
    }

    /// Whether what it says of `id` is about the replica with this disk; also if either does not tell.
    #[must_use]
    pub fn means(&self, id: NodeId, disk: Option<Incarnation>) -> bool {
        match (self.disk(id), disk) {
            #[cfg(feature = "controls")]
            _ if active(Control::IgnoreIncarnation) => true,
            (Some(known), Some(disk)) => known == disk,
            _ => true,
        }
    }

    /// Everybody in it, in order, each once.
    #[must_use]
    pub fn everyone(&self) -> Vec<NodeId> {
        let lists = [&self.voters, &self.outgoing, &self.learners, &self.learners_next];
        let mut all: Vec<NodeId> = lists.into_iter().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a decision needs a majority of two lists.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether it is sorted, nobody has two roles, and only a joint configuration has what belongs to
    /// one.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.is_sorted()
            && !self.learners.iter().any(|&id| self.is_voter(id))
            && self.learners_next.iter().all(|id| {
                self.outgoing.binary_search(id).is_ok() && self.voters.binary_search(id).is_err()
            })
            && (self.is_joint() || !self.auto_leave)
            && self.disks.iter().all(|disk| self.contains(disk.0))
    }

    /// Whether its lists are sorted and without duplicates, as everything here relies on.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        [&self.voters, &self.outgoing, &self.learners, &self.learners_next]
            .into_iter()
            .all(|list| list.windows(2).all(|pair| pair[0] < pair[1]))
            && self.disks.windows(2).all(|pair| pair[0].0 < pair[1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_disk_is_not_the_member() {
        let membership = Membership::of_disks([(NodeId(1), Incarnation(7))]);
        assert!(membership.means(NodeId(1), Some(Incarnation(7))));
        assert!(!membership.means(NodeId(1), Some(Incarnation(8))));
        assert!(membership.means(NodeId(2), Some(Incarnation(8))));
        assert!(Membership::of_voters([NodeId(1)]).means(NodeId(1), Some(Incarnation(8))));
    }

    #[test]
    fn a_voter_that_becomes_a_learner_later_is_a_voter_until_then() {
        let nodes = |ids: &[u32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let membership = Membership {
            voters: nodes(&[1, 4]),
            outgoing: nodes(&[1, 2, 3]),
            learners: nodes(&[5]),
            learners_next: nodes(&[3]),
            auto_leave: true,
            ..Membership::default()
        };
        assert!(membership.is_voter(NodeId(3)) && !membership.is_learner(NodeId(3)));
        assert!(membership.is_learner(NodeId(5)) && !membership.is_voter(NodeId(5)));
        assert!(!membership.contains(NodeId(6)));
        assert_eq!(membership.everyone(), nodes(&[1, 2, 3, 4, 5]));
        assert!(!Membership { voters: nodes(&[2, 1]), ..membership }.is_sorted());
    }
}
