//! Stories of tables: what a command makes of one, and what is refused.

use crate::ids::{Bucket, Epoch, GroupId, Incarnation, NodeId, TableVersion};
use crate::limits::BUCKETS;
use crate::shard::balance::tests::fewest_moves;
use crate::shard::change::{ConfigCommand, OwnerClaim, Placement};
use crate::shard::moves::Pair;
use crate::shard::owners::{Actual, Bounds, BucketRange, Owner};
use crate::shard::plan::InitPlan;
use crate::shard::plan::tests::{info, plan};
use crate::shard::refusal::{NothingOf, Refusal};
use crate::shard::table::{Helper, Table};
use proptest::prelude::*;
use std::collections::BTreeSet;

const G1: GroupId = GroupId(1);
const G2: GroupId = GroupId(2);
const G3: GroupId = GroupId(3);

fn cluster(nodes: u32, groups: u32) -> Table {
    Table::found(&plan(nodes, groups)).expect("a good plan")
}

fn range(first: u16, last: u16) -> BucketRange {
    BucketRange { first: Bucket(first), last: Bucket(last) }
}

/// The command, planned on this very table.
fn planned(table: &Table, mut command: ConfigCommand) -> Result<Table, Refusal> {
    command.plan_on(table.version);
    let after = table.after(&command)?;
    assert_eq!(Table::decode(&after.encode()), Ok(after.clone()), "whole after {command}");
    Ok(after)
}

fn done(table: &Table, command: ConfigCommand) -> Table {
    planned(table, command).expect("nothing speaks against it")
}

fn refused(table: &Table, command: ConfigCommand) -> Refusal {
    planned(table, command).expect_err("something speaks against it")
}

fn join(groups: &[u32]) -> ConfigCommand {
    let (groups, planned_on) = (ids(groups), TableVersion(0));
    ConfigCommand::Join { groups, replicas: Placement::Usual, planned_on }
}

fn leave(groups: &[u32]) -> ConfigCommand {
    ConfigCommand::Leave { groups: ids(groups), planned_on: TableVersion(0) }
}

fn shift(ranges: &[BucketRange], to: u32) -> ConfigCommand {
    let planned_on = TableVersion(0);
    ConfigCommand::Move { ranges: ranges.to_vec(), to: GroupId(to), planned_on }
}

fn rebalance() -> ConfigCommand {
    ConfigCommand::Rebalance { planned_on: TableVersion(0) }
}

fn create(group: u32, replicas: Placement) -> ConfigCommand {
    ConfigCommand::CreateGroup { group: GroupId(group), replicas, planned_on: TableVersion(0) }
}

fn drain(node: u32) -> ConfigCommand {
    ConfigCommand::DrainNode { node: NodeId(node), undo: false, planned_on: TableVersion(0) }
}

fn remove(node: u32) -> ConfigCommand {
    ConfigCommand::RemoveNode { node: NodeId(node), planned_on: TableVersion(0) }
}

fn add(node: u32) -> ConfigCommand {
    ConfigCommand::AddNode { node: NodeId(node), info: info(node) }
}

fn ids(groups: &[u32]) -> Vec<GroupId> {
    groups.iter().copied().map(GroupId).collect()
}

/// The data groups have done what is wanted of them.
fn settled(table: &Table) -> Table {
    let claims = table.pending().into_iter().map(|pending| OwnerClaim {
        range: pending.range,
        group: pending.to,
        epoch: Epoch(1 + u32::try_from(table.version.0).expect("a short story")),
    });
    done(table, ConfigCommand::OwnerReport(claims.collect()))
}

