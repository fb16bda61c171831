//! The log's writer: what is handed in goes to the end of the newest segment.
//!
//! ```text
//!   oldest          …            head
//! ┌────────┐   ┌────────┐   ┌──────────────┐
//! │ life 5 ├──►│ life 6 ├──►│ life 8 │ free │    each header says where the one before it ends
//! └────────┘   └────────┘   └──────────────┘
//! ```
//! Always: a segment's header is durable before its first batch is written, and everything in a segment
//! is durable before the header of the next is written. The number of the newest batch known to be
//! durable goes into each batch, so that recovery can tell a torn end from damage.

use super::batch::{BATCH_BYTES_MAX, Batch};
use super::error::{LogError, ReadError};
use super::format::BLOCK;
use super::header::SegmentHeader;
use super::index::Shared;
use super::payload::Change;
use super::pool::Pool;
use super::reader::LogReader;
use super::segment::Segment;
use super::write::{BatchStats, LogIdentity, LogOp, LogWrite, RecoveredGroup, Standing};
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{ClusterId, GroupId, Incarnation, Index};
use crate::limits;
use crate::store::disk::{Disk, File};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The group that records of the log itself are filed under; it is never looked at.
pub(super) const NO_GROUP: GroupId = GroupId(u32::MAX);

/// One node's write-ahead log. Belongs to one thread; see [`LogReader`] for the others.
#[derive(Debug)]
pub struct Log<D: Disk> {
    pub(super) identity: LogIdentity,
    pub(super) shared: Arc<Shared<D::File>>,
    pub(super) pool: Pool<D>,
    pub(super) head: Arc<Segment<D::File>>,
    /// Where the next batch goes, bytes.
    pub(super) head_end: u64,
    /// No file has had this life or a higher one.
    pub(super) next_life: u64,
    /// The number of the next batch.
    pub(super) next_number: u64,
    /// Batches up to this one are durable.
    pub(super) synced_through: u64,
    pub(super) batch: Batch,
    /// Segments that are given up but still read by somebody.
    pub(super) retiring: Vec<Arc<Segment<D::File>>>,
    /// Files whose header cannot be read.
    pub(super) unreadable: Vec<PathBuf>,
    /// A write or a sync has failed: nothing is certain any more.
    pub(super) failed: bool,
}

impl<D: Disk> Log<D> {
    /// Writes all of it as one batch, in one write, and syncs it if one of the writes asks for that.
    /// After `Ok` what asked for a sync is durable, and so is everything before it.
    ///
    /// # Errors
    /// After any error but [`LogError::Misuse`] the log takes nothing any more.
    pub fn write(&mut self, batch: &[LogWrite]) -> Result<BatchStats, LogError> {
        self.usable()?;
        self.check(batch)?;
        self.batch.clear();
        for write in batch {
            self.batch.put_write(write);
        }
        let must_sync = batch.iter().any(|write| write.must_sync);
        let stats = self.commit(must_sync)?;
        Ok(BatchStats { groups: batch.len(), ..stats })
    }

