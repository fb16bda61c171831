//! A message comes in: who may say what, and what a newer or an older term means.
//!
//! Nothing that a peer sends may panic. What cannot be is an error, for the caller to count; what is
//! merely late is ignored.

use super::message::{Message, MessageBody};
use super::relay::Via;
use super::replica::Raft;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, Term};

/// Why a message was refused. Ordinary lateness, loss and duplication are no errors; each of these
/// says that somebody is wrong about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// It is for somebody else.
    #[error("the message is for {0}")]
    WrongReceiver(NodeId),
    /// It is for a secretary, and this is a replica.
    #[error("the message is for a secretary")]
    NotSecretary,
    /// It is for a replica, and this is a secretary.
    #[error("the message is for a replica")]
    NotReplica,
    /// It claims to come from this replica.
    #[error("the message claims to come from this replica")]
    WrongSender,
    /// Its sender does not belong to the group, as this leader knows it.
    #[error("{0} is no member")]
    NotMember(NodeId),
    /// No correct replica sends this.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// It claims the lead of a term that has another leader.
    #[error("{0} claims the lead of a term that has another leader")]
    RivalLeader(NodeId),
    /// It would rewrite a committed entry.
    #[error("{from} would rewrite the committed entry {index}")]
    ConflictsWithCommitted {
        /// The leader that sent it.
        from: NodeId,
        /// The committed index.
        index: Index,
    },
    /// The leader believes that this log reaches further than it does: this replica has lost what
    /// it had acknowledged.
    #[error("the leader believes this log to reach {0}")]
    LogForgotten(Index),
}

