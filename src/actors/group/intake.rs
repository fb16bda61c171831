//! A snapshot on its way in: which chunk of which view is wanted next. A plain struct.
//!
//! Chunks of two views never mix: a newer view starts over, in a life of the rows of its own, and whatever
//! the earlier one wrote is forgotten. A chunk that comes again is ignored, one behind a gap is not taken
//! and the missing one asked for. What has come in is forgotten with the replica's life: rows are not
//! synced before the whole is there, so after a restart the same view is taken anew.

use super::event::{Offer, SnapshotUse};
use crate::ids::{GroupId, NodeId, Term};
use crate::limits;
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
    /// The chunk that is wanted; those before it have come in.
    next: u64,
    /// Chunks that are in the store.
    taken: u64,
    /// `next` was asked for because of a gap.
    asked: bool,
    rows: RowGeneration,
    meta: SnapshotMeta,
    complete: bool,
}

impl Current {
    fn is_of(&self, from: NodeId, view: u64) -> bool {
        self.from == from && self.view == view
    }

    fn want(&self) -> IntakeStep {
        IntakeStep::Want { view: self.view, next: self.next, taken: self.taken }
    }
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
    /// Tell the sender from where to go on.
    Want {
        /// The view.
        view: u64,
        /// The chunk to go on with.
        next: u64,
        /// Chunks that are in the store.
        taken: u64,
    },
    /// Write these rows, and then say so by [`Intake::stored`].
    Write {
        /// The chunk.
        sequence: u64,
        /// The life of rows they belong to.
        row_generation: RowGeneration,
        /// The rows, keys without prefix.
        rows: Vec<(Bytes, Bytes)>,
    },
}

/// What a chunk in the store means.
#[derive(Debug, PartialEq)]
pub struct Stored {
    /// The sender.
    pub from: NodeId,
    /// The view.
    pub view: u64,
    /// Chunks that are in the store.
    pub taken: u64,
    /// That was the last: make the rows the state.
    pub install: Option<SnapshotMeta>,
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

    fn begin(&mut self, from: NodeId, view: u64, meta: SnapshotMeta, live: RowGeneration) {
        self.newest_rows = RowGeneration(self.newest_rows.0.max(live.0) + 1);
        let rows = self.newest_rows;
        self.current = Some(Current {
            from,
            view,
            next: 0,
            taken: 0,
            asked: false,
            rows,
            meta,
            complete: false,
        });
    }

    /// The core has been offered a snapshot, and said whether it is `wanted`; the state is the life `live`
    /// of the rows.
    pub fn offered(&mut self, offer: &Offer, wanted: bool, live: RowGeneration) -> IntakeStep {
        let Offer { from, view, ref meta, .. } = *offer;
        let known = self.current.as_ref().is_some_and(|current| current.is_of(from, view));
        if !wanted {
            self.current.take_if(|_| known);
            return IntakeStep::Refuse { view };
        }
        if !known {
            self.begin(from, view, meta.clone(), live);
        }
        let current = self.current.as_mut().expect("there is one, or it was just begun");
        if current.meta != *meta {
            return IntakeStep::Refuse { view };
        }
        current.asked = false;
        current.want()
    }

    /// Takes a frame of a transfer to this replica, whose state is the life `live` of its rows; `of_use`
    /// says whether a snapshot, sent in that term, is of use.
    pub fn handle(
        &mut self,
        from: NodeId,
        frame: SnapshotFrame,
        live: RowGeneration,
        of_use: impl FnOnce(Term, &SnapshotMeta) -> SnapshotUse,
    ) -> IntakeStep {
        let SnapshotFrame::Chunk { group, term, view, meta, sequence, rows, last } = frame else {
            return IntakeStep::Ignore; // Offers go to the core, answers to the sender's task.
        };
        if group != self.group {
            return IntakeStep::Ignore;
        }
        let known = self.current.as_ref().is_some_and(|current| current.is_of(from, view));
        match of_use(term, &meta) {
            SnapshotUse::Wanted => {}
            SnapshotUse::NotNow => return IntakeStep::Ignore,
            // Never over newer state, never from a leader of the past.
            SnapshotUse::Never => {
                self.current.take_if(|_| known);
                return IntakeStep::Refuse { view };
            }
        }
        if rows.iter().any(|(key, _)| key.len() > KEY_BYTES_MAX) {
            self.current.take_if(|_| known);
            return IntakeStep::Refuse { view };
        }
        if self.current.is_none() {
            // It was agreed on with an earlier life of this replica.
            self.begin(from, view, meta, live);
        }
        let current = self.current.as_mut().expect("there is one, or it was just begun");
        if !current.is_of(from, view) {
            return IntakeStep::Refuse { view };
        }
        let flood = current.next - current.taken > limits::SNAPSHOT_WINDOW_CHUNKS;
        if sequence < current.next || current.complete || flood {
            return IntakeStep::Ignore;
        }
        if sequence > current.next {
            let first = !std::mem::replace(&mut current.asked, true);
            return if first { current.want() } else { IntakeStep::Ignore };
        }
        current.next += 1;
        current.asked = false;
        current.complete = last;
        IntakeStep::Write { sequence, row_generation: current.rows, rows }
    }

    /// A chunk of this life of the rows is in the store. `None` if nobody wants to know any more.
    pub fn stored(&mut self, rows: RowGeneration, sequence: u64) -> Option<Stored> {
        let current = self.current.as_mut().filter(|current| current.rows == rows)?;
        current.taken = current.taken.max(sequence + 1);
        let (from, view, taken) = (current.from, current.view, current.taken);
        let whole = current.complete && taken == current.next;
        Some(Stored { from, view, taken, install: whole.then(|| current.meta.clone()) })
    }

    /// The transfer that filled this life of the rows has ended, well or not. Another one, begun since,
    /// goes on.
    pub fn ended(&mut self, rows: RowGeneration) {
        self.current.take_if(|current| current.rows == rows);
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
