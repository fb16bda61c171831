//! A replica's state in one printable value, for people and for metrics.

use super::entry::Membership;
use super::progress::ProgressState;
use super::replica::Raft;
use super::role::{Role, RoleState};
use crate::ids::{Index, NodeId, Term};

/// What a leader knows about one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub id: NodeId,
    /// Whether it has no vote.
    pub learner: bool,
    /// How it is being brought up to date.
    pub state: ProgressState,
    /// The last index on its disk that agrees with the leader's log.
    pub matched: Index,
    /// The index of the entry to be sent next.
    pub next: Index,
    /// Whether sending waits for an answer.
    pub paused: bool,
    /// Appends in flight.
    pub inflight: usize,
    /// Whether the window of appends is full.
    pub window_full: bool,
    /// Whether it was heard from since the quorum was last checked.
    pub active: bool,
    /// Whether its entries are being read from disk.
    pub fetching: bool,
    /// Whether it does not belong to the membership, but observes.
    pub observer: bool,
    /// The secretary that serves it, if any.
    pub relayed_by: Option<NodeId>,
}

/// What a leader knows about one of its secretaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretaryStatus {
    /// The secretary.
    pub id: NodeId,
    /// Whether it answers.
    pub present: bool,
}

/// What a replica knows about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The replica.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// The log starts after this index.
    pub base: Index,
    /// The log's last index.
    pub last: Index,
    /// The term of the last index.
    pub last_term: Term,
    /// The last index on its own disk.
    pub persisted: Index,
    /// The newest index known to be committed.
    pub commit: Index,
    /// The last index handed out to be applied.
    pub applying: Index,
    /// The last index applied.
    pub applied: Index,
    /// Whether its state is older than its log's start, so that it waits for a snapshot.
    pub needs_snapshot: bool,
    /// The newest membership in force.
    pub membership: Membership,
    /// Entries in memory, bytes.
    pub tail_bytes: usize,
    /// A leader's accepted and not yet committed proposals, bytes.
    pub uncommitted_bytes: usize,
    /// Whom the lead is being transferred to.
    pub transfer: Option<NodeId>,
    /// A leader takes no change of membership before this is applied.
    pub change_index: Option<Index>,
    /// Whether it sleeps.
    pub quiet: bool,
    /// Whether its disk has forgotten, so that nothing it says may count.
    pub forgotten: bool,
    /// A leader's peers, in order.
    pub peers: Vec<PeerStatus>,
    /// A leader's secretaries, in order.
    pub secretaries: Vec<SecretaryStatus>,
}

impl Raft {
    /// Everything a person may want to know. For the hot path there are cheaper questions.
    #[must_use]
    pub fn status(&self) -> Status {
        let leader = match &self.role {
            RoleState::Leader(leader) => Some(leader),
            _ => None,
        };
        let peers = leader.iter().flat_map(|leader| &leader.peers).map(|peer| PeerStatus {
            id: peer.id,
            learner: peer.learner,
            state: peer.state,
            matched: peer.matched,
            next: peer.next,
            paused: peer.is_paused(),
            inflight: peer.inflights.count(),
            window_full: peer.inflights.is_full(),
            active: peer.active,
            fetching: peer.fetching.is_some(),
            observer: peer.observer,
            relayed_by: peer.relay.map(|relay| relay.by),
        });
        let desks = leader.iter().flat_map(|leader| &leader.staff.desks);
        let secretaries =
            desks.map(|desk| SecretaryStatus { id: desk.id, present: desk.present }).collect();
        Status {
            id: self.config.id,
            role: self.role.name(),
            term: self.term,
            vote: self.vote,
            leader: self.leader(),
            base: self.log.base_index(),
            last: self.log.last_index(),
            last_term: self.log.last_term(),
            persisted: self.log.durable(),
            commit: self.log.commit(),
            applying: self.apply.handed_index(),
            applied: self.apply.applied_index(),
            needs_snapshot: self.has_lost_state(),
            membership: self.membership.clone(),
            tail_bytes: self.log.tail_bytes(),
            uncommitted_bytes: leader.map_or(0, |leader| leader.uncommitted.bytes()),
            transfer: leader.and_then(|leader| leader.transfer).map(|transfer| transfer.to),
            change_index: leader.map(|leader| leader.change_index),
            quiet: self.quiet,
            forgotten: self.config.forgotten,
            peers: peers.collect(),
            secretaries,
        }
    }

    /// This replica.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role.name()
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether it leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, RoleState::Leader(_))
    }

    /// The newest membership in force.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The newest index known to be committed.
    #[must_use]
    pub fn commit_index(&self) -> Index {
        self.log.commit()
    }

    /// The log's last index.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.log.last_index()
    }

    /// The last index on this replica's own disk.
    #[must_use]
    pub fn persisted_index(&self) -> Index {
        self.log.durable()
    }

    /// The last index applied, as the caller has told.
    #[must_use]
    pub fn applied_index(&self) -> Index {
        self.apply.applied_index()
    }

    /// The term of `index`, if the log still knows it.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term(index)
    }

    /// The first index kept in memory; older ones are fetched when needed.
    #[must_use]
    pub fn tail_first(&self) -> Index {
        self.log.tail_first()
    }
}
