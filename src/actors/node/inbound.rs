//! What comes in over QUIC, brought to whom it concerns. Runs on the endpoint's thread and never blocks.

use super::admin::Admin;
use super::birth::Birthplace;
use crate::actors::group::actor::GroupMessage;
use crate::actors::group::event::{Event, ReplyTo};
use crate::actors::metrics;
use crate::actors::poller::{Poller, PollerMessage};
use crate::actors::router::{Router, worker_of};
use crate::actors::shared::{Shared, Undelivered};
use crate::codec;
use crate::ids::{GroupId, NodeId, TableVersion};
use crate::net::message::{
    Answer, Outcome, PeerMessage, Pulse, RaftFrame, Refusal as UnitRefusal, SnapshotFrame, Unit,
};
use crate::net::quic::{Inbound, Requester, Responder};
use crate::net::tls::Role;
use crate::net::wire::{CloseCode, Hello, Lane, Refusal};
use crate::raft::Message;
use crate::shard::Table;
use actix::Addr;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// See the module's first lines.
pub(super) struct NodeInbound {
    pub(super) shared: Arc<Shared>,
    pub(super) birthplace: Arc<Birthplace>,
    pub(super) admin: Arc<Admin>,
    pub(super) poller: OnceLock<Addr<Poller>>,
    /// The routers' threads, told when a peer is gone.
    pub(super) gone: tokio::sync::broadcast::Sender<NodeId>,
    pub(super) served: ::metrics::Counter,
}

impl NodeInbound {
    fn tell_poller(&self, message: PollerMessage) {
        if let Some(poller) = self.poller.get() {
            // Full: it is told again in a second.
            let _ = poller.try_send(message);
        }
    }

    fn raft(&self, from: NodeId, frames: &[Bytes]) {
        let mut by_group: BTreeMap<GroupId, Vec<Message>> = BTreeMap::new();
        for frame in frames {
            match codec::decode::<RaftFrame>(frame) {
                Ok(frame) => {
                    if let Some(pulse) = frame.pulse {
                        self.pulse(from, &pulse);
                    }
                    for (group, mut messages) in frame.groups {
                        // Nobody speaks for another.
                        messages.retain(|message| message.from == from);
                        by_group.entry(group).or_default().append(&mut messages);
                    }
                }
                Err(error) => tracing::warn!(%from, "a raft frame cannot be read: {error}"),
            }
        }
        for (group, messages) in by_group {
            let count = messages.len();
            if self.shared.try_send(group, Event::Peer(messages)) == Err(Undelivered::Full) {
                metrics::messages_dropped(group, count);
            }
        }
    }

    fn pulse(&self, from: NodeId, pulse: &Pulse) {
        let (wall, now) = (self.shared.wall(), self.shared.mono());
        self.shared.clocks.heard(from, pulse.clock, wall, now);
        self.shared.watch().heard(from, pulse, now);
        let known = self.shared.routing().map_or(TableVersion(0), |r| r.table().version);
        if pulse.table > known {
            self.tell_poller(PollerMessage::Offered(from, pulse.table));
        }
    }

