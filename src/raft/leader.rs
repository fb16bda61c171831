//! Leading: the first entry of a term, proposals, the commit index, and the leader's clock.

use super::change::ChangeError;
use super::config::Config;
use super::entry::{Entry, EntryKind, Membership};
use super::lease::LeaseState;
use super::log::Log;
use super::message::{Message, MessageBody};
use super::progress::{News, Progress};
use super::quorum::{VoteResult, joint_reached, joint_vote};
use super::read::Reads;
use super::replica::Raft;
use super::role::RoleState;
use super::staff::Staff;
use super::transfer::Transfer;
use super::uncommitted::Uncommitted;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, Term};
use bytes::Bytes;

/// What only a leader has.
#[derive(Debug)]
pub(super) struct Leader {
    /// Everybody else in the group, in order.
    pub(super) peers: Vec<Progress>,
    /// The no-op that began the term.
    pub(super) first_index: Index,
    pub(super) uncommitted: Uncommitted,
    pub(super) reads: Reads,
    pub(super) transfer: Option<Transfer>,
    /// The last and the commit index when the peers were last served.
    pub(super) served: (Index, Index),
    /// No change of membership may be proposed before this is applied: the last one, or one of an
    /// earlier term that the log may end with.
    pub(super) change_index: Index,
    pub(super) lease: LeaseState,
    pub(super) staff: Staff,
    /// Election time-outs until the lead may be offered to a preferred voter again.
    pub(super) return_pause: u32,
    /// Ticks in which nothing happened.
    pub(super) idle_ticks: u32,
    heartbeat_elapsed: u32,
    quorum_elapsed: u32,
}

impl Leader {
    pub(super) fn peer(&self, id: NodeId) -> Option<&Progress> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).ok().map(|at| &self.peers[at])
    }

    pub(super) fn peer_mut(&mut self, id: NodeId) -> Option<&mut Progress> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).ok().map(|at| &mut self.peers[at])
    }

    /// Follows exactly the members of `membership` and the observers from now on; what was known about
    /// `newcomers` is void.
    pub(super) fn follow_membership(
        &mut self,
        membership: &Membership,
        observers: &[NodeId],
        newcomers: &[NodeId],
        config: &Config,
        last: Index,
    ) {
        let mut old = std::mem::take(&mut self.peers).into_iter().peekable();
        for (id, learner) in Progress::peers(membership, observers, config.id) {
            while old.next_if(|peer| peer.id < id).is_some() {}
            let known = old.next_if(|peer| peer.id == id);
            self.peers.push(match known.filter(|_| newcomers.binary_search(&id).is_err()) {
                Some(mut peer) => {
                    peer.learner = learner;
                    peer.observer = !membership.contains(id);
                    peer
                }
                None => Progress::newcomer(id, learner, config, last)
                    .admitted(!membership.contains(id), self.staff.sessions),
            });
        }
    }

    /// What has happened since the peers were last served.
    pub(super) fn news(&self, log: &Log, config: &Config) -> News {
        News {
            entries: log.last_index() > self.served.0,
            commit: config.eager_commit && log.commit() > self.served.1,
        }
    }

    /// What each member has reached by `measure`; the leader itself by `own`.
    pub(super) fn reached(
        &self,
        membership: &Membership,
        own: (NodeId, u64),
        measure: impl Fn(&Progress) -> u64 + Copy,
    ) -> u64 {
        let of = |id| if id == own.0 { own.1 } else { self.peer(id).map_or(0, measure) };
        #[cfg(feature = "controls")]
        if active(Control::CountObserver) {
            let observers = self.peers.iter().filter(|peer| peer.observer).map(|peer| peer.id);
            let mut voters = membership.voters.clone();
            voters.extend(observers);
            return joint_reached(&Membership { voters, ..membership.clone() }, of);
        }
        joint_reached(membership, of)
    }

    /// Leads on after a sleep: the next tick sends heartbeats, and the quorum has a whole election
    /// time-out to answer.
    pub(super) fn wake(&mut self, heartbeat_ticks: u32) {
        self.heartbeat_elapsed = heartbeat_ticks;
        self.quorum_elapsed = 0;
        self.forget_staff();
    }

    /// Whether a quorum was heard from lately.
    fn hears_quorum(&self, membership: &Membership, own: NodeId) -> bool {
        let heard = |id| Some(id == own || self.peer(id).is_some_and(|peer| peer.active));
        joint_vote(membership, heard) == VoteResult::Won
    }
}

/// Why a proposal was refused. Each of these means "not done", now and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// The lead is being handed to another replica.
    #[error("the lead is being transferred to {to}")]
    TransferInProgress {
        /// The replica that will probably lead soon.
        to: NodeId,
    },
    /// Too many bytes wait to be committed.
    #[error("{bytes} bytes wait to be committed")]
    TooMuchUncommitted {
        /// How many.
        bytes: usize,
    },
    /// This leader has been removed from the group.
    #[error("this replica is no member any more")]
    NotMember,
    /// The change of membership before this one is not applied yet, or this leader has not committed
    /// anything of its term.
    #[error("a change of membership up to {through} is not applied yet")]
    ChangeInFlight {
        /// It may be tried again when this is applied.
        through: Index,
    },
    /// The change of membership cannot be made in the one in force.
    #[error("the change cannot be made: {0}")]
    Change(#[from] ChangeError),
    /// A replica that is to become a voter has not caught up.
    #[error("{id} lags {lag} entries behind")]
    Lags {
        /// The replica.
        id: NodeId,
        /// By how many entries.
        lag: u64,
    },
}

