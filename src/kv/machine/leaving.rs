//! The source's steps of a move.

use super::buckets::Standing;
use super::moves::{MOVES_MAX, Step};
use super::state::Machine;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Bucket, Epoch, GroupId};
use crate::kv::migration::{
    Handoff, MoveId, MoveRefusal, MoveReply, Outgoing, OutgoingPhase, Progress, Ranges,
};
use crate::shard::TableStamp;

impl Machine {
    /// Which of these buckets may go in one move: those that are served and in no move, in order, until
    /// they hold so many bytes together. Empty ones cost nothing, a single larger one goes alone.
    #[must_use]
    pub fn cut_move(&self, wanted: &Ranges, bytes_max: u64) -> Option<Ranges> {
        let mut bytes = 0;
        let is_free = |bucket: &Bucket| {
            let state = self.buckets.get(*bucket).unwrap_or_default();
            state.standing == Standing::Served
        };
        let fits = |bucket: &Bucket| {
            let held = self.buckets.get(*bucket).map_or(0, |state| state.bytes);
            let first = bytes == 0;
            bytes += held;
            first || bytes <= bytes_max || held == 0
        };
        Ranges::of(wanted.buckets().filter(is_free).take_while(fits))
    }

    pub(super) fn begin_move(&mut self, ranges: Ranges, to: GroupId, table: TableStamp) -> Step {
        let moves = self.moves.get();
        if to == self.layout.group || to == GroupId::CONFIG {
            return Err(MoveRefusal::NoDestination(to));
        }
        let is_old = table < moves.table;
        #[cfg(feature = "controls")]
        let is_old = is_old && !active(Control::AdoptOlderTable);
        if is_old {
            return Err(MoveRefusal::OldTable(moves.table));
        }
        let mut epoch = Epoch(0);
        for bucket in ranges.buckets() {
            let state = self.buckets.get(bucket).unwrap_or_default();
            match state.standing {
                Standing::Served => epoch = epoch.max(state.epoch),
                Standing::Leaving | Standing::Left => {
                    let number = moves.number_of(bucket).expect("what leaves is in a move");
                    let id = MoveId { source: self.layout.group, number };
                    return Err(MoveRefusal::InMove { bucket, id });
                }
                Standing::Away | Standing::Coming => return Err(MoveRefusal::NotOwned(bucket)),
            }
        }
        if moves.outgoing.len() >= MOVES_MAX {
            return Err(MoveRefusal::TooMany);
        }
        for bucket in ranges.buckets() {
            self.buckets.change(bucket, |state| state.standing = Standing::Leaving);
        }
        let (begun, began) = (self.meta.applied.next(), self.meta.time);
        let moves = self.moves.change();
        moves.table = table;
        moves.last += 1;
        let phase = OutgoingPhase::Moving;
        let outgoing = Outgoing { ranges, to, table, begun, began, epoch, phase };
        moves.outgoing.insert(moves.last, outgoing.clone());
        let id = MoveId { source: self.layout.group, number: moves.last };
        Ok(MoveReply::Begun(id, Box::new(outgoing)))
    }

    pub(super) fn hand_off(
        &mut self,
        id: MoveId,
        destination: &Progress,
    ) -> Result<Handoff, MoveRefusal> {
        let outgoing = self.leaving(id)?;
        if let OutgoingPhase::HandedOff(handoff) = outgoing.phase {
            return Ok(handoff);
        }
        if !destination.is_catching_up() {
            return Err(MoveRefusal::Incomplete(id));
        }
        let (ranges, to) = (outgoing.ranges.clone(), outgoing.to);
        for bucket in ranges.buckets() {
            self.buckets.leave(bucket, to);
        }
        let handoff = Handoff { index: self.meta.applied.next(), time: self.meta.time };
        let outgoing = self.moves.change().outgoing.get_mut(&id.number).expect("just seen");
        outgoing.phase = OutgoingPhase::HandedOff(handoff);
        Ok(handoff)
    }

    pub(super) fn cancel_move(&mut self, id: MoveId) -> Step {
        let outgoing = match self.leaving(id) {
            Err(MoveRefusal::Over(_)) => return Ok(MoveReply::Done),
            found => found?,
        };
        if outgoing.phase != OutgoingPhase::Moving {
            return Err(MoveRefusal::HandedOff(id));
        }
        let gone = self.moves.change().outgoing.remove(&id.number).expect("just seen");
        for bucket in gone.ranges.buckets() {
            self.buckets.change(bucket, |state| state.standing = Standing::Served);
        }
        Ok(MoveReply::Done)
    }

    pub(super) fn forget_move(&mut self, id: MoveId) -> Step {
        let outgoing = match self.leaving(id) {
            Err(MoveRefusal::Over(_)) => return Ok(MoveReply::Done),
            found => found?,
        };
        if outgoing.phase == OutgoingPhase::Moving {
            return Err(MoveRefusal::NotHandedOff(id));
        }
        let gone = self.moves.change().outgoing.remove(&id.number).expect("just seen");
        for bucket in gone.ranges.buckets() {
            self.buckets.change(bucket, |state| {
                state.renew(state.next_epoch());
                state.standing = Standing::Away;
            });
        }
        Ok(MoveReply::Done)
    }
}
