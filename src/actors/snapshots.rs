//! Sending a snapshot: chunks of one read view, on the bulk lane, a few ahead of what the receiver has
//! taken, and no faster than the rate limit. It blocks neither reads nor writes of the group.

use crate::actors::shared::Shared;
use crate::codec;
use crate::ids::{GroupId, Index, NodeId, Term};
use crate::limits;
use crate::net::message::SnapshotFrame;
use crate::net::wire::Lane;
use crate::raft::{Membership, SnapshotMeta};
use crate::store::state::{Chunk, StateView, next_chunk};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Chunks sent and not yet taken by the receiver. Its store takes no more at a time.
const WINDOW: u64 = 3;
/// A receiver that takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The rate limit of one transfer, bytes per second.
const BYTES_PER_SECOND: u64 = 128 * 1024 * 1024;

/// A view of one group's state.
pub struct View {
    /// Names the view; unique in this process.
    pub id: u64,
    /// The newest entry in it.
    pub applied: Index,
    /// The group's membership there.
    pub membership: Membership,
    /// The first key.
    pub from: Vec<u8>,
    /// The key behind the last.
    pub to: Vec<u8>,
    /// The rows.
    pub rows: Box<dyn StateView>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({} at {})", self.id, self.applied)
    }
}

/// Transfers of this node, so that the receivers' answers find them.
#[derive(Debug, Default)]
pub struct Transfers(Mutex<BTreeMap<(GroupId, NodeId), mpsc::Sender<SnapshotFrame>>>);

impl Transfers {
    /// A transfer begins; an earlier one to the same receiver hears no more.
    fn begin(&self, key: (GroupId, NodeId), answers: mpsc::Sender<SnapshotFrame>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answers);
    }

    /// A transfer has ended. One that took its place goes on.
    fn end(&self, key: (GroupId, NodeId), answers: &mpsc::WeakSender<SnapshotFrame>) {
        let mut transfers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = answers.upgrade();
        let is_own =
            |known: &mpsc::Sender<_>| own.as_ref().is_some_and(|own| own.same_channel(known));
        if transfers.get(&key).is_some_and(is_own) {
            transfers.remove(&key);
        }
    }

    /// A receiver has answered. What nobody waits for is dropped.
    pub fn answered(&self, from: NodeId, frame: SnapshotFrame) {
        let (SnapshotFrame::Received { group, .. } | SnapshotFrame::Refused { group, .. }) = &frame
        else {
            return;
        };
        let transfers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transfer) = transfers.get(&(*group, from)) {
            let _ = transfer.try_send(frame);
        }
    }
}

/// Sends a frame of a transfer back; lost frames end the transfer, which is then tried again.
pub(super) fn answer(shared: &Shared, to: NodeId, frame: &SnapshotFrame) {
    let _ = shared.peers.send(
        to,
        Lane::Control,
        &crate::net::message::PeerMessage::Snapshot(frame.clone()),
    );
}

/// One snapshot to one peer.
pub(super) struct Transfer {
    /// The node.
    pub shared: Arc<Shared>,
    /// The group.
    pub group: GroupId,
    /// The receiver.
    pub peer: NodeId,
    /// The leader's term.
    pub term: Term,
    /// What the view stands for.
    pub meta: SnapshotMeta,
    /// The view.
    pub view: View,
}

impl Transfer {
    /// Sends it; whether the receiver has installed it.
    pub(super) async fn run(self) -> bool {
        let (group, peer) = (self.group, self.peer);
        let (answers, mut inbox) = mpsc::channel(16);
        let key = (group, peer);
        let shared = self.shared.clone();
        // A weak one: the inbox must close when another transfer takes this one's place.
        let own = answers.downgrade();
        shared.transfers.begin(key, answers);
        tracing::info!(%group, %peer, index = %self.meta.index, "sending a snapshot");
        let start = Instant::now();
        let sent = self.send(&mut inbox).await;
        shared.transfers.end(key, &own);
        match &sent {
            Ok(bytes) => tracing::info!(
                %group, %peer, bytes, seconds = start.elapsed().as_secs_f64(), "snapshot installed"
            ),
            Err(trouble) => tracing::warn!(%group, %peer, "snapshot not installed: {trouble}"),
        }
        sent.is_ok()
    }

    async fn send(mut self, inbox: &mut mpsc::Receiver<SnapshotFrame>) -> Result<u64, String> {
        let start = Instant::now();
        let (mut next, mut sequence, mut taken, mut bytes) =
            (Some(self.view.from.clone()), 0, 0, 0);
        while let Some(from) = next {
            let (view, chunk) = read(self.view, from).await?;
            self.view = view;
            next = chunk.next.clone();
            bytes += self.send_chunk(chunk, sequence, next.is_none()).await?;
            sequence += 1;
            while sequence - taken >= WINDOW {
                taken = self.answer(inbox).await?.0;
            }
            let due = Duration::from_millis(bytes * 1_000 / BYTES_PER_SECOND);
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        }
        while !self.answer(inbox).await?.1 {}
        Ok(bytes)
    }

    async fn send_chunk(&self, chunk: Chunk, sequence: u64, last: bool) -> Result<u64, String> {
        // Keys travel without the prefix, which names this node's life of the rows.
        let prefix = self.view.from.len();
        let rows: Vec<(Bytes, Bytes)> = chunk
            .rows
            .into_iter()
            .map(|(key, value)| (Bytes::from(key).slice(prefix..), value))
            .collect();
        let bytes = rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        let frame = SnapshotFrame::Chunk {
            group: self.group,
            term: self.term,
            view: self.view.id,
            meta: self.meta.clone(),
            sequence,
            rows,
            last,
        };
        let frame = codec::encode(&frame);
        self.shared.peers.send_bulk(self.peer, frame).await.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The receiver's next word: chunks taken, and whether all is installed.
    async fn answer(
        &self,
        inbox: &mut mpsc::Receiver<SnapshotFrame>,
    ) -> Result<(u64, bool), String> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, inbox.recv())
                .await
                .map_err(|_| "the receiver does not answer")?
                .ok_or("another transfer took its place")?;
            match frame {
                SnapshotFrame::Received { view, sequence, installed, .. }
                    if view == self.view.id =>
                {
                    return Ok((sequence + 1, installed));
                }
                SnapshotFrame::Refused { view, .. } if view == self.view.id => {
                    return Err("the receiver wants no more of it".into());
                }
                _ => {}
            }
        }
    }
}

/// Reads a chunk on a thread that may block.
async fn read(view: View, from: Vec<u8>) -> Result<(View, Chunk), String> {
    tokio::task::spawn_blocking(move || {
        let chunk = next_chunk(view.rows.as_ref(), &from, &view.to, limits::CHUNK_BYTES);
        chunk.map(|chunk| (view, chunk)).map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_earlier_transfer_leaves_its_successor_alone() {
        let (transfers, key) = (Transfers::default(), (GroupId(1), NodeId(2)));
        let (first, mut first_inbox) = mpsc::channel(1);
        let (second, mut second_inbox) = mpsc::channel(1);
        let (first_own, second_own) = (first.downgrade(), second.downgrade());
        transfers.begin(key, first);
        transfers.begin(key, second);
        assert!(matches!(first_inbox.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        transfers.end(key, &first_own);
        transfers.answered(NodeId(2), SnapshotFrame::Refused { group: GroupId(1), view: 9 });
        assert!(second_inbox.try_recv().is_ok());
        transfers.end(key, &second_own);
        assert!(matches!(second_inbox.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
    }
}
