//! What comes in over QUIC, brought to whom it concerns. Runs on the endpoint's thread and never blocks.

use super::admin::Admin;
use super::birth::Birthplace;
use crate::actors::group::actor::GroupMessage;
use crate::actors::group::event::{Event, ReplyTo};
use crate::actors::identity::Kinship;
use crate::actors::metrics;
use crate::actors::poller::{Poller, PollerMessage};
use crate::actors::router::{Router, worker_of};
use crate::actors::shared::{Shared, Undelivered};
use crate::codec;
use crate::ids::{Era, GroupId, Incarnation, NodeId};
use crate::net::message::{
    Answer, GroupMessages, Outcome, PeerMessage, Pulse, RaftFrame, Refusal as UnitRefusal,
    SnapshotFrame, Unit,
};
use crate::net::quic::{Inbound, Requester, Responder};
use crate::net::tls::Role;
use crate::net::wire::{CloseCode, Hello, Lane, Refusal};
use crate::raft::Message;
use crate::shard::{Table, TableStamp};
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
        let Some(disk) = self.shared.links.disk(from) else { return };
        let counts = self.shared.kinship(from, disk).counts();
        let mut by_group: BTreeMap<(GroupId, Era, Incarnation), Vec<Message>> = BTreeMap::new();
        for frame in frames {
            match codec::decode::<RaftFrame>(frame) {
                Ok(frame) => {
                    if let Some(pulse) = frame.pulse {
                        self.offered(from, &pulse);
                        if counts {
                            self.pulse(from, &pulse);
                        }
                    }
                    if !counts {
                        continue;
                    }
                    for GroupMessages { group, era, disk: own, mut messages } in frame.groups {
                        // Nobody speaks for another.
                        messages.retain(|message| message.from == from);
                        if messages.iter().any(Message::is_for_secretary) {
                            messages = self.relays(group, era, messages);
                        }
                        let disk = own.unwrap_or(disk);
                        by_group.entry((group, era, disk)).or_default().append(&mut messages);
                    }
                }
                Err(error) => tracing::warn!(%from, "a raft frame cannot be read: {error}"),
            }
        }
        for ((group, era, disk), messages) in by_group {
            if messages.is_empty() {
                continue;
            }
            let count = messages.len();
            let messages = GroupMessage::Peer { from, era, disk, messages };
            if self.shared.try_send(group, messages) == Err(Undelivered::Full) {
                metrics::messages_dropped(group, count);
            }
        }
    }

    /// Brings the secretary here its messages; answers those that are for the replica.
    fn relays(&self, group: GroupId, era: Era, messages: Vec<Message>) -> Vec<Message> {
        let (relays, others): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(Message::is_for_secretary);
        let count = relays.len();
        if self.shared.secretaries.deliver(group, era, relays) == Err(Undelivered::Full) {
            metrics::messages_dropped(group, count);
        }
        others
    }

    fn pulse(&self, from: NodeId, pulse: &Pulse) {
        let (wall, now) = (self.shared.wall(), self.shared.mono());
        self.shared.clocks.heard(from, pulse.clock, wall, now);
        self.shared.watch().heard(from, pulse, now);
    }

    /// Also from strangers: while this node was away, all others may have got new disks.
    fn offered(&self, from: NodeId, pulse: &Pulse) {
        let known = self.shared.routing().map_or(TableStamp::default(), |r| r.table().stamp());
        if pulse.table > known {
            self.tell_poller(PollerMessage::Offered(from, pulse.table));
        }
    }

    fn control(&self, from: NodeId, message: PeerMessage) {
        // A stranger may ask, and be told; of what it says only tables count, which speak for themselves.
        let counts = self.shared.kinship_of(from).counts();
        match message {
            PeerMessage::Found(_)
            | PeerMessage::Snapshot(_)
            | PeerMessage::Join { .. }
            | PeerMessage::Leave { .. }
            | PeerMessage::Farewell { .. }
                if !counts => {}
            PeerMessage::Enlist(info) => {
                if self.shared.links.disk(from) == Some(info.incarnation) {
                    self.tell_poller(PollerMessage::Enlisted(from, info));
                }
            }
            PeerMessage::Join { group, disk } => {
                // Full, or nobody here leads the group: it is said again, and to others.
                let _ = self.shared.try_send(group, Event::Arrived { node: from, disk });
            }
            PeerMessage::Leave { group, disk, forgotten, request } => {
                let event = Event::Leaving { node: from, disk, forgotten, request };
                let _ = self.shared.try_send(group, event);
            }
            PeerMessage::Farewell { group, disk, request } => {
                let _ = self.shared.try_send(group, GroupMessage::Farewell(disk, request));
            }
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
            PeerMessage::LeftBehind { group, era, leader } => {
                // Full: it is told again when it next speaks.
                let _ = self.shared.try_send(group, GroupMessage::LeftBehind(era, leader));
            }
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
        if frame.is_for_receiver() && self.shared.kinship_of(from).counts() {
            // Full: the chunk is missed when the next one comes, or the sender asks.
            let _ = self.shared.try_send(frame.group(), GroupMessage::Snapshot(from, frame));
        }
    }
}

impl NodeInbound {
    /// Tells a peer of the groups that were recovered without it, before it can do anything there.
    fn tell_left_behind(&self, peer: NodeId, hello: &Hello) {
        let Some(routing) = self.shared.routing() else { return };
        let disk = (peer, hello.incarnation);
        let behind =
            routing.table().groups.iter().filter(|(_, info)| info.left_behind.contains(&disk));
        for (&group, info) in behind {
            let leader = self.shared.replica(group).and_then(|replica| replica.board.leader());
            let told = PeerMessage::LeftBehind { group, era: info.era(), leader };
            // Lost: it is told again when it speaks.
            let _ = self.shared.peers.control(peer, &told);
        }
    }
}

impl Inbound for NodeInbound {
    fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let Role::Node(node) = hello.from else { return Ok(()) };
        match self.shared.kinship(node, hello.incarnation) {
            Kinship::Barred => Err(Refusal::new(
                CloseCode::Barred,
                format!(
                    "{node} was removed from the cluster, or this disk of it was replaced by another one, and \
                     is barred for ever; start it with an empty data directory, a removed node under a new id"
                ),
            )),
            Kinship::Unknown | Kinship::Peer | Kinship::Stranger => Ok(()),
        }
    }

    fn connected(&self, peer: NodeId, hello: &Hello, _: u16) {
        self.shared.links.opened(peer, hello.incarnation);
        let is_stranger = !self.shared.kinship(peer, hello.incarnation).counts();
        metrics::peer_stranger(peer, is_stranger);
        if is_stranger {
            tracing::warn!(
                %peer, disk = %hello.incarnation,
                "connected, with another disk than the one that belongs to the cluster: it counts for nothing"
            );
        } else {
            tracing::info!(%peer, "connected");
        }
        metrics::peer_connected(peer, true);
        self.shared.transfers.link(peer, true);
        self.tell_left_behind(peer, hello);
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
        metrics::peer_stranger(peer, false);
        self.shared.links.closed(peer);
        self.shared.transfers.link(peer, false);
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
