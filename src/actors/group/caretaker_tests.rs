//! What the caretaker does next, as a table, and whole walks from one membership to another.

use super::*;
use crate::ids::{Index, Term};
use crate::raft::Role;

const ME: u32 = 1;

/// A group as its leader sees it, in a line: `1 2 3` are voters, `+4` a learner, `2!` somebody who is silent,
/// `4~` somebody who lags, `2=7` somebody known by the disk 7 (else its number times ten).
fn group(text: &str) -> Status {
    let mut members = Membership::default();
    let mut peers = Vec::new();
    for word in text.split_whitespace() {
        let learner = word.starts_with('+');
        let digits: String =
            word.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
        let node = NodeId(digits.parse().unwrap());
        let disk = word.split_once('=').map_or(u64::from(node.0) * 10, |(_, d)| d.parse().unwrap());
        let list = if learner { &mut members.learners } else { &mut members.voters };
        list.push(node);
        members.disks.push((node, Incarnation(disk)));
        if node != NodeId(ME) {
            let lags = word.contains('~');
            peers.push(PeerStatus {
                id: node,
                learner,
                state: if lags { ProgressState::Probe } else { ProgressState::Replicate },
                matched: Index(if lags { 0 } else { 100 }),
                next: Index(101),
                paused: false,
                inflight: 0,
                window_full: false,
                active: !word.contains('!'),
                fetching: false,
                observer: false,
                relayed_by: None,
            });
        }
    }
    members.disks.sort_unstable();
    Status {
        id: NodeId(ME),
        role: Role::Leader,
        term: Term(1),
        vote: None,
        leader: Some(NodeId(ME)),
        base: Index(0),
        last: Index(100),
        last_term: Term(1),
        persisted: Index(100),
        commit: Index(100),
        applying: Index(100),
        applied: Index(100),
        needs_snapshot: false,
        membership: members,
        tail_bytes: 0,
        uncommitted_bytes: 0,
        transfer: None,
        change_index: Some(Index(0)),
        quiet: false,
        forgotten: false,
        peers,
        secretaries: Vec::new(),
    }
}

