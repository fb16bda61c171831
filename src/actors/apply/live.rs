//! Which prefixes of rows are alive, for the compaction filter.
//!
//! A prefix may be dropped only when its forgetting is on disk; so this changes only after a persist
//! that covers it. What it does not know, it keeps.

use crate::ids::{Bucket, Epoch, GroupId};
use crate::kv::migration::LiveMarks;
use crate::rows::{RowGeneration, home};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Live {
    groups: RwLock<BTreeMap<GroupId, GroupLife>>,
    so_far: Mutex<Forgotten>,
}

/// What was forgotten so far; each number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Times that anything was forgotten.
    pub times: u64,
    /// Times that it was a whole group, or what it held before a snapshot.
    pub groups: u64,
    /// Bytes of keys and values that were forgotten with their buckets.
    pub bytes: u64,
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
    /// Bytes of keys and values that were forgotten with their buckets since the state was opened.
    pub forgotten_bytes: u64,
}

impl GroupLife {
    /// One without buckets and moves.
    #[must_use]
    pub fn of_nothing(generation: RowGeneration) -> Self {
        Self { generation, epochs: Vec::new(), marks: LiveMarks::default(), forgotten_bytes: 0 }
    }
}

impl Live {
    /// These are the living prefixes, on disk.
    pub fn publish(&self, group: GroupId, life: GroupLife) {
        let mut groups = self.groups.write().expect("no panic while held");
        if let Some(known) = groups.get(&group).filter(|known| **known != life) {
            if known.generation == life.generation {
                let bytes = life.forgotten_bytes.saturating_sub(known.forgotten_bytes);
                self.count(|so_far| so_far.bytes += bytes);
            } else {
                self.group_forgotten();
            }
        }
        groups.insert(group, life);
    }

    /// All rows of a group were forgotten, whether or not its life was ever published here.
    pub fn group_forgotten(&self) {
        self.count(|so_far| so_far.groups += 1);
    }

    fn count(&self, what: impl FnOnce(&mut Forgotten)) {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.times += 1;
        what(&mut so_far);
    }

    /// What was forgotten so far.
    #[must_use]
    pub fn so_far(&self) -> Forgotten {
        *self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
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
        let epochs = vec![Epoch(0), Epoch(5)];
        let life = GroupLife { generation, epochs, marks, forgotten_bytes: 7 };
        live.publish(group, life.clone());
        assert_eq!(live.so_far(), Forgotten::default(), "what is news here may be old");
        assert!(live.forgotten(&row(1, 0, 9)), "an earlier generation");
        assert!(!live.forgotten(&row(3, 0, 0)), "a snapshot on its way in");
        assert!(!live.forgotten(&row(2, 0, 0)) && live.forgotten(&row(2, 1, 4)));
        assert!(!live.forgotten(&row(2, 1, 5)) && !live.forgotten(&row(2, 2, 0)));
        assert!(!live.forgotten(&meta_key(group, RowGeneration(0), b"control")));
        assert!(live.forgotten(&meta_key(group, RowGeneration(1), b"applied")));
        let mark = |number| marks_prefix(group, generation, number);
        assert!(live.forgotten(&mark(1)) && live.forgotten(&mark(4)), "moves that are over");
        assert!(!live.forgotten(&mark(2)) && !live.forgotten(&mark(5)), "open, or not begun");
        live.publish(group, GroupLife { forgotten_bytes: 9, ..life.clone() });
        assert_eq!(live.so_far(), Forgotten { times: 1, groups: 0, bytes: 2 });
        live.publish(group, GroupLife { generation: RowGeneration(3), ..life });
        assert_eq!(live.so_far(), Forgotten { times: 2, groups: 1, bytes: 2 });
    }
}
