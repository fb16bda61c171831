//! One snapshot on its way: the task that carries what [`Sending`] decides.

use super::progress::Progress;
use super::sending::{Patience, SendEnd, SendStep, Sending};
use super::transfers::{Place, Told};
use crate::actors::metrics::{GroupMetrics, snapshots_active};
use crate::actors::shared::Shared;
use crate::codec;
use crate::ids::{GroupId, Index, NodeId, Term};
use crate::limits;
use crate::net::message::{PeerMessage, SnapshotFrame};
use crate::net::wire::Lane;
use crate::raft::{Membership, SnapshotMeta};
use crate::store::state::{Chunk, StateView, next_chunk};
use crate::time::MonoMillis;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

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

/// Answers a frame of a transfer; a lost answer is asked for again.
pub(crate) fn answer(shared: &Shared, to: NodeId, frame: SnapshotFrame) {
    let _ = shared.peers.send(to, Lane::Control, &PeerMessage::Snapshot(frame));
}

/// One snapshot to one peer.
pub(crate) struct Transfer {
    /// The node.
    pub(crate) shared: Arc<Shared>,
    /// The group.
    pub(crate) group: GroupId,
    /// The receiver.
    pub(crate) peer: NodeId,
    /// The leader's term.
    pub(crate) term: Term,
    /// Names the view among all that the receiver will ever be offered.
    pub(crate) name: u64,
    /// What the view stands for.
    pub(crate) meta: SnapshotMeta,
    /// The view; away while it is read.
    pub(crate) view: Option<View>,
    /// Bytes of keys and values in it, about.
    pub(crate) bytes_expected: u64,
    /// The group's.
    pub(crate) metrics: GroupMetrics,
    /// No other snapshot goes to the peer meanwhile.
    pub(crate) _turn: OwnedSemaphorePermit,
}

/// How a transfer ended otherwise than [`Sending`] can say.
enum Trouble {
    /// Another took its place; that one reports.
    Superseded,
    Store(String),
}

impl Transfer {
    /// Sends it; whether the receiver has installed it. `None`: another transfer took this one's place.
    pub(crate) async fn run(mut self) -> Option<bool> {
        let (group, peer, index) = (self.group, self.peer, self.meta.index);
        let shared = self.shared.clone();
        let mut place = shared.transfers.begin((group, peer), index);
        snapshots_active(shared.transfers.running());
        let start = Instant::now();
        let mut progress = Progress::new(self.bytes_expected);
        let first = self.view.as_ref().map(|view| view.from.clone()).unwrap_or_default();
        let mut sending = Sending::new(first, Patience::default(), self.now());
        if !shared.peers.is_connected(peer) {
            sending.link(false);
        }
        tracing::info!(%group, %peer, %index, bytes_expected = self.bytes_expected, "sending a snapshot");
        let ended = self.carry(&mut sending, &mut progress, &mut place, start).await;
        drop(place);
        snapshots_active(shared.transfers.running());
        let (bytes, resumed) = (progress.bytes(), sending.resumed());
        let seconds = start.elapsed().as_secs_f64();
        let bytes_per_second = progress.bytes_per_second(start.elapsed());
        match ended {
            Ok(SendEnd::Installed) => tracing::info!(
                %group, %peer, bytes, seconds, bytes_per_second, resumed, "snapshot installed"
            ),
            Ok(end) => {
                tracing::warn!(%group, %peer, bytes, resumed, "snapshot not installed: {end}")
            }
            Err(Trouble::Superseded) => {
                tracing::info!(%group, %peer, bytes, "another snapshot took this one's place");
                return None;
            }
            Err(Trouble::Store(ref trouble)) => {
                tracing::warn!(%group, %peer, bytes, "snapshot not installed: {trouble}");
            }
        }
        Some(matches!(ended, Ok(SendEnd::Installed)))
    }

    fn now(&self) -> MonoMillis {
        self.shared.mono()
    }

