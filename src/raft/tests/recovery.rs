//! Stories about a replica that goes on alone.

use super::cluster::n;
use crate::ids::{Era, Incarnation, Index, Term};
use crate::raft::{
    ChangeError, ChangeKind, Config, Decree, DecreeError, Entry, EntryKind, HardState, Membership,
    MembershipChange, Message, MessageBody, ProposeError, Raft, Restored, Role, SnapshotMeta,
};
use bytes::Bytes;

const ERA: Era = Era { number: 1, mark: 77 };
const DISK: Incarnation = Incarnation(5);

fn entry(index: u64, term: u64, data: &'static str) -> Entry {
    let (index, term) = (Index(index), Term(term));
    Entry { index, term, kind: EntryKind::Normal, data: Bytes::from_static(data.as_bytes()) }
}

/// One of three voters; three of its five entries are known to be committed and applied, and the last would add a
/// fourth voter.
fn survivor() -> Restored {
    let membership = Membership::of_disks([(n(1), DISK), (n(2), DISK), (n(3), DISK)]);
    let change = MembershipChange::one(ChangeKind::Voter, n(4));
    let last = Entry { kind: EntryKind::Membership, data: change.encode(), ..entry(5, 3, "") };
    Restored {
        hard_state: HardState { term: Term(4), vote: None, commit: Index(3) },
        base: SnapshotMeta { membership: membership.clone(), ..SnapshotMeta::default() },
        terms: vec![(Index(1), Term(1)), (Index(5), Term(3))],
        last: Index(5),
        tail: vec![entry(1, 1, ""), entry(2, 1, "a"), entry(3, 1, "b"), entry(4, 1, "c"), last],
        membership,
        applied: Index(3),
    }
}

fn raft(restored: Restored) -> Raft {
    Raft::new(Config::new(n(1), 7), restored).expect("it fits together")
}

fn decreed(mut restored: Restored) -> Restored {
    let Decree { entry, hard_state } =
        raft(restored.clone()).decree(Some(DISK), ERA).expect("nobody leads");
    restored.terms.push((entry.index, entry.term));
    restored.last = entry.index;
    restored.tail.push(entry);
    Restored { hard_state, ..restored }
}

fn heartbeat(term: u64) -> Message {
    let body = MessageBody::Heartbeat { commit: Index(0), round: 1 };
    Message { from: n(2), to: n(1), term: Term(term), body }
}

/// Applies what may be applied; answers what it was.
fn work(raft: &mut Raft) -> Vec<Entry> {
    let mut applied = Vec::new();
    while raft.has_ready() {
        let ready = raft.ready();
        if ready.needs_persist() {
            raft.persisted(ready.number);
        }
        for entry in ready.committed {
            if entry.kind == EntryKind::Membership {
                raft.apply_change(&entry.data).expect("each fits the one before");
            }
            raft.applied(entry.index);
            applied.push(entry);
        }
    }
    applied
}

#[test]
fn a_replica_goes_on_alone_with_all_it_has() {
    let mut raft = raft(decreed(survivor()));
    for _ in 0..100 {
        raft.tick();
    }
    assert_eq!(raft.role(), Role::Follower, "it does not know yet who elects it");
    let applied = work(&mut raft);
    assert_eq!(applied.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(applied[0].data, "c", "it may have been acknowledged");
    let alone = Membership { era: ERA, ..Membership::of_disks([(n(1), DISK)]) };
    assert_eq!(*raft.membership(), alone);
    for _ in 0..100 {
        raft.tick();
        work(&mut raft);
    }
    assert_eq!((raft.role(), raft.term()), (Role::Leader, Term(6)));
    raft.propose(Bytes::from_static(b"d")).expect("it leads");
    let applied = work(&mut raft);
    assert_eq!(applied.last().map(|entry| &entry.data[..]), Some(&b"d"[..]));
    assert_eq!(raft.status().applied, raft.status().last);
}

#[test]
fn nobody_goes_on_alone_who_has_a_leader_or_lacks_state() {
    let mut led = raft(survivor());
    led.step(heartbeat(4)).expect("a leader");
    assert_eq!(led.decree(None, ERA), Err(DecreeError::Led(n(2))));
    let blank = raft(Restored::default());
    assert_eq!(blank.decree(None, ERA), Err(DecreeError::NeedsSnapshot));
    let removed = Membership::of_voters([n(2), n(3)]);
    let removed = raft(Restored { membership: removed, ..survivor() });
    assert_eq!(removed.decree(None, ERA), Err(DecreeError::NotMember));
    let forgotten = Config { forgotten: true, ..Config::new(n(1), 7) };
    let forgotten = Raft::new(forgotten, survivor()).expect("it fits together");
    assert_eq!(forgotten.decree(None, ERA), Err(DecreeError::Forgotten));
    let mut over = survivor();
    over.membership.era = Era { number: 1, mark: 3 };
    assert_eq!(raft(over.clone()).decree(None, ERA), Err(DecreeError::Era(over.membership.era)));
}

#[test]
fn a_recovery_is_no_proposal_and_no_way_back() {
    let mut raft = raft(decreed(survivor()));
    work(&mut raft);
    for _ in 0..100 {
        raft.tick();
        work(&mut raft);
    }
    let next = MembershipChange::recovery(n(1), Some(DISK), Era { number: 2, mark: 1 });
    let refused = Err(ProposeError::Change(ChangeError::Recovery));
    assert_eq!(raft.propose_change(&next), refused);
    for change in [
        MembershipChange::recovery(n(2), Some(DISK), ERA),
        MembershipChange { changes: Vec::new(), ..next.clone() },
    ] {
        assert_eq!(change.apply(raft.membership()), Err(ChangeError::Recovery));
    }
    let admitted = MembershipChange::admit(n(2), Incarnation(6)).apply(raft.membership());
    assert_eq!(admitted.expect("a newcomer").membership.era, ERA, "the era stays");
}