#[test]
fn a_group_joins_and_takes_its_share() {
    let table = cluster(3, 2);
    let after = done(&table, join(&[3]));
    assert_eq!((after.version, after.shaped), (TableVersion(2), TableVersion(2)));
    assert_eq!([G1, G2, G3].map(|group| after.desired_count(group)), [5462, 5461, 5461]);
    assert_eq!([G1, G2, G3].map(|group| after.bucket_count(group)), [8192, 8192, 0], "so far");
    let born = &after.groups[&G3];
    assert_eq!(born.replicas, [NodeId(1), NodeId(2), NodeId(3)]);
    assert!(born.joined && born.first_buckets.is_empty());
    assert!(born.founders.contains(&(NodeId(2), info(2).incarnation)));
    let wanted: Vec<String> = after
        .pending()
        .iter()
        .map(|pending| format!("{}:{}→{}", pending.range, pending.from, pending.to))
        .collect();
    assert_eq!(wanted, ["0-2729:g1→g3", "8192-10922:g2→g3"]);
    assert_eq!(done(&after, join(&[3])), after, "it has joined already");
    assert_eq!(settled(&after).pending(), []);
}

#[test]
fn a_group_leaves_and_may_come_back() {
    let table = settled(&done(&cluster(3, 2), join(&[3])));
    let left = done(&table, leave(&[1]));
    assert_eq!([G1, G2, G3].map(|group| left.desired_count(group)), [0, 8192, 8192]);
    assert_eq!(done(&left, leave(&[1])), left, "it has left already");
    let gone = settled(&left);
    assert_eq!(gone.bucket_count(G1), 0);
    assert!(gone.groups.contains_key(&G1), "it is kept, and owns nothing");
    assert_eq!(done(&gone, rebalance()), gone, "nobody gives it anything");
    let back = done(&gone, join(&[1]));
    assert_eq!(back.desired_count(G1), 5461);
    assert_eq!(back.groups[&G1].founders, table.groups[&G1].founders, "the same group as before");
}

#[test]
fn somebody_must_own_the_buckets() {
    let table = cluster(3, 2);
    assert_eq!(refused(&table, leave(&[1, 2])), Refusal::LastGroup(vec![G1, G2]));
    let one = done(&table, leave(&[1]));
    assert_eq!(refused(&one, leave(&[2])), Refusal::LastGroup(vec![G2]));
    assert_eq!(refused(&table, leave(&[])), Refusal::Nothing(NothingOf::Groups));
    assert_eq!(refused(&table, leave(&[0])), Refusal::ConfigGroup);
    assert_eq!(refused(&table, leave(&[7])), Refusal::UnknownGroup(GroupId(7)));
}

#[test]
fn two_that_leave_at_the_same_time_do_not_both_go() {
    let table = cluster(3, 2);
    let [mut first, mut second] = [leave(&[1]), leave(&[2])];
    first.plan_on(table.version);
    second.plan_on(table.version);
    let after = table.after(&first).expect("the first may go");
    let (planned_on, newest) = (TableVersion(1), TableVersion(2));
    assert_eq!(after.after(&second), Err(Refusal::Stale { planned_on, newest }));
    second.plan_on(newest);
    assert_eq!(after.after(&second), Err(Refusal::LastGroup(vec![G2])), "looked at again");
}

#[test]
fn a_plan_outlives_what_does_not_concern_it() {
    let table = cluster(3, 2);
    let mut command = join(&[3]);
    command.plan_on(table.version);
    let mut house = info(2);
    house.redis = "10.0.0.2:9".into();
    let house = ConfigCommand::NodeAddress { node: NodeId(2), info: house };
    let other =
        [house, ConfigCommand::SetMoveRate(Some(5)), ConfigCommand::PauseMoves(Pair::default())];
    let later = other.into_iter().fold(table, |table, command| done(&table, command));
    assert_eq!((later.version, later.shaped), (TableVersion(4), TableVersion(1)));
    assert!(later.after(&command).is_ok());
    command.plan_on(TableVersion(5));
    assert!(
        matches!(later.after(&command), Err(Refusal::Stale { .. })),
        "not of the future either"
    );
}

