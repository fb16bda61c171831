//! The steps of moves, told apart; and the row that keeps what is remembered of them.

use super::fault::{DamagedRow, OpenError, PageError};
use super::layout::Layout;
use super::state::Machine;
use crate::codec;
use crate::kv::migration::drive::HANDOFF_BYTES;
use crate::kv::migration::{
    Handoff, MoveId, MoveRecord, MoveRefusal, MoveReply, Moves, Outgoing, Progress,
};
use crate::rows::Rows;
use bytes::Bytes;

const NAME: &[u8] = b"moves";

/// Moves away from a group, and to it, at a time. Part of the replicated state machine.
pub(super) const MOVES_MAX: usize = 64;

/// What is remembered of moves, and whether it is written down.
#[derive(Debug)]
pub(super) struct MoveLedger {
    moves: Moves,
    dirty: bool,
    revision: u64,
}

impl MoveLedger {
    /// Of a newborn group. Its row is still to be written.
    pub(super) fn new() -> Self {
        Self { moves: Moves::default(), dirty: true, revision: 0 }
    }

    pub(super) fn open(layout: Layout, rows: &impl Rows) -> Result<Self, OpenError> {
        let row = rows.get(&layout.meta(NAME, &[])).ok_or(DamagedRow("moves"))?;
        let moves = codec::decode(&row).map_err(|error| OpenError::Row { row: "moves", error })?;
        Ok(Self { moves, dirty: false, revision: 0 })
    }

    /// Writes the row if it changed.
    pub(super) fn flush(&mut self, layout: Layout, rows: &mut impl Rows) {
        if std::mem::take(&mut self.dirty) {
            rows.put(layout.meta(NAME, &[]), Bytes::from(codec::encode(&self.moves)));
        }
    }

    pub(super) fn get(&self) -> &Moves {
        &self.moves
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn change(&mut self) -> &mut Moves {
        self.dirty = true;
        self.revision += 1;
        &mut self.moves
    }
}

/// What a step answers; refusals are answers like any other.
pub(super) type Step = Result<MoveReply, MoveRefusal>;

impl Machine {
    /// Carries a step of a move out.
    pub(super) fn apply_move(
        &mut self,
        rows: &mut impl Rows,
        record: MoveRecord,
    ) -> Result<MoveReply, DamagedRow> {
        let step = match record {
            MoveRecord::BeginMove { ranges, to, table } => self.begin_move(ranges, to, table),
            MoveRecord::Handoff { id, destination } => match self.hand_off(id, &destination) {
                Ok(handoff) => self.rest(rows, id, handoff, &destination)?,
                Err(refusal) => Err(refusal),
            },
            MoveRecord::Cancel { id } => self.cancel_move(id),
            MoveRecord::Forget { id } => self.forget_move(id),
            MoveRecord::Pull { id, to, ranges, epoch, begun } => {
                self.pull(id, to, ranges, epoch, begun)
            }
            MoveRecord::Chunk { id, expects, becomes, frozen, items } => {
                self.take_chunk(rows, id, (&expects, becomes), frozen, items)?
            }
            MoveRecord::Accept { id, handoff } => self.accept(id, handoff),
            MoveRecord::Discard { id } => self.discard(id),
            MoveRecord::Close { id } => self.close(id),
        };
        Ok(step.unwrap_or_else(MoveReply::Refused))
    }

    /// The answer to a hand-off. Nothing of the move's buckets changes any more, so the rest of the copy can
    /// be read here and now, and writers need not wait for a look at it.
    fn rest(
        &self,
        rows: &impl Rows,
        id: MoveId,
        handoff: Handoff,
        destination: &Progress,
    ) -> Result<Step, DamagedRow> {
        match self.page(rows, id, destination, HANDOFF_BYTES) {
            Ok(page) => Ok(Ok(MoveReply::HandedOff(handoff, Box::new(page)))),
            Err(PageError::Refused(refusal)) => Ok(Err(refusal)),
            Err(PageError::Damaged(row)) => Err(row),
        }
    }

    /// The move away from here of this name.
    pub(super) fn leaving(&self, id: MoveId) -> Result<&Outgoing, MoveRefusal> {
        if id.source != self.layout.group {
            return Err(MoveRefusal::Unknown(id));
        }
        let moves = self.moves.get();
        moves.leaving(id.number).ok_or(if moves.is_over(id.number) {
            MoveRefusal::Over(id)
        } else {
            MoveRefusal::Unknown(id)
        })
    }
}
