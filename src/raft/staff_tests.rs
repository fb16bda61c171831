//! Tests of `staff.rs`.

use super::super::entry::Membership;
use super::super::replica::Raft;
use super::super::restore::Restored;
use super::super::role::RoleState;
use super::*;
use crate::ids::Index;

/// A leader of `voters`, all of whom are streamed to, with secretaries 101, 102, … that all answer.
fn leader(voters: u32, secretaries: u32) -> (Raft, Config) {
    let membership = Membership::of_voters([NodeId(1)]);
    let restored = Restored { membership, ..Restored::newborn([NodeId(1)]) };
    let config = Config::new(NodeId(1), 1);
    let mut raft = Raft::new(config.clone(), restored).expect("a newborn");
    raft.campaign();
    let number = raft.ready().number;
    raft.persisted(number);
    let number = raft.ready().number;
    raft.persisted(number);
    raft.set_observers(&(2..=voters).map(NodeId).collect::<Vec<_>>());
    raft.set_secretaries(&(101..101 + secretaries).map(NodeId).collect::<Vec<_>>());
    let staffed = staffed(&mut raft);
    for peer in &mut staffed.peers {
        peer.accepted(Index(1), Index(0));
    }
    for desk in &mut staffed.staff.desks {
        assert!(desk.answered(1));
    }
    (raft, config)
}

fn staffed(raft: &mut Raft) -> &mut Leader {
    match &mut raft.role {
        RoleState::Leader(leader) => leader,
        role => panic!("{}", role.name()),
    }
}

/// How many peers each secretary serves; the last number is of those served directly.
fn served(leader: &Leader) -> Vec<usize> {
    let by = |id: Option<NodeId>| {
        leader.peers.iter().filter(|peer| peer.relay.map(|relay| relay.by) == id).count()
    };
    let desks = leader.staff.desks.iter().map(|desk| by(Some(desk.id)));
    desks.chain([by(None)]).collect()
}

#[test]
fn peers_are_dealt_evenly_and_a_secretary_has_two_at_least() {
    for (voters, secretaries, expected) in [
        (2, 1, vec![0, 1]),
        (3, 1, vec![2, 0]),
        (3, 2, vec![2, 0, 0]),
        (5, 2, vec![2, 2, 0]),
        (5, 3, vec![2, 2, 0, 0]),
        (6, 2, vec![3, 2, 0]),
        (8, 3, vec![3, 2, 2, 0]),
    ] {
        let (mut raft, config) = leader(voters, secretaries);
        let leader = staffed(&mut raft);
        leader.deal(&config);
        assert_eq!(served(leader), expected, "{voters} voters, {secretaries} secretaries");
        let dealt: Vec<_> = leader.peers.iter().map(|peer| peer.relay).collect();
        leader.deal(&config);
        assert!(dealt.iter().eq(leader.peers.iter().map(|peer| &peer.relay)), "nobody moves");
    }
}

#[test]
fn who_comes_later_gets_its_share() {
    let (mut raft, config) = leader(7, 2);
    let leader = staffed(&mut raft);
    leader.lose_secretary(NodeId(102));
    leader.deal(&config);
    assert_eq!(served(leader), [6, 0, 0]);
    let desk = leader.staff.desk_mut(NodeId(102)).expect("employed");
    let number = desk.ask();
    assert!(desk.answered(number));
    leader.deal(&config);
    assert_eq!(served(leader), [3, 3, 0]);
}

#[test]
fn an_answer_to_an_earlier_question_is_none() {
    let mut desk = Desk::new(NodeId(9), 0);
    let first = desk.ask();
    assert!(desk.answered(first) && desk.present);
    desk.present = false;
    let second = desk.ask();
    assert!(desk.answered(first) && !desk.present, "that was before it was lost");
    assert!(desk.answered(second) && desk.present);
    assert!(!desk.answered(second + 1), "that was never sent");
}

#[test]
fn silence_loses_a_secretary_and_its_peers_are_probed() {
    let (mut raft, config) = leader(5, 2);
    let leader = staffed(&mut raft);
    leader.deal(&config);
    leader.staff.desk_mut(NodeId(101)).expect("employed").ask();
    for _ in 0..config.relay_ticks {
        leader.tick_staff(&config);
    }
    assert_eq!(served(leader), [2, 2, 0], "not yet");
    leader.tick_staff(&config);
    assert_eq!(served(leader), [0, 2, 2]);
    let direct = leader.peers.iter().filter(|peer| peer.relay.is_none());
    assert!(direct.clone().all(|peer| peer.state == ProgressState::Probe && peer.due));
    leader.deal(&config);
    assert_eq!(served(leader), [0, 2, 2], "not before they are streamed to again");
}

#[test]
fn a_silent_peer_is_taken_back_alone_and_for_a_while() {
    let (mut raft, config) = leader(5, 1);
    let leader = staffed(&mut raft);
    leader.deal(&config);
    leader.peers[0].inflights.add(Index(2), 1);
    for _ in 0..=config.relay_ticks {
        leader.tick_staff(&config);
    }
    assert_eq!(served(leader), [3, 1]);
    leader.peers[0].accepted(Index(1), Index(0));
    assert_eq!(leader.peers[0].state, ProgressState::Replicate);
    leader.deal(&config);
    assert_eq!(served(leader), [3, 1], "it would only hang again");
    for _ in 0..config.election_ticks {
        leader.tick_staff(&config);
    }
    leader.deal(&config);
    assert_eq!(served(leader), [4, 0]);
}

#[test]
fn a_report_on_an_earlier_employment_does_not_pass_for_an_answer() {
    let (mut raft, _) = leader(3, 1);
    let secretary = NodeId(101);
    for _ in 0..3 {
        staffed(&mut raft).staff.desk_mut(secretary).expect("employed").ask();
    }
    raft.set_secretaries(&[]);
    raft.set_secretaries(&[secretary]);
    let desk = staffed(&mut raft).staff.desk_mut(secretary).expect("employed");
    assert!(desk.answered(4), "sent to it before");
    assert!(!desk.answered(6), "never sent");
    assert!(!desk.present);
    assert!(desk.answered(5) && desk.present);
}