#[test]
fn a_move_moves_just_what_it_is_told() {
    let table = cluster(3, 2);
    let after = done(&table, shift(&[range(5, 5), range(0, 3)], 2));
    let desired = after.owners.ranges(Bounds::Desired);
    let words: Vec<String> =
        desired.iter().map(|(range, group)| format!("{range}:{}", group.expect("one"))).collect();
    assert_eq!(words, ["0-3:g2", "4:g1", "5:g2", "6-8191:g1", "8192-16383:g2"]);
    assert_eq!(done(&after, shift(&[range(0, 3)], 2)), after, "all is so already");
    // A group that was made for it may be moved to, and takes its share from then on.
    let made = done(&after, create(3, Placement::Count(2)));
    assert_eq!(done(&made, rebalance()).desired_count(G3), 0);
    let moved = done(&made, shift(&[range(16_383, 16_383)], 3));
    assert_eq!(moved.desired_count(G3), 1);
    assert_eq!(done(&moved, rebalance()).desired_count(G3), 5461);
}

#[test]
fn moves_that_make_no_sense() {
    let table = cluster(3, 2);
    assert_eq!(refused(&table, shift(&[], 2)), Refusal::Nothing(NothingOf::Buckets));
    assert_eq!(refused(&table, shift(&[range(0, 1)], 0)), Refusal::ConfigGroup);
    assert_eq!(refused(&table, shift(&[range(0, 1)], 9)), Refusal::UnknownGroup(GroupId(9)));
    for wrong in [range(2, 1), range(0, BUCKETS), range(u16::MAX, u16::MAX)] {
        assert_eq!(refused(&table, shift(&[wrong], 2)), Refusal::NoRange(wrong));
    }
    let twice = [range(10, 20), range(0, 10)];
    assert_eq!(refused(&table, shift(&twice, 2)), Refusal::Overlap(Bucket(10)));
}

#[test]
fn groups_are_made_where_they_are_wanted() {
    let table = cluster(4, 2);
    let on = |nodes: &[u32]| Placement::Nodes(nodes.iter().copied().map(NodeId).collect());
    let made = done(&table, create(7, on(&[4, 2])));
    assert_eq!(made.groups[&GroupId(7)].replicas, [NodeId(2), NodeId(4)]);
    assert!(!made.groups[&GroupId(7)].joined);
    assert_eq!(done(&made, create(7, on(&[2, 4]))), made);
    assert_eq!(done(&made, create(7, Placement::Usual)), made);
    let nodes = vec![NodeId(2), NodeId(4)];
    let exists = Refusal::GroupExists { group: GroupId(7), nodes };
    assert_eq!(refused(&made, create(7, on(&[1, 2]))), exists);
    assert_eq!(refused(&table, create(0, Placement::Usual)), Refusal::ConfigGroup);
    assert_eq!(refused(&table, create(7, on(&[]))), Refusal::Nothing(NothingOf::Nodes));
    assert_eq!(refused(&table, create(7, Placement::Count(0))), Refusal::Nothing(NothingOf::Nodes));
    assert_eq!(refused(&table, create(7, on(&[1, 1]))), Refusal::NodeTwice(NodeId(1)));
    assert_eq!(refused(&table, create(7, on(&[1, 9]))), Refusal::UnknownNode(NodeId(9)));
    let few = Refusal::TooFewNodes { group: GroupId(7), wanted: 5, there: 4 };
    assert_eq!(refused(&table, create(7, Placement::Count(5))), few);
    // With a node on its way out, what is usual is what is left.
    let drained = done(&table, drain(1));
    let usual = done(&drained, create(7, Placement::Usual));
    assert_eq!(usual.groups[&GroupId(7)].replicas, [NodeId(2), NodeId(3), NodeId(4)]);
    assert_eq!(refused(&drained, create(7, on(&[1, 2]))), Refusal::Draining(NodeId(1)));
}

