//! Which membership was in force where in the log: a mark that the log is cut must name the one at its
//! index, and not the newest. A plain struct.
//!
//! Must always hold: indices grow, and the first one is not behind what may be cut.

use crate::ids::Index;
use crate::raft::Membership;
use std::collections::VecDeque;

/// See the module's first lines.
#[derive(Debug)]
pub(super) struct Memberships(VecDeque<(Index, Membership)>);

impl Memberships {
    /// This one is in force at `applied`; about what was before nothing is known.
    #[must_use]
    pub(super) fn new(applied: Index, membership: Membership) -> Self {
        Self(VecDeque::from([(applied, membership)]))
    }

    /// The entry at `index` has put this one in force.
    pub(super) fn push(&mut self, index: Index, membership: Membership) {
        self.0.push_back((index, membership));
    }

    /// The state jumped to `index`, where this one is in force.
    pub(super) fn restart(&mut self, index: Index, membership: Membership) {
        *self = Self::new(index, membership);
    }

    /// The one in force at `index`, if that is known. What was before is forgotten.
    pub(super) fn cut(&mut self, index: Index) -> Option<Membership> {
        while self.0.get(1).is_some_and(|second| second.0 <= index) {
            self.0.pop_front();
        }
        self.0.front().filter(|first| first.0 <= index).map(|first| first.1.clone())
    }

    /// Whether the one in force at `index` is known.
    #[must_use]
    pub(super) fn knows(&self, index: Index) -> bool {
        self.0.front().is_some_and(|first| first.0 <= index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    #[test]
    fn a_cut_names_the_membership_at_its_index() {
        let of = |count: u32| Membership::of_voters((1..=count).map(NodeId));
        let mut memberships = Memberships::new(Index(5), of(1));
        memberships.push(Index(7), of(2));
        memberships.push(Index(9), of(3));
        assert!(!memberships.knows(Index(4)) && memberships.knows(Index(5)));
        assert_eq!(memberships.cut(Index(4)), None);
        assert_eq!(memberships.cut(Index(6)), Some(of(1)));
        assert_eq!(memberships.cut(Index(8)), Some(of(2)));
        assert!(!memberships.knows(Index(6)), "the past is forgotten");
        assert_eq!(memberships.cut(Index(20)), Some(of(3)));
        memberships.restart(Index(30), of(4));
        assert_eq!(memberships.cut(Index(29)), None);
        assert_eq!(memberships.cut(Index(30)), Some(of(4)));
    }
}
