//! A secretary: it passes a leader's entries on to followers, and their answers back.
//!
//! It is no replica. It has no log, no disk and no vote; it keeps nothing but who was named by the leader
//! it serves and what they have answered since the last report, both bounded by
//! [`RELAY_TARGETS_MAX`]. So it may be stopped, lost or started anew at any moment: what was on its way is
//! sent again by the leader, directly.
//!
//! It serves the leader of the newest term that it has heard of. What it passes on is an append in
//! that leader's name, and an answer passes only if it is of the same term and session, so that it
//! adds nothing to what leader and followers have said themselves.

use super::entry::Entry;
use super::message::{Message, MessageBody, RelayAnswer, RelayTarget};
use super::step::StepError;
use crate::ids::{Index, NodeId, Term};
use crate::limits::RELAY_TARGETS_MAX;

/// See the module.
#[derive(Debug)]
pub struct Secretary {
    id: NodeId,
    served: Option<Served>,
    outbox: Vec<Message>,
}

/// The leader that is served.
#[derive(Debug)]
struct Served {
    leader: NodeId,
    term: Term,
    /// The newest of its messages.
    number: u64,
    /// Whom it has named, under which session.
    targets: Vec<(NodeId, u64)>,
    /// The answers since the last report.
    answers: Vec<RelayAnswer>,
    /// A report is to be sent even without answers.
    asked: bool,
}

impl Secretary {
    /// The secretary on node `id`, of any one group.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self { id, served: None, outbox: Vec::new() }
    }

    /// A message has come. Then ask [`Secretary::take_messages`]; many messages may come in between.
    ///
    /// # Errors
    /// When it cannot be right; it has changed nothing.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        if message.to != self.id {
            return Err(StepError::WrongReceiver(message.to));
        }
        if message.from == self.id {
            return Err(StepError::WrongSender);
        }
        message.check().map_err(StepError::Malformed)?;
        let Message { from, term, body, .. } = message;
        match body {
            MessageBody::Relay { number, prev_index, prev_term, commit, entries, targets } => {
                if !self.serve(from, term, number, &targets)? {
                    return Ok(());
                }
                for target in targets {
                    self.pass_on(from, term, target, (prev_index, prev_term), commit, &entries);
                }
                Ok(())
            }
            MessageBody::RelayedResponse { session, index, reject } => {
                self.answered(term, RelayAnswer { from, session, index, reject });
                Ok(())
            }
            _ => Err(StepError::NotReplica),
        }
    }

    /// What is to be sent, at once.
    pub fn take_messages(&mut self) -> Vec<Message> {
        let mut messages = std::mem::take(&mut self.outbox);
        if let Some(served) = &mut self.served
            && (served.asked || !served.answers.is_empty())
        {
            served.asked = false;
            let answers = std::mem::take(&mut served.answers);
            let body = MessageBody::RelayReport { number: served.number, answers };
            let (to, term) = (served.leader, served.term);
            messages.push(Message { from: self.id, to, term, body });
        }
        messages
    }

    /// Whom it serves, and the term of that lead.
    #[must_use]
    pub fn leader(&self) -> Option<(NodeId, Term)> {
        self.served.as_ref().map(|served| (served.leader, served.term))
    }

    /// Takes down whom the leader has named. Answers whether it is served: not one of the past.
    fn serve(
        &mut self,
        leader: NodeId,
        term: Term,
        number: u64,
        targets: &[RelayTarget],
    ) -> Result<bool, StepError> {
        match &self.served {
            Some(served) if served.term > term => return Ok(false),
            Some(served) if served.term == term && served.leader != leader => {
                return Err(StepError::RivalLeader(leader));
            }
            Some(served) if served.term == term => {}
            _ => {
                let (targets, answers) = (Vec::new(), Vec::new());
                let served = Served { leader, term, number, targets, answers, asked: false };
                self.served = Some(served);
            }
        }
        let served = self.served.as_mut().expect("set just now, or before");
        served.number = served.number.max(number);
        served.asked |= targets.is_empty();
        for target in targets {
            let room = served.targets.len() < RELAY_TARGETS_MAX;
            match served.targets.iter_mut().find(|known| known.0 == target.to) {
                // A late message names an older session.
                Some(known) => known.1 = known.1.max(target.session),
                None if room => served.targets.push((target.to, target.session)),
                // It is passed on, and its answers are not; the leader takes that one back.
                None => {}
            }
        }
        Ok(true)
    }

    /// The entries from `target.next` on, to `target`.
    fn pass_on(
        &mut self,
        leader: NodeId,
        term: Term,
        target: RelayTarget,
        prev: (Index, Term),
        commit: Index,
        entries: &[Entry],
    ) {
        if target.to == self.id || target.to == leader {
            return;
        }
        let known = entries.partition_point(|entry| entry.index < target.next);
        let (prev_index, prev_term) =
            entries[..known].last().map_or(prev, |entry| (entry.index, entry.term));
        let entries = entries[known..].to_vec();
        let session = target.session;
        let body = MessageBody::Relayed { leader, session, prev_index, prev_term, commit, entries };
        self.outbox.push(Message { from: self.id, to: target.to, term, body });
    }

    /// A peer has answered. Of several answers the furthest is kept, and a refusal before all.
    fn answered(&mut self, term: Term, answer: RelayAnswer) {
        let Some(served) = self.served.as_mut().filter(|served| served.term == term) else {
            return;
        };
        if !served.targets.contains(&(answer.from, answer.session)) {
            return;
        }
        match served.answers.iter_mut().find(|known| known.from == answer.from) {
            Some(known) => {
                let weight = |one: &RelayAnswer| (one.session, one.reject.is_some(), one.index);
                if weight(&answer) > weight(known) {
                    *known = answer;
                }
            }
            None => served.answers.push(answer),
        }
    }
}

#[cfg(test)]
#[path = "secretary_tests.rs"]
mod tests;
