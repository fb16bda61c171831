//! Sleep of idle groups.
//!
//! A group in which nothing has happened for a while, and in which everybody who is alive has
//! everything, needs no heartbeats: its leader says so to its followers and all of them stop counting
//! time. Somebody else has to notice then when a node dies: the caller, who watches pairs of nodes, not
//! groups, and calls [`Raft::wake`] on what followed a leader there, or led.
//!
//! ```text
//!              idle, settled, everybody alive has everything
//!   awake ───────────────────────────────────────────────────► quiet
//!     ▲   (follower: the leader says so, and it is true here)    │
//!     └───────── anything happens: a message, a call ────────────┘
//! ```
//!
//! The message may be lost: then that follower stays awake, asks for pre-votes after a while, and so wakes
//! its leader, which calms it with a heartbeat. It may come late: then its term or its position is not
//! the follower's, who says so, and wakes the leader. A learner or an observer has no votes to ask for: whom
//! it has not heard for an election time-out it calls by name, and follows no more after some calls in vain.

use super::message::MessageBody;
use super::progress::ProgressState;
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
use crate::ids::{Index, NodeId, Term};

/// After so many calls a leader that does not answer is followed no more.
const CALLS_MAX: u32 = 3;

impl Raft {
    /// Whether this replica sleeps: it counts no time and sends nothing until something happens.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Ticks since a leader was heard, a vote given, or an election begun.
    #[must_use]
    pub fn silent_ticks(&self) -> u32 {
        self.election_elapsed
    }

    /// Something happens, or may have: this replica counts time again, and if it leads, it says so
    /// with the next tick.
    pub fn wake(&mut self) {
        if let RoleState::Leader(leader) = &mut self.role {
            leader.idle_ticks = 0;
            if self.quiet {
                leader.wake(self.config.heartbeat_ticks);
            }
        }
        self.quiet = false;
    }

    /// The node of this follower's leader is gone, or the leader there leads no more, as whoever watches
    /// the nodes has found out: this replica counts time again, and stands for election in `after_ticks`
    /// unless it hears a leader before. Candidates that come earlier are not held up for the old leader's
    /// sake. Where leases rest on the follower's word, all of this waits until the word has expired.
    ///
    /// Nothing but an election can come of it if it is not true. A leader only wakes; a learner or an
    /// observer goes on following whom it followed, and calls it, until some calls were in vain.
    pub fn leader_lost(&mut self, after_ticks: u32) {
        self.wake();
        // Who has no election to find the leader by must remember whom to call.
        let stands = self.is_promotable();
        let bound = match self.config.lease {
            Some(_) => self.bound_until.saturating_sub(self.ticks),
            None => 0,
        };
        if let RoleState::Follower(leader) = &mut self.role
            && leader.is_some()
        {
            if bound == 0 {
                if stands {
                    *leader = None;
                } else {
                    self.election_elapsed = self.election_elapsed.max(self.config.election_ticks);
                }
                self.lose_forwarded();
            }
            let bound = u32::try_from(bound).unwrap_or(u32::MAX);
            let wait = bound.saturating_add(after_ticks.max(1));
            self.election_timeout = self.election_elapsed.saturating_add(wait);
        }
    }

    /// A replica that nobody would elect has heard nothing for an election time-out, after so many calls. If its
    /// leader only sleeps, this wakes it.
    ///
    /// Who is never answered follows nobody: the leader may be another one by now, of a group in which this
    /// replica is not. Whoever takes part of it then has to say that it is here.
    pub(super) fn call_sleeping_leader(&mut self, calls: u32) {
        if self.is_promotable() {
            return;
        }
        if let RoleState::Follower(Some(leader)) = self.role {
            self.called = Some(leader);
            if calls >= CALLS_MAX {
                self.role = RoleState::Follower(None);
                self.lose_forwarded();
            }
        }
        if self.config.quiet_ticks.is_some()
            && let Some(leader) = self.called
        {
            self.send(leader, MessageBody::Awake);
        }
    }

    /// A node is back: a sleeping leader wakes if the replica there lacks anything.
    pub fn peer_returned(&mut self, peer: NodeId) {
        let last = self.log.last_index();
        let lacks = |raft: &Raft| match &raft.role {
            RoleState::Leader(leader) => leader.peer(peer).is_some_and(|peer| peer.matched < last),
            _ => false,
        };
        if self.quiet && lacks(self) {
            self.wake();
        }
    }

    /// A leader's tick: if nothing has happened for long enough, the group goes to sleep. Not while
    /// anything is still to be sent: a heartbeat that comes last would wake its receiver.
    pub(super) fn falls_asleep(&mut self) -> bool {
        let (Some(quiet_ticks), RoleState::Leader(leader)) =
            (self.config.quiet_ticks, &mut self.role)
        else {
            return false;
        };
        leader.idle_ticks = leader.idle_ticks.saturating_add(1);
        if leader.idle_ticks < quiet_ticks || !self.is_settled() || self.has_ready() {
            return false;
        }
        self.quiet = true;
        let (index, log_term) = (self.log.last_index(), self.log.last_term());
        let mut peers: Vec<NodeId> = Vec::new();
        if let Some(leader) = self.leader_mut() {
            leader.lease.forget();
            peers.extend(leader.peers.iter().map(|peer| peer.id));
        }
        for id in peers {
            self.send(id, MessageBody::Quiet { index, log_term });
        }
        true
    }

    /// Whether this leader has nothing left to do, for itself or for anybody who is alive.
    fn is_settled(&self) -> bool {
        let RoleState::Leader(leader) = &self.role else {
            return false;
        };
        let last = self.log.last_index();
        self.log.commit() == last
            && self.log.durable() == last
            && self.apply.applied_index() == last
            && leader.first_index <= last
            && leader.transfer.is_none()
            && leader.reads.is_empty()
            && !self.membership.auto_leave
            && leader.peers.iter().all(|peer| {
                !peer.is_alive(&self.config)
                    || (peer.matched == last && peer.state == ProgressState::Replicate)
            })
    }

    /// The leader says that the group sleeps.
    pub(super) fn handle_quiet(
        &mut self,
        from: NodeId,
        index: Index,
        log_term: Term,
    ) -> Result<(), StepError> {
        self.follow(from)?;
        let same = self.log.last_index() == index && self.log.term(index) == Some(log_term);
        let whole = !self.has_lost_state() && self.has_no_questions();
        if same && self.log.durable() == index && whole {
            self.log.commit_to(index);
            self.quiet = true;
        } else {
            self.send(from, MessageBody::Awake);
        }
        Ok(())
    }

    /// Whether `body` is but an echo of what was said before the group fell asleep.
    pub(super) fn is_echo(&self, from: NodeId, body: &MessageBody) -> bool {
        match (&self.role, body) {
            (RoleState::Leader(leader), MessageBody::AppendResponse { index, reject: None }) => {
                leader.peer(from).is_some_and(|peer| *index <= peer.matched)
            }
            (
                RoleState::Leader(_),
                MessageBody::HeartbeatResponse { .. } | MessageBody::RelayReport { .. },
            ) => true,
            (RoleState::Follower(Some(leader)), MessageBody::Quiet { .. }) => *leader == from,
            _ => false,
        }
    }
}
