//! Opening a log: what is there, what of it counts, and a fresh segment to go on with.
//!
//! The pages of one un-synced write reach the disk in any order, and what a killed process wrote last
//! may be in the page cache only. So:
//! - All before the newest batch that is known to have been synced must be there. If it is not, that is
//!   *damage*: it is reported, written down, and stays reported.
//! - A batch after that which does not check is the *torn tail*; it and all after it are cut off.
//! - What counts and is not known to be synced is copied to a fresh segment, which is synced before
//!   anybody hears of it. The old segment gets no more than a mark of its end. First an announcement of the fresh
//!   segment's life is synced, so that no life is used twice, whatever happens in between.

use super::batch::Batch;
use super::error::{LogError, OpenError, ReadError};
use super::format::BLOCK;
use super::header::SegmentHeader;
use super::index::{Index, Shared};
use super::log::{Log, NO_GROUP, mark_end};
use super::payload::Change;
use super::pool::Pool;
use super::replay::{Replay, replay};
use super::segment::Segment;
use super::survey::{Survey, check_identity, survey};
use super::write::{Damage, LogIdentity, LogOptions, Recovered};
use crate::ids::{self, ClusterId, GroupId};
use crate::store::disk::{Disk, File};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A state that has applied all there is: no change of the membership is waited for.
const EVERYTHING: ids::Index = ids::Index(u64::MAX);

impl<D: Disk> Log<D> {
    /// Opens the log in `dir`, or makes an empty one, and says what it remembers.
    ///
    /// A log with damage opens as well, see [`Recovered::damage`]: the caller decides.
    ///
    /// # Errors
    /// It cannot be read or written, or it is somebody else's.
    pub fn open(
        disk: D,
        dir: &Path,
        identity: LogIdentity,
        options: LogOptions,
    ) -> Result<(Self, Recovered), OpenError> {
        let Survey { mut segments, mut spares, damaged, life_max, file_max } =
            survey(&disk, dir, &identity)?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => OpenError::NoSpace { path: dir.to_owned(), error },
            _ => OpenError::Io { path: dir.to_owned(), error },
        };
        let created = segments.is_empty() && damaged.is_empty();
        let unreadable: Vec<PathBuf> = damaged.iter().map(|file| dir.join(&file.segment)).collect();
        let mut replay = replay(&mut segments, damaged).map_err(failed)?;
        // What the log does not need any more is as good as new.
        spares.extend(std::mem::take(&mut segments).into_values().map(Segment::end));
        let found = LogIdentity { cluster: replay.cluster, ..identity };
        check_identity(dir, &found, &identity)?;
        let cluster =
            if found.cluster == ClusterId::default() { identity.cluster } else { found.cluster };

        let mut pool = Pool::new(disk, dir, options, file_max);
        for spare in spares {
            pool.give(spare).map_err(failed)?;
        }
        let identity = LogIdentity { cluster, ..identity };
        let fresh = Fresh { identity, life: life_max + 1 };
        let (head, head_end, next_number) = fresh.begin(&mut replay, &mut pool).map_err(failed)?;

        let Replay { mut index, mut chain, places, torn_tail_bytes, .. } = replay;
        let needed = chain.split_off(&head.header.oldest);
        for (life, segment) in std::mem::replace(&mut chain, needed) {
            index.ledger.forget(life);
            pool.give(Arc::into_inner(segment).expect("nobody else has it yet").end())
                .map_err(failed)?;
        }
        let head = Arc::new(head);
        chain.insert(head.life(), Arc::clone(&head));
        let (dead, damage) = (index.dead.keys().copied().collect(), index.damage());
        let mut log = Self {
            identity,
            next_life: head.life() + 1,
            shared: Arc::new(Shared::new(index, chain)),
            pool,
            head,
            head_end,
            next_number,
            synced_through: next_number - 1,
            batch: Batch::default(),
            retiring: Vec::new(),
            unreadable,
            failed: false,
        };
        if damage != Damage::All {
            // What they held does not matter any more: somebody has said so since.
            log.put_aside().map_err(|error| open_error(dir, error))?;
        }
        log.maintain().map_err(|error| open_error(dir, error))?;
        let mut recovered = Recovered {
            groups: BTreeMap::new(),
            dead,
            damage,
            damaged_places: places,
            torn_tail_bytes,
            cluster,
            created,
        };
        let groups: Vec<GroupId> = log.shared.look().index.groups.keys().copied().collect();
        for group in groups {
            let found =
                log.recover_group(group, EVERYTHING).map_err(|error| read_error(dir, error))?;
            recovered.groups.extend(found.map(|found| (group, found)));
        }
        Ok((log, recovered))
    }
}