    /// Writes down which cluster the log belongs to. Durable after `Ok`.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn set_cluster(&mut self, cluster: ClusterId) -> Result<(), LogError> {
        self.usable()?;
        self.identity.cluster = cluster;
        self.batch.clear();
        self.batch.put(NO_GROUP, Change::Cluster(cluster));
        self.commit(true).map(drop)
    }

    /// What the log knows of a group's life here, and the disk by which the replica is known if that is not
    /// the node's.
    #[must_use]
    pub fn standing(&self, group: GroupId) -> (Standing, Option<Incarnation>) {
        let contents = self.shared.look();
        let log = contents.index.groups.get(&group);
        (contents.index.standing(group), log.and_then(|log| log.identity))
    }

    /// If something was lost, and nobody knew whose, and every group that was known then has died since: the
    /// log is whole again. To be called when every group that should be here is. Answers whether the log is
    /// whole; durable then.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn mend(&mut self) -> Result<bool, LogError> {
        self.usable()?;
        let (lost, waits) = {
            let contents = self.shared.look();
            (contents.index.damaged_all, !contents.index.damaged.is_empty())
        };
        if lost && !waits {
            self.batch.clear();
            self.batch.put(NO_GROUP, Change::Mended { now: true });
            self.commit(true)?;
            self.put_aside()?;
        }
        Ok(!waits)
    }

    /// Renames the files whose header cannot be read, so that they are not looked at again.
    pub(super) fn put_aside(&mut self) -> Result<(), LogError> {
        for path in std::mem::take(&mut self.unreadable) {
            let done = self.pool.put_aside(&path);
            self.try_to("put aside a file beside", done)?;
        }
        Ok(())
    }

    /// A reader for any thread.
    #[must_use]
    pub fn reader(&self) -> LogReader<D> {
        LogReader::new(Arc::clone(&self.shared))
    }

    /// All that a replica needs to start anew whose state has applied everything up to `applied`; `None` if
    /// the group is not in the log. Further back than `LOG_TAIL_BYTES_MAX` the tail reaches only for changes
    /// of the membership.
    ///
    /// # Errors
    /// When its newest entries do not read back.
    pub fn recover_group(
        &self,
        group: GroupId,
        applied: Index,
    ) -> Result<Option<RecoveredGroup>, ReadError> {
        self.reader().recover_group(group, applied)
    }

    /// Syncs what is not yet, and marks the end, so that the next start can tell that nothing is
    /// missing there.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn close(mut self) -> Result<(), LogError> {
        self.usable()?;
        self.sync()?;
        self.batch.clear();
        self.batch.put(NO_GROUP, Change::End(0));
        self.commit(true).map(drop)
    }

    pub(super) fn usable(&self) -> Result<(), LogError> {
        if self.failed { Err(LogError::Failed) } else { Ok(()) }
    }

    /// Refuses what would make the log something that is no log.
    fn check(&self, batch: &[LogWrite]) -> Result<(), LogError> {
        let contents = self.shared.look();
        // Base and last index of groups, as the writes before in this batch leave them.
        let mut ends: BTreeMap<GroupId, (u64, u64)> = BTreeMap::new();
        let mut bytes = 0;
        for write in batch {
            let group = write.group;
            let misuse = |what| Err(LogError::Misuse { group, what });
            let end = ends.entry(group).or_insert_with(|| {
                let log = contents.index.groups.get(&group);
                log.map_or((0, 0), |log| (log.base.index.0, log.last().0))
            });
            match &write.op {
                Some(LogOp::SnapshotInstalled(meta)) => *end = (meta.index.0, meta.index.0),
                Some(LogOp::Compacted(meta)) => {
                    *end = (end.0.max(meta.index.0), end.1.max(meta.index.0));
                }
                Some(LogOp::Dead) => *end = (0, 0),
                Some(LogOp::Born(_) | LogOp::Identity(_) | LogOp::LeftBehind(_)) | None => {}
            }
            bytes += write.cost();
            let (Some(first), Some(last)) = (write.entries.first(), write.entries.last()) else {
                continue;
            };
            if contents.index.dead.contains_key(&group) && !matches!(write.op, Some(LogOp::Born(_)))
            {
                continue;
            }
            if first.index.0 <= end.0 || first.index.0 > end.1 + 1 {
                return misuse("the entries do not continue the log");
            }
            let contiguous =
                (first.index.0..).zip(&write.entries).all(|(index, e)| e.index.0 == index);
            if !contiguous {
                return misuse("the entries are not contiguous");
            }
            if write.entries.iter().any(|entry| entry.data.len() > limits::ENTRY_BYTES_MAX) {
                return misuse("an entry is too large");
            }
            end.1 = last.index.0;
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::Misuse { group: batch[0].group, what: "the batch is too large" });
        }
        Ok(())
    }

    /// Writes the batch that was made, if there is anything in it, and takes it into the index.
    pub(super) fn commit(&mut self, must_sync: bool) -> Result<BatchStats, LogError> {
        let mut stats = BatchStats::default();
        if !self.batch.is_empty() {
            let length = self.batch.length() as u64;
            if !self.head.has_room(self.head_end, length) {
                self.roll(length)?;
            }
            let started = Instant::now();
            let (life, number, at) = (self.head.life(), self.next_number, self.head_end);
            let bytes = self.batch.finish(self.head.salt(), life, number, self.synced_through, at);
            stats.bytes = bytes.len();
            let written = self.head.file.write_at(&mut [IoSlice::new(bytes)], at);
            self.try_to("write", written)?;
            self.head_end += stats.bytes as u64;
            self.next_number += 1;
            stats.records = self.batch.records().len();
            stats.write_time = started.elapsed();
        }
        if must_sync && self.synced_through + 1 < self.next_number {
            let started = Instant::now();
            self.sync()?;
            stats.sync_time = Some(started.elapsed());
        }
        if stats.records > 0 {
            let mut contents = self.shared.change();
            for record in self.batch.records() {
                contents.index.apply(record, self.head.life(), self.next_number - 1);
            }
        }
        Ok(stats)
    }

    /// Has the disk sync, although there may be nothing to sync: it tells whether it still can.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn probe(&mut self) -> Result<(), LogError> {
        self.usable()?;
        let synced = self.head.file.sync_data();
        self.try_to("sync", synced)
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        if self.synced_through + 1 < self.next_number {
            let synced = self.head.file.sync_data();
            #[cfg(feature = "controls")]
            let synced = if active(Control::GoOnAfterFailedSync) { Ok(()) } else { synced };
            self.try_to("sync", synced)?;
            self.synced_through = self.next_number - 1;
        }
        Ok(())
    }

    /// Begins the next segment, with room for a batch of so many bytes.
    fn roll(&mut self, batch_bytes: u64) -> Result<(), LogError> {
        self.sync()?;
        // The header, the batch, and the mark that may end the segment.
        let spare = self.pool.take(batch_bytes.next_multiple_of(BLOCK) + 2 * BLOCK);
        let spare = self.try_to("make a segment after", spare)?;
        let oldest = self.shared.look().segments.keys().next().copied().unwrap_or(self.head.life());
        let header = SegmentHeader {
            identity: self.identity,
            life: self.next_life,
            live: true,
            previous: self.head.life(),
            previous_end: self.head_end,
            first_number: self.next_number,
            proven: self.synced_through,
            oldest,
        };
        self.next_life += 1;
        let next = Arc::new(Segment::begin(spare, header));
        let begun = next.write_header().and_then(|()| next.file.sync_data());
        self.try_to("begin the segment after", begun)?;
        let ended = mark_end(&self.head, self.head_end, self.next_number, next.life());
        self.try_to("end", ended)?;
        self.shared.change().segments.insert(next.life(), Arc::clone(&next));
        self.head = next;
        self.head_end = BLOCK;
        self.pool.prepare_ahead();
        Ok(())
    }

    /// Passes a result on; after an error nothing is tried any more.
    pub(super) fn try_to<T>(
        &mut self,
        what: &'static str,
        result: io::Result<T>,
    ) -> Result<T, LogError> {
        result.map_err(|error| self.fail(what, &self.head.path.clone(), error))
    }

    pub(super) fn fail(&mut self, what: &'static str, path: &Path, error: io::Error) -> LogError {
        self.failed = true;
        LogError::Io { what, path: path.to_owned(), error: Arc::new(error) }
    }
}

/// Marks that a segment, which ends here, is not the log's end, so that it is noticed if the next one
/// is lost. It fits in one sector, and nothing behind it counts any more.
pub(super) fn mark_end<F: File>(
    segment: &Segment<F>,
    end: u64,
    number: u64,
    next: u64,
) -> io::Result<()> {
    let mut mark = Batch::default();
    mark.clear();
    mark.put(NO_GROUP, Change::End(next));
    let bytes = mark.finish(segment.salt(), segment.life(), number, number - 1, end);
    segment.file.write_at(&mut [IoSlice::new(bytes)], end)?;
    segment.file.sync_data()
}
