//! One other node: the connection to it, made and made again, and the queues of its lanes.
//!
//! ```text
//! lower id:   dialing ──greeted──► connected ──lost──► pause (50 ms .. 0.5 s, jittered) ──► dialing
//! higher id:  waiting ──accepted─► connected ──lost──► waiting;  accepted while connected: the newer wins
//! ```
//!
//! Only the lower id dials, so there is one connection per pair. Two can meet only when the dialer has
//! lost one that the other side still believes in; then the dial with the higher number of the newer
//! process wins.

use super::endpoint::Shared;
use super::handshake::{GreetError, Greeted, close, closed_by_peer, describe, greet, same_cluster};
use super::lane::{LaneEnd, LanesOpen, receive_lane, send_cluster, send_lane};
use super::options::{DIAL_TIMEOUT, REDIAL_MAX, REDIAL_MIN};
use super::outbox::{Outbox, OutboxLimits, SendError};
use super::stats::Stats;
use crate::ids::NodeId;
use crate::limits::{FRAME_BYTES_MAX, LANE_BYTES_MAX, RAFT_LANE_FRAMES_MAX};
use crate::net::tls::Role;
use crate::net::wire::{CloseCode, Lane, Purpose, Refusal};
use bytes::Bytes;
use quinn::Connection;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Frames waiting to be sent to one peer on the control or bulk lane.
pub const LANE_FRAMES_MAX: usize = 16 * 1024;
/// Accepted connections of one peer that wait to be taken up.
pub(super) const ACCEPTED_MAX: usize = 4;
/// A connection that stood this long was a good one: the next dial does not have to wait.
const STOOD_WELL: Duration = Duration::from_secs(2);

/// The part of a peer that senders see.
#[derive(Debug)]
struct Queues {
    id: NodeId,
    lanes: [Arc<Outbox>; Lane::ALL.len()],
    connected: AtomicBool,
    address: Mutex<String>,
}

/// Sends frames to one other node. Cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct PeerHandle {
    queues: Arc<Queues>,
    stats: Arc<Stats>,
}

impl PeerHandle {
    pub(super) fn new(id: NodeId, address: String, stats: Arc<Stats>) -> Self {
        let lanes = Lane::ALL.map(|lane| {
            Arc::new(Outbox::new(OutboxLimits {
                frames: match lane {
                    Lane::Raft => RAFT_LANE_FRAMES_MAX,
                    Lane::Control | Lane::Bulk => LANE_FRAMES_MAX,
                },
                bytes: LANE_BYTES_MAX,
                frame_bytes: FRAME_BYTES_MAX,
            }))
        });
        let address = Mutex::new(address);
        let queues = Queues { id, lanes, connected: AtomicBool::new(false), address };
        Self { queues: Arc::new(queues), stats }
    }

