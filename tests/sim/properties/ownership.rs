//! Of each bucket there is one owner at a time. An epoch of a bucket has one owner for ever; a newer one
//! begins only when the one before has been seen to end; and what was handed off is forgotten only when the
//! new owner has been seen to serve it. No group begins a move by an older table than it has known. In a
//! replica's life the epochs of what it serves only grow.

use super::{Held, Replica, Violation};
use eraft::actors::apply::Holdings;
use eraft::ids::{Bucket, Epoch, GroupId};
use eraft::kv::migration::{IncomingPhase, MoveId, OutgoingPhase};
use eraft::limits::BUCKETS;
use eraft::shard::{BucketRange, TableStamp};
use std::collections::{BTreeMap, BTreeSet};

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    owners: BTreeMap<(Bucket, Epoch), GroupId>,
    newest: BTreeMap<Bucket, (Epoch, GroupId)>,
    ended: BTreeSet<(Bucket, Epoch)>,
    tables: BTreeMap<MoveId, TableStamp>,
    handed_off: BTreeSet<MoveId>,
    accepted: BTreeSet<MoveId>,
    over: BTreeSet<MoveId>,
    served: BTreeMap<Replica, Served>,
}

/// What a replica serves in this life.
#[derive(Debug)]
struct Served {
    /// As it was said last.
    ranges: Vec<(BucketRange, Epoch)>,
    /// By bucket, the newest epoch in which it was served.
    epochs: Vec<Epoch>,
}

/// What was seen for the first time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Novelties {
    pub(crate) handed_off: u64,
    pub(crate) accepted: u64,
    /// Moves that ended without a hand-off.
    pub(crate) given_up: u64,
    /// Moves that were handed off by a group that had others under way.
    pub(crate) beside: u64,
}

impl Ownership {
    /// A life is over. The next one begins with what is on disk, which may be older.
    pub(super) fn died(&mut self, replica: Replica) {
        self.served.remove(&replica);
    }

    /// A replica has come to hold this.
    pub(super) fn held(
        &mut self,
        replica: Replica,
        holdings: &Holdings,
    ) -> Result<Novelties, Violation> {
        let (_, group) = replica;
        let mut news = Novelties::default();
        for (number, outgoing) in holdings.moves.outgoing() {
            let id = MoveId { source: group, number };
            self.begins(id, outgoing.table)?;
            if outgoing.phase != OutgoingPhase::Moving && self.handed_off.insert(id) {
                news.handed_off += 1;
                let moves = &holdings.moves;
                let open = moves.outgoing().count() + moves.incoming().count();
                news.beside += u64::from(open > 1);
                for bucket in outgoing.ranges.buckets() {
                    let newest = self.newest.get(&bucket).filter(|newest| newest.1 == group);
                    self.ended.extend(newest.map(|newest| (bucket, newest.0)));
                }
            }
        }
        for (id, incoming) in holdings.moves.incoming() {
            let is_new = incoming.phase == IncomingPhase::Accepted && self.accepted.insert(id);
            news.accepted += u64::from(is_new);
        }
        let before = self.served.get(&replica);
        if before.is_none_or(|before| before.ranges != holdings.owned) {
            for (range, epoch) in &holdings.owned {
                range.buckets().try_for_each(|bucket| self.serves(group, bucket, *epoch))?;
            }
            self.only_grow(replica, &holdings.owned)?;
        }
        let own = self.tables.keys().filter(|id| id.source == group);
        let over: Vec<_> = own.filter(|id| holdings.moves.is_over(id.number)).copied().collect();
        for id in over.into_iter().filter(|id| !self.over.contains(id)).collect::<Vec<_>>() {
            let was_handed_off = self.handed_off.contains(&id);
            if was_handed_off && !self.accepted.contains(&id) {
                let story = format!("{id} is forgotten by {group} before it was accepted");
                return Err(Violation::new("nothing deleted before acceptance", story));
            }
            self.over.insert(id);
            news.given_up += u64::from(!was_handed_off);
        }
        Ok(news)
    }

    /// A snapshot is no exception: it is installed only where it is newer than what is there.
    fn only_grow(&mut self, replica: Replica, ranges: &[(BucketRange, Epoch)]) -> Held {
        let nothing =
            || Served { ranges: Vec::new(), epochs: vec![Epoch(0); usize::from(BUCKETS)] };
        let served = self.served.entry(replica).or_insert_with(nothing);
        served.ranges = ranges.to_vec();
        for (range, epoch) in ranges {
            for bucket in range.buckets() {
                let newest = &mut served.epochs[usize::from(bucket.0)];
                let before = std::mem::replace(newest, *epoch);
                if *epoch < before {
                    let (node, group) = replica;
                    let story = format!(
                        "{node} in {group} serves {bucket} in {before}, and then in {epoch}"
                    );
                    return Err(Violation::new("monotonic epochs", story));
                }
            }
        }
        Ok(())
    }

    fn begins(&mut self, id: MoveId, table: TableStamp) -> Held {
        let first = MoveId { number: 0, ..id };
        let before = self.tables.range(first..id).map(|(_, table)| *table).max();
        self.tables.insert(id, table);
        match before.filter(|before| *before > table) {
            None => Ok(()),
            Some(before) => {
                let story = format!("{id} begins by {table}, a move before it by {before}");
                Err(Violation::new("no older table", story))
            }
        }
    }

    fn serves(&mut self, group: GroupId, bucket: Bucket, epoch: Epoch) -> Held {
        let owner = *self.owners.entry((bucket, epoch)).or_insert(group);
        let (before, last) = *self.newest.entry(bucket).or_insert((epoch, group));
        let overlap = epoch > before && last != group && !self.ended.contains(&(bucket, before));
        if owner != group || overlap {
            let story = format!(
                "{group} serves {bucket} in {epoch}, {owner} owns that epoch, and {last} has served it \
                 since {before}"
            );
            return Err(Violation::new("one owner per bucket", story));
        }
        if epoch > before {
            self.newest.insert(bucket, (epoch, group));
        }
        Ok(())
    }
}
