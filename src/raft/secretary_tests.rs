//! Tests of `secretary.rs`.

use super::super::entry::EntryKind;
use super::super::message::RejectHint;
use super::*;
use bytes::Bytes;

fn entry(index: u64, term: u64) -> Entry {
    let (index, term, kind) = (Index(index), Term(term), EntryKind::Normal);
    Entry { index, term, kind, data: Bytes::from_static(b"x") }
}

/// From leader 1 in `term`: entries 5 and 6 for node 2, and what node 3 lacks of them.
fn relay(term: u64, number: u64, session: u64) -> Message {
    let target = |to, next| RelayTarget { to: NodeId(to), session, next: Index(next) };
    let body = MessageBody::Relay {
        number,
        prev_index: Index(4),
        prev_term: Term(1),
        commit: Index(4),
        entries: vec![entry(5, 1), entry(6, 2)],
        targets: vec![target(2, 5), target(3, 6), target(4, 7)],
    };
    Message { from: NodeId(1), to: NodeId(9), term: Term(term), body }
}

fn answer(from: u32, term: u64, session: u64, index: u64, refused: bool) -> Message {
    let reject = refused.then_some(RejectHint { index: Index(1), term: Term(1) });
    let body = MessageBody::RelayedResponse { session, index: Index(index), reject };
    Message { from: NodeId(from), to: NodeId(9), term: Term(term), body }
}

fn told(secretary: &mut Secretary) -> Vec<String> {
    secretary.take_messages().iter().map(Message::to_string).collect()
}

#[test]
fn each_target_gets_what_it_lacks() {
    let mut secretary = Secretary::new(NodeId(9));
    secretary.step(relay(2, 1, 1)).expect("a fine message");
    assert_eq!(
        told(&mut secretary),
        [
            "n9->n2 t2 Relayed for n1 s1 after i4/t1 commit i4 entries i5/t1..i6/t2",
            "n9->n3 t2 Relayed for n1 s1 after i5/t1 commit i4 entries i6/t2..i6/t2",
            "n9->n4 t2 Relayed for n1 s1 after i6/t2 commit i4",
        ]
    );
}

#[test]
fn answers_are_gathered_into_one_report() {
    let mut secretary = Secretary::new(NodeId(9));
    secretary.step(relay(2, 7, 1)).expect("a fine message");
    told(&mut secretary);
    for message in [
        answer(2, 2, 1, 5, false),
        answer(2, 2, 1, 6, false),
        answer(2, 2, 1, 5, false),
        answer(3, 2, 1, 6, false),
        answer(3, 2, 1, 5, true),
    ] {
        secretary.step(message).expect("a fine message");
    }
    let report = "n9->n1 t2 Report 7, n2 s1 Appended i6, n3 s1 Rejected i5 hint i1/t1";
    assert_eq!(told(&mut secretary), [report]);
    assert!(told(&mut secretary).is_empty(), "nothing is kept");
}

#[test]
fn answers_to_somebody_else_are_dropped() {
    let mut secretary = Secretary::new(NodeId(9));
    secretary.step(answer(2, 2, 1, 5, false)).expect("of no use, but no fault");
    secretary.step(relay(2, 1, 3)).expect("a fine message");
    told(&mut secretary);
    for message in [
        answer(2, 1, 3, 5, false),
        answer(2, 3, 3, 5, false),
        answer(2, 2, 2, 5, false),
        answer(7, 2, 3, 5, false),
    ] {
        secretary.step(message).expect("of no use, but no fault");
    }
    assert!(told(&mut secretary).is_empty());
}

#[test]
fn the_newest_leader_is_served() {
    let mut secretary = Secretary::new(NodeId(9));
    secretary.step(relay(2, 5, 1)).expect("a fine message");
    told(&mut secretary);
    secretary.step(answer(2, 2, 1, 6, false)).expect("a fine message");
    let mut next = relay(3, 1, 1);
    next.from = NodeId(2);
    secretary.step(next).expect("a newer leader");
    assert_eq!(secretary.leader(), Some((NodeId(2), Term(3))));
    assert!(told(&mut secretary).iter().all(|message| message.contains("Relayed for n2")));
    secretary.step(relay(2, 6, 1)).expect("late");
    assert!(told(&mut secretary).is_empty(), "nothing is passed on for a leader of the past");
    let rival = relay(3, 1, 1);
    assert_eq!(secretary.step(rival), Err(StepError::RivalLeader(NodeId(1))));
}

#[test]
fn it_says_that_it_is_there() {
    let mut secretary = Secretary::new(NodeId(9));
    let mut question = relay(2, 4, 1);
    let MessageBody::Relay { entries, targets, .. } = &mut question.body else {
        unreachable!("just made")
    };
    entries.clear();
    targets.clear();
    secretary.step(question).expect("a fine message");
    assert_eq!(told(&mut secretary), ["n9->n1 t2 Report 4"]);
}

#[test]
fn what_is_for_a_replica_is_refused() {
    let mut secretary = Secretary::new(NodeId(9));
    let mut message = relay(2, 1, 1);
    message.body = MessageBody::TimeoutNow;
    assert_eq!(secretary.step(message), Err(StepError::NotReplica));
    let mut message = relay(2, 1, 1);
    message.to = NodeId(8);
    assert_eq!(secretary.step(message), Err(StepError::WrongReceiver(NodeId(8))));
    let mut message = relay(2, 1, 1);
    message.from = NodeId(9);
    assert_eq!(secretary.step(message), Err(StepError::WrongSender));
    let mut message = relay(2, 1, 1);
    let MessageBody::Relay { targets, .. } = &mut message.body else { unreachable!("just made") };
    targets[0].next = Index(8);
    assert!(matches!(secretary.step(message), Err(StepError::Malformed(_))));
}

#[test]
fn memory_is_bounded() {
    let mut secretary = Secretary::new(NodeId(9));
    for first in (10..4000).step_by(RELAY_TARGETS_MAX) {
        let mut message = relay(2, 1, 1);
        let MessageBody::Relay { targets, .. } = &mut message.body else {
            unreachable!("just made")
        };
        let target = |id| RelayTarget { to: NodeId(id), session: 1, next: Index(5) };
        let last = first + u32::try_from(RELAY_TARGETS_MAX).expect("small");
        *targets = (first..last).map(target).collect();
        secretary.step(message).expect("a fine message");
        told(&mut secretary);
        for id in first..last {
            secretary.step(answer(id, 2, 1, 5, false)).expect("no fault");
        }
    }
    let served = secretary.served.expect("a leader");
    assert_eq!(served.targets.len(), RELAY_TARGETS_MAX);
    assert!(served.answers.len() <= RELAY_TARGETS_MAX);
}
