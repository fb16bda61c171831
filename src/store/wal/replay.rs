//! Going through the log from its oldest segment to its newest, and telling a torn tail from damage.

use super::batch::Batch;
use super::format::BLOCK;
use super::group::Place;
use super::index::Index;
use super::log::NO_GROUP;
use super::payload::Change;
use super::scan::{Bad, Scan, ScannedBatch, scan};
use super::segment::{RecordError, Segment};
use super::write::DamagedPlace;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{ClusterId, GroupId};
use crate::store::disk::File;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Damaged places that are named one by one.
const PLACES_MAX: usize = 64;

/// What is known of a log once all of it has been read.
#[derive(Debug)]
pub(super) struct Replay<F> {
    pub(super) index: Index,
    /// The cluster that the log belongs to; all zero if it does not know.
    pub(super) cluster: ClusterId,
    /// The segments that make up the log.
    pub(super) chain: BTreeMap<u64, Arc<Segment<F>>>,
    /// Where what is known to be durable ends in the last of them, bytes.
    pub(super) end: u64,
    /// The number of the batch that would stand there.
    pub(super) next_number: u64,
    /// Batches after that which check, but may not be durable. Not in the index yet.
    tail: Vec<ScannedBatch>,
    /// Once the tail is durable, segments of a lower life are not needed.
    pub(super) oldest: u64,
    pub(super) places: Vec<DamagedPlace>,
    pub(super) torn_tail_bytes: u64,
}

/// Replays what is in `segments`, and leaves there those that the log does not need.
pub(super) fn replay<F: File>(
    segments: &mut BTreeMap<u64, Segment<F>>,
    damaged: Vec<DamagedPlace>,
) -> io::Result<Replay<F>> {
    let is_lost = !damaged.is_empty();
    let mut replay = Replay {
        // Before anything that a record of the log may say about it.
        index: Index { damaged_all: is_lost, has_holes: is_lost, ..Index::default() },
        cluster: ClusterId::default(),
        chain: BTreeMap::new(),
        end: 0,
        next_number: 1,
        tail: Vec::new(),
        oldest: 0,
        places: damaged,
        torn_tail_bytes: 0,
    };
    let Some((_, head)) = segments.pop_last() else { return Ok(replay) };
    let found = scan(&head, head.capacity)?;
    // The proofs come from the batches themselves: what is missing cannot speak for itself.
    let proven = found.batches.iter().map(|batch| batch.header.synced_through);
    let proven = proven.chain([head.header.proven]).max().unwrap_or(0);
    #[cfg(feature = "controls")]
    let proven = if active(Control::DamageAsTail) { head.header.proven } else { proven };
    // A mark that may not be durable yet does not free a segment before the tail is copied, but it
    // excuses one that is gone: nothing is removed before the mark is synced.
    let oldest = newest_mark(&found, proven).max(head.header.oldest);

    let cut = found.cut(proven);
    replay.oldest = newest_mark(&found, cut - 1).max(head.header.oldest);
    let mut next = head.header;
    let mut older = Vec::new();
    while next.life > oldest && next.previous != 0 {
        let mut end = Some(next.previous_end);
        if !segments.contains_key(&next.previous) {
            if next.previous < replay.oldest {
                break;
            }
            end = None;
        }
        let missing = end.is_none().then_some(next.previous);
        // Without the one that should be there, the one before it is as good as can be had.
        let below = segments.range(oldest..=next.previous).next_back().map(|(life, _)| *life);
        let Some(segment) = below.and_then(|life| segments.remove(&life)) else {
            replay.miss(missing);
            break;
        };
        let following = next.first_number;
        next = segment.header;
        older.push((segment, end, following, missing));
    }
    // What is missing is noticed in its place: a later record may say that it does not matter any more.
    for (segment, end, following, missing) in older.into_iter().rev() {
        replay.older(segment, end, following)?;
        replay.miss(missing);
    }
    replay.head(head, found, proven);
    Ok(replay)
}

/// The highest life that a mark in batches up to this number names as the oldest needed; 0 if none.
fn newest_mark(found: &Scan, number: u64) -> u64 {
    let batches = found.batches.iter().filter(|batch| batch.header.number <= number);
    let marks = batches.flat_map(|batch| &batch.records).filter_map(|record| match record.change {
        Change::Oldest(life) => Some(life),
        _ => None,
    });
    marks.max().unwrap_or(0)
}

impl<F: File> Replay<F> {
    /// The life of the newest segment; 0 if there is none.
    pub(super) fn last_life(&self) -> u64 {
        self.chain.keys().next_back().copied().unwrap_or(0)
    }

    fn begin(&mut self, segment: &Segment<F>) {
        let cluster = segment.header.identity.cluster;
        if cluster != ClusterId::default() {
            self.cluster = cluster;
        }
    }

