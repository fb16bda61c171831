//! What a replica makes of the health of the nodes: when it wakes, whom it asks for votes and how soon,
//! and when it had better not lead. Plain functions over the core and a value.
//!
//! What must always hold: a follower sleeps only under a leader whose node is well, and a leader only
//! while the nodes of a majority are, so that whatever happens to them is noticed by somebody.
//!
//! A leader whose own disk is slow hands its lead to a voter that has everything and whose disk is not
//! (the core does, see [`Raft::set_unfit`]); one whose disk is stuck steps down, as nobody may have
//! everything while clients write. As long as a disk is slow, no lead is brought back to it.

use crate::actors::liveness::{Health, PeerHealth, PeerState};
use crate::ids::{GroupId, NodeId, Term};
use crate::limits;
use crate::raft::Raft;
use crate::raft::quorum::{VoteResult, joint_vote};
use std::sync::Arc;

/// Ticks before the first candidacy: until then the others should have noticed too, whose ticks come at
/// other times, and who would refuse whoever is too early.
const FIRST_TICKS: u32 = 2;
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
        raft.set_unfit(self.unfit());
        let alone = raft.membership().everyone() == [self.own];
        if self.health.stuck && raft.is_leader() && !alone {
            raft.step_down();
        }
        let restarted = |health: &Health, node| {
            let (was, is) = (old.boot(node), health.boot(node));
            was.is_some() && was != is
        };
        if raft.is_leader() {
            let peers: Vec<NodeId> = self.health.peers.keys().copied().collect();
            for peer in peers {
                if restarted(&self.health, peer) && raft.feeds(peer) {
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
            if is_gone || (self.health.is_lost(leader) && is_silent) {
                raft.leader_lost(self.turn(raft, leader, spread_ticks));
            }
        }
    }

    /// Whether the disk here keeps its log waiting.
    #[must_use]
    pub(super) fn own_disk_is_slow(&self) -> bool {
        self.health.slow
    }

    /// The nodes whose disks are slow.
    fn unfit(&self) -> Vec<NodeId> {
        let peers = self.health.peers.iter().filter(|(_, peer)| peer.disk_slow);
        let mut unfit: Vec<NodeId> = peers.map(|(node, _)| *node).collect();
        if self.health.slow {
            unfit.push(self.own);
        }
        unfit
    }

    /// Whether this node had better not lead while another voter could.
    fn should_not_lead(&self, raft: &Raft) -> bool {
        let fit = |(node, peer): (&NodeId, &PeerHealth)| {
            peer.state == PeerState::Well && !peer.disk_slow && raft.membership().is_voter(*node)
        };
        self.health.slow && self.health.peers.iter().any(fit)
    }

    /// Whether this is what was learned last.
    #[must_use]
    pub(super) fn knows(&self, health: &Arc<Health>) -> bool {
        Arc::ptr_eq(&self.health, health)
    }

    /// A node says that it led this group until a term, and leads it no more.
    pub(super) fn lead_ended(&self, raft: &mut Raft, leader: NodeId, term: Term) {
        if !raft.is_leader() && raft.leader() == Some(leader) && raft.term() <= term {
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
                    && !self.should_not_lead(raft)
            }
            Some(leader) => self.health.is_well(leader),
            None => false,
        };
        if !safe {
            raft.wake();
        }
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
        pause.saturating_add(FIRST_TICKS + (self.group.0 / 2) % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(wait(0, 2), FIRST_TICKS);
        assert_eq!(wait(1, 2), FIRST_TICKS + 2 + TURN_TICKS, "the other one comes first");
        assert_eq!(wait(6, 5), FIRST_TICKS + 3, "many groups are spread");
    }

    #[test]
    fn another_process_of_the_leader_is_a_lost_leader() {
        let (mut neighbours, mut raft) = follower(0);
        let again = health([(LEADER, 2, PeerState::Well), (OTHER, 1, PeerState::Well)]);
        neighbours.learn(&mut raft, again, 1);
        assert_eq!(candidacy(&mut raft), FIRST_TICKS);
    }

    #[test]
    fn a_leader_that_is_heard_is_not_lost_whatever_its_node_does() {
        let (mut neighbours, mut raft) = follower(0);
        let lost = health([(LEADER, 1, PeerState::Lost), (OTHER, 1, PeerState::Well)]);
        neighbours.learn(&mut raft, lost, 1);
        assert_eq!(raft.leader(), Some(LEADER));
        assert!(candidacy(&mut raft) >= limits::ELECTION_TICKS);
    }

    /// A leader of a group of three, everybody well, that has nothing left to do.
    fn leader() -> (Neighbours, Raft) {
        let own = NodeId(2);
        let config = Config { quiet_ticks: Some(9), ..Config::new(own, 5) };
        let restored = Restored::newborn([LEADER, own, OTHER]);
        let mut raft = Raft::new(config, restored).expect("it is fine");
        let mut neighbours = Neighbours::new(GroupId(0), own);
        neighbours.learn(&mut raft, all_well(), 1);
        raft.campaign();
        work(&mut raft);
        assert!(raft.is_leader());
        (neighbours, raft)
    }

    /// The disk and the others do all that is asked of them.
    fn work(raft: &mut Raft) -> Vec<Message> {
        let mut sent = Vec::new();
        while raft.has_ready() {
            let mut ready = raft.ready();
            raft.persisted(ready.number);
            if let Some(last) = ready.committed.last() {
                raft.applied(last.index);
            }
            ready.messages.append(&mut ready.after_persist);
            for message in ready.messages {
                let body = match &message.body {
                    MessageBody::PreVote { .. } => MessageBody::PreVoteResponse { granted: true },
                    MessageBody::Vote { .. } => MessageBody::VoteResponse { granted: true },
                    MessageBody::Append { prev_index, entries, .. } => {
                        let index = Index(prev_index.0 + entries.len() as u64);
                        MessageBody::AppendResponse { index, reject: None }
                    }
                    _ => {
                        sent.push(message);
                        continue;
                    }
                };
                let answer = Message { from: message.to, to: raft.id(), term: message.term, body };
                raft.step(answer).expect("others may say that");
            }
        }
        sent
    }

    fn hands_over(sent: &[Message]) -> Vec<NodeId> {
        let offers = sent.iter().filter(|message| message.body == MessageBody::TimeoutNow);
        offers.map(|message| message.to).collect()
    }

    #[test]
    fn a_leader_whose_disk_is_slow_hands_over_to_one_whose_disk_is_not() {
        let (mut neighbours, mut raft) = leader();
        let mut health = Health { slow: true, ..(*all_well()).clone() };
        health.peers.get_mut(&LEADER).expect("known").disk_slow = true;
        neighbours.learn(&mut raft, Arc::new(health.clone()), 1);
        assert_eq!(hands_over(&work(&mut raft)), [OTHER]);
        // Nobody is better: then it goes on.
        let (mut neighbours, mut raft) = leader();
        health.peers.get_mut(&OTHER).expect("known").disk_slow = true;
        neighbours.learn(&mut raft, Arc::new(health), 1);
        assert_eq!(hands_over(&work(&mut raft)), []);
        assert!(raft.is_leader());
    }

    #[test]
    fn a_leader_whose_disk_is_stuck_steps_down() {
        let (mut neighbours, mut raft) = leader();
        let stuck = Health { slow: true, stuck: true, ..(*all_well()).clone() };
        neighbours.learn(&mut raft, Arc::new(stuck), 1);
        assert!(!raft.is_leader());
    }

    #[test]
    fn an_ended_lead_wakes_those_who_slept_under_it() {
        let (neighbours, mut raft) = follower(0);
        good_night(&neighbours, &mut raft);
        neighbours.lead_ended(&mut raft, OTHER, Term(1));
        neighbours.lead_ended(&mut raft, LEADER, Term(0));
        assert!(raft.is_quiet(), "that was another, or an older lead");
        neighbours.lead_ended(&mut raft, LEADER, Term(1));
        assert_eq!(candidacy(&mut raft), FIRST_TICKS);
    }
}