impl Raft {
    /// A message from a peer has come.
    ///
    /// # Errors
    /// When the message cannot be right. It has then changed nothing, except that a newer term was
    /// entered, or a leader was heard, if it said so.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        if message.to != self.config.id {
            return Err(StepError::WrongReceiver(message.to));
        }
        if message.from == self.config.id {
            return Err(StepError::WrongSender);
        }
        message.check().map_err(StepError::Malformed)?;
        if message.is_for_secretary() {
            return Err(StepError::NotSecretary);
        }
        let Message { from: sender, term, body, .. } = message;
        // What a secretary passes on is said by its leader.
        let (from, via) = match &body {
            MessageBody::Relayed { leader, .. } if *leader == self.config.id => {
                return Err(StepError::WrongSender);
            }
            MessageBody::Relayed { leader, session, .. } => {
                (*leader, Some(Via { secretary: sender, session: *session }))
            }
            MessageBody::RelayReport { .. } if term > self.term => {
                return Err(StepError::Malformed("reports to a leader that never was"));
            }
            _ => (sender, None),
        };
        if self.config.forgotten {
            self.overhear(from, term, &body);
            return Ok(());
        }
        if self.quiet && !(term == self.term && self.is_echo(from, &body)) {
            self.wake();
        }
        let asks =
            matches!(body, MessageBody::PreVote { .. } | MessageBody::Vote { transfer: false, .. });
        if asks && (self.is_bound() || self.config.observer) {
            return Ok(());
        }
        let is_older = term < self.term;
        #[cfg(feature = "controls")]
        let is_older = is_older
            && !(active(Control::FollowOldTerm) && matches!(body, MessageBody::Append { .. }));
        if is_older {
            self.step_older(from, &body);
            return Ok(());
        }
        if term > self.term && !self.step_newer(from, term, &body) {
            return Ok(());
        }
        match body {
            MessageBody::Append { prev_index, prev_term, commit, entries }
            | MessageBody::Relayed { prev_index, prev_term, commit, entries, .. } => {
                self.handle_append(from, via, (prev_index, prev_term), commit, entries)
            }
            MessageBody::AppendResponse { index, reject } => {
                self.handle_append_response(from, index, reject)
            }
            MessageBody::Heartbeat { commit, round } => self.handle_heartbeat(from, commit, round),
            MessageBody::HeartbeatResponse { round, bound } => {
                self.handle_heartbeat_response(from, round, bound)
            }
            MessageBody::PreVote { last_index, last_term } => {
                self.handle_pre_vote(from, term, (last_index, last_term));
                Ok(())
            }
            MessageBody::PreVoteResponse { granted } => {
                self.handle_pre_vote_response(from, term, granted);
                Ok(())
            }
            MessageBody::Vote { last_index, last_term, transfer } => {
                self.handle_vote(from, (last_index, last_term), transfer);
                Ok(())
            }
            MessageBody::VoteResponse { granted } => {
                self.handle_vote_response(from, granted);
                Ok(())
            }
            MessageBody::TimeoutNow => self.handle_timeout_now(from),
            MessageBody::ReadIndex { id } => self.handle_read_index(from, id),
            MessageBody::ReadIndexResponse { id, index } => {
                self.handle_read_index_response(from, id, index)
            }
            MessageBody::SnapshotRequest { index_min } => {
                self.handle_snapshot_request(from, index_min)
            }
            MessageBody::Quiet { index, log_term } => self.handle_quiet(from, index, log_term),
            MessageBody::Committed { index, log_term } => {
                self.handle_committed(index, log_term);
                Ok(())
            }
            MessageBody::RelayReport { number, answers } => {
                self.handle_relay_report(from, number, &answers)
            }
            // Whoever slept is awake by now.
            MessageBody::Awake => Ok(()),
            MessageBody::Relay { .. } | MessageBody::RelayedResponse { .. } => {
                Err(StepError::NotSecretary)
            }
        }
    }

    /// A replica whose disk has forgotten listens who leads, and that is all.
    fn overhear(&mut self, from: NodeId, term: Term, body: &MessageBody) {
        let leads = matches!(
            body,
            MessageBody::Append { .. }
                | MessageBody::Relayed { .. }
                | MessageBody::Heartbeat { .. }
                | MessageBody::Quiet { .. }
        );
        if leads && (term > self.term || (term == self.term && self.leader().is_none())) {
            self.become_follower(term, Some(from));
        }
    }

    /// A message of a newer term. Answers whether it is to be handled at all.
    fn step_newer(&mut self, from: NodeId, term: Term, body: &MessageBody) -> bool {
        match body {
            // A replica that hears its leader does not help to depose it.
            MessageBody::Vote { transfer: false, .. } | MessageBody::PreVote { .. }
                if self.hears_leader() =>
            {
                return false;
            }
            // Nobody has entered that term yet.
            MessageBody::PreVote { .. } | MessageBody::PreVoteResponse { granted: true } => {}
            MessageBody::Append { .. }
            | MessageBody::Relayed { .. }
            | MessageBody::Heartbeat { .. }
            | MessageBody::Quiet { .. } => {
                self.become_follower(term, Some(from));
            }
            _ => self.become_follower(term, None),
        }
        true
    }

    /// A message of an older term.
    fn step_older(&mut self, from: NodeId, body: &MessageBody) {
        match body {
            // This replica may be in a newer term that nobody else has heard of, and cannot depose the
            // leader by a vote request: the others defend it, or this one has no vote, or does not know
            // yet that the leader has one. So the leader has to learn the term from here.
            MessageBody::Append { .. }
            | MessageBody::Relayed { .. }
            | MessageBody::Heartbeat { .. } => {
                self.send(from, MessageBody::AppendResponse { index: Index(0), reject: None });
            }
            // The asker must learn the term, or it would go on asking in its own for ever. A candidate would
            // run after it in vain, if those who are ahead ask only each other (an old membership).
            MessageBody::PreVote { .. } => {
                self.send(from, MessageBody::PreVoteResponse { granted: false });
            }
            MessageBody::Vote { .. } => {
                self.send(from, MessageBody::VoteResponse { granted: false });
            }
            // That is so for ever. Who refuses a pre-vote need not be in the asker's term, and never enters it.
            MessageBody::Committed { index, log_term } => {
                self.handle_committed(*index, *log_term);
            }
            _ => {}
        }
    }

    /// Whether this replica has heard its leader within an election time-out, and stands by it.
    fn hears_leader(&self) -> bool {
        self.config.check_quorum
            && self.leader().is_some()
            && self.election_elapsed < self.config.election_ticks
    }
}
