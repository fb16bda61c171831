//! A snapshot on its way out: chunks of one read view, a few ahead of what the receiver has taken. It sends
//! the frames that the node's transfer sends, in turns instead of by waiting.

use bytes::Bytes;
use eraft::actors::snapshots::View;
use eraft::ids::{GroupId, NodeId, Term};
use eraft::net::message::SnapshotFrame;
use eraft::raft::SnapshotMeta;
use eraft::store::state::next_chunk;
use eraft::time::MonoMillis;

/// Chunks sent and not yet taken by the receiver.
const WINDOW: u64 = 3;
/// A receiver that takes nothing for this long is given up, milliseconds. Less than a node's patience:
/// the runs are short.
const PATIENCE: u64 = 2_000;

/// See the module's first lines.
pub(crate) struct Outgoing {
    pub(crate) group: GroupId,
    pub(crate) to: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    view: View,
    next: Option<Vec<u8>>,
    sequence: u64,
    taken: u64,
    heard: MonoMillis,
}

/// How a transfer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Going,
    Ended { installed: bool },
}

impl Outgoing {
    pub(crate) fn new(
        group: GroupId,
        to: NodeId,
        term: Term,
        meta: SnapshotMeta,
        view: View,
        now: MonoMillis,
    ) -> Self {
        let next = Some(view.from.clone());
        Self { group, to, term, meta, view, next, sequence: 0, taken: 0, heard: now }
    }

    /// The chunks that may be sent now, each of about so many bytes.
    pub(crate) fn frames(&mut self, chunk_bytes: usize) -> Result<Vec<SnapshotFrame>, String> {
        let mut frames = Vec::new();
        while self.sequence - self.taken < WINDOW {
            let Some(from) = self.next.take() else { break };
            let chunk = next_chunk(self.view.rows.as_ref(), &from, &self.view.to, chunk_bytes)
                .map_err(|error| error.to_string())?;
            self.next = chunk.next;
            // Keys travel without the prefix, which names this node's life of the rows.
            let prefix = self.view.from.len();
            let row = |(key, value): (Vec<u8>, Bytes)| (Bytes::from(key).slice(prefix..), value);
            frames.push(SnapshotFrame::Chunk {
                group: self.group,
                term: self.term,
                view: self.view.id,
                meta: self.meta.clone(),
                sequence: self.sequence,
                rows: chunk.rows.into_iter().map(row).collect(),
                last: self.next.is_none(),
            });
            self.sequence += 1;
        }
        Ok(frames)
    }

    /// The receiver has answered.
    pub(crate) fn heard(&mut self, frame: &SnapshotFrame, now: MonoMillis) -> Progress {
        match frame {
            SnapshotFrame::Received { view, sequence, installed, .. } if *view == self.view.id => {
                self.heard = now;
                self.taken = self.taken.max(sequence + 1);
                if *installed { Progress::Ended { installed: true } } else { Progress::Going }
            }
            SnapshotFrame::Refused { view, .. } if *view == self.view.id => {
                Progress::Ended { installed: false }
            }
            _ => Progress::Going,
        }
    }

    /// Whether the receiver has been silent for too long.
    pub(crate) fn is_given_up(&self, now: MonoMillis) -> bool {
        now.since(self.heard) > PATIENCE
    }
}
