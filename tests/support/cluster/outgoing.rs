//! A snapshot on its way out: what the node's task does, in turns instead of by waiting.

use bytes::Bytes;
use eraft::actors::snapshots::{Patience, SendEnd, SendStep, Sending, View};
use eraft::ids::{GroupId, NodeId, Term};
use eraft::net::message::SnapshotFrame;
use eraft::raft::SnapshotMeta;
use eraft::store::state::next_chunk;
use eraft::time::MonoMillis;

/// Less than a node's patience: the runs are short.
const PATIENCE: Patience =
    Patience { quiet_millis: 200, kept_millis: 3_000, without_lead_millis: 1_000 };

/// See the module's first lines.
pub(crate) struct Outgoing {
    pub(crate) group: GroupId,
    pub(crate) to: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    /// Names the view among all that the receiver is ever offered.
    name: u64,
    view: View,
    sending: Sending,
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
        (name, view): (u64, View),
        now: MonoMillis,
    ) -> Self {
        let sending = Sending::new(view.from.clone(), PATIENCE, now);
        Self { group, to, term, meta, name, view, sending }
    }

    /// Times that it went on in the middle.
    pub(crate) fn resumed(&self) -> u64 {
        self.sending.resumed()
    }

    /// What may be sent now, in chunks of about so many bytes, and how it goes on.
    pub(crate) fn frames(
        &mut self,
        chunk_bytes: usize,
        now: MonoMillis,
    ) -> Result<(Vec<SnapshotFrame>, Progress), String> {
        let mut frames = Vec::new();
        loop {
            match self.sending.step(now) {
                SendStep::Wait(_) => return Ok((frames, Progress::Going)),
                SendStep::End(end) => {
                    let installed = end == SendEnd::Installed;
                    return Ok((frames, Progress::Ended { installed }));
                }
                SendStep::Offer => frames.push(SnapshotFrame::Offer {
                    group: self.group,
                    term: self.term,
                    view: self.name,
                    meta: self.meta.clone(),
                }),
                SendStep::Chunk { sequence, from } => {
                    frames.push(self.chunk(sequence, &from, chunk_bytes, now)?);
                }
            }
        }
    }

    fn chunk(
        &mut self,
        sequence: u64,
        from: &[u8],
        chunk_bytes: usize,
        now: MonoMillis,
    ) -> Result<SnapshotFrame, String> {
        let chunk = next_chunk(self.view.rows.as_ref(), from, &self.view.to, chunk_bytes)
            .map_err(|error| error.to_string())?;
        // Keys travel without the prefix, which names this node's life of the rows.
        let prefix = self.view.from.len();
        let row = |(key, value): (Vec<u8>, Bytes)| (Bytes::from(key).slice(prefix..), value);
        let last = chunk.next.is_none();
        self.sending.sent(sequence, chunk.next, now);
        Ok(SnapshotFrame::Chunk {
            group: self.group,
            term: self.term,
            view: self.name,
            meta: self.meta.clone(),
            sequence,
            rows: chunk.rows.into_iter().map(row).collect(),
            last,
        })
    }

    /// The receiver has answered.
    pub(crate) fn heard(&mut self, frame: &SnapshotFrame, now: MonoMillis) {
        match *frame {
            SnapshotFrame::Received { view, taken, installed, .. } if view == self.name => {
                self.sending.received(taken, installed, now);
            }
            SnapshotFrame::Wanted { view, next, taken, .. } if view == self.name => {
                self.sending.wanted(next, taken, now);
            }
            SnapshotFrame::Refused { view, .. } if view == self.name => self.sending.refused(),
            _ => {}
        }
    }

    /// The group's leader is another one now, or nobody.
    pub(crate) fn lead_lost(&mut self, now: MonoMillis) {
        self.sending.lead_lost(now);
    }

    /// This node leads in this term, and the receiver needs a snapshot still.
    pub(crate) fn renewed(&mut self, term: Term) {
        self.term = term;
        self.sending.renewed();
    }
}
