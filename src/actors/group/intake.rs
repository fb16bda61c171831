//! A snapshot on its way in: which chunk of which view is wanted next. A plain struct.
//!
//! Chunks of two views never mix: the first chunk of a newer view starts over, in a life of the rows of
//! its own, and whatever the earlier one wrote is forgotten.

use crate::ids::{GroupId, NodeId, Term};
use crate::net::message::SnapshotFrame;
use crate::raft::SnapshotMeta;
use crate::rows::RowGeneration;
use bytes::Bytes;

/// See the module's first lines.
#[derive(Debug)]
pub struct Intake {
    group: GroupId,
    current: Option<Current>,
    /// The newest life of rows that was ever written to here, also before a restart of the replica or the
    /// node: rows of two views must not meet in one life.
    newest_rows: RowGeneration,
}

#[derive(Debug)]
struct Current {
    from: NodeId,
    view: u64,
    next: u64,
    rows: RowGeneration,
    meta: SnapshotMeta,
    complete: bool,
}

/// The longest key of a row, without prefix, that is taken from a peer, bytes. With the prefix it must fit
/// the store, and no key of ours comes near this.
const KEY_BYTES_MAX: usize = 60_000;

/// What to do about a frame.
#[derive(Debug, PartialEq)]
pub enum IntakeStep {
    /// Nothing.
    Ignore,
    /// Tell the sender to stop.
    Refuse {
        /// The view it sends.
        view: u64,
    },
    /// Write these rows, and then tell the sender.
    Write {
        /// The view.
        view: u64,
        /// The chunk.
        sequence: u64,
        /// The life of rows they belong to.
        row_generation: RowGeneration,
        /// The rows, keys without prefix.
        rows: Vec<(Bytes, Bytes)>,
        /// These were the last: then make them the state.
        install: Option<SnapshotMeta>,
    },
}

impl Intake {
    /// Nothing on its way; `newest_rows` is the newest life of rows that was ever written to.
    #[must_use]
    pub fn new(group: GroupId, newest_rows: RowGeneration) -> Self {
        Self { group, current: None, newest_rows }
    }

    /// The newest life of rows that was ever written to.
    #[must_use]
    pub fn newest_rows(&self) -> RowGeneration {
        self.newest_rows
    }

    /// Takes a frame of a transfer to this replica, whose state is the life `live` of its rows; `wanted`
    /// says whether a snapshot, sent in that term, is of use.
    pub fn handle(
        &mut self,
        from: NodeId,
        frame: SnapshotFrame,
        live: RowGeneration,
        wanted: impl FnOnce(Term, &SnapshotMeta) -> bool,
    ) -> IntakeStep {
        let SnapshotFrame::Chunk { group, term, view, meta, sequence, rows, last } = frame else {
            return IntakeStep::Ignore; // Answers to what this node sends go to the sender's task.
        };
        if group != self.group {
            return IntakeStep::Ignore;
        }
        // Never over newer state, never from a leader of the past.
        if !wanted(term, &meta) {
            return IntakeStep::Refuse { view };
        }
        if rows.iter().any(|(key, _)| key.len() > KEY_BYTES_MAX) {
            return IntakeStep::Refuse { view };
        }
        if sequence == 0 {
            self.newest_rows = RowGeneration(self.newest_rows.0.max(live.0) + 1);
            let rows = self.newest_rows;
            self.current = Some(Current { from, view, next: 0, rows, meta, complete: false });
        }
        let Some(current) = &mut self.current else { return IntakeStep::Refuse { view } };
        if current.from != from || current.view != view || current.complete {
            return IntakeStep::Refuse { view };
        }
        if sequence != current.next {
            // A chunk sent twice is ignored; a gap cannot be filled.
            return if sequence < current.next {
                IntakeStep::Ignore
            } else {
                IntakeStep::Refuse { view }
            };
        }
        current.next += 1;
        current.complete = last;
        let row_generation = current.rows;
        let install = last.then(|| current.meta.clone());
        IntakeStep::Write { view, sequence, row_generation, rows, install }
    }