    async fn carry(
        &mut self,
        sending: &mut Sending,
        progress: &mut Progress,
        place: &mut Place<'_>,
        start: Instant,
    ) -> Result<SendEnd, Trouble> {
        loop {
            while let Ok(told) = place.inbox.try_recv() {
                self.hear(sending, told);
            }
            if place.inbox.is_closed() {
                return Err(Trouble::Superseded);
            }
            match sending.step(self.now()) {
                SendStep::End(end) => return Ok(end),
                SendStep::Offer => {
                    let frame = SnapshotFrame::Offer {
                        group: self.group,
                        term: self.term,
                        view: self.name,
                        meta: self.meta.clone(),
                    };
                    self.send(sending, &frame).await;
                }
                SendStep::Chunk { sequence, from } => {
                    let chunk = self.read(from).await.map_err(Trouble::Store)?;
                    let next = chunk.next.clone();
                    let bytes = self.send_chunk(sending, sequence, chunk).await;
                    sending.sent(sequence, next, self.now());
                    self.metrics.snapshot_bytes_out.increment(bytes);
                    let tell = progress.sent(bytes, start.elapsed());
                    place.percent.store(progress.percent(), Relaxed);
                    if tell {
                        tracing::info!(
                            group = %self.group, peer = %self.peer, percent = progress.percent(),
                            bytes = progress.bytes(),
                            bytes_per_second = progress.bytes_per_second(start.elapsed()),
                            "snapshot on its way"
                        );
                    }
                }
                SendStep::Wait(until) => {
                    let wait = Duration::from_millis(until.since(self.now()));
                    match tokio::time::timeout(wait, place.inbox.recv()).await {
                        Ok(Some(told)) => self.hear(sending, told),
                        Ok(None) => return Err(Trouble::Superseded),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn hear(&mut self, sending: &mut Sending, told: Told) {
        let now = self.now();
        match told {
            Told::Answer(frame) => self.answered(sending, *frame, now),
            Told::Link(connected) => {
                if !connected {
                    tracing::info!(
                        group = %self.group, peer = %self.peer,
                        "the link broke in the middle of a snapshot; its view is kept for a while"
                    );
                }
                sending.link(connected);
            }
            Told::LeadLost => sending.lead_lost(now),
            Told::Renewed(term) => {
                self.term = term;
                sending.renewed();
            }
        }
    }

    fn answered(&mut self, sending: &mut Sending, frame: SnapshotFrame, now: MonoMillis) {
        match frame {
            SnapshotFrame::Wanted { view, next, taken, .. } if view == self.name => {
                let before = sending.resumed();
                sending.wanted(next, taken, now);
                if sending.resumed() > before {
                    self.metrics.snapshots_resumed.increment(1);
                    tracing::info!(
                        group = %self.group, peer = %self.peer, chunk = next, "the snapshot goes on"
                    );
                }
            }
            SnapshotFrame::Received { view, taken, installed, .. } if view == self.name => {
                sending.received(taken, installed, now);
            }
            SnapshotFrame::Refused { view, .. } if view == self.name => sending.refused(),
            _ => {}
        }
    }

    /// Sends a frame as soon as the lane has room. On a lane that never has any the view is not kept for
    /// ever.
    async fn send(&self, sending: &mut Sending, frame: &SnapshotFrame) {
        let sent = self.shared.peers.send_bulk(self.peer, codec::encode(frame));
        let sent = tokio::time::timeout(limits::SNAPSHOT_VIEW_KEPT, sent).await;
        if !matches!(sent, Ok(Ok(()))) {
            sending.link(self.shared.peers.is_connected(self.peer));
        }
    }

    async fn send_chunk(&self, sending: &mut Sending, sequence: u64, chunk: Chunk) -> u64 {
        // Keys travel without the prefix, which names this node's life of the rows.
        let prefix = self.view.as_ref().map_or(0, |view| view.from.len());
        let last = chunk.next.is_none();
        let rows: Vec<(Bytes, Bytes)> = chunk
            .rows
            .into_iter()
            .map(|(key, value)| (Bytes::from(key).slice(prefix..), value))
            .collect();
        let bytes = rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        tokio::time::sleep(self.shared.transfers.reserve(bytes)).await;
        let frame = SnapshotFrame::Chunk {
            group: self.group,
            term: self.term,
            view: self.name,
            meta: self.meta.clone(),
            sequence,
            rows,
            last,
        };
        self.send(sending, &frame).await;
        bytes
    }

    /// Reads a chunk on a thread that may block.
    async fn read(&mut self, from: Vec<u8>) -> Result<Chunk, String> {
        let view = self.view.take().ok_or("its view is gone")?;
        let read = tokio::task::spawn_blocking(move || {
            let chunk = next_chunk(view.rows.as_ref(), &from, &view.to, limits::CHUNK_BYTES);
            (view, chunk)
        });
        let (view, chunk) = read.await.map_err(|error| error.to_string())?;
        self.view = Some(view);
        chunk.map_err(|error| error.to_string())
    }
}
