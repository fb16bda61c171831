//! Reading entries back, from any thread, while the log goes on.

use super::error::ReadError;
use super::group::Extent;
use super::index::Shared;
use super::segment::{RecordError, Segment};
use super::write::RecoveredGroup;
use crate::ids::{GroupId, Index};
use crate::limits;
use crate::raft::{Entry, EntryKind};
use crate::store::disk::{Disk, File};
use std::sync::Arc;

/// Extents looked up under one hold of the lock.
const EXTENTS_MAX: usize = 1024;

/// Reads entries that were written. Cheap to clone.
#[derive(Debug)]
pub struct LogReader<D: Disk> {
    shared: Arc<Shared<D::File>>,
}

impl<D: Disk> Clone for LogReader<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// An extent, and the segment it is in, held so that its file is not used again meanwhile.
type Held<F> = (Extent, Arc<Segment<F>>);

impl<D: Disk> LogReader<D> {
    pub(super) fn new(shared: Arc<Shared<D::File>>) -> Self {
        Self { shared }
    }

    /// Entries from `from` on, contiguous, until their cost reaches `bytes_max`; the first one in any
    /// case, none only if `from` is after the last.
    ///
    /// If the entries are being replaced at the same time, what comes back may be the old ones.
    ///
    /// # Errors
    /// They are compacted away, the file cannot be read, or it is damaged.
    pub fn read(
        &self,
        group: GroupId,
        from: Index,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let held = self.hold_forward(group, from, bytes_max)?;
        let (mut entries, mut cost) = (Vec::new(), 0);
        for (extent, segment) in &held {
            for entry in read_extent(group, extent, segment)? {
                if entry.index < from {
                    continue;
                }
                if cost + entry.cost() > bytes_max && !entries.is_empty() {
                    return Ok(entries);
                }
                cost += entry.cost();
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn hold_forward(
        &self,
        group: GroupId,
        from: Index,
        bytes_max: usize,
    ) -> Result<Vec<Held<D::File>>, ReadError> {
        let contents = self.shared.look();
        let log = contents.index.groups.get(&group).ok_or(ReadError::UnknownGroup(group))?;
        if from <= log.base.index {
            return Err(ReadError::Compacted { group, base: log.base.index });
        }
        let start = log.extents.partition_point(|extent| extent.last < from);
        let (mut held, mut bytes) = (Vec::new(), 0);
        for extent in log.extents.iter().skip(start).take(EXTENTS_MAX) {
            // The first extent may begin before `from`, so its length is no measure.
            if bytes > bytes_max {
                break;
            }
            if !held.is_empty() {
                bytes += extent.place.length as usize;
            }
            // Only a log with damage points to a segment that is not there.
            let Some(segment) = contents.segments.get(&extent.place.life) else { break };
            held.push((*extent, Arc::clone(segment)));
        }
        Ok(held)
    }

    /// All that a replica needs to start whose state has applied everything up to `applied`; `None` if
    /// the group is not in the log.
    pub(super) fn recover_group(
        &self,
        group: GroupId,
        applied: Index,
    ) -> Result<Option<RecoveredGroup>, ReadError> {
        let (mut recovered, held) = {
            let contents = self.shared.look();
            let Some(log) = contents.index.groups.get(&group) else { return Ok(None) };
            let mut held = Vec::new();
            let mut bytes = 0;
            for extent in log.extents.iter().rev() {
                bytes += extent.place.length as usize;
                let Some(segment) = contents.segments.get(&extent.place.life) else { break };
                held.push((*extent, Arc::clone(segment)));
                if bytes > limits::LOG_TAIL_BYTES_MAX {
                    break;
                }
            }
            let recovered = RecoveredGroup {
                hard_state: log.hard_state,
                identity: log.identity,
                left_behind: log.left_behind,
                base: log.base.clone(),
                terms: log.terms(),
                last: log.last(),
                tail: Vec::new(),
            };
            (recovered, held)
        };
        let mut cost = 0;
        'tail: for (extent, segment) in &held {
            for entry in read_extent(group, extent, segment)?.into_iter().rev() {
                cost += entry.cost();
                if cost > limits::LOG_TAIL_BYTES_MAX && !recovered.tail.is_empty() {
                    break 'tail;
                }
                recovered.tail.push(entry);
            }
        }
        recovered.tail.reverse();
        self.reach_changes(group, applied, &mut recovered)?;
        Ok(Some(recovered))
    }

    /// Makes the tail long enough to hold every change of the membership after `applied`: a core must
    /// know all that may be in force.
    fn reach_changes(
        &self,
        group: GroupId,
        applied: Index,
        recovered: &mut RecoveredGroup,
    ) -> Result<(), ReadError> {
        let have = recovered.tail.first().map_or(recovered.last.next(), |entry| entry.index);
        let mut from = Index(applied.max(recovered.base.index).0.saturating_add(1));
        let mut missing: Vec<Entry> = Vec::new();
        while from < have {
            let page = self.read(group, from, limits::APPLY_BYTES_MAX)?;
            let Some(last) = page.last() else { break };
            from = last.index.next();
            for entry in page {
                let wanted = !missing.is_empty() || entry.kind == EntryKind::Membership;
                if wanted && entry.index < have {
                    missing.push(entry);
                }
            }
        }
        missing.append(&mut recovered.tail);
        recovered.tail = missing;
        Ok(())
    }
}

fn read_extent<F: File>(
    group: GroupId,
    extent: &Extent,
    segment: &Segment<F>,
) -> Result<Vec<Entry>, ReadError> {
    segment.read_entries(group, extent.place, extent.first, extent.last).map_err(
        |error| match error {
            RecordError::Io(error) => {
                ReadError::Io { path: segment.path.clone(), error: Arc::new(error) }
            }
            RecordError::Damaged => ReadError::Damaged {
                path: segment.path.clone(),
                offset: extent.place.offset,
                group,
            },
        },
    )
}
