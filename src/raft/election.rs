//! Elections: asking for votes, giving them, and counting them.
//!
//! A vote is given at most once per term, and leaves this replica only when it is on disk; a
//! candidate's own vote counts only then. Its requests may leave earlier, unless they speak of entries
//! that are not on disk: after a crash it could stand in the same term again, without those entries, and
//! would be elected by the answers to its first request. A pre-vote promises nothing.

use super::message::MessageBody;
use super::quorum::VoteResult;
use super::replica::Raft;
use super::role::{RoleState, Votes};
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, Term};

impl Raft {
    /// Starts an election now, without waiting for the time-out. Nothing happens if this replica
    /// leads already, has no vote, has a state that is older than its log's start, or has yet to
    /// apply a committed change of the membership.
    pub fn campaign(&mut self) {
        self.wake();
        if matches!(self.role, RoleState::Leader(_)) || self.is_bound() || !self.may_campaign() {
            return;
        }
        if self.config.pre_vote {
            self.become_pre_candidate();
        } else {
            self.become_candidate(false);
        }
    }

    /// Whether this replica may stand for election now.
    pub(super) fn may_campaign(&self) -> bool {
        self.is_promotable() && !self.has_unapplied_change()
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
        let durable = self.log.durable() == last_index;
        for voter in self.other_voters() {
            let body = MessageBody::Vote { last_index, last_term, transfer };
            if durable {
                self.send(voter, body);
            } else {
                self.send_after_persist(voter, body);
            }
        }
    }

    /// A replica asks whether this one would vote for it in `term`.
    pub(super) fn handle_pre_vote(&mut self, from: NodeId, term: Term, last: (Index, Term)) {
        let free = term > self.term || self.could_vote_for(from);
        if free && self.would_rather_lead(from, last) {
            self.refuse_for_priority(from, true);
        } else if free && self.log.is_not_ahead_of(last.0, last.1) {
            self.send_in(term, from, MessageBody::PreVoteResponse { granted: true });
        } else {
            self.send(from, MessageBody::PreVoteResponse { granted: false });
            self.tell_committed(from, last.0);
        }
    }

    /// A candidate of this term asks for a vote. Whether it is a voter in the membership known here
    /// is not asked: the candidate may know a newer one.
    pub(super) fn handle_vote(&mut self, from: NodeId, last: (Index, Term), transfer: bool) {
        let free = self.vote.is_none() && self.leader().is_none();
        if free && !transfer && self.would_rather_lead(from, last) {
            return self.refuse_for_priority(from, false);
        }
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
        if !granted {
            self.tell_committed(from, last.0);
        }
    }

    /// Somebody whose log ends with `last`, or later, may lack only the knowledge that something is committed.
    fn tell_committed(&mut self, to: NodeId, last: Index) {
        let index = self.log.commit().min(last);
        if let Some(log_term) = self.log.term(index).filter(|_| index > Index(0)) {
            self.send(to, MessageBody::Committed { index, log_term });
        }
    }

    /// Somebody knows this to be committed. An entry of that place and term is that very entry.
    pub(super) fn handle_committed(&mut self, index: Index, log_term: Term) {
        let leads = matches!(self.role, RoleState::Leader(_));
        if !leads && self.log.term(index) == Some(log_term) {
            self.log.commit_to(index);
        }
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
            self.tell_refuser(from, granted);
        }
    }

    /// An answer to a vote request of this term.
    pub(super) fn handle_vote_response(&mut self, from: NodeId, granted: bool) {
        if let RoleState::Candidate(votes) = &mut self.role
            && self.membership.is_voter(from)
        {
            votes.record(from, granted);
            self.count_votes();
            self.tell_refuser(from, granted);
        }
    }

    /// Who refuses may have a longer log, and not know that it belongs to those who elect: the entry that says so
    /// may be one that it does not know to be committed.
    fn tell_refuser(&mut self, to: NodeId, granted: bool) {
        if !granted {
            self.tell_committed(to, self.log.commit());
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
            VoteResult::Won if next => {
                // Even if the others suffice: what forgets that it led in this term could lead in it
                // again, with another log.
                let remembers = self.durable_vote == (self.term, Some(self.config.id));
                #[cfg(feature = "controls")]
                let remembers = remembers || active(Control::LeadBeforeOwnVote);
                if remembers {
                    self.become_leader();
                }
            }
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
