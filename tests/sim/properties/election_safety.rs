//! In a term at most one replica leads, a replica gives its vote to at most one candidate, also if it was
//! started anew in between (paper §5.2), and who leads was elected by a majority of those who belong to the
//! group.

use super::memberships::is_quorum;
use super::{Held, Replica, Violation};
use eraft::ids::{GroupId, Incarnation, NodeId, Term};
use eraft::raft::{Membership, Message, MessageBody};
use std::collections::BTreeMap;

/// Votes and leads so far.
#[derive(Debug, Default)]
pub(super) struct ElectionSafety {
    leaders: BTreeMap<(GroupId, Term), NodeId>,
    /// By voter, with its disk, and term.
    votes: BTreeMap<(Replica, Incarnation, Term), NodeId>,
}

impl ElectionSafety {
    /// A message may be a vote, or a leader's, which has voted for itself. A candidate has only asked: its
    /// own vote counts when it is on disk.
    pub(super) fn voted(&mut self, group: GroupId, disk: Incarnation, message: &Message) -> Held {
        let vote = match message.body {
            MessageBody::VoteResponse { granted: true } => message.to,
            MessageBody::Append { .. }
            | MessageBody::Relay { .. }
            | MessageBody::Heartbeat { .. } => message.from,
            _ => return Ok(()),
        };
        let key = ((message.from, group), disk, message.term);
        let known = *self.votes.entry(key).or_insert(vote);
        if known == vote {
            return Ok(());
        }
        let (voter, term) = (message.from, message.term);
        let story = format!("{voter} votes in {group} in {term} for {known} and for {vote}");
        Err(Violation::new("election safety", story))
    }

    /// This node leads, and counted its votes by one of these.
    pub(super) fn leads(
        &mut self,
        group: GroupId,
        term: Term,
        node: NodeId,
        memberships: [&Membership; 2],
    ) -> Held {
        let known = *self.leaders.entry((group, term)).or_insert(node);
        if known != node {
            let story = format!("{known} and {node} lead {group} in {term}");
            return Err(Violation::new("election safety", story));
        }
        let voted = |id: NodeId, disk: Option<Incarnation>| {
            let from = ((id, group), disk.unwrap_or_default(), term);
            let to = ((id, group), disk.unwrap_or(Incarnation(u64::MAX)), term);
            let mut votes = self.votes.range(from..=to).filter(|((.., of), _)| *of == term);
            id == node || votes.any(|(_, vote)| *vote == node)
        };
        if memberships.into_iter().any(|membership| is_quorum(membership, voted)) {
            return Ok(());
        }
        let story =
            format!("{node} leads {group} in {term}, but no majority of {memberships:?} said so");
        Err(Violation::new("election safety", story))
    }
}