fn nodes(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// A caretaker that has looked at `seen` long enough.
fn caretaker(wish: &[u32], arrived: &[(u32, u64)], seen: &Status) -> Caretaker {
    let mut caretaker = Caretaker::default();
    caretaker.wishes(Wish { table: TableStamp::of(1), replicas: nodes(wish) });
    for &(node, disk) in arrived {
        caretaker.arrived(NodeId(node), Incarnation(disk), MonoMillis(0));
    }
    caretaker.step(seen, MonoMillis(0));
    caretaker.handing = None;
    caretaker
}

fn after(wish: &[u32], arrived: &[(u32, u64)], text: &str) -> String {
    let seen = group(text);
    told(&caretaker(wish, arrived, &seen).step(&seen, MonoMillis(1_000)))
}

fn told(care: &Care) -> String {
    match care {
        Care::Rest => "rest".into(),
        Care::Wait => "wait".into(),
        Care::HandOver(to) => format!("hand over to {to}"),
        Care::Change(change) => {
            let words: Vec<String> = change
                .changes
                .iter()
                .map(|one| match (one.kind, one.disk) {
                    (ChangeKind::Voter, _) => format!("voter {}", one.id),
                    (ChangeKind::Learner, Some(disk)) => format!("learner {} {}", one.id, disk.0),
                    (ChangeKind::Learner, None) => format!("learner {}", one.id),
                    (ChangeKind::Remove, _) => format!("remove {}", one.id),
                    (ChangeKind::Update, _) => format!("update {}", one.id),
                })
                .collect();
            words.join(", ")
        }
    }
}

#[test]
fn the_next_step() {
    type Case<'a> = (&'a [u32], &'a [(u32, u64)], &'a str, &'a str);
    let table: &[Case<'_>] = &[
        // All is as wished.
        (&[1, 2, 3], &[], "1 2 3", "rest"),
        (&[1, 2, 3], &[(2, 20)], "1 2 3", "rest"),
        (&[], &[], "1 2 3", "rest"),
        // Somebody new.
        (&[1, 2, 3, 4], &[], "1 2 3", "rest"),
        (&[1, 2, 3, 4], &[(4, 40)], "1 2 3", "learner n4 40"),
        (&[1, 2, 3], &[(4, 40)], "1 2 3", "rest"),
        (&[1, 2, 3, 4], &[(4, 40)], "1 2 3 +4~", "wait"),
        (&[1, 2, 3, 4], &[(4, 40)], "1 2 3 +4", "voter n4"),
        (&[1, 2, 3, 4], &[], "1 2 3! +4", "voter n4"),
        // It would be one of four, of whom two are silent.
        (&[1, 2, 3, 4], &[], "1 2 3! +4!", "wait"),
        // Somebody goes.
        (&[1, 2], &[], "1 2 3", "remove n3"),
        (&[1, 2], &[], "1 2! 3", "wait"),
        (&[1, 2], &[], "1 2 3!", "remove n3"),
        (&[1, 2, 3], &[], "1 2 3 +4", "remove n4"),
        (&[1], &[], "1 2", "remove n2"),
        // One for another: the old one goes when the new one can vote.
        (&[1, 2, 4], &[], "1 2 3", "rest"),
        (&[1, 2, 4], &[(4, 40)], "1 2 3", "learner n4 40"),
        (&[1, 2, 4], &[(4, 40)], "1 2 3 +4~", "wait"),
        (&[1, 2, 4], &[(4, 40)], "1 2 3 +4", "voter n4, remove n3"),
        (&[1, 2, 4], &[(4, 40)], "1 2 3! +4", "voter n4, remove n3"),
        (&[1, 4, 5], &[], "1 2 3 +4 +5", "voter n4, voter n5, remove n2, remove n3"),
        (&[1, 4, 5], &[], "1 2 3 +4 +5~", "voter n4"),
        // Who is silent does not rise, and before all have risen nobody falls.
        (&[1, 4, 5], &[], "1 2 3 +4! +5!", "wait"),
        // Another disk under an old name.
        (&[1, 2, 3], &[(3, 31)], "1 2 3!", "learner n3 31"),
        (&[1, 2, 3], &[(3, 31)], "1 2! 3!", "wait"),
        (&[1, 2, 3], &[(3, 31)], "1 2 +3!", "learner n3 31"),
        (&[1, 2, 3], &[(3, 31)], "1 2 +3=31", "voter n3"),
        (&[1, 2, 3], &[(3, 31)], "1 2 3=31", "rest"),
        // The leader goes last.
        (&[2, 3, 4], &[(4, 40)], "1 2 3 +4~", "wait"),
        (&[2, 3, 4], &[(4, 40)], "1 2 3 +4", "voter n4"),
        (&[2, 3], &[], "1 2 3", "hand over to n2"),
        (&[2, 3], &[], "1 2! 3", "hand over to n3"),
        (&[2, 3], &[], "1 2! 3!", "wait"),
        (&[4, 5, 6], &[], "1 2 3 +4 +5 +6", "voter n4, voter n5, voter n6, remove n2, remove n3"),
        (&[4, 5, 6], &[], "1 4 5 6", "hand over to n4"),
    ];
    for (wish, arrived, text, wanted) in table {
        assert_eq!(after(wish, arrived, text), *wanted, "{wish:?} {arrived:?} {text}");
    }
}

#[test]
fn a_replica_that_has_forgotten_goes_first() {
    let seen = group("1 2 3!");
    let mut caretaker = caretaker(&[1, 2, 3], &[], &seen);
    caretaker.forgotten(NodeId(3), Incarnation(30), MonoMillis(1));
    caretaker.arrived(NodeId(3), Incarnation(30), MonoMillis(1));
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(2))), "remove n3");
    let gone = group("1 2");
    assert_eq!(told(&caretaker.step(&gone, MonoMillis(3))), "rest", "its old self is not let in");
    caretaker.arrived(NodeId(3), Incarnation(99), MonoMillis(4));
    assert_eq!(told(&caretaker.step(&gone, MonoMillis(5))), "learner n3 99");
    // Not if nobody else could decide then.
    let alone = group("1 2! 3!");
    assert_eq!(told(&caretaker.step(&alone, MonoMillis(6))), "wait");
}

