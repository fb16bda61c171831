//! Which era a replica is in, and what it makes of those who speak from another. Plain values.
//!
//! ```text
//!                      state is installed                the group went on without it
//!   Unknown ──► Blank ────────────────────► In(era) ───────────────────────────────────► LeftBehind(era)
//!      └──────────────────────────────────────▲
//! ```
//! A replica in an era listens to that era alone: whoever speaks from an earlier one belongs to a group that
//! has lost its majority and was recovered without him.

use crate::ids::Era;
use crate::raft::{EntryKind, MembershipChange, Restored, Transition};

/// See the module's first lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is being built.
    Unknown,
    /// It has no state yet, and goes along with the era that it heard last.
    Blank(Era),
    /// It is in this one.
    In(Era),
    /// The group goes on in this one, without it.
    LeftBehind(Era),
}

/// What to do with what somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is of the same era.
    Listen,
    /// The speaker was left behind: tell him.
    Past,
    /// This replica was left behind.
    Ahead,
    /// The group was recovered twice from the same era, on two nodes: there are two groups of one name.
    Rival,
}

impl Line {
    /// The line of a replica that starts from this. A recovery that is not applied yet counts: it was
    /// committed by being written.
    #[must_use]
    pub fn of(restored: &Restored) -> Self {
        let recoveries = restored.tail.iter().filter(|entry| entry.kind == EntryKind::Membership);
        let eras = recoveries.filter_map(|entry| match MembershipChange::decode(&entry.data) {
            Ok(MembershipChange { transition: Transition::Recovery(era), .. }) => Some(era),
            _ => None,
        });
        let era = eras.chain([restored.membership.era]).max().unwrap_or_default();
        if restored.membership.everyone().is_empty() { Self::Blank(era) } else { Self::In(era) }
    }

    /// The era in which it speaks itself.
    #[must_use]
    pub fn era(self) -> Era {
        match self {
            Self::Unknown => Era::default(),
            Self::Blank(era) | Self::In(era) | Self::LeftBehind(era) => era,
        }
    }

    /// Somebody speaks from this era.
    pub fn hear(&mut self, theirs: Era) -> Verdict {
        let own = self.era();
        match self {
            Self::Unknown => return Verdict::Listen,
            Self::Blank(heard) if theirs.number > own.number => {
                *heard = theirs;
                return Verdict::Listen;
            }
            _ => {}
        }
        if theirs == own {
            Verdict::Listen
        } else if theirs.number < own.number {
            Verdict::Past
        } else if theirs.number > own.number {
            Verdict::Ahead
        } else {
            Verdict::Rival
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Index, NodeId, Term};
    use crate::raft::{Entry, Membership};

    fn era(number: u32) -> Era {
        Era { number, mark: u64::from(number) * 10 }
    }

    #[test]
    fn eras_do_not_listen_to_each_other() {
        let mut line = Line::In(era(1));
        assert_eq!(line.hear(era(1)), Verdict::Listen);
        assert_eq!(line.hear(era(0)), Verdict::Past);
        assert_eq!(line.hear(era(2)), Verdict::Ahead);
        assert_eq!(line.hear(Era { number: 1, mark: 3 }), Verdict::Rival);
        assert_eq!(line, Line::In(era(1)), "words alone do not change it");
        let mut behind = Line::LeftBehind(era(1));
        assert_eq!(behind.hear(era(0)), Verdict::Past);
        assert_eq!(behind.hear(era(1)), Verdict::Listen, "it overhears who leads");
    }

    #[test]
    fn a_newcomer_goes_along_with_the_newest_era_that_it_hears() {
        let mut line = Line::of(&Restored::default());
        assert_eq!(line, Line::Blank(era(0)));
        assert_eq!(line.hear(era(2)), Verdict::Listen);
        assert_eq!(line.hear(era(1)), Verdict::Past);
        assert_eq!(line.era(), era(2));
    }

    #[test]
    fn a_recovery_counts_as_soon_as_it_is_written() {
        let mut restored = Restored::newborn([NodeId(1), NodeId(2)]);
        assert_eq!(Line::of(&restored), Line::In(era(0)));
        let data = MembershipChange::recovery(NodeId(1), None, era(1)).encode();
        let (index, term) = (Index(1), Term(1));
        restored.tail.push(Entry { index, term, kind: EntryKind::Membership, data });
        assert_eq!(Line::of(&restored), Line::In(era(1)));
        restored.membership = Membership { era: era(3), ..restored.membership };
        assert_eq!(Line::of(&restored), Line::In(era(3)));
    }
}