    fn control(&self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Forward(units) => self.forwarded(from, units),
            PeerMessage::Answers(answers) => {
                let mut by_worker: BTreeMap<u16, Vec<Answer>> = BTreeMap::new();
                for answer in answers {
                    by_worker.entry(worker_of(answer.unit)).or_default().push(answer);
                }
                for (worker, answers) in by_worker {
                    self.shared.deliver(ReplyTo::Worker(worker), answers);
                }
            }
            PeerMessage::TableRequest { known } => {
                self.tell_poller(PollerMessage::Asked(from, known));
            }
            PeerMessage::Table(bytes) => match Table::decode(&bytes) {
                Ok(table) => self.tell_poller(PollerMessage::Learned(Arc::new(table))),
                Err(error) => tracing::warn!(%from, "a config table cannot be read: {error}"),
            },
            PeerMessage::Identify => {
                let identity = self.birthplace.identity();
                let _ = self.shared.peers.control(from, &PeerMessage::Identity(identity));
            }
            PeerMessage::Identity(identity) => self.birthplace.told(from, identity),
            PeerMessage::Found(plan) => {
                let (birthplace, shared) = (self.birthplace.clone(), self.shared.clone());
                tokio::spawn(async move {
                    if let Err(trouble) = birthplace.found(plan).await {
                        tracing::error!(%from, "refused to be founded: {trouble}");
                    }
                    let identity = PeerMessage::Identity(birthplace.identity());
                    let _ = shared.peers.control(from, &identity);
                });
            }
            PeerMessage::Snapshot(frame) => self.shared.transfers.answered(from, frame),
        }
    }

    fn forwarded(&self, from: NodeId, units: Vec<Unit>) {
        self.served.increment(units.len() as u64);
        let mut by_group: BTreeMap<GroupId, Vec<Unit>> = BTreeMap::new();
        for unit in units {
            by_group.entry(unit.group).or_default().push(unit);
        }
        for (group, units) in by_group {
            let ids: Vec<_> = units.iter().map(|unit| unit.id).collect();
            let event = Event::Units(ReplyTo::Node(from), units);
            let refusal = match self.shared.try_send(group, event) {
                Ok(()) => continue,
                Err(Undelivered::NoReplica) => UnitRefusal::NoReplica,
                Err(Undelivered::Full) => UnitRefusal::Busy,
            };
            let outcome = Outcome::NotDone(refusal);
            let answers =
                ids.into_iter().map(|unit| Answer { unit, outcome: outcome.clone() }).collect();
            self.shared.deliver(ReplyTo::Node(from), answers);
        }
    }

    fn bulk(&self, from: NodeId, frame: SnapshotFrame) {
        if let SnapshotFrame::Chunk { group, .. } = &frame {
            let group = *group;
            // Full: the sender does not hear of the chunk and gives the transfer up.
            let _ = self.shared.try_send(group, GroupMessage::Snapshot(from, frame));
        }
    }
}

impl Inbound for NodeInbound {
    fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let Role::Node(node) = hello.from else { return Ok(()) };
        let known = self.birthplace.incarnation_of(node);
        match known {
            Some(known) if known != hello.incarnation => Err(Refusal::new(
                CloseCode::Incarnation,
                format!(
                    "{node} has another disk than the one that belongs to the cluster; a node that lost \
                     its disk must be removed and added again under a new id"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn connected(&self, peer: NodeId, _: &Hello, _: u16) {
        tracing::info!(%peer, "connected");
        metrics::peer_connected(peer, true);
    }

    fn frames(&self, from: NodeId, lane: Lane, frames: Vec<Bytes>) {
        self.shared.received.fetch_add(frames.len() as u64, Relaxed);
        match lane {
            Lane::Raft => self.raft(from, &frames),
            Lane::Control => {
                for frame in &frames {
                    match codec::decode(frame) {
                        Ok(message) => self.control(from, message),
                        Err(error) => {
                            tracing::warn!(%from, "a control frame cannot be read: {error}")
                        }
                    }
                }
            }
            Lane::Bulk => {
                for frame in &frames {
                    match codec::decode(frame) {
                        Ok(frame) => self.bulk(from, frame),
                        Err(error) => tracing::warn!(%from, "a bulk frame cannot be read: {error}"),
                    }
                }
            }
        }
    }

    fn disconnected(&self, peer: NodeId, reason: &str) {
        tracing::warn!(%peer, reason, "disconnected");
        metrics::peer_connected(peer, false);
        // Nobody listening is fine.
        let _ = self.gone.send(peer);
        for group in self.shared.boards().into_keys() {
            // Full: Raft finds out by itself, a little later.
            let _ = self.shared.try_send(group, Event::Unreachable(peer));
        }
    }

    fn request(&self, from: Requester, frame: Bytes, respond: Responder) {
        let admin = self.admin.clone();
        tokio::spawn(async move { admin.answer(from, &frame, respond).await });
    }
}

/// What the routers of a thread do when a peer is gone.
pub(super) async fn watch_gone(mut gone: tokio::sync::broadcast::Receiver<NodeId>, router: Router) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match gone.recv().await {
            Ok(peer) => router.disconnected(peer),
            // Missed some: what was lost with them is sent again when its answer is overdue.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
