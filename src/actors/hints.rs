//! Where buckets have moved that the config table does not know of yet: told by the groups that gave them
//! away. Of what is heard about a bucket the highest epoch is right.

use crate::ids::{Bucket, Epoch, GroupId};
use crate::shard::Table;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// See the module's first lines. Written by the routers; empty nearly always.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    count: AtomicUsize,
    buckets: RwLock<BTreeMap<Bucket, (Epoch, GroupId)>>,
}

impl Hints {
    /// The group that a bucket has moved to, if the table does not know it.
    pub(crate) fn group_of(&self, bucket: Bucket) -> Option<GroupId> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(&bucket).map(|(_, group)| *group)
    }

    /// A bucket was handed to this group, in this epoch or a later one.
    pub(crate) fn learn(&self, bucket: Bucket, to: GroupId, epoch: Epoch, table: &Table) {
        if is_known(table, bucket, epoch) {
            return;
        }
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.entry(bucket).or_insert((epoch, to));
        if known.0 < epoch {
            *known = (epoch, to);
        }
        self.count.store(buckets.len(), Ordering::Release);
    }

    /// Forgets what this table knows.
    pub(crate) fn forget(&self, table: &Table) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|bucket, (epoch, _)| !is_known(table, *bucket, *epoch));
        self.count.store(buckets.len(), Ordering::Release);
    }
}

fn is_known(table: &Table, bucket: Bucket, epoch: Epoch) -> bool {
    table.owners.get(bucket).actual.is_some_and(|actual| actual.epoch >= epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClusterId, Incarnation, NodeId};
    use crate::shard::{Actual, BucketRange, Founder, InitPlan, NodeInfo, Owner, ReplicatedLimits};

    fn table() -> Table {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let info = NodeInfo {
            incarnation: Incarnation(1),
            quic: address(1),
            redis: address(2),
            cluster_port: address(3),
            http: address(4),
            zone: None,
        };
        let plan = InitPlan {
            cluster: ClusterId([1; 16]),
            hash_key: [2; 16],
            founders: vec![Founder { node: NodeId(1), info }],
            data_groups: 2,
            replication: 1,
            limits: ReplicatedLimits::default(),
        };
        Table::found(&plan).unwrap()
    }

    #[test]
    fn the_highest_epoch_is_right_and_the_table_ends_a_hint() {
        let mut table = table();
        let (hints, bucket) = (Hints::default(), Bucket(9));
        let known = table.owners.get(bucket).actual.unwrap();
        hints.learn(bucket, GroupId(7), known.epoch, &table);
        assert_eq!(hints.group_of(bucket), None, "the table is as new");
        let later = |by| Epoch(known.epoch.0 + by);
        hints.learn(bucket, GroupId(2), later(2), &table);
        hints.learn(bucket, GroupId(1), later(1), &table);
        assert_eq!(hints.group_of(bucket), Some(GroupId(2)));
        assert_eq!(hints.group_of(Bucket(8)), None);
        let range = BucketRange { first: bucket, last: bucket };
        let mut told = |epoch| {
            let actual = Some(Actual { group: GroupId(2), epoch });
            table.owners.set(range, Owner { desired: Some(GroupId(2)), actual });
            hints.forget(&table);
        };
        told(later(1));
        assert_eq!(hints.group_of(bucket), Some(GroupId(2)));
        told(later(2));
        assert_eq!(hints.group_of(bucket), None);
    }
}