#[test]
fn one_change_at_a_time() {
    let mut seen = group("1 2 3 +4");
    seen.change_index = Some(Index(101));
    let mut caretaker = caretaker(&[1, 2, 3, 4], &[], &seen);
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(1_000))), "wait");
    seen.change_index = Some(Index(100));
    seen.transfer = Some(NodeId(2));
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(1_000))), "wait");
    seen.transfer = None;
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(1_000))), "voter n4");
    seen.membership.outgoing = nodes(&[1, 2]);
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(1_000))), "wait");
}

#[test]
fn a_learner_has_to_keep_up_for_a_while() {
    let (behind, there) = (group("1 2 3 +4~"), group("1 2 3 +4"));
    let mut caretaker = caretaker(&[1, 2, 3, 4], &[], &behind);
    assert_eq!(told(&caretaker.step(&there, MonoMillis(1_000))), "wait");
    assert_eq!(told(&caretaker.step(&behind, MonoMillis(1_100))), "wait");
    assert_eq!(told(&caretaker.step(&there, MonoMillis(1_400))), "wait", "it starts again");
    assert_eq!(told(&caretaker.step(&there, MonoMillis(1_400 + STEADY_MILLIS))), "voter n4");
}

#[test]
fn a_leader_that_cannot_hand_over_goes_anyway() {
    let seen = group("1 2 3");
    let mut caretaker = caretaker(&[2, 3], &[], &seen);
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(1_000))), "hand over to n2");
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(1_500))), "wait");
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(2_100))), "hand over to n2");
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(9_000))), "remove n1");
}

#[test]
fn words_grow_old_and_older_tables_change_nothing() {
    let seen = group("1 2 3");
    let mut caretaker = caretaker(&[1, 2, 3, 4], &[(4, 40)], &seen);
    caretaker.wishes(Wish { table: TableStamp::of(0), replicas: nodes(&[1]) });
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(WORD_MILLIS - 1))), "learner n4 40");
    assert_eq!(told(&caretaker.step(&seen, MonoMillis(WORD_MILLIS))), "rest");
}

/// Every change that is proposed is made at once, and whoever is a learner has everything soon.
fn walk(from: &str, wish: &[u32], arrived: &[(u32, u64)]) -> (Vec<String>, Membership) {
    let mut seen = group(from);
    let mut caretaker = Caretaker::default();
    caretaker.wishes(Wish { table: TableStamp::of(1), replicas: nodes(wish) });
    let mut story = Vec::new();
    for look in 0..200 {
        let now = MonoMillis(look * 100);
        for &(node, disk) in arrived {
            caretaker.arrived(NodeId(node), Incarnation(disk), now);
        }
        let care = caretaker.step(&seen, now);
        match &care {
            Care::Rest => break,
            Care::Wait => continue,
            Care::HandOver(_) => {
                story.push(told(&care));
                break;
            }
            Care::Change(change) => {
                let before = seen.membership.clone();
                let mut changed = change.apply(&before).unwrap().membership;
                if changed.is_joint() {
                    changed = MembershipChange::leave().apply(&changed).unwrap().membership;
                }
                let words: Vec<String> = changed
                    .everyone()
                    .iter()
                    .map(|id| {
                        let plus = if changed.is_learner(*id) { "+" } else { "" };
                        format!("{plus}{}={}", id.0, changed.disk(*id).unwrap().0)
                    })
                    .collect();
                seen = group(&words.join(" "));
                story.push(told(&care));
            }
        }
    }
    (story, seen.membership)
}

#[test]
fn walks_arrive() {
    let (story, members) = walk("1 2 3", &[1, 4, 5], &[(4, 40), (5, 50)]);
    assert_eq!(
        story,
        ["learner n4 40", "learner n5 50", "voter n4", "voter n5, remove n2, remove n3"]
    );
    assert_eq!(members.voters, nodes(&[1, 4, 5]));
    let (story, members) = walk("1 2 3!", &[1, 2, 3], &[(3, 77)]);
    assert_eq!(story, ["learner n3 77", "voter n3"]);
    assert_eq!(members.disk(NodeId(3)), Some(Incarnation(77)));
    let (story, _) = walk("1 2 3", &[2, 3, 4], &[(4, 40)]);
    assert_eq!(story, ["learner n4 40", "voter n4", "hand over to n2"]);
}