#[test]
fn a_node_comes_is_emptied_and_goes_for_good() {
    let founding = InitPlan { replication: 3, ..plan(3, 2) };
    let table = Table::found(&founding).expect("a good plan");
    let few = Refusal::TooFewNodes { group: GroupId::CONFIG, wanted: 3, there: 2 };
    assert_eq!(refused(&table, drain(3)), few);
    let holds = Refusal::HoldsReplicas { node: NodeId(3), groups: ids(&[0, 1, 2]) };
    assert_eq!(refused(&table, remove(3)), holds);

    let four = done(&table, add(4));
    assert_eq!(done(&four, add(4)), four, "it is there already");
    let drained = done(&four, drain(3));
    let three = [NodeId(1), NodeId(2), NodeId(4)];
    assert!(drained.groups.values().all(|info| info.replicas == three));
    assert!(drained.groups.values().all(|info| three.contains(&info.preferred_leader)));
    assert_eq!(done(&drained, drain(3)), drained);
    let undo =
        ConfigCommand::DrainNode { node: NodeId(3), undo: true, planned_on: TableVersion(0) };
    assert!(done(&drained, undo).draining.is_empty());

    let gone = done(&drained, remove(3));
    assert!(!gone.nodes.contains_key(&NodeId(3)) && gone.draining.is_empty());
    assert_eq!(done(&gone, remove(3)), gone);
    assert_eq!(refused(&gone, add(3)), Refusal::NodeRemoved(NodeId(3)));
    assert_eq!(refused(&gone, drain(3)), Refusal::UnknownNode(NodeId(3)));
    assert_eq!(refused(&gone, remove(9)), Refusal::UnknownNode(NodeId(9)));
}

#[test]
fn who_is_emptied_helps_nobody_and_who_helps_is_not_removed() {
    let founding = InitPlan { replication: 3, ..plan(3, 1) };
    let table = Table::found(&founding).expect("a good plan");
    let help = |node: u32, helper: Helper| {
        let (group, node) = (G1, NodeId(node));
        ConfigCommand::SetHelper { group, node, helper, wanted: true }
    };
    let five = done(&done(&table, add(4)), add(5));
    let one = done(&five, help(5, Helper::Observer));
    let both = done(&one, help(4, Helper::Secretary));
    let groups = ids(&[1]);
    assert_eq!(refused(&both, remove(4)), Refusal::Helps { node: NodeId(4), groups });
    assert!(refused(&both, remove(4)).to_string().contains("eraftctl node drain 4"));

    let emptied = done(&both, drain(4));
    assert_eq!(emptied.groups[&G1].secretaries, []);
    assert_eq!(emptied.groups[&G1].observers, [NodeId(5)]);
    assert_eq!(refused(&emptied, help(4, Helper::Observer)), Refusal::Draining(NodeId(4)));
    assert!(!done(&emptied, remove(4)).nodes.contains_key(&NodeId(4)));

    // Who takes the place of a replica helps from outside no more.
    let moved = done(&emptied, drain(3));
    assert_eq!(moved.groups[&G1].replicas, [NodeId(1), NodeId(2), NodeId(5)]);
    assert_eq!(moved.groups[&G1].observers, []);
}

#[test]
fn a_group_of_many_replicas_makes_do_with_fewer_of_three_it_does_not() {
    let table = cluster(5, 1);
    let four = done(&table, drain(5));
    assert_eq!(four.groups[&G1].replicas.len(), 4);
    let three = done(&four, drain(4));
    assert_eq!(three.groups[&G1].replicas.len(), 3);
    assert!(matches!(refused(&three, drain(1)), Refusal::TooFewNodes { wanted: 3, there: 2, .. }));
}

