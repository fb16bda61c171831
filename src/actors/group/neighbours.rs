//! What a replica makes of the health of the nodes: when it wakes, whom it asks for votes and how soon.
//! Plain functions over the core and a value.
//!
//! What must always hold: a follower sleeps only under a leader whose node is well, and a leader only
//! while the nodes of a majority are, so that whatever happens to them is noticed by somebody.

use crate::actors::liveness::{Health, PeerState};
use crate::ids::{GroupId, NodeId, Term};
use crate::limits;
use crate::raft::Raft;
use crate::raft::quorum::{VoteResult, joint_vote};
use std::sync::Arc;

/// Ticks between the candidacies of two followers of one lost leader, besides what all of them are spread
/// over: enough for an election, so that they do not split the votes.
const TURN_TICKS: u32 = 6;

/// See the module's first lines.
#[derive(Debug)]
pub(super) struct Neighbours {
    group: GroupId,
    own: NodeId,
    health: Arc<Health>,
}

impl Neighbours {
    /// Nothing is known of anybody yet, so nobody sleeps.
    #[must_use]
    pub(super) fn new(group: GroupId, own: NodeId) -> Self {
        Self { group, own, health: Arc::default() }
    }

    /// The nodes' health has changed; elections of this and other groups may be spread over so many ticks.
    pub(super) fn learn(&mut self, raft: &mut Raft, health: Arc<Health>, spread_ticks: u32) {
        let old = std::mem::replace(&mut self.health, health);
        let restarted = |health: &Health, node| {
            let (was, is) = (old.boot(node), health.boot(node));
            was.is_some() && was != is
        };
        if raft.is_leader() {
            let peers: Vec<NodeId> = self.health.peers.keys().copied().collect();
            for peer in peers {
                if restarted(&self.health, peer) && raft.membership().contains(peer) {
                    // It does not know who leads, and would ask everybody.
                    raft.wake();
                } else if self.health.is_well(peer) && !old.is_well(peer) {
                    raft.peer_returned(peer);
                }
            }
        } else if let Some(leader) = raft.leader() {
            let is_gone = restarted(&self.health, leader);
            // While the leader is heard, its node's silence means nothing.
            let is_silent = raft.is_quiet() || raft.silent_ticks() >= limits::ELECTION_TICKS / 2;
            if is_gone || (self.is_lost(leader) && is_silent) {
                raft.leader_lost(self.turn(raft, leader, spread_ticks));
            }
        }
    }

    /// Whether this is what was learned last.
    #[must_use]
    pub(super) fn knows(&self, health: &Arc<Health>) -> bool {
        Arc::ptr_eq(&self.health, health)
    }

    /// A node says that it led this group until a term, and leads it no more.
    pub(super) fn lead_ended(&self, raft: &mut Raft, leader: NodeId, term: Term) {
        if raft.is_quiet() && raft.leader() == Some(leader) && raft.term() <= term {
            raft.leader_lost(self.turn(raft, leader, 1));
        }
    }

    /// To be called after whatever may have sent the replica to sleep.
    pub(super) fn keep_watch(&self, raft: &mut Raft) {
        if !raft.is_quiet() {
            return;
        }
        let safe = match raft.leader() {
            Some(leader) if leader == self.own => {
                let well = |node| Some(node == self.own || self.health.is_well(node));
                joint_vote(raft.membership(), well) == VoteResult::Won
            }
            Some(leader) => self.health.is_well(leader),
            None => false,
        };
        if !safe {
            raft.wake();
        }
    }

    fn is_lost(&self, node: NodeId) -> bool {
        self.health.peers.get(&node).is_some_and(|peer| peer.state == PeerState::Lost)
    }