    /// The node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.queues.id
    }

    /// Whether a connection stands at the moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.queues.connected.load(Ordering::Relaxed)
    }

    /// Queues a frame and returns at once. A frame that was queued may still be lost with the
    /// connection; frames that arrive on one lane arrive in order.
    ///
    /// # Errors
    /// When the frame will certainly not be sent: the lane is full, there is no connection, or the
    /// frame is too large. Counted, so that the raft lane's callers may ignore it.
    pub fn send(&self, lane: Lane, frame: impl Into<Bytes>) -> Result<(), SendError> {
        let outcome = self.queues.lanes[lane.index()].push(frame.into());
        self.count(lane, outcome);
        outcome
    }

    /// Queues a frame as soon as the lane has room for it: for the bulk lane.
    ///
    /// # Errors
    /// When there is no connection (any more), or the frame is too large.
    pub async fn send_wait(&self, lane: Lane, frame: impl Into<Bytes>) -> Result<(), SendError> {
        let outcome = self.queues.lanes[lane.index()].push_wait(frame.into()).await;
        self.count(lane, outcome);
        outcome
    }

    fn count(&self, lane: Lane, outcome: Result<(), SendError>) {
        let stats = self.stats.lane(lane);
        match outcome {
            Ok(()) => {}
            Err(SendError::NotConnected) => stats.dropped_disconnected.one(),
            Err(SendError::Full | SendError::TooLong) => stats.dropped_full.one(),
        }
    }

    pub(super) fn set_address(&self, address: String) {
        *self.queues.address.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = address;
    }

    fn address(&self) -> String {
        self.queues.address.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// The task of one peer.
pub(super) struct PeerTask {
    pub(super) shared: Arc<Shared>,
    pub(super) handle: PeerHandle,
    /// Connections that the peer has opened.
    pub(super) accepted: mpsc::Receiver<Greeted>,
    /// Becomes `Some` when the peer is removed or the endpoint stops.
    pub(super) stop: watch::Receiver<Option<Refusal>>,
}

/// How a connection ended.
enum End {
    /// By itself.
    Lost(String),
    /// A newer one took over.
    Replaced(Box<Greeted>),
    /// The peer is no longer wanted.
    Stopped,
}

impl PeerTask {
    pub(super) async fn run(mut self) {
        let mut redial = Redial::new(self.handle.id());
        let mut next = None;
        loop {
            let greeted = match next.take() {
                Some(greeted) => greeted,
                None => match self.obtain(&mut redial).await {
                    Some(greeted) => greeted,
                    None => return,
                },
            };
            let since = Instant::now();
            match self.serve(greeted).await {
                End::Lost(reason) => {
                    tracing::info!(peer = %self.handle.id(), reason, "connection to peer ended");
                    redial.connection_ended(since.elapsed());
                }
                End::Replaced(greeted) => next = Some(*greeted),
                End::Stopped => return,
            }
        }
    }

    /// Dials until there is a connection, or waits for one; `None`: stop.
    async fn obtain(&mut self, redial: &mut Redial) -> Option<Greeted> {
        let mut stop = self.stop.clone();
        let dials = match self.shared.me.role {
            Role::Node(me) => me < self.handle.id(),
            Role::Admin | Role::Client => true,
        };
        let obtained = async {
            if !dials {
                return self.accepted.recv().await;
            }
            loop {
                redial.pause().await;
                match self.dial().await {
                    Ok(greeted) => return Some(greeted),
                    Err(error) => {
                        self.shared.stats.dials_failed.one();
                        if matches!(error, GreetError::RefusedByPeer(_)) {
                            self.shared.stats.refused_by_peer.one();
                        }
                        redial.failed(&error.to_string());
                    }
                }
            }
        };
        tokio::select! {
            greeted = obtained => greeted,
            _ = stopped(&mut stop) => None,
        }
    }

    async fn dial(&self) -> Result<Greeted, GreetError> {
        let lost = |text: String| GreetError::Lost(text);
        let id = self.handle.id();
        let address = resolve(&self.handle.address(), self.shared.ipv4_only).await.map_err(lost)?;
        let connecting = self
            .shared
            .quinn
            .connect_with(self.shared.dialing.clone(), address, &Role::Node(id).dns_name())
            .map_err(|error| GreetError::Lost(error.to_string()))?;
        let greeting = async {
            let connection = connecting.await.map_err(GreetError::from)?;
            let inbound = &*self.shared.inbound;
            let told = connection.clone();
            let greeted =
                greet(connection, &self.shared.me, Some(id), Purpose::Peer, Some(inbound)).await;
            if let Err(GreetError::Refused(refusal)) = &greeted {
                self.shared.stats.refused(refusal.code).one();
                close(&told, refusal);
            }
            greeted
        };
        match timeout(DIAL_TIMEOUT, greeting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(lost(format!("no answer from {address}"))),
        }
    }

    /// Runs one connection to its end.
    async fn serve(&mut self, greeted: Greeted) -> End {
        let id = self.handle.id();
        let (shared, queues) = (self.shared.clone(), self.handle.queues.clone());
        let connection = greeted.connection.clone();
        for outbox in &queues.lanes {
            outbox.open();
        }
        queues.connected.store(true, Ordering::Relaxed);
        shared.stats.connected.one();
        tracing::info!(peer = %id, address = %connection.remote_address(), "connected to peer");
        shared.inbound.connected(id, &greeted.hello, greeted.version);

        let mut lanes = JoinSet::new();
        for lane in Lane::ALL {
            let outbox = queues.lanes[lane.index()].clone();
            lanes.spawn(send_lane(connection.clone(), lane, outbox, shared.stats.clone()));
        }
        let end = self.watch(&greeted, &mut lanes).await;

        queues.connected.store(false, Ordering::Relaxed);
        for lane in Lane::ALL {
            let forgotten = queues.lanes[lane.index()].close();
            shared.stats.lane(lane).dropped_disconnected.add(forgotten as u64);
        }
        // Every task is gone before the sink hears of the end: no frame comes after it.
        lanes.shutdown().await;
        shared.stats.disconnected.one();
        let reason = match &end {
            End::Lost(reason) => reason,
            End::Replaced(_) => "a newer connection took over",
            End::Stopped => "closed by this side",
        };
        shared.inbound.disconnected(id, reason);
        end
    }

    /// Waits for the first thing that ends the connection, and closes it with the reason.
    async fn watch(&mut self, greeted: &Greeted, lanes: &mut JoinSet<LaneEnd>) -> End {
        let id = self.handle.id();
        let connection = &greeted.connection;
        let open = LanesOpen::default();
        // Both may be born while they are connected: then each tells the other, and compares.
        let mut born = self.shared.me.watch_cluster();
        let (mut told, mut theirs) = (greeted.told, greeted.hello.cluster);
        loop {
            let ours = *born.borrow_and_update();
            if let Some(cluster) = ours.filter(|_| ours != told) {
                told = ours;
                lanes.spawn(send_cluster(connection.clone(), cluster));
            }
            if let Err(refusal) = same_cluster(theirs, ours) {
                return self.refuse(connection, refusal);
            }
            let refusal = tokio::select! {
                error = connection.closed() => {
                    if closed_by_peer(&error).is_some_and(|refusal| refusal.code != CloseCode::Closing) {
                        self.shared.stats.refused_by_peer.one();
                    }
                    return End::Lost(describe(&error));
                }
                refusal = stopped(&mut self.stop) => {
                    close(connection, &refusal);
                    return End::Stopped;
                }
                Some(other) = self.accepted.recv() => {
                    let same_process = other.hello.boot == greeted.hello.boot;
                    let refusal = Refusal::new(CloseCode::Replaced, "a newer connection took over");
                    if same_process && other.dial < greeted.dial {
                        close(&other.connection, &refusal);
                        continue;
                    }
                    close(connection, &refusal);
                    return End::Replaced(Box::new(other));
                }
                Ok(()) = born.changed() => continue,
                Ok(stream) = connection.accept_uni() => {
                    let (inbound, stats) = (self.shared.inbound.clone(), self.shared.stats.clone());
                    lanes.spawn(receive_lane(stream, id, open.clone(), inbound, stats));
                    continue;
                }
                Some(ended) = lanes.join_next() => match ended {
                    Ok(LaneEnd::Fault(refusal)) => refusal,
                    // If the connection is gone, its own branch says why.
                    Ok(LaneEnd::Gone) => continue,
                    Ok(LaneEnd::Cluster(cluster)) => {
                        theirs = Some(cluster);
                        continue;
                    }
                    Err(_) => Refusal::new(CloseCode::Internal, "a lane's task failed"),
                },
            };
            return self.refuse(connection, refusal);
        }
    }

    fn refuse(&self, connection: &Connection, refusal: Refusal) -> End {
        tracing::warn!(peer = %self.handle.id(), %refusal, "closing the connection to a peer");
        self.shared.stats.refused(refusal.code).one();
        close(connection, &refusal);
        End::Lost(refusal.to_string())
    }
}

/// Waits until the peer is no longer wanted, and says why.
async fn stopped(stop: &mut watch::Receiver<Option<Refusal>>) -> Refusal {
    let reason = stop.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    reason.unwrap_or_else(|| Refusal::new(CloseCode::Closing, "the node stops"))
}

/// When to dial again, and what to say about failures: once per reason, not once per dial.
struct Redial {
    peer: NodeId,
    pause: Duration,
    said: String,
}

impl Redial {
    fn new(peer: NodeId) -> Self {
        Self { peer, pause: Duration::ZERO, said: String::new() }
    }

    async fn pause(&self) {
        if !self.pause.is_zero() {
            tokio::time::sleep(jittered(self.pause)).await;
        }
    }

    fn failed(&mut self, reason: &str) {
        self.lengthen();
        if self.said == reason {
            tracing::debug!(peer = %self.peer, reason, "dialing the peer failed again");
        } else {
            tracing::warn!(peer = %self.peer, reason, "cannot reach the peer; dialing goes on");
            reason.clone_into(&mut self.said);
        }
    }

    /// One that broke at once may do so again: the pauses go on growing.
    fn connection_ended(&mut self, stood: Duration) {
        self.said.clear();
        if stood >= STOOD_WELL {
            self.pause = Duration::ZERO;
        }
        self.lengthen();
    }

    fn lengthen(&mut self) {
        self.pause = (self.pause * 2).clamp(REDIAL_MIN, REDIAL_MAX);
    }
}

/// Between a half and all of `pause`, so that many nodes do not dial in step.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness there is no jitter, which is no reason to fail.
    let _ = getrandom::fill(&mut random);
    pause / 2 + pause / 2 * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX)
}

/// The first address of `host:port` that the socket can reach.
pub(super) async fn resolve(address: &str, ipv4_only: bool) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host(address)
        .await
        .map_err(|error| format!("cannot resolve {address}: {error}"))?;
    found
        .into_iter()
        .find(|found| found.is_ipv4() || !ipv4_only)
        .ok_or_else(|| format!("{address} has no address that this node's socket can reach"))
}
