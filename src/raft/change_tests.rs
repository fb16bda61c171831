//! Changes against what they must keep true, whatever is changed.

use super::super::quorum::majority;
use super::super::random::Random;
use super::*;

fn nodes(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn changes(list: &[(ChangeKind, u32)]) -> Vec<Change> {
    list.iter().map(|&(kind, id)| Change::new(kind, NodeId(id))).collect()
}

use ChangeKind::{Learner, Remove, Update, Voter};

#[test]
fn a_voter_that_becomes_a_learner_in_a_joint_configuration_waits() {
    let plain = Membership::of_voters([NodeId(1), NodeId(2)]);
    let joint = enter_joint(&plain, &changes(&[(Learner, 1), (Voter, 3)]), true).expect("fits");
    assert_eq!(joint.newcomers, nodes(&[3]));
    assert_eq!(joint.membership.learners_next, nodes(&[1]));
    assert!(joint.membership.is_consistent() && joint.membership.is_voter(NodeId(1)));
    assert_eq!(enter_joint(&joint.membership, &[], false), Err(ChangeError::Joint));
    assert_eq!(simple(&joint.membership, &[]), Err(ChangeError::Joint));
    let left = leave_joint(&joint.membership).expect("it is joint").membership;
    assert_eq!((left.voters, left.learners), (nodes(&[2, 3]), nodes(&[1])));
    assert_eq!(leave_joint(&plain), Err(ChangeError::NotJoint));
}

#[test]
fn what_is_known_about_a_replica_that_left_and_came_back_is_void() {
    let plain = Membership::of_voters([NodeId(1), NodeId(2)]);
    let back = simple(&plain, &changes(&[(Remove, 2), (Voter, 2)])).expect("nobody is missing");
    assert_eq!((back.membership, back.newcomers), (plain.clone(), nodes(&[2])));
    let joint = enter_joint(&plain, &changes(&[(Remove, 2), (Voter, 2)]), false).expect("fits");
    assert_eq!(joint.newcomers, [], "the outgoing list never let it go");
}

#[test]
fn a_member_with_another_disk_is_another_member() {
    let (one, two) = (Incarnation(1), Incarnation(2));
    let plain = Membership::of_disks([(NodeId(1), one), (NodeId(2), one), (NodeId(3), one)]);
    let voter = Change { kind: Voter, id: NodeId(2), disk: Some(two) };
    assert_eq!(simple(&plain, &[voter]), Err(ChangeError::OtherDisk));
    let admitted = MembershipChange::admit(NodeId(2), two).apply(&plain).expect("one voter goes");
    assert_eq!(admitted.newcomers, nodes(&[2]));
    let admitted = admitted.membership;
    assert_eq!((&admitted.voters, &admitted.learners), (&nodes(&[1, 3]), &nodes(&[2])));
    assert!(admitted.holds(NodeId(2), two) && !admitted.holds(NodeId(2), one));
    let again = MembershipChange::admit(NodeId(2), two).apply(&admitted).expect("no change");
    assert_eq!((&again.membership, again.newcomers), (&admitted, nodes(&[])));
    let promoted = simple(&admitted, &changes(&[(Voter, 2)])).expect("one voter comes");
    assert_eq!((promoted.newcomers, promoted.membership.disk(NodeId(2))), (nodes(&[]), Some(two)));
    let gone = simple(&admitted, &changes(&[(Remove, 2)])).expect("a learner goes").membership;
    assert_eq!(gone.disks, [(NodeId(1), one), (NodeId(3), one)]);
    let joint = enter_joint(&plain, &changes(&[(Remove, 2), (Remove, 3)]), true).expect("fits");
    assert_eq!(joint.membership.disk(NodeId(2)), Some(one), "it still votes");
    let left = leave_joint(&joint.membership).expect("it is joint").membership;
    assert_eq!(left, Membership::of_disks([(NodeId(1), one)]));
    let both = Change { kind: Learner, id: NodeId(2), disk: Some(two) };
    assert_eq!(
        enter_joint(&plain, &[both], true),
        Err(ChangeError::OtherDisk),
        "the outgoing list means the old one"
    );
}

#[test]
fn the_kind_of_transition_follows_from_the_change() {
    let change = |transition, list: &[(ChangeKind, u32)]| MembershipChange {
        transition,
        changes: changes(list),
        context: Bytes::new(),
    };
    assert!(MembershipChange::leave().leaves_joint());
    assert!(!change(Transition::Auto, &[(Voter, 2)]).enters_joint());
    assert!(change(Transition::Auto, &[(Voter, 2), (Update, 1)]).enters_joint());
    assert!(change(Transition::Explicit, &[]).enters_joint());
    let plain = Membership::of_voters([NodeId(1)]);
    let auto_leave = |transition| {
        change(transition, &[(Voter, 2)]).apply(&plain).expect("fits").membership.auto_leave
    };
    assert!(auto_leave(Transition::Implicit) && !auto_leave(Transition::Explicit));
}

#[test]
fn a_change_survives_its_encoding_and_garbage_is_refused() {
    let change = MembershipChange {
        context: Bytes::from_static(b"why"),
        ..MembershipChange::one(Learner, NodeId(7))
    };
    assert_eq!(MembershipChange::decode(&change.encode()), Ok(change));
    assert_eq!(MembershipChange::leave().encode(), Bytes::new());
    assert_eq!(MembershipChange::decode(b"\xff\xff"), Err(ChangeError::Malformed));
}

/// Whatever is changed, every majority of the old configuration meets every one of the new, and no
/// replica has two roles.
#[test]
fn quorums_of_neighbouring_configurations_meet() {
    let mut random = Random::new(5);
    let mut membership = Membership::of_voters([NodeId(1)]);
    let mut joints = 0;
    for _ in 0..5000 {
        let list: Vec<Change> = (0..random.below(4))
            .map(|_| Change {
                kind: [Voter, Voter, Learner, Remove, Update][random.below(5) as usize],
                id: NodeId(random.below(7)),
                disk: [None, Some(Incarnation(1)), Some(Incarnation(2))][random.below(3) as usize],
            })
            .collect();
        let changed = match random.below(3) {
            0 => simple(&membership, &list),
            1 => enter_joint(&membership, &list, random.below(2) == 0),
            _ => leave_joint(&membership),
        };
        let Ok(changed) = changed else { continue };
        let next = changed.membership;
        assert!(next.is_consistent(), "{next:?}");
        for id in &changed.newcomers {
            assert!(next.contains(*id), "{id} is new in {next:?}");
        }
        let everyone = Membership {
            voters: [membership.everyone(), next.everyone()].concat(),
            ..Membership::default()
        }
        .everyone();
        for chosen in 0u32..1 << everyone.len() {
            let yes: Vec<NodeId> = (0..everyone.len())
                .filter(|at| chosen >> at & 1 == 1)
                .map(|at| everyone[at])
                .collect();
            let decides = |list: &[NodeId], ids: &dyn Fn(&NodeId) -> bool| {
                list.is_empty() || list.iter().filter(|id| ids(id)).count() >= majority(list.len())
            };
            let quorum = |membership: &Membership, ids: &dyn Fn(&NodeId) -> bool| {
                decides(&membership.voters, ids) && decides(&membership.outgoing, ids)
            };
            let (with, without) = (|id: &NodeId| yes.contains(id), |id: &NodeId| !yes.contains(id));
            assert!(
                !(quorum(&membership, &with) && quorum(&next, &without)),
                "{membership:?} and {next:?} could decide apart"
            );
        }
        joints += u32::from(next.is_joint());
        membership = next;
    }
    assert!(joints > 500, "{joints} joint configurations");
}