#[test]
fn nodes_that_are_somebody_else() {
    let table = cluster(3, 1);
    let adding = |node: u32, change: &dyn Fn(&mut crate::shard::NodeInfo)| {
        let mut info = info(node);
        change(&mut info);
        refused(&table, ConfigCommand::AddNode { node: NodeId(node), info })
    };
    assert!(matches!(adding(0, &|_| ()), Refusal::Invalid(_)));
    assert!(matches!(adding(4, &|info| info.http = "x".into()), Refusal::Invalid(_)));
    let other_disk = adding(2, &|info| info.incarnation = Incarnation(5));
    assert_eq!(other_disk, Refusal::NodeExists(NodeId(2)));
    for change in [
        (&|info: &mut crate::shard::NodeInfo| info.incarnation = Incarnation(100))
            as &dyn Fn(&mut _),
        &|info: &mut crate::shard::NodeInfo| info.quic = "127.0.0.1:6379".into(),
    ] {
        assert!(matches!(adding(4, change), Refusal::NodeClash { node: NodeId(1), .. }));
    }
}

#[test]
fn the_highest_epoch_is_true() {
    let table = cluster(3, 2);
    let claim = |first, last, group, epoch| OwnerClaim {
        range: range(first, last),
        group: GroupId(group),
        epoch: Epoch(epoch),
    };
    let report = |claims: &[OwnerClaim]| ConfigCommand::OwnerReport(claims.to_vec());
    let actual = |table: &Table, bucket| table.owners.get(Bucket(bucket)).actual.expect("an owner");
    let after = done(&table, report(&[claim(0, 9, 2, 5), claim(5, 5, 1, 7), claim(6, 6, 1, 4)]));
    assert_eq!(actual(&after, 4), Actual { group: G2, epoch: Epoch(5) });
    assert_eq!(actual(&after, 5), Actual { group: G1, epoch: Epoch(7) });
    assert_eq!(actual(&after, 6), Actual { group: G2, epoch: Epoch(5) }, "an old story");
    assert_eq!(actual(&after, 10), actual(&table, 10));
    assert_eq!(after.shaped, table.shaped, "plans are not made of this");
    assert_eq!(done(&after, report(&[claim(0, 4, 2, 5), claim(0, 0, 1, 1)])), after, "nothing new");
    assert_eq!(done(&after, report(&[])), after);
    assert_eq!(refused(&table, report(&[claim(0, 1, 9, 2)])), Refusal::UnknownGroup(GroupId(9)));
    assert_eq!(refused(&table, report(&[claim(0, 1, 0, 2)])), Refusal::ConfigGroup);
    assert_eq!(refused(&table, report(&[claim(0, 1, 1, 0)])), Refusal::NoEpoch);
    let wrong = claim(1, 0, 1, 2);
    assert_eq!(refused(&table, report(&[wrong])), Refusal::NoRange(wrong.range));
    // Of a bucket without an owner any claim is true.
    let mut hole = table;
    hole.owners.set(range(0, 9), Owner { desired: Some(G1), actual: None });
    assert_eq!(hole.pending(), [], "the first owner is nobody's move");
    assert_eq!(actual(&done(&hole, report(&[claim(0, 9, 1, 1)])), 3).group, G1);
}

#[test]
fn moves_stand_still_go_on_and_are_taken_back() {
    let table = done(&done(&cluster(3, 2), join(&[3])), leave(&[2]));
    let pair = |from: Option<GroupId>, to: Option<GroupId>| Pair { from, to };
    let to_g1 = pair(None, Some(G1));
    let paused = done(&table, ConfigCommand::PauseMoves(to_g1));
    assert!(paused.moves.is_paused(G2, G1) && !paused.moves.is_paused(G2, G3));
    assert_eq!(done(&paused, ConfigCommand::PauseMoves(pair(Some(G2), Some(G1)))), paused);
    let part = ConfigCommand::ResumeMoves(pair(Some(G2), None));
    assert_eq!(refused(&paused, part), Refusal::WiderPause(to_g1));
    let resumed = done(&paused, ConfigCommand::ResumeMoves(Pair::default()));
    assert_eq!(resumed.moves, table.moves);
    let unknown = ConfigCommand::PauseMoves(pair(Some(GroupId(9)), None));
    assert_eq!(refused(&table, unknown), Refusal::UnknownGroup(GroupId(9)));
    let config = ConfigCommand::CancelMoves(pair(Some(GroupId::CONFIG), None));
    assert_eq!(refused(&table, config), Refusal::ConfigGroup);

    let cancelled = done(&table, ConfigCommand::CancelMoves(pair(Some(G2), None)));
    assert_eq!(cancelled.desired_count(G2), 8192);
    assert!(cancelled.groups[&G2].joined, "who keeps buckets has joined");
    assert!(cancelled.pending().iter().all(|pending| pending.from == G1), "those go on");
    let all = done(&cancelled, ConfigCommand::CancelMoves(Pair::default()));
    assert_eq!(all.pending(), []);
    assert_eq!(done(&all, ConfigCommand::CancelMoves(Pair::default())), all);

    let rated = done(&table, ConfigCommand::SetMoveRate(Some(20 << 20)));
    assert_eq!(rated.moves.bytes_per_second, Some(20 << 20));
    assert_eq!(refused(&table, ConfigCommand::SetMoveRate(Some(0))), Refusal::NoRate);
}

