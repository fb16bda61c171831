//! The next part of a copy, read at the source: rows, then kept replies, then changes. Work is bounded by
//! the page; a bucket without keys costs one look.

use super::fault::{DamagedRow, PageError};
use super::layout::{Held, data_key};
use super::state::Machine;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Bucket, GroupId, Index};
use crate::kv::migration::{
    Item, Mark, MoveId, MoveLook, MoveRefusal, MoveSight, Outgoing, OutgoingPhase, Page, Place,
    Progress, Ranges,
};
use crate::rows::Rows;
use bytes::Bytes;

/// Items of one page.
const PAGE_ITEMS_MAX: usize = 4_096;

/// A page that fills up.
struct Filling {
    items: Vec<Item>,
    bytes: usize,
    bytes_max: usize,
}

impl Filling {
    /// Room for one thing more of this size: a single larger one goes alone.
    fn fits(&self, bytes: usize) -> bool {
        self.items.is_empty()
            || (self.bytes + bytes <= self.bytes_max && self.items.len() < PAGE_ITEMS_MAX)
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.items.push(item);
    }

    fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes)
    }
}

impl Machine {
    /// Answers a look at a move away from here.
    #[must_use]
    pub fn look(&self, rows: &impl Rows, look: &MoveLook) -> MoveSight {
        match look {
            MoveLook::Begin { to, ranges, bytes_max } => self.look_ahead(*to, ranges, *bytes_max),
            MoveLook::Page { id, progress, bytes_max } => {
                match self.page(rows, *id, progress, *bytes_max as usize) {
                    Ok(page) => MoveSight::Page(page),
                    Err(PageError::Refused(refusal)) => MoveSight::Refused(refusal),
                    Err(trouble) => MoveSight::Failed(trouble.to_string()),
                }
            }
        }
    }

    fn look_ahead(&self, to: GroupId, ranges: &Ranges, bytes_max: u64) -> MoveSight {
        let mut moving = self.moves.get().outgoing();
        let known = moving.find(|(_, outgoing)| {
            outgoing.to == to && ranges.buckets().any(|bucket| outgoing.ranges.contains(bucket))
        });
        if let Some((number, outgoing)) = known {
            let id = MoveId { source: self.layout.group, number };
            return MoveSight::Moving(id, Box::new(outgoing.clone()));
        }
        match self.cut_move(ranges, bytes_max) {
            Some(ranges) => MoveSight::Free(ranges),
            None => {
                let bucket = ranges.as_slice()[0].first;
                MoveSight::Refused(MoveRefusal::NotOwned(bucket))
            }
        }
    }

    /// What follows this progress in the copy of a move away from here. It may be read on any replica of
    /// the source, at any time after the move began.
    ///
    /// # Errors
    /// When there is no such move, or the state cannot be read.
    pub fn page(
        &self,
        rows: &impl Rows,
        id: MoveId,
        progress: &Progress,
        bytes_max: usize,
    ) -> Result<Page, PageError> {
        let outgoing = self.leaving(id)?;
        let mut filling = Filling { items: Vec::new(), bytes: 0, bytes_max };
        let becomes = match bytes_max {
            // Only whether the move is there is asked for.
            0 => progress.clone(),
            _ => self.fill(rows, (id, outgoing), progress, &mut filling)?,
        };
        let handoff = match outgoing.phase {
            OutgoingPhase::Moving => None,
            OutgoingPhase::HandedOff(handoff) => Some(handoff),
        };
        let held = |bucket| self.buckets.get(bucket).map_or(0, |state| state.bytes);
        Ok(Page {
            bytes: filling.bytes as u64,
            items: filling.items,
            becomes,
            handoff,
            total: outgoing.ranges.buckets().map(held).sum(),
        })
    }

    /// Fills a page with what follows this progress; how far the copy is then.
    fn fill(
        &self,
        rows: &impl Rows,
        (id, outgoing): (MoveId, &Outgoing),
        progress: &Progress,
        filling: &mut Filling,
    ) -> Result<Progress, DamagedRow> {
        let mut at = progress.clone();
        loop {
            let next = match &at {
                Progress::Rows { behind } => {
                    self.rows_behind(rows, outgoing, behind.as_ref(), filling)?
                }
                Progress::Sessions { behind } => self.sessions_behind(outgoing, *behind, filling),
                Progress::Changes { through, within } => {
                    let from = (*through, within.as_ref());
                    self.changes_behind(rows, (id, outgoing), from, filling)?
                }
            };
            // It stays within a stage when the page is full or nothing more is known.
            let on = std::mem::discriminant(&next) != std::mem::discriminant(&at);
            at = next;
            if !on {
                return Ok(at);
            }
        }
    }

