//! Which prefixes of rows are alive, for the compaction filter.
//!
//! A prefix may be dropped only when its forgetting is on disk; so this changes only after a persist
//! that covers it. What it does not know, it keeps.

use crate::ids::{Bucket, Epoch, GroupId};
use crate::kv::migration::LiveMarks;
use crate::rows::{RowGeneration, home};
use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Live {
    groups: RwLock<BTreeMap<GroupId, GroupLife>>,
    changes: AtomicU64,
}

/// The living prefixes of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLife {
    /// Rows of earlier generations are forgotten.
    pub generation: RowGeneration,
    /// Rows of earlier epochs are forgotten, by bucket.
    pub epochs: Vec<Epoch>,
    /// Which moves have marks that are not forgotten.
    pub marks: LiveMarks,
}

impl Live {
    /// These are the living prefixes, on disk.
    pub fn publish(&self, group: GroupId, life: GroupLife) {
        let mut groups = self.groups.write().expect("no panic while held");
        if groups.get(&group).is_some_and(|known| *known != life) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        groups.insert(group, life);
    }

    /// All rows of a group were forgotten, whether or not its life was ever published here.
    pub fn count_forgotten(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Grows whenever something was forgotten.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Whether the row may be dropped.
    #[must_use]
    pub fn forgotten(&self, key: &[u8]) -> bool {
        let Some(home) = home(key) else { return false };
        // Generation 0 is the group's control row.
        if home.generation == RowGeneration(0) {
            return false;
        }
        let groups = self.groups.read().expect("no panic while held");
        let Some(life) = groups.get(&home.group) else { return false };
        if home.generation != life.generation {
            return home.generation < life.generation;
        }
        if let Some(number) = home.marks {
            return life.marks.forgotten(number);
        }
        home.bucket.is_some_and(|(Bucket(bucket), epoch)| {
            life.epochs.get(usize::from(bucket)).is_some_and(|live| epoch < *live)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{bucket_prefix, marks_prefix, meta_key};

    #[test]
    fn only_what_is_older_than_the_living_is_forgotten() {
        let live = Live::default();
        let (group, generation) = (GroupId(1), RowGeneration(2));
        let row = |generation, bucket, epoch| {
            bucket_prefix(group, RowGeneration(generation), Bucket(bucket), Epoch(epoch))
        };
        assert!(!live.forgotten(&row(1, 0, 0)), "an unknown group is kept");
        let marks = LiveMarks { last: 4, open: vec![2] };
        live.publish(group, GroupLife { generation, epochs: vec![Epoch(0), Epoch(5)], marks });
        assert!(live.forgotten(&row(1, 0, 9)), "an earlier generation");
        assert!(!live.forgotten(&row(3, 0, 0)), "a snapshot on its way in");
        assert!(!live.forgotten(&row(2, 0, 0)) && live.forgotten(&row(2, 1, 4)));
        assert!(!live.forgotten(&row(2, 1, 5)) && !live.forgotten(&row(2, 2, 0)));
        assert!(!live.forgotten(&meta_key(group, RowGeneration(0), b"control")));
        assert!(live.forgotten(&meta_key(group, RowGeneration(1), b"applied")));
        let mark = |number| marks_prefix(group, generation, number);
        assert!(live.forgotten(&mark(1)) && live.forgotten(&mark(4)), "moves that are over");
        assert!(!live.forgotten(&mark(2)) && !live.forgotten(&mark(5)), "open, or not begun");
    }
}