#[test]
fn refusals_name_the_next_step() {
    let table = cluster(3, 2);
    for (refusal, words) in [
        (refused(&table, leave(&[1, 2])), "let another one join first"),
        (refused(&table, shift(&[range(0, 0)], 7)), "eraftctl join 7"),
        (refused(&table, drain(3)), "eraftctl node add"),
        (refused(&table, remove(3)), "eraftctl node drain 3"),
    ] {
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
}

/// One step of an operator who does not think much.
#[derive(Clone, Debug)]
enum Whim {
    Join(Vec<u32>),
    Leave(Vec<u32>),
    Move(u16, u16, u32),
    Settle,
}

fn whims() -> impl Strategy<Value = Vec<Whim>> {
    let groups = || proptest::collection::vec(1u32..9, 1..3);
    proptest::collection::vec(
        prop_oneof![
            4 => groups().prop_map(Whim::Join),
            4 => groups().prop_map(Whim::Leave),
            1 => (0..BUCKETS, 0..BUCKETS, 1u32..9)
                .prop_map(|(a, b, to)| Whim::Move(a.min(b), a.max(b), to)),
            1 => Just(Whim::Settle),
        ],
        1..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// After each join and each leave that is done, sizes differ by one at most, and no plan would have moved
    /// fewer buckets.
    #[test]
    fn joins_and_leaves_are_even_and_move_the_fewest(whims in whims()) {
        let mut table = cluster(3, 2);
        for whim in whims {
            let command = match whim {
                Whim::Join(groups) => join(&groups),
                Whim::Leave(groups) => leave(&groups),
                Whim::Move(first, last, to) => shift(&[range(first, last)], to),
                Whim::Settle => {
                    table = settled(&table);
                    continue;
                }
            };
            let must_be_even = !matches!(command, ConfigCommand::Move { .. });
            let Ok(after) = planned(&table, command) else { continue };
            let of = |table: &Table| -> Vec<Option<u32>> {
                (0..BUCKETS).map(|b| table.owners.get(Bucket(b)).desired.map(|group| group.0)).collect()
            };
            let (was, is) = (of(&table), of(&after));
            let joined: BTreeSet<u32> = after.joined().iter().map(|group| group.0).collect();
            if must_be_even && after != table {
                prop_assert_eq!(fewest_moves(&is, &joined), 0, "even");
                let moved = was.iter().zip(&is).filter(|(was, is)| was != is).count();
                prop_assert_eq!(moved, fewest_moves(&was, &joined));
                let sizes = joined.iter().map(|group| after.desired_count(GroupId(*group)));
                let (most, least) = (sizes.clone().max().expect("one"), sizes.min().expect("one"));
                prop_assert!(most - least <= 1);
            }
            for info in after.groups.values().filter(|info| !info.joined) {
                prop_assert!(info.first_limits == table.limits);
            }
            table = after;
        }
    }
}
