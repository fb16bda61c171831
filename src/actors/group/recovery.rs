//! What the group's actor does when a person says that the group has lost its majority for good, and when it
//! hears that the group went on without it. What is decided stands in `era` and in the core's `decree`.

use super::actor::GroupActor;
use super::era::{Line, Verdict};
use super::event::Lead;
use crate::actors::apply::Stats;
use crate::codec;
use crate::ids::{Era, GroupId, NodeId, Term};
use crate::net::message::PeerMessage;
use crate::raft::{Decree, Role, Status};
use crate::store::wal::LogOp;
use crate::time::MonoMillis;
use actix::prelude::*;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

/// A peer of an earlier era is told so again after this, milliseconds.
const TELL_MILLIS: u64 = 1_000;

/// How a replica stands that may have to go on alone.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The core.
    pub status: Status,
    /// Its state.
    pub stats: Stats,
    /// Why it cannot go on alone, as far as the replica itself knows.
    pub obstacle: Option<String>,
    /// Names this standing: whoever confirms a recovery has seen it.
    pub token: String,
}

/// Names how a replica stands: where it is, what it has, and what it knows to be committed.
#[must_use]
pub fn token(group: GroupId, status: &Status) -> String {
    let Status { id, term, vote, last, last_term, commit, membership, .. } = status;
    let mut hasher = SipHasher13::new();
    hasher.write(&codec::encode(&(group, id, term, vote, last, last_term, commit, membership)));
    format!("{:016x}", hasher.finish())
}

impl GroupActor {
    fn standing(&self) -> Option<Standing> {
        let core = self.core.as_ref()?;
        let status = core.driver.status();
        let era = Era { number: u32::MAX, mark: 0 };
        let obstacle = core.driver.decree(era).err().map(|error| error.to_string());
        let token = token(self.seed.group, &status);
        Some(Standing { status, stats: self.seed.board.stats(), obstacle, token })
    }

    /// How does it stand?
    pub(super) fn stand(&self, reply: oneshot::Sender<Option<Standing>>) {
        // The asker may have gone.
        let _ = reply.send(self.standing());
    }

    /// A person has seen how it stands, and wants it to go on alone, in this era.
    pub(super) fn recover(
        &mut self,
        seen: &str,
        era: Era,
        reply: oneshot::Sender<Result<(), String>>,
        context: &mut Context<Self>,
    ) {
        let decree = match (self.standing(), &self.core) {
            (Some(standing), _) if standing.token != seen => {
                Err("the replica does not stand as it did; look again".to_owned())
            }
            (Some(_), Some(core)) => core.driver.decree(era).map_err(|error| error.to_string()),
            _ => Err("the replica is not up".to_owned()),
        };
        let Decree { entry, hard_state } = match decree {
            Ok(decree) => decree,
            Err(trouble) => {
                let _ = reply.send(Err(trouble));
                return;
            }
        };
        let group = self.seed.group;
        tracing::warn!(
            %group, %era, index = %entry.index,
            "the group goes on with this replica alone, because a person says that its majority is lost"
        );
        // From here on this life promises nothing.
        self.retire(None, context);
        let (log, generation) = (self.seed.log.clone(), self.generation);
        let writing = async move { log.decree(group, generation, entry, hard_state).await };
        let writing = writing.into_actor(self).map(move |written, actor, context| {
            if actor.generation != generation {
                return;
            }
            match &written {
                Ok(()) => actor.rebuild(context),
                Err(trouble) => actor.died(&format!("it cannot be recovered: {trouble}"), context),
            }
            let _ = reply.send(written);
        });
        context.spawn(writing);
    }

    /// Whether to listen to a peer that speaks from this era.
    pub(super) fn is_of_era(
        &mut self,
        from: NodeId,
        era: Era,
        context: &mut Context<Self>,
    ) -> bool {
        let verdict = self.line.hear(era);
        if verdict == Verdict::Listen {
            return true;
        }
        self.metrics.messages_of_other_eras.increment(1);
        match verdict {
            Verdict::Ahead => self.left_behind(era, None, context),
            _ => self.tell_era(from, verdict),
        }
        false
    }