    /// When this follower of a lost leader stands for election, ticks from now: one after the other, in
    /// an order that differs from group to group; whose disk is slow comes last.
    fn turn(&self, raft: &Raft, leader: NodeId, spread_ticks: u32) -> u32 {
        let voters = raft.membership().everyone();
        let there: Vec<NodeId> = voters
            .into_iter()
            .filter(|&node| raft.membership().is_voter(node) && node != leader)
            .filter(|&node| node == self.own || self.health.is_well(node))
            .collect();
        let count = there.len().max(1);
        let at = there.iter().position(|&node| node == self.own).unwrap_or(count);
        let first = self.group.0 as usize % count;
        let behind = if self.health.slow { count } else { 0 };
        let rank = u32::try_from((at + count - first) % count + behind).unwrap_or(u32::MAX);
        let spread = spread_ticks.max(1);
        let pause = rank.saturating_mul(spread.saturating_add(TURN_TICKS));
        // Of the same turn not all at once.
        pause.saturating_add(1 + (self.group.0 / 2) % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::liveness::PeerHealth;
    use crate::ids::{BootId, Index};
    use crate::raft::{Config, Message, MessageBody, Restored};

    const LEADER: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(3);

    fn health(states: [(NodeId, u64, PeerState); 2]) -> Arc<Health> {
        let peers = states.map(|(node, boot, state)| {
            (node, PeerHealth { boot: Some(BootId(boot)), state, ..PeerHealth::default() })
        });
        Arc::new(Health { peers: peers.into(), ..Health::default() })
    }

    fn all_well() -> Arc<Health> {
        health([(LEADER, 1, PeerState::Well), (OTHER, 1, PeerState::Well)])
    }

    /// A follower of n1, and what it thinks of the others.
    fn follower(group: u32) -> (Neighbours, Raft) {
        let own = NodeId(2);
        let config = Config { quiet_ticks: Some(9), ..Config::new(own, 5) };
        let restored = Restored::newborn([LEADER, own, OTHER]);
        let mut raft = Raft::new(config, restored).expect("it is fine");
        say(&mut raft, MessageBody::Heartbeat { commit: Index(0), round: 0 });
        let mut neighbours = Neighbours::new(GroupId(group), own);
        neighbours.learn(&mut raft, all_well(), 1);
        (neighbours, raft)
    }

    fn say(raft: &mut Raft, body: MessageBody) {
        let message = Message { from: LEADER, to: raft.id(), term: Term(1), body };
        raft.step(message).expect("the leader may say that");
    }

    fn good_night(neighbours: &Neighbours, raft: &mut Raft) {
        while raft.has_ready() {
            let ready = raft.ready();
            raft.persisted(ready.number);
        }
        say(raft, MessageBody::Quiet { index: Index(0), log_term: Term(0) });
        neighbours.keep_watch(raft);
    }

    /// Ticks until it asks for votes.
    fn candidacy(raft: &mut Raft) -> u32 {
        (1..200)
            .find(|_| {
                raft.tick();
                let ready = raft.ready();
                raft.persisted(ready.number);
                ready.messages.iter().any(|m| matches!(m.body, MessageBody::PreVote { .. }))
            })
            .expect("it stands for election")
    }

    #[test]
    fn a_follower_sleeps_only_under_a_leader_that_is_well() {
        let (mut neighbours, mut raft) = follower(0);
        good_night(&neighbours, &mut raft);
        assert!(raft.is_quiet());
        let lost = health([(LEADER, 1, PeerState::Lost), (OTHER, 1, PeerState::Well)]);
        neighbours.learn(&mut raft, lost, 1);
        assert!(!raft.is_quiet());
        good_night(&neighbours, &mut raft);
        assert!(!raft.is_quiet(), "nobody would notice");
    }

    #[test]
    fn followers_of_a_lost_leader_take_turns() {
        let wait = |group, spread| {
            let (mut neighbours, mut raft) = follower(group);
            good_night(&neighbours, &mut raft);
            let lost = health([(LEADER, 1, PeerState::Lost), (OTHER, 1, PeerState::Well)]);
            neighbours.learn(&mut raft, lost, spread);
            candidacy(&mut raft)
        };
        assert_eq!(wait(0, 2), 1);
        assert_eq!(wait(1, 2), 1 + 2 + TURN_TICKS, "the other one comes first");
        assert_eq!(wait(6, 5), 1 + 3, "many groups are spread");
    }

    #[test]
    fn another_process_of_the_leader_is_a_lost_leader() {
        let (mut neighbours, mut raft) = follower(0);
        let again = health([(LEADER, 2, PeerState::Well), (OTHER, 1, PeerState::Well)]);
        neighbours.learn(&mut raft, again, 1);
        assert_eq!(candidacy(&mut raft), 1);
    }

    #[test]
    fn a_leader_that_is_heard_is_not_lost_whatever_its_node_does() {
        let (mut neighbours, mut raft) = follower(0);
        let lost = health([(LEADER, 1, PeerState::Lost), (OTHER, 1, PeerState::Well)]);
        neighbours.learn(&mut raft, lost, 1);
        assert_eq!(raft.leader(), Some(LEADER));
        assert!(candidacy(&mut raft) >= limits::ELECTION_TICKS);
    }

    #[test]
    fn an_ended_lead_wakes_those_who_slept_under_it() {
        let (neighbours, mut raft) = follower(0);
        good_night(&neighbours, &mut raft);
        neighbours.lead_ended(&mut raft, OTHER, Term(1));
        neighbours.lead_ended(&mut raft, LEADER, Term(0));
        assert!(raft.is_quiet(), "that was another, or an older lead");
        neighbours.lead_ended(&mut raft, LEADER, Term(1));
        assert_eq!(candidacy(&mut raft), 1);
    }
}
