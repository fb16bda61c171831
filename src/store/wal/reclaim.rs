//! Giving up the oldest segments, so that their files can be used again.
//!
//! What is still needed of them (hard states, deaths, entries of groups that are quiet) is copied to
//! the end of the log and synced, together with the mark that nothing older is needed. Segments are
//! given up strictly from the oldest on, so a copy never comes before something that it should follow.
//!
//! A segment goes when little of it is still needed, or when the log takes up much more than what it
//! holds; so copying costs at most as much again as is written anyway. It is done in small pieces, since
//! writes wait meanwhile; the segment goes with the last of them.

use super::error::LogError;
use super::group::Extent;
use super::log::{Log, NO_GROUP};
use super::payload::Change;
use super::segment::RecordError;
use crate::ids::GroupId;
use crate::limits;
use crate::store::disk::Disk;
use std::sync::Arc;

/// A segment of which at most this part is needed is given up at once.
const CHEAP: u64 = 16;
/// Segments by which the log may exceed twice of what it holds before others are given up too.
const SLACK_SEGMENTS: u64 = 4;
/// What is copied at a time: runs of entries, and their bytes.
const COPY_RUNS: usize = 128;
const COPY_BYTES: u64 = 1024 * 1024;

impl<D: Disk> Log<D> {
    /// Gives up segments that are hardly needed any more. To be called now and then after
    /// [`Log::write`], best when nobody waits; it costs little when there is nothing to do, and else the
    /// copying of some entries; a segment may need many calls.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn maintain(&mut self) -> Result<(), LogError> {
        self.usable()?;
        self.retire()?;
        let lives = self.reclaimable();
        if !lives.is_empty() {
            self.reclaim(&lives)?;
            self.retire()?;
        }
        self.pool.prepare_ahead();
        Ok(())
    }

    /// The oldest segments that should go; never the head.
    fn reclaimable(&self) -> Vec<u64> {
        let contents = self.shared.look();
        let ledger = &contents.index.ledger;
        let mut lives = Vec::new();
        // Whoever looks into the damage may want all there is.
        if contents.index.damaged_all || contents.segments.len() < 2 {
            return lives;
        }
        let mut needed = 0;
        for (life, segment) in
            contents.segments.iter().filter(|(life, _)| **life != self.head.life())
        {
            needed += ledger.live(*life);
            if needed > segment.capacity / CHEAP {
                break;
            }
            lives.push(*life);
        }
        if lives.is_empty() {
            let taken: u64 = contents.segments.values().map(|segment| segment.capacity).sum();
            let slack = SLACK_SEGMENTS * self.pool.segment_bytes();
            if taken > 2 * ledger.total() + slack {
                lives.extend(contents.segments.keys().next());
            }
        }
        lives
    }

    fn reclaim(&mut self, lives: &[u64]) -> Result<(), LogError> {
        let (extents, is_last) = self.next_piece(lives);
        self.batch.clear();
        if is_last {
            for (group, change) in self.states_needed(lives) {
                self.batch.put(group, change);
                self.commit_if_full()?;
            }
        }
        for (group, extent) in extents {
            let segment = self.shared.look().segments.get(&extent.place.life).map(Arc::clone);
            let Some(segment) = segment else { continue };
            let entries = segment.read_entries(group, extent.place, extent.first, extent.last);
            let entries = entries.map_err(|error| match error {
                RecordError::Io(error) => self.fail("read", &segment.path, error),
                RecordError::Damaged => {
                    self.failed = true;
                    LogError::Damaged {
                        path: segment.path.clone(),
                        offset: extent.place.offset,
                        group,
                    }
                }
            })?;
            self.batch.put_entries(group, &entries, true);
            self.commit_if_full()?;
        }
        if !is_last {
            return self.commit(false).map(drop);
        }
        let stays = self.shared.look().segments.keys().find(|life| !lives.contains(life)).copied();
        let oldest = stays.unwrap_or(self.head.life());
        self.batch.put(NO_GROUP, Change::Oldest(oldest));
        self.commit(true)?;

        let mut contents = self.shared.change();
        for life in lives {
            self.retiring.extend(contents.segments.remove(life));
            contents.index.ledger.forget(*life);
        }
        Ok(())
    }

    /// The next entries to be copied out of these segments, one run at least; and whether they are the last.
    fn next_piece(&self, lives: &[u64]) -> (Vec<(GroupId, Extent)>, bool) {
        let contents = self.shared.look();
        let index = &contents.index;
        if lives.iter().all(|life| index.ledger.live(*life) == 0) {
            return (Vec::new(), true);
        }
        let runs = index
            .groups
            .iter()
            .flat_map(|(group, log)| log.extents.iter().map(move |extent| (*group, *extent)));
        let mut old = runs.filter(|(_, extent)| lives.contains(&extent.place.life)).peekable();
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while let Some((_, extent)) = old.peek() {
            bytes += u64::from(extent.place.length);
            if !piece.is_empty() && (piece.len() == COPY_RUNS || bytes > COPY_BYTES) {
                break;
            }
            piece.extend(old.next());
        }
        let is_last = old.peek().is_none();
        (piece, is_last)
    }

    /// All besides entries that is to be copied out of these segments.
    fn states_needed(&self, lives: &[u64]) -> Vec<(GroupId, Change)> {
        let contents = self.shared.look();
        let index = &contents.index;
        let mut states = Vec::new();
        for (group, log) in &index.groups {
            if lives.contains(&log.hard_life) || lives.contains(&log.base_life) {
                states.push((*group, Change::State(log.hard_state, log.base.clone())));
            }
            // Seldom any, so they go along each time.
            states.extend(log.identity.map(|identity| (*group, Change::Identity(identity))));
            states.extend(log.left_behind.map(|era| (*group, Change::LeftBehind(era))));
        }
        let dead = index.dead.iter().filter(|(_, life)| lives.contains(life));
        states.extend(dead.map(|(group, _)| (*group, Change::Dead)));
        // Rarely any, so they go along each time.
        states.extend(index.damaged.iter().map(|group| (*group, Change::Damaged)));
        if index.mended {
            states.push((NO_GROUP, Change::Mended { now: false }));
        }
        states
    }

    fn commit_if_full(&mut self) -> Result<(), LogError> {
        if self.batch.length() >= limits::WAL_BATCH_BYTES_MAX {
            self.commit(false)?;
            self.batch.clear();
        }
        Ok(())
    }

    /// Hands over the files that nobody reads any more.
    fn retire(&mut self) -> Result<(), LogError> {
        for segment in std::mem::take(&mut self.retiring) {
            match Arc::try_unwrap(segment) {
                Ok(segment) => {
                    let given = self.pool.give(segment.end());
                    self.try_to("give up a segment before", given)?;
                }
                Err(segment) => self.retiring.push(segment),
            }
        }
        Ok(())
    }
}
