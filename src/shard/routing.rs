//! From a bucket to its group in one step: the table's actual owners, laid out as an array.
//!
//! Stands apart from the table because every command asks it and a table changes rarely: it is built once
//! per version and shared. A node that has no table yet has no routing.

use super::owners::Bounds;
use super::table::Table;
use crate::ids::{Bucket, GroupId};
use crate::limits::BUCKETS;
use std::sync::Arc;

/// A table that answers quickly who owns a bucket. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Routing {
    table: Arc<Table>,
    /// The owner of each bucket. 0, the config group, owns none and stands for "nobody".
    groups: Arc<[u32]>,
}

impl Routing {
    /// Lays out `table`.
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        let mut groups = vec![GroupId::CONFIG.0; usize::from(BUCKETS)];
        for (range, group) in table.owners.ranges(Bounds::Actual) {
            let (first, last) = (usize::from(range.first.0), usize::from(range.last.0));
            groups[first..=last].fill(group.unwrap_or(GroupId::CONFIG).0);
        }
        Self { table, groups: groups.into() }
    }

    /// The table it was made of.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The group that owns `bucket`; `None` if nobody does.
    #[must_use]
    pub fn group_of(&self, bucket: Bucket) -> Option<GroupId> {
        let group = GroupId(*self.groups.get(usize::from(bucket.0))?);
        (group != GroupId::CONFIG).then_some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::super::owners::{BucketRange, Owner};
    use super::super::plan::tests::plan;
    use super::*;

    #[test]
    fn the_array_says_what_the_table_says() {
        let mut table = Table::found(&plan(3, 7)).expect("a good plan");
        let hole = BucketRange { first: Bucket(5000), last: Bucket(5100) };
        table.owners.set(hole, Owner { desired: Some(GroupId(3)), actual: None });
        let routing = Routing::new(Arc::new(table));
        for bucket in (0..BUCKETS).map(Bucket) {
            assert_eq!(routing.group_of(bucket), routing.table().group_of(bucket), "{bucket}");
        }
        assert_eq!(routing.group_of(Bucket(5050)), None);
        assert_eq!(routing.group_of(Bucket(BUCKETS)), None);
    }
}
