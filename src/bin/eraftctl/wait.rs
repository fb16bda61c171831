//! `--wait`: until the cluster is as the table says, as far as a command has touched it.

use crate::answer::{Trouble, say};
use crate::change::newest;
use crate::reach::{Endpoint, Reach, Said};
use eraft::client::Client;
use eraft::ids::{GroupId, NodeId};
use eraft::shard::{BucketRange, ConfigCommand, Pending, Table};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Between two lines about how far it is.
const TELL: Duration = Duration::from_secs(1);
/// How long all nodes together may take to say how they are.
const STATUS: Duration = Duration::from_secs(2);

/// What is to be so in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Goal {
    /// These buckets are where they should be.
    buckets: Vec<BucketRange>,
    /// These groups have a leader.
    led: BTreeSet<GroupId>,
    /// These nodes hold nothing.
    empty: BTreeSet<NodeId>,
}

impl Goal {
    /// What the command touches: what it has changed, and what was to move in its name already.
    pub(crate) fn new(command: &ConfigCommand, before: &Table, after: &Table) -> Self {
        let changed = |range: BucketRange| {
            (range.first.0..=range.last.0)
                .any(|b| before.owners.get(b.into()).desired != after.owners.get(b.into()).desired)
        };
        let concerns = |pending: &Pending| match command {
            ConfigCommand::Join { groups, .. } => groups.contains(&pending.to),
            ConfigCommand::Leave { groups, .. } => groups.contains(&pending.from),
            ConfigCommand::Rebalance { .. } => true,
            ConfigCommand::Move { ranges, .. } => {
                let meets = |range: &BucketRange| {
                    range.first <= pending.range.last && pending.range.first <= range.last
                };
                ranges.iter().any(meets)
            }
            _ => false,
        };
        let pending = after.pending();
        let touched = pending.iter().filter(|pending| concerns(pending) || changed(pending.range));
        let named = |groups: &[GroupId]| groups.iter().copied().collect();
        Self {
            buckets: touched.map(|pending| pending.range).collect(),
            led: match command {
                ConfigCommand::CreateGroup { group, .. } => BTreeSet::from([*group]),
                ConfigCommand::Join { groups, .. } => named(groups),
                _ => BTreeSet::new(),
            },
            empty: match command {
                ConfigCommand::DrainNode { node, undo: false, .. } => BTreeSet::from([*node]),
                _ => BTreeSet::new(),
            },
        }
    }

    /// How many buckets there are to move, and how many of them are not there yet.
    fn buckets_left(&self, table: &Table) -> (u32, u32) {
        let all = self.buckets.iter().map(|range| range.count()).sum();
        let buckets = self.buckets.iter().flat_map(|range| range.first.0..=range.last.0);
        let left = buckets.filter(|bucket| {
            let owner = table.owners.get((*bucket).into());
            owner.actual.map(|actual| actual.group) != owner.desired
        });
        (all, u32::try_from(left.count()).unwrap_or(u32::MAX))
    }

    /// Whether something that it waits for stands still.
    fn is_paused(&self, table: &Table) -> bool {
        let waited = |pending: &Pending| {
            let meets = |range: &BucketRange| {
                range.first <= pending.range.last && pending.range.first <= range.last
            };
            self.buckets.iter().any(meets)
        };
        let mut pending = table.pending().into_iter().filter(waited);
        pending.any(|pending| table.moves.is_paused(pending.from, pending.to))
    }
}

/// Returns when all of it is so.
pub(crate) async fn until(
    reach: &Reach,
    client: &Client,
    goal: &Goal,
    deadline: Instant,
) -> Result<(), Trouble> {
    let (mut told, mut told_at, mut told_paused) = (String::new(), None::<Instant>, false);
    loop {
        let table = newest(client).await?;
        let words = missing(reach, goal, &table).await?;
        let Some(words) = words else { return Ok(()) };
        if words != told && told_at.is_none_or(|at| at.elapsed() >= TELL) {
            say(&words);
            told.clone_from(&words);
            told_at = Some(Instant::now());
        }
        if !told_paused && goal.is_paused(&table) {
            say("some of these moves are paused; `eraftctl resume` lets them go on");
            told_paused = true;
        }
        if Instant::now() + LOOK >= deadline {
            return Err(Trouble::new(format!(
                "not done after {} s, and going on: {words}. `eraftctl query` and `eraftctl status` show how it \
                 stands; the same command with --wait and more --timeout waits on",
                reach.timeout.as_secs_f32()
            )));
        }
        sleep(LOOK).await;
    }
}

