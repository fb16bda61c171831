//! What a replica is made of when it starts: what its disk remembered.

use super::config::{Config, ConfigError};
use super::entry::{Entry, EntryKind, HardState, Membership, SnapshotMeta};
use super::terms::Terms;
use crate::ids::{Index, NodeId, Term};

/// What the disk remembered. All of it must be durable *now*: read back, and synced again if it may
/// come from a page cache.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Term, vote and commit hint.
    pub hard_state: HardState,
    /// The log starts after `base.index`; `base.membership` was in force there.
    pub base: SnapshotMeta,
    /// The terms of the whole log as runs: first index and term of each, from `base.index + 1`.
    pub terms: Vec<(Index, Term)>,
    /// The last index; `base.index` if the log is empty.
    pub last: Index,
    /// The newest entries, contiguous up to `last`; older ones exist on disk only. May be empty, but
    /// must reach back far enough to hold every change of the membership after `applied`.
    pub tail: Vec<Entry>,
    /// The newest membership in force.
    pub membership: Membership,
    /// What the state machine has applied, as far as it is certain to remember.
    pub applied: Index,
}

impl Restored {
    /// The birth of a founder: an empty log and the founders as voters.
    #[must_use]
    pub fn newborn(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let membership = Membership::of_voters(voters);
        Self {
            base: SnapshotMeta { membership: membership.clone(), ..SnapshotMeta::default() },
            membership,
            ..Self::default()
        }
    }

    /// What the log itself proves to be committed: a leader proposes a change of the membership only when
    /// it has applied the one before, so all changes but the last are committed. The commit hint may
    /// have been lost in a crash, though it came with the last change. Without this the replica could
    /// stand for election in a membership that is two changes old, whose quorums do not have to meet
    /// those of the newest.
    pub(super) fn known_by_changes(&self, config: &Config) -> Index {
        let changes = self.tail.iter().rev().filter(|entry| entry.kind == EntryKind::Membership);
        let committed = changes.map(|entry| entry.index).nth(1);
        committed.filter(|_| config.validate_changes).unwrap_or_default()
    }

    /// Checks that this is a log and a state that belong together, and takes out the log's terms.
    pub(super) fn check(&self) -> Result<Terms, RestoreError> {
        let (base, last) = (&self.base, self.last);
        let terms = Terms::restored(base.index, base.term, self.terms.clone(), last)
            .ok_or(RestoreError::Terms)?;
        if last > base.index && terms.last_term() > self.hard_state.term {
            return Err(RestoreError::TermForgotten {
                log: terms.last_term(),
                hard_state: self.hard_state.term,
            });
        }
        let tail_first = Index((last.0 + 1).saturating_sub(self.tail.len() as u64));
        let fits = tail_first > base.index
            && (tail_first.0..).zip(&self.tail).all(|(index, entry)| {
                entry.index.0 == index && terms.term(entry.index) == Some(entry.term)
            });
        if !fits {
            return Err(RestoreError::Tail);
        }
        if self.applied > last {
            return Err(RestoreError::LogForgotten { applied: self.applied, last });
        }
        if !self.membership.is_consistent() {
            return Err(RestoreError::Membership);
        }
        Ok(terms)
    }
}

/// Why no replica can be made of what the disk remembered. Each of these is damage: the replica may
/// have forgotten what it promised, so it must not take part until its group has re-admitted it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The settings cannot work.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The runs of terms do not describe a log from the base to the last index.
    #[error("the log's terms are no log")]
    Terms,
    /// The log has entries of a term that the hard state has not seen.
    #[error("the log knows {log}, the hard state only {hard_state}")]
    TermForgotten {
        /// The log's last term.
        log: Term,
        /// The hard state's term.
        hard_state: Term,
    },
    /// The tail is not the log's newest entries.
    #[error("the tail does not fit the log's terms")]
    Tail,
    /// The state machine has applied what the log does not have.
    #[error("applied {applied}, but the log ends at {last}")]
    LogForgotten {
        /// What the state machine has applied.
        applied: Index,
        /// The log's last index.
        last: Index,
    },
    /// A list of the membership is not sorted or holds duplicates.
    #[error("the membership's lists are not sorted sets")]
    Membership,
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn restored() -> Restored {
        let entry = |index, term| Entry {
            index: Index(index),
            term: Term(term),
            kind: EntryKind::Normal,
            data: Bytes::new(),
        };
        Restored {
            hard_state: HardState { term: Term(3), vote: None, commit: Index(6) },
            base: SnapshotMeta {
                index: Index(4),
                term: Term(1),
                membership: Membership::default(),
            },
            terms: vec![(Index(5), Term(1)), (Index(7), Term(3))],
            last: Index(8),
            tail: vec![entry(6, 1), entry(7, 3), entry(8, 3)],
            membership: Membership::of_voters([NodeId(1)]),
            applied: Index(5),
        }
    }

    #[test]
    fn all_changes_of_the_membership_but_the_last_are_committed() {
        let config = Config::new(NodeId(1), 1);
        let mut restored = restored();
        restored.tail[0].kind = EntryKind::Membership;
        assert_eq!(restored.known_by_changes(&config), Index(0), "nobody knows about the last");
        restored.tail[2].kind = EntryKind::Membership;
        assert_eq!(restored.known_by_changes(&config), Index(6));
        let careless = Config { validate_changes: false, ..config };
        assert_eq!(restored.known_by_changes(&careless), Index(0));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let error = |change: fn(&mut Restored)| {
            let mut restored = restored();
            change(&mut restored);
            restored.check().err()
        };
        assert_eq!(error(|_| {}), None);
        assert_eq!(error(|r| r.tail.clear()), None, "all of it may be on disk only");
        assert_eq!(error(|r| r.last = Index(4)), Some(RestoreError::Terms));
        assert_eq!(
            error(|r| r.hard_state.term = Term(2)),
            Some(RestoreError::TermForgotten { log: Term(3), hard_state: Term(2) })
        );
        assert_eq!(error(|r| r.tail.truncate(2)), Some(RestoreError::Tail));
        assert_eq!(error(|r| r.tail[1].term = Term(1)), Some(RestoreError::Tail));
        assert_eq!(
            error(|r| r.applied = Index(9)),
            Some(RestoreError::LogForgotten { applied: Index(9), last: Index(8) })
        );
        assert_eq!(
            error(|r| r.membership.voters = vec![NodeId(2), NodeId(2)]),
            Some(RestoreError::Membership)
        );
        assert!(Restored::newborn([NodeId(2), NodeId(1)]).check().is_ok());
    }
}
