//! What a replica has promised to others it knows after every start: the term it has entered, the vote it
//! gave, the lead it took, the entries it acknowledged.

use super::shadow::Shadow;
use super::{Held, Replica, Violation};
use crate::sim::cluster::Remembered;
use eraft::ids::{Index, NodeId, Term};
use eraft::raft::{Message, MessageBody};
use std::collections::BTreeMap;

/// What each replica has promised.
#[derive(Debug, Default)]
pub(super) struct DurablePromises(BTreeMap<Replica, Promise>);

#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    vote: Option<(Term, NodeId)>,
    acknowledged: Option<(Index, Term)>,
}

impl DurablePromises {
    /// A replica says this, while its log is like this.
    pub(super) fn promised(&mut self, replica: Replica, message: &Message, log: &Shadow) {
        let promise = self.0.entry(replica).or_default();
        match message.body {
            MessageBody::VoteResponse { granted: true } => {
                promise.vote = Some((message.term, message.to));
            }
            // To ask for votes promises nothing, to lead does.
            MessageBody::Append { .. }
            | MessageBody::Relay { .. }
            | MessageBody::Heartbeat { .. } => {
                promise.vote = Some((message.term, message.from));
            }
            MessageBody::AppendResponse { index, reject: None }
            | MessageBody::RelayedResponse { index, reject: None, .. } => {
                let known = promise.acknowledged.map_or(Index(0), |known| known.0);
                // Said late, of an entry that another leader has replaced since, it promises nothing of the new one.
                let meant = log.term(index).filter(|term| *term <= message.term && index > known);
                if let Some(term) = meant {
                    promise.acknowledged = Some((index, term));
                }
            }
            _ => {}
        }
    }

    /// Its log has changed: what another leader has cut off is promised no more.
    pub(super) fn cut(&mut self, replica: Replica, log: &Shadow) {
        let Some(promise) = self.0.get_mut(&replica) else { return };
        if promise.acknowledged.is_some_and(|at| !log.has(at)) {
            promise.acknowledged = None;
        }
    }

    /// Another one has its name now.
    pub(super) fn forget(&mut self, replica: Replica) {
        self.0.remove(&replica);
    }

    /// It starts, and knows this.
    pub(super) fn check(
        &mut self,
        replica: Replica,
        remembered: &Remembered,
        log: &Shadow,
    ) -> Held {
        let Some(promise) = self.0.get(&replica) else { return Ok(()) };
        let (node, group) = replica;
        let hard = remembered.hard_state;
        let broken = |what: String| {
            let story = format!("{node} starts and does not remember in {group} {what}");
            Err(Violation::new("durable promises", story))
        };
        if let Some((term, vote)) = promise.vote
            && (hard.term < term || (hard.term == term && hard.vote != Some(vote)))
        {
            return broken(format!("its vote in {term} for {vote}"));
        }
        match promise.acknowledged {
            // What a snapshot was installed over, another leader had committed otherwise.
            Some(at) if at.0 > log.base() && !log.has(at) => {
                broken(format!("that it acknowledged {} of {}", at.0, at.1))
            }
            _ => Ok(()),
        }
    }
}