impl Raft {
    /// Puts `data` at the end of the log and answers where. It is committed when an entry of that index
    /// *and that term* is handed out; if another term stands at that index then, or a snapshot
    /// covers it, its outcome has to be found out otherwise.
    ///
    /// # Errors
    /// When it is certain not to be done.
    pub fn propose(&mut self, data: Bytes) -> Result<(Index, Term), ProposeError> {
        self.append(EntryKind::Normal, data)
    }

    /// Puts an entry at the end of the log, if this leader takes any.
    pub(super) fn append(
        &mut self,
        kind: EntryKind,
        data: Bytes,
    ) -> Result<(Index, Term), ProposeError> {
        self.wake();
        let (index, term) = (self.log.last_index().next(), self.term);
        let bytes_max = self.config.uncommitted_bytes_max;
        let leader = self.proposer()?;
        let entry = Entry { index, term, kind, data };
        if !leader.uncommitted.admit(index, entry.cost(), bytes_max) {
            return Err(ProposeError::TooMuchUncommitted { bytes: leader.uncommitted.bytes() });
        }
        self.log.push(entry);
        Ok((index, term))
    }

    /// The leader, if it takes proposals at the moment.
    pub(super) fn proposer(&mut self) -> Result<&mut Leader, ProposeError> {
        let known = self.leader();
        let is_member = self.membership.contains(self.config.id);
        match &mut self.role {
            RoleState::Leader(_) if !is_member => Err(ProposeError::NotMember),
            RoleState::Leader(leader) => match &leader.transfer {
                Some(transfer) => Err(ProposeError::TransferInProgress { to: transfer.to }),
                None => Ok(leader),
            },
            _ => Err(ProposeError::NotLeader { leader: known }),
        }
    }

    /// The election of this term is won.
    pub(super) fn become_leader(&mut self) {
        let last = self.log.last_index();
        let peers = Progress::peers(&self.membership, &self.observers, self.config.id)
            .map(|(id, learner)| {
                let observer = !self.membership.contains(id);
                Progress::new(id, learner, &self.config, last).admitted(observer, 0)
            })
            .collect();
        self.role = RoleState::Leader(Box::new(Leader {
            peers,
            first_index: last.next(),
            uncommitted: Uncommitted::default(),
            reads: Reads::default(),
            transfer: None,
            served: (last, self.log.commit()),
            change_index: last,
            lease: LeaseState::default(),
            staff: Staff::default(),
            return_pause: 0,
            idle_ticks: 0,
            heartbeat_elapsed: 0,
            quorum_elapsed: 0,
        }));
        self.election_elapsed = 0;
        if let RoleState::Leader(leader) = &mut self.role {
            leader.hire(&self.secretaries);
        }
        self.ask_secretaries();
        // Entries of older terms are committed by committing one of this term (paper §5.4.2).
        self.log.push(Entry {
            index: last.next(),
            term: self.term,
            kind: EntryKind::Normal,
            data: Bytes::new(),
        });
    }

    /// Moves the commit index to what a quorum has on disk, if that is of this term: entries of older
    /// terms are never committed by counting.
    pub(super) fn leader_commit(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let own = (self.config.id, self.log.durable().0);
        #[cfg(feature = "controls")]
        let own = match active(Control::CountOwnUnsynced) {
            true => (self.config.id, self.log.last_index().0),
            false => own,
        };
        let reached = Index(leader.reached(&self.membership, own, |peer| peer.matched.0));
        let is_own_term = self.log.term(reached) == Some(self.term);
        #[cfg(feature = "controls")]
        let is_own_term = is_own_term || active(Control::CommitOldTerm);
        if reached > self.log.commit() && is_own_term && self.log.commit_to(reached) {
            leader.uncommitted.committed(reached);
        }
    }

    /// A leader's tick.
    pub(super) fn tick_leader(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        for peer in &mut leader.peers {
            peer.tick(&self.config);
        }
        leader.tick_staff(&self.config);
        leader.tick_transfer(self.config.election_ticks);
        leader.quorum_elapsed += 1;
        if leader.quorum_elapsed >= self.config.election_ticks {
            leader.quorum_elapsed = 0;
            let heard = leader.hears_quorum(&self.membership, self.config.id);
            for peer in &mut leader.peers {
                peer.active = false;
            }
            if self.config.check_quorum && !heard {
                self.become_follower(self.term, None);
                return;
            }
            self.return_lead();
        }
        self.leave_joint_by_itself();
        if self.falls_asleep() {
            return;
        }
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        leader.heartbeat_elapsed += 1;
        if leader.heartbeat_elapsed >= self.config.heartbeat_ticks {
            leader.heartbeat_elapsed = 0;
            for peer in &mut leader.peers {
                peer.retry = true;
            }
            self.start_another_round();
            self.send_heartbeats(false);
            self.ask_secretaries();
        }
    }

    /// A heartbeat, with the newest round of reads, to every peer; between the ordinary ones only to
    /// those who can `confirm` the round: voters that are not taken for dead.
    pub(super) fn send_heartbeats(&mut self, confirm: bool) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let round = leader.reads.round();
        for peer in &mut leader.peers {
            if !confirm || (!peer.learner && peer.is_alive(&self.config)) {
                // What the peer is not known to have, it cannot be told to be committed.
                let commit = peer.matched.min(self.log.commit());
                peer.told(commit);
                self.outbox.messages.push(Message {
                    from: self.config.id,
                    to: peer.id,
                    term: self.term,
                    body: MessageBody::Heartbeat { commit, round },
                });
            }
        }
    }
}