/// The segment that a run of the log begins with.
struct Fresh {
    identity: LogIdentity,
    life: u64,
}

impl Fresh {
    /// Makes it part of the log, with all that is not known to be durable in it. Gives the segment, its
    /// end, and the number of the next batch.
    fn begin<D: Disk>(
        &self,
        replay: &mut Replay<D::File>,
        pool: &mut Pool<D>,
    ) -> io::Result<(Segment<D::File>, u64, u64)> {
        let mut tail = Batch::default();
        tail.clear();
        replay.put_tail(&mut tail)?;
        // Header, the tail, marks of damage for at most all groups, and the end mark.
        let index = &replay.index;
        let marks = (index.groups.len() + index.damaged.len() + tail.records().len() + 2) * 32;
        let bytes = (tail.length() + marks) as u64;
        let bytes = bytes.next_multiple_of(BLOCK) + 4 * BLOCK;
        let spare = pool.take(bytes)?;
        let header = SegmentHeader {
            identity: self.identity,
            life: self.life,
            live: false,
            previous: replay.last_life(),
            previous_end: replay.end,
            first_number: replay.next_number,
            proven: replay.next_number - 1,
            oldest: replay.chain.keys().next().copied().unwrap_or(self.life),
        };
        let mut fresh = Segment::begin(spare, header);
        fresh.write_header()?;
        fresh.file.sync_data()?;
        if let Some(last) = replay.chain.values().next_back() {
            // The header may be in the page cache only.
            last.write_header()?;
            last.file.sync_data()?;
        }

        let mut end = BLOCK;
        let mut number = replay.next_number;
        self.put(&fresh, &mut tail, &mut replay.index, &mut end, &mut number)?;
        replay.check_groups();
        let mut marks = Batch::default();
        marks.clear();
        for group in &replay.index.damaged {
            marks.put(*group, Change::Damaged);
        }
        if replay.index.damaged_all {
            marks.put(NO_GROUP, Change::DamagedAll);
        }
        self.put(&fresh, &mut marks, &mut replay.index, &mut end, &mut number)?;
        fresh.file.sync_data()?;

        fresh.header.live = true;
        fresh.header.proven = number - 1;
        // Whoever looks into the damage may want all there is.
        if !replay.index.damaged_all {
            fresh.header.oldest = fresh.header.oldest.max(replay.oldest);
        }
        fresh.write_header()?;
        fresh.file.sync_data()?;
        if let Some(last) = replay.chain.values().next_back() {
            // What stood here is in the fresh segment now.
            mark_end(last, replay.end, replay.next_number, self.life)?;
        }
        Ok((fresh, end, number))
    }

    fn put<F: File>(
        &self,
        fresh: &Segment<F>,
        batch: &mut Batch,
        index: &mut Index,
        end: &mut u64,
        number: &mut u64,
    ) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // Durable before the header says that the segment counts, and the header says that too.
        let bytes = batch.finish(fresh.salt(), self.life, *number, *number - 1, *end);
        fresh.file.write_at(&mut [IoSlice::new(bytes)], *end)?;
        *end += bytes.len() as u64;
        for record in batch.records() {
            index.apply(record, self.life, *number);
        }
        *number += 1;
        Ok(())
    }
}

fn open_error(dir: &Path, error: LogError) -> OpenError {
    match error {
        LogError::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
            OpenError::NoSpace { path: dir.to_owned(), error: io::Error::new(error.kind(), error) }
        }
        error => OpenError::Io { path: dir.to_owned(), error: io::Error::other(error) },
    }
}

fn read_error(dir: &Path, error: ReadError) -> OpenError {
    OpenError::Io { path: dir.to_owned(), error: io::Error::other(error) }
}