    /// A segment that is not the newest: all in it was synced up to its end, if that is known.
    fn older(&mut self, segment: Segment<F>, end: Option<u64>, following: u64) -> io::Result<()> {
        self.begin(&segment);
        let mut found = scan(&segment, end.unwrap_or(segment.capacity))?;
        found.batches.retain(|batch| batch.header.number < following);
        let complete = found.next_number == following && Some(found.end) == end;
        let mut holes = found.holes.iter().filter(|hole| hole.first < following).peekable();
        for batch in &found.batches {
            while let Some(hole) = holes.next_if(|hole| hole.first < batch.header.number) {
                self.lose_all(segment.name(), hole.offset, "batches are missing");
            }
            self.take(&segment, batch);
        }
        for hole in holes {
            self.lose_all(segment.name(), hole.offset, "batches are missing");
        }
        if end.is_some() && !complete {
            self.lose_all(segment.name(), found.end, "batches are missing at the segment's end");
        }
        self.chain.insert(segment.life(), Arc::new(segment));
        Ok(())
    }

    /// The newest segment: its end may be torn, and that is where it is cut.
    fn head(&mut self, head: Segment<F>, found: Scan, proven: u64) {
        self.begin(&head);
        let cut = found.cut(proven);
        let Scan { batches, holes, end, torn_header, .. } = found;
        let mut holes = holes.iter().filter(|hole| hole.first <= proven).peekable();
        self.end = BLOCK;
        self.next_number = head.header.first_number;
        let mut whole_end = BLOCK;
        for batch in batches {
            let number = batch.header.number;
            while let Some(hole) = holes.next_if(|hole| hole.first < number) {
                self.lose_all(head.name(), hole.offset, "batches are missing");
            }
            if number >= cut {
                continue;
            }
            whole_end = batch.offset + batch.header.blocks_bytes();
            for record in &batch.records {
                match record.change {
                    Change::End(next) if next != 0 => {
                        self.lose_all(format!("life {next}"), 0, "the newest segment is missing");
                    }
                    Change::Cluster(cluster) => self.cluster = cluster,
                    _ => {}
                }
            }
            if number <= proven {
                self.take(&head, &batch);
                self.end = whole_end;
                self.next_number = number + 1;
            } else {
                self.tail.push(batch);
            }
        }
        for hole in holes {
            self.lose_all(head.name(), hole.offset, "batches are missing");
        }
        self.torn_tail_bytes = end.saturating_sub(whole_end) + if torn_header { BLOCK } else { 0 };
        self.chain.insert(head.life(), Arc::new(head));
    }

    /// Takes in a batch that had been synced.
    fn take(&mut self, segment: &Segment<F>, batch: &ScannedBatch) {
        for record in &batch.records {
            if let Change::Cluster(cluster) = record.change {
                self.cluster = cluster;
            }
            self.index.apply(record, segment.life(), batch.header.number);
        }
        // After them, since who is born in this batch may be who has lost something.
        for Bad { offset, group, what } in &batch.bad {
            match group {
                Some(group) if *group != NO_GROUP => {
                    self.lose(*group, segment.name(), *offset, what)
                }
                _ => self.lose_all(segment.name(), *offset, what),
            }
        }
    }

    fn lose(&mut self, group: GroupId, segment: String, offset: u64, what: &'static str) {
        self.index.lose(group);
        self.place(segment, offset, what);
    }

    fn lose_all(&mut self, segment: String, offset: u64, what: &'static str) {
        self.index.lose_all();
        self.place(segment, offset, what);
    }

    /// The segment of this life is not where it should be.
    fn miss(&mut self, life: Option<u64>) {
        if let Some(life) = life {
            self.lose_all(format!("life {life}"), 0, "a segment is missing");
        }
    }

    fn place(&mut self, segment: String, offset: u64, what: &'static str) {
        if self.places.len() < PLACES_MAX {
            self.places.push(DamagedPlace { segment, offset, what });
        }
    }

    /// Copies the records that may not be durable. What speaks of the segment itself stays behind.
    pub(super) fn put_tail(&self, batch: &mut Batch) -> io::Result<()> {
        let Some(head) = self.chain.values().next_back() else { return Ok(()) };
        for scanned in &self.tail {
            for record in &scanned.records {
                if matches!(record.change, Change::Oldest(_) | Change::End(_)) {
                    continue;
                }
                let place = Place::of(record, head.life(), scanned.header.number);
                let (_, payload) =
                    head.read_record(record.group, place).map_err(|error| match error {
                        RecordError::Io(error) => error,
                        RecordError::Damaged => {
                            io::Error::other("a record changed while it was read")
                        }
                    })?;
                batch.put_encoded(record.group, record.change.clone(), &payload);
            }
        }
        Ok(())
    }

    /// Notices groups of which entries are missing without any trace of where they were.
    pub(super) fn check_groups(&mut self) {
        let index = &mut self.index;
        let mut gaps = Vec::new();
        for (group, log) in &mut index.groups {
            if let Some(gap) = log.gap() {
                log.cut_at_gap(&mut index.ledger);
                gaps.push((*group, gap));
            }
        }
        for (group, gap) in gaps {
            self.lose(group, format!("the index of {group} at {gap}"), 0, "entries are missing");
        }
    }
}