/// What is not so yet, in words.
async fn missing(reach: &Reach, goal: &Goal, table: &Table) -> Result<Option<String>, Trouble> {
    let (all, left) = goal.buckets_left(table);
    if left > 0 {
        let done = all - left;
        let percent = u64::from(done) * 100 / u64::from(all.max(1));
        return Ok(Some(format!("{done} of {all} buckets have moved ({percent} %)")));
    }
    if !goal.led.is_empty() {
        let said = statuses(reach, table).await;
        let is_led = |group: &GroupId| {
            let mut groups = said.iter().filter_map(|(_, status)| status.as_ref().ok());
            groups.any(|status| {
                status.groups.iter().any(|one| one.group == *group && one.role == "leader")
            })
        };
        if let Some(group) = goal.led.iter().find(|group| !is_led(group)) {
            return Ok(Some(format!("group {} has no leader yet", group.0)));
        }
    }
    for node in &goal.empty {
        let held = held(reach, table, *node).await?;
        if !held.is_empty() {
            let groups: Vec<String> = held.iter().map(|group| group.0.to_string()).collect();
            return Ok(Some(format!(
                "node {} is still a member of {} groups: {}",
                node.0,
                held.len(),
                groups.join(", ")
            )));
        }
    }
    Ok(None)
}

/// The groups that have `node` among their members, as their leaders say.
///
/// A group without a leader cannot say it is without that node, so it counts.
pub(crate) async fn held(
    reach: &Reach,
    table: &Table,
    node: NodeId,
) -> Result<Vec<GroupId>, Trouble> {
    let said = statuses(reach, table).await;
    let mut groups: BTreeSet<GroupId> = table.groups.keys().copied().collect();
    for status in said.iter().filter_map(|(_, status)| status.as_ref().ok()) {
        for one in status.groups.iter().filter(|one| one.role == "leader") {
            if !one.voters.contains(&node) && !one.learners.contains(&node) {
                groups.remove(&one.group);
            }
        }
    }
    Ok(groups.into_iter().collect())
}

/// The nodes that were named, and the others that the table knows.
pub(crate) fn everyone(named: &[Endpoint], table: &Table) -> Vec<Endpoint> {
    let known = table.nodes.iter();
    let known =
        known.map(|(node, info)| Endpoint { address: info.quic.clone(), node: Some(*node) });
    let is_named = |one: &Endpoint| {
        named.iter().any(|named| named.node == one.node || named.address == one.address)
    };
    let others = known.filter(|one| !is_named(one));
    named.iter().cloned().chain(others).collect()
}

/// All nodes of the table.
pub(crate) async fn statuses(reach: &Reach, table: &Table) -> Vec<Said> {
    let nodes = table.nodes.iter();
    let endpoints = nodes
        .map(|(node, info)| Endpoint { address: info.quic.clone(), node: Some(*node) })
        .collect();
    reach.statuses(endpoints, Instant::now() + STATUS.min(reach.timeout)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{cluster, join};
    use eraft::ids::{Epoch, TableVersion};
    use eraft::shard::{OwnerClaim, Pair};

    fn arrived(table: &Table, moved: &Pending) -> Table {
        let claim = OwnerClaim { range: moved.range, group: moved.to, epoch: Epoch(9) };
        table.after(&ConfigCommand::OwnerReport(vec![claim])).unwrap()
    }

    #[test]
    fn who_is_named_is_asked_once_and_the_others_too() {
        let at = |address: &str, node: Option<u32>| Endpoint {
            address: address.into(),
            node: node.map(NodeId),
        };
        let named = [at("h2:1", None), at("elsewhere:1", Some(3))];
        let all = everyone(&named, &cluster());
        assert_eq!(all, [named[0].clone(), named[1].clone(), at("h1:1", Some(1))]);
    }

    #[test]
    fn a_join_is_done_when_its_buckets_have_come() {
        let before = cluster();
        let after = before.after(&join(3)).unwrap();
        let goal = Goal::new(&join(3), &before, &after);
        assert_eq!(goal.led, BTreeSet::from([GroupId(3)]));
        assert_eq!(goal.buckets_left(&after), (5461, 5461));
        let pending = after.pending();
        let half = arrived(&after, &pending[0]);
        assert_eq!(goal.buckets_left(&half), (5461, 2731));
        assert_eq!(goal.buckets_left(&arrived(&half, &pending[1])), (5461, 0));
        // Asked once more, half way, it waits for what is left.
        let again = Goal::new(&join(3), &half, &half);
        assert_eq!(again.buckets_left(&half), (2731, 2731));
    }

    #[test]
    fn what_others_move_is_not_waited_for() {
        let before = cluster().after(&join(3)).unwrap();
        // Group 1 keeps this one when the third group joins.
        let range = BucketRange { first: 8000.into(), last: 8000.into() };
        let planned_on = before.version;
        let shift = ConfigCommand::Move { ranges: vec![range], to: GroupId(2), planned_on };
        let after = before.after(&shift).unwrap();
        assert_eq!(Goal::new(&shift, &before, &after).buckets_left(&after), (1, 1));
        let paused = after.after(&ConfigCommand::PauseMoves(Pair::default())).unwrap();
        assert!(Goal::new(&shift, &before, &after).is_paused(&paused));
        let rebalance = ConfigCommand::Rebalance { planned_on: TableVersion(3) };
        assert_eq!(Goal::new(&rebalance, &after, &after).buckets_left(&after), (5462, 5462));
    }
}