    fn tell_era(&mut self, peer: NodeId, verdict: Verdict) {
        let (group, era, now) = (self.seed.group, self.line.era(), self.seed.shared.mono());
        let last = self.told_era.get(&peer);
        if last.is_some_and(|last: &MonoMillis| now.since(*last) < TELL_MILLIS) {
            return;
        }
        self.told_era.insert(peer, now);
        if verdict == Verdict::Rival {
            tracing::error!(
                %group, %peer, %era,
                "the group was recovered on another node too: there are two groups of this name now. Keep \
                 one of them, and stop and wipe the replicas of the other"
            );
            return;
        }
        tracing::warn!(%group, %peer, %era, "a peer was left behind by a recovery, and is refused");
        let leader = self.seed.board.leader();
        // Lost: it is told again when it next speaks.
        let told = PeerMessage::LeftBehind { group, era, leader };
        let _ = self.seed.shared.peers.control(peer, &told);
    }

    /// Nodes that were left behind hear nothing of the group any more, but their clients ask for it.
    pub(super) fn tell_those_left_behind(&self) {
        let (group, era, shared) = (self.seed.group, self.line.era(), &self.seed.shared);
        let Some(routing) = shared.routing().filter(|_| era.number > 0) else { return };
        let Some(info) = routing.table().groups.get(&group) else { return };
        for (peer, _) in &info.left_behind {
            let told = PeerMessage::LeftBehind { group, era, leader: Some(shared.node) };
            let _ = shared.peers.control(*peer, &told);
        }
    }

    /// The group was recovered without this replica, if that is so.
    pub(super) fn left_behind(
        &mut self,
        era: Era,
        leader: Option<NodeId>,
        context: &mut Context<Self>,
    ) {
        match self.line {
            // It is not built yet, and looks again when it is.
            Line::Unknown => self.heard_era = self.heard_era.max(Some(era)),
            Line::In(own) | Line::LeftBehind(own) if era.number > own.number => {
                self.end_in(era, leader, context);
                let (log, group) = (self.seed.log.clone(), self.seed.group);
                let generation = self.generation;
                actix_rt::spawn(async move {
                    // Without the record it would begin again after a restart, until it is told again.
                    let op = LogOp::LeftBehind(era);
                    if let Err(trouble) = log.operate(group, generation, op).await {
                        tracing::error!(%group, "it cannot be written down: {trouble}");
                    }
                });
            }
            Line::LeftBehind(own) if era == own && leader.is_some() => self.point_at(leader),
            Line::Blank(_) | Line::In(_) | Line::LeftBehind(_) => {}
        }
    }

    /// The replica takes no part any more: its group goes on in this era, led by `leader`.
    pub(super) fn end_in(&mut self, era: Era, leader: Option<NodeId>, context: &mut Context<Self>) {
        tracing::error!(
            group = %self.seed.group, %era,
            "the group was recovered without this replica, which takes no part any more; what it has stays \
             on this disk. Remove the replica and add a new one"
        );
        self.set_line(Line::LeftBehind(era));
        self.seed.board.left_behind.store(true, Relaxed);
        self.seed.board.failed.store(true, Relaxed);
        self.retire(leader, context);
    }

    /// Drops the driver; whatever it has on its way counts no more.
    fn retire(&mut self, leader: Option<NodeId>, context: &mut Context<Self>) {
        if let Some(mut core) = self.core.take() {
            self.abandon(&mut core.driver);
        }
        self.generation.0 += 1;
        self.seed.shared.transfers.lead_lost(self.seed.group);
        self.stop_time(context);
        self.point_at(leader);
    }

    fn point_at(&self, leader: Option<NodeId>) {
        let (group, term) = (self.seed.group, Term(self.seed.board.term()));
        self.publish(Lead { group, role: Role::Follower, leader, term });
    }
}
