//! Elections: asking for votes, giving them, and counting them.
//!
//! A vote is given at most once per term, and leaves this replica only when it is on disk; so does a
//! candidate's request, whose own vote must not be forgotten either. A pre-vote promises nothing.

use super::message::MessageBody;
use super::quorum::VoteResult;
use super::replica::Raft;
use super::role::{RoleState, Votes};
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, Term};

impl Raft {
    /// Starts an election now, without waiting for the time-out. Nothing happens if this replica
    /// leads already, has no vote, or has a state that is older than its log's start.
    pub fn campaign(&mut self) {
        if matches!(self.role, RoleState::Leader(_)) || !self.is_promotable() {
            return;
        }
        if self.config.pre_vote {
            self.become_pre_candidate();
        } else {
            self.become_candidate(false);
        }
    }

    fn become_pre_candidate(&mut self) {
        self.lose_forwarded();
        self.restart_election_clock();
        let mut votes = Votes::default();
        votes.record(self.config.id, true);
        self.role = RoleState::PreCandidate(votes);
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        for voter in self.other_voters() {
            let term = Term(self.term.0 + 1);
            self.send_in(term, voter, MessageBody::PreVote { last_index, last_term });
        }
        self.count_votes();
    }

    /// Enters a new term and stands for election in it.
    pub(super) fn become_candidate(&mut self, transfer: bool) {
        self.lose_forwarded();
        self.enter(Term(self.term.0 + 1));
        self.vote = Some(self.config.id);
        self.restart_election_clock();
        self.role = RoleState::Candidate(Votes::default());
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        for voter in self.other_voters() {
            let body = MessageBody::Vote { last_index, last_term, transfer };
            #[cfg(feature = "controls")]
            if active(Control::VoteBeforeSync) {
                self.send(voter, body);
                continue;
            }
            self.send_after_persist(voter, body);
        }
    }

    /// A replica asks whether this one would vote for it in `term`.
    pub(super) fn handle_pre_vote(&mut self, from: NodeId, term: Term, last: (Index, Term)) {
        let free = term > self.term || self.could_vote_for(from);
        if free && self.log.is_not_ahead_of(last.0, last.1) {
            self.send_in(term, from, MessageBody::PreVoteResponse { granted: true });
        } else {
            self.send(from, MessageBody::PreVoteResponse { granted: false });
        }
    }

    /// A candidate of this term asks for a vote. Whether it is a voter in the membership known here
    /// is not asked: the candidate may know a newer one.
    pub(super) fn handle_vote(&mut self, from: NodeId, last: (Index, Term)) {
        let is_up_to_date = self.log.is_not_ahead_of(last.0, last.1);
        #[cfg(feature = "controls")]
        let is_up_to_date = is_up_to_date || active(Control::VoteForShorterLog);
        let granted = self.could_vote_for(from) && is_up_to_date;
        if granted {
            self.vote = Some(from);
            #[cfg(feature = "controls")]
            if active(Control::ForgetVote) {
                self.vote = None;
            }
            self.election_elapsed = 0;
        }
        self.send_after_persist(from, MessageBody::VoteResponse { granted });
    }

    /// An answer to a pre-vote: granted ones carry the term asked for, refusals the current one.
    pub(super) fn handle_pre_vote_response(&mut self, from: NodeId, term: Term, granted: bool) {
        let asked = Term(self.term.0 + u64::from(granted));
        if let RoleState::PreCandidate(votes) = &mut self.role
            && term == asked
            && self.membership.is_voter(from)
        {
            votes.record(from, granted);
            self.count_votes();
        }
    }

    /// An answer to a vote request of this term.
    pub(super) fn handle_vote_response(&mut self, from: NodeId, granted: bool) {
        if let RoleState::Candidate(votes) = &mut self.role
            && self.membership.is_voter(from)
        {
            votes.record(from, granted);
            self.count_votes();
        }
    }

    /// A term and vote became durable: a candidate's own vote counts from then on.
    pub(super) fn count_own_vote(&mut self) {
        let id = self.config.id;
        if let RoleState::Candidate(votes) = &mut self.role
            && self.durable_vote == (self.term, Some(id))
        {
            votes.record(id, true);
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        let (result, next) = match &self.role {
            RoleState::PreCandidate(votes) => (votes.result(&self.membership), false),
            RoleState::Candidate(votes) => (votes.result(&self.membership), true),
            RoleState::Follower(_) | RoleState::Leader(_) => return,
        };
        match result {
            VoteResult::Won if next => self.become_leader(),
            VoteResult::Won => self.become_candidate(false),
            VoteResult::Lost => self.become_follower(self.term, None),
            VoteResult::Pending => {}
        }
    }

    /// Whether the vote of this term is free for `candidate`.
    fn could_vote_for(&self, candidate: NodeId) -> bool {
        match self.vote {
            Some(vote) => vote == candidate,
            None => self.leader().is_none(),
        }
    }

    fn other_voters(&self) -> Vec<NodeId> {
        let everyone = self.membership.everyone();
        let own = self.config.id;
        everyone.into_iter().filter(|&id| id != own && self.membership.is_voter(id)).collect()
    }
}