    /// The transfer that filled this life of the rows has ended, well or not. Another one, begun since,
    /// goes on.
    pub fn ended(&mut self, rows: RowGeneration) {
        self.current.take_if(|current| current.rows == rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(view: u64, sequence: u64, last: bool) -> SnapshotFrame {
        SnapshotFrame::Chunk {
            group: GroupId(1),
            term: Term(2),
            view,
            meta: SnapshotMeta::default(),
            sequence,
            rows: Vec::new(),
            last,
        }
    }

    fn step(intake: &mut Intake, frame: SnapshotFrame) -> IntakeStep {
        intake.handle(NodeId(1), frame, RowGeneration(1), |_, _| true)
    }

    fn rows_of(step: &IntakeStep) -> Option<RowGeneration> {
        match step {
            IntakeStep::Write { row_generation, .. } => Some(*row_generation),
            _ => None,
        }
    }

    #[test]
    fn chunks_of_two_views_never_mix() {
        let mut intake = Intake::new(GroupId(1), RowGeneration(0));
        assert_eq!(rows_of(&step(&mut intake, chunk(7, 0, false))), Some(RowGeneration(2)));
        assert_eq!(rows_of(&step(&mut intake, chunk(8, 0, false))), Some(RowGeneration(3)));
        assert_eq!(step(&mut intake, chunk(7, 1, true)), IntakeStep::Refuse { view: 7 });
        let last = step(&mut intake, chunk(8, 1, true));
        assert!(matches!(last, IntakeStep::Write { install: Some(_), .. }));
    }

    #[test]
    fn a_life_of_rows_is_never_used_twice() {
        let mut intake = Intake::new(GroupId(1), RowGeneration(6));
        assert_eq!(rows_of(&step(&mut intake, chunk(7, 0, false))), Some(RowGeneration(7)));
        assert_eq!(intake.newest_rows(), RowGeneration(7));
    }

    #[test]
    fn the_end_of_an_earlier_transfer_does_not_end_the_present_one() {
        let mut intake = Intake::new(GroupId(1), RowGeneration(0));
        step(&mut intake, chunk(7, 0, true));
        step(&mut intake, chunk(8, 0, false));
        intake.ended(RowGeneration(2));
        assert!(rows_of(&step(&mut intake, chunk(8, 1, false))).is_some());
        intake.ended(RowGeneration(3));
        assert_eq!(step(&mut intake, chunk(8, 2, false)), IntakeStep::Refuse { view: 8 });
    }

    #[test]
    fn a_key_that_no_store_can_hold_is_refused() {
        let mut intake = Intake::new(GroupId(1), RowGeneration(0));
        let SnapshotFrame::Chunk { group, term, view, meta, sequence, last, .. } =
            chunk(7, 0, true)
        else {
            unreachable!("just made")
        };
        let rows = vec![(Bytes::from(vec![1; 65_530]), Bytes::new())];
        let frame = SnapshotFrame::Chunk { group, term, view, meta, sequence, rows, last };
        assert_eq!(step(&mut intake, frame), IntakeStep::Refuse { view: 7 });
    }

    #[test]
    fn a_gap_ends_the_transfer_and_a_repetition_does_not() {
        let mut intake = Intake::new(GroupId(1), RowGeneration(0));
        step(&mut intake, chunk(7, 0, false));
        assert_eq!(step(&mut intake, chunk(7, 2, false)), IntakeStep::Refuse { view: 7 });
        assert!(rows_of(&step(&mut intake, chunk(7, 1, false))).is_some());
        assert_eq!(step(&mut intake, chunk(7, 1, false)), IntakeStep::Ignore);
    }

    #[test]
    fn what_is_not_wanted_is_refused() {
        let mut intake = Intake::new(GroupId(1), RowGeneration(0));
        let refused = intake.handle(NodeId(1), chunk(7, 0, true), RowGeneration(1), |_, _| false);
        assert_eq!(refused, IntakeStep::Refuse { view: 7 });
    }
}
