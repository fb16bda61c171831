//! In a term at most one replica leads, and a replica gives its vote to at most one candidate; also if it
//! was started anew in between (paper §5.2).

use super::{Held, Replica, Violation};
use eraft::ids::{GroupId, NodeId, Term};
use eraft::raft::{Message, MessageBody};
use std::collections::BTreeMap;

/// Votes and leads so far.
#[derive(Debug, Default)]
pub(super) struct ElectionSafety {
    leaders: BTreeMap<(GroupId, Term), NodeId>,
    votes: BTreeMap<(Replica, Term), NodeId>,
}

impl ElectionSafety {
    /// A message may be a vote, or a leader's, which has voted for itself. A candidate has only asked: its
    /// own vote counts when it is on disk.
    pub(super) fn voted(&mut self, group: GroupId, message: &Message) -> Held {
        let vote = match message.body {
            MessageBody::VoteResponse { granted: true } => message.to,
            MessageBody::Append { .. } | MessageBody::Heartbeat { .. } => message.from,
            _ => return Ok(()),
        };
        let key = ((message.from, group), message.term);
        let known = *self.votes.entry(key).or_insert(vote);
        if known == vote {
            return Ok(());
        }
        let (voter, term) = (message.from, message.term);
        let story = format!("{voter} votes in {group} in {term} for {known} and for {vote}");
        Err(Violation::new("election safety", story))
    }

    /// This node leads.
    pub(super) fn leads(&mut self, group: GroupId, term: Term, node: NodeId) -> Held {
        let known = *self.leaders.entry((group, term)).or_insert(node);
        if known == node {
            return Ok(());
        }
        let story = format!("{known} and {node} lead {group} in {term}");
        Err(Violation::new("election safety", story))
    }
}
