//! Dropping forgotten rows while fjall compacts.
//!
//! Rows come in key order, so all rows of one prefix come together and the question is asked once for
//! each prefix. A forgotten row leaves no tombstone behind: an older version of it that comes to light
//! in a deeper level is forgotten as well.

use super::store::Forgotten;
use crate::rows;
use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};
use std::panic::AssertUnwindSafe;

/// Makes a [`ForgottenFilter`] for each compaction.
pub(super) struct ForgottenFactory(AssertUnwindSafe<Forgotten>);

impl ForgottenFactory {
    pub(super) fn new(forgotten: Forgotten) -> Self {
        Self(AssertUnwindSafe(forgotten))
    }
}

impl Factory for ForgottenFactory {
    fn name(&self) -> &str {
        "forgotten"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(ForgottenFilter { forgotten: self.0.clone(), home: None, drop: false })
    }
}

struct ForgottenFilter {
    forgotten: Forgotten,
    /// The home of the last row, and what was said of it.
    home: Option<rows::RowHome>,
    drop: bool,
}

impl ForgottenFilter {
    fn is_forgotten(&mut self, key: &[u8]) -> bool {
        let home = rows::home(key);
        if home.is_none() {
            return false;
        }
        if home != self.home {
            self.home = home;
            self.drop = (self.forgotten)(key);
        }
        self.drop
    }
}

impl CompactionFilter for ForgottenFilter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        Ok(if self.is_forgotten(item.key()) { Verdict::Destroy } else { Verdict::Keep })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Bucket, Epoch, GroupId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn it_asks_once_for_each_prefix() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let forgotten: Forgotten = Arc::new(move |key| {
            counter.fetch_add(1, Ordering::Relaxed);
            rows::home(key).is_some_and(|home| home.bucket == Some((Bucket(1), Epoch(1))))
        });
        let mut filter = ForgottenFilter { forgotten, home: None, drop: false };
        for bucket in [1, 2] {
            for n in 0..10u8 {
                let generation = rows::RowGeneration(1);
                let mut key = rows::bucket_prefix(GroupId(1), generation, Bucket(bucket), Epoch(1));
                key.push(n);
                assert_eq!(filter.is_forgotten(&key), bucket == 1);
            }
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(!filter.is_forgotten(b"what is this"));
    }
}