    fn rows_behind(
        &self,
        rows: &impl Rows,
        outgoing: &Outgoing,
        behind: Option<&Place>,
        filling: &mut Filling,
    ) -> Result<Progress, DamagedRow> {
        let first = behind.map_or(Bucket(0), |place| place.bucket);
        let mut last = behind.cloned();
        for bucket in outgoing.ranges.buckets_from(first) {
            let state = self.buckets.get(bucket).unwrap_or_default();
            if state.keys == 0 {
                continue;
            }
            let from = match behind.filter(|place| place.bucket == bucket) {
                Some(place) => {
                    let mut row = self.layout.data(bucket, state.epoch, place.hash, &place.key);
                    row.push(0);
                    row
                }
                None => self.layout.place(bucket, state.epoch, 0),
            };
            let to = self.layout.bucket_end(bucket, state.epoch);
            let mut end = Ok(false);
            rows.range(&from, &to, &mut |row, value| {
                end = take_row(row, value, filling);
                end == Ok(false)
            });
            if end? {
                if let Some(Item::Row { key, .. }) = filling.items.last() {
                    last = Some(self.place_of_key(key));
                }
                return Ok(Progress::Rows { behind: last });
            }
        }
        Ok(Progress::Sessions { behind: None })
    }

    fn sessions_behind(
        &self,
        outgoing: &Outgoing,
        mut behind: Option<(u64, u64)>,
        filling: &mut Filling,
    ) -> Progress {
        #[cfg(feature = "controls")]
        if active(Control::ForgetSessionsOnMove) {
            return Progress::Changes { through: outgoing.begun, within: None };
        }
        loop {
            let next = self.sessions.next_piece(behind, &outgoing.ranges, filling.left());
            let Some((piece, place)) = next else {
                return Progress::Changes { through: outgoing.begun, within: None };
            };
            let item = Item::Session(piece);
            if !filling.fits(item.bytes()) {
                return Progress::Sessions { behind };
            }
            filling.push(item);
            behind = Some(place);
        }
    }

    fn changes_behind(
        &self,
        rows: &impl Rows,
        (id, outgoing): (MoveId, &Outgoing),
        (mut through, within): (Index, Option<&Mark>),
        filling: &mut Filling,
    ) -> Result<Progress, DamagedRow> {
        let newest = match outgoing.phase {
            OutgoingPhase::Moving => self.meta.applied,
            OutgoingPhase::HandedOff(handoff) => handoff.index,
        };
        let mut within = within.cloned();
        #[cfg(feature = "controls")]
        if active(Control::LoseTailOfChanges) && outgoing.phase != OutgoingPhase::Moving {
            return Ok(Progress::Changes { through: newest, within: None });
        }
        if through >= newest {
            return Ok(Progress::Changes { through, within });
        }
        loop {
            let from = (through, within.as_ref());
            let marks = self.marks(rows, id.number, from, newest, PAGE_ITEMS_MAX)?;
            let all = marks.len() < PAGE_ITEMS_MAX;
            for (index, mark) in marks {
                let behind = within.as_ref().filter(|_| index == through.next());
                let (item, mark) = self.item_of(rows, outgoing, mark, behind, filling.left())?;
                let whole = !matches!(mark, Mark::Session { through, .. } if through < u64::MAX);
                if let Some(item) = item {
                    if !filling.fits(item.bytes()) {
                        return Ok(Progress::Changes { through, within });
                    }
                    filling.push(item);
                }
                through = index.prev();
                within = Some(mark);
                if !whole {
                    return Ok(Progress::Changes { through, within });
                }
            }
            if all {
                return Ok(Progress::Changes { through: newest, within: None });
            }
            if !filling.fits(0) {
                return Ok(Progress::Changes { through, within });
            }
        }
    }

    /// What a mark stands for, as it is now, and how much of it that is.
    fn item_of(
        &self,
        rows: &impl Rows,
        outgoing: &Outgoing,
        mark: Mark,
        behind: Option<&Mark>,
        bytes_max: usize,
    ) -> Result<(Option<Item>, Mark), DamagedRow> {
        Ok(match mark {
            Mark::Emptied(bucket) => {
                let epoch = self.buckets.get(bucket).unwrap_or_default().epoch;
                (Some(Item::Emptied { bucket, epoch }), mark)
            }
            Mark::Key(ref place) => {
                let epoch = self.buckets.get(place.bucket).unwrap_or_default().epoch;
                let row = self.layout.data(place.bucket, epoch, place.hash, &place.key);
                let key = place.key.clone();
                let item = match rows.get(&row) {
                    Some(value) => {
                        let Held { deadline, value } = Held::read(&value)?;
                        Item::Row { key, deadline, value }
                    }
                    None => Item::Gone { key },
                };
                (Some(item), mark)
            }
            Mark::Session { client, .. } => {
                let after = match behind {
                    Some(Mark::Session { client: same, through }) if *same == client => {
                        Some(*through)
                    }
                    _ => None,
                };
                match self.sessions.piece_of(client, after, &outgoing.ranges, bytes_max) {
                    Some((piece, (client, through))) => {
                        (Some(Item::Session(piece)), Mark::Session { client, through })
                    }
                    None => (None, mark),
                }
            }
        })
    }
}

/// Takes a row into the page; `true` if there is no room for it.
fn take_row(row: &[u8], value: &[u8], filling: &mut Filling) -> Result<bool, DamagedRow> {
    let key = data_key(row)?;
    // The flags and the deadline count for a little more than they are.
    if !filling.fits(key.len() + value.len() + 24) {
        return Ok(true);
    }
    let Held { deadline, value } = Held::read(&Bytes::copy_from_slice(value))?;
    filling.push(Item::Row { key: Bytes::copy_from_slice(key), deadline, value });
    Ok(false)
}
