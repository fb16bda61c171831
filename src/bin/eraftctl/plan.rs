//! What a change of the table comes to, for people and scripts: two tables put side by side.

use eraft::ids::{Bucket, GroupId, NodeId};
use eraft::limits::BUCKETS;
use eraft::shard::{BucketRange, GroupInfo, Table};
use serde::Serialize;

/// A plan, or what became of it; `--json` prints it as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Document {
    /// It was only asked what would change.
    pub(crate) dry_run: bool,
    /// The version that the plan was made on; `--planned-on` takes it.
    pub(crate) planned_on: u64,
    /// The version that says so; that of the plan if nothing has to change, or nothing was changed.
    pub(crate) version: u64,
    /// Something has to change.
    pub(crate) changes: bool,
    /// Buckets whose owner is to be another than now.
    pub(crate) moved_buckets: u32,
    /// Those, by bucket.
    pub(crate) moves: Vec<Move>,
    /// Buckets that were to move and stay now.
    pub(crate) stay: Vec<String>,
    /// Groups that are born, or change where their replicas and helpers should be or whether they have joined.
    pub(crate) groups: Vec<Group>,
    /// Nodes that come, go, or are drained.
    pub(crate) nodes: Vec<Node>,
    /// How many buckets each data group should own then, by group.
    pub(crate) shares: Vec<Share>,
}

/// Neighbouring buckets that go the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Move {
    /// As Redis writes a range.
    pub(crate) buckets: String,
    pub(crate) bucket_count: u32,
    /// Who owns them; nobody yet, if absent.
    pub(crate) from: Option<u32>,
    pub(crate) to: u32,
    /// Keys in them, if the plan was asked for and somebody can tell.
    pub(crate) keys: Option<u64>,
    /// Bytes of those keys and their values, by the average of the group.
    pub(crate) bytes: Option<u64>,
    #[serde(skip)]
    pub(crate) range: BucketRange,
}

/// A group that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) id: u32,
    /// It was not there.
    pub(crate) born: bool,
    pub(crate) joined: bool,
    pub(crate) replicas: Vec<u32>,
    pub(crate) preferred_leader: u32,
    pub(crate) observers: Vec<u32>,
    pub(crate) secretaries: Vec<u32>,
}

/// A node that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Node {
    pub(crate) id: u32,
    /// `added`, `removed`, `drained` or `kept`.
    pub(crate) what: &'static str,
}

/// How much a group should own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) group: u32,
    pub(crate) buckets: u32,
}

impl Document {
    /// What lies between `before` and `after`.
    pub(crate) fn new(before: &Table, after: &Table, dry_run: bool) -> Self {
        let mut moves: Vec<Move> = Vec::new();
        let mut stay: Vec<BucketRange> = Vec::new();
        for bucket in (0..BUCKETS).map(Bucket) {
            let (was, is) = (before.owners.get(bucket), after.owners.get(bucket));
            let Some(to) = is.desired.filter(|_| was.desired != is.desired) else { continue };
            let range = BucketRange { first: bucket, last: bucket };
            let from = is.actual.map(|actual| actual.group.0);
            if from == Some(to.0) {
                match stay.last_mut() {
                    Some(last) if last.last.0 + 1 == bucket.0 => last.last = bucket,
                    _ => stay.push(range),
                }
                continue;
            }
            match moves.last_mut() {
                Some(last)
                    if (last.from, last.to) == (from, to.0)
                        && last.range.last.0 + 1 == bucket.0 =>
                {
                    last.range.last = bucket;
                }
                _ => moves.push(Move {
                    buckets: String::new(),
                    bucket_count: 0,
                    from,
                    to: to.0,
                    keys: None,
                    bytes: None,
                    range,
                }),
            }
        }
        for one in &mut moves {
            one.buckets = one.range.to_string();
            one.bucket_count = one.range.count();
        }
        Self {
            dry_run,
            planned_on: before.version.0,
            version: if dry_run { before.version.0 } else { after.version.0 },
            changes: before != after,
            moved_buckets: moves.iter().map(|one| one.bucket_count).sum(),
            moves,
            stay: stay.iter().map(ToString::to_string).collect(),
            groups: groups(before, after),
            nodes: nodes(before, after),
            shares: after
                .data_groups()
                .map(|(group, _)| Share { group: group.0, buckets: after.desired_count(group) })
                .collect(),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        if !self.changes {
            return format!("nothing to change: version {} says so already", self.version);
        }
        let mut lines = vec![if self.dry_run {
            format!("plan on version {}, not carried out:", self.planned_on)
        } else {
            format!("version {}:", self.version)
        }];
        for node in &self.nodes {
            lines.push(format!("  node {} is {}", node.id, node.what));
        }
        for group in &self.groups {
            let list = |nodes: &[u32]| {
                nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let mut line = format!(
                "  group {}{}{}: replicas on {}",
                group.id,
                if group.born { " is made" } else { "" },
                if group.id > 0 && !group.joined { " (takes no share)" } else { "" },
                list(&group.replicas)
            );
            for (what, nodes) in
                [("observers", &group.observers), ("secretaries", &group.secretaries)]
            {
                if !nodes.is_empty() {
                    line.push_str(&format!(", {what} on {}", list(nodes)));
                }
            }
            lines.push(line);
        }
        for one in &self.moves {
            let from = one.from.map_or("nobody".into(), |group| format!("group {group}"));
            let mut line = format!(
                "  {} ({} buckets): {from} → group {}",
                one.buckets, one.bucket_count, one.to
            );
            if let Some(keys) = one.keys {
                line.push_str(&format!(", {keys} keys"));
            }
            if let Some(bytes) = one.bytes {
                line.push_str(&format!(", about {}", crate::table::bytes(bytes)));
            }
            lines.push(line);
        }
        if !self.stay.is_empty() {
            lines.push(format!("  {} stay where they are", self.stay.join(", ")));
        }
        if self.moved_buckets > 0 || !self.stay.is_empty() {
            let shares = self.shares.iter();
            let shares = shares.map(|share| format!("group {}: {}", share.group, share.buckets));
            let shares = shares.collect::<Vec<_>>().join(", ");
            lines.push(format!("  {} buckets to move; shares then: {shares}", self.moved_buckets));
        }
        if lines.len() == 1 {
            lines.push("  the rules of moves".into());
        }
        lines.join("\n")
    }
}

fn groups(before: &Table, after: &Table) -> Vec<Group> {
    let change = |(group, info): (&GroupId, &GroupInfo)| {
        let was = before.groups.get(group);
        let wishes = |info: &GroupInfo| {
            let helpers = (info.observers.clone(), info.secretaries.clone());
            (info.replicas.clone(), info.joined, helpers)
        };
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
        (was.map(wishes) != Some(wishes(info))).then(|| Group {
            id: group.0,
            born: was.is_none(),
            joined: info.joined,
            replicas: ids(&info.replicas),
            preferred_leader: info.preferred_leader.0,
            observers: ids(&info.observers),
            secretaries: ids(&info.secretaries),
        })
    };
    after.groups.iter().filter_map(change).collect()
}

fn nodes(before: &Table, after: &Table) -> Vec<Node> {
    let of = |node: &NodeId, table: &Table| {
        (table.nodes.contains_key(node), table.draining.contains(node))
    };
    let mut ids: Vec<NodeId> = before.nodes.keys().chain(after.nodes.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let change = |node: &NodeId| match (of(node, before), of(node, after)) {
        ((false, _), (true, _)) => Some("added"),
        ((true, _), (false, _)) => Some("removed"),
        ((_, false), (_, true)) => Some("drained"),
        ((_, true), (_, false)) => Some("kept"),
        _ => None,
    };
    ids.iter().filter_map(|node| Some(Node { id: node.0, what: change(node)? })).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use eraft::ids::{ClusterId, Incarnation, TableVersion};
    use eraft::shard::{
        ConfigCommand, Founder, InitPlan, NodeInfo, Pair, Placement, ReplicatedLimits,
    };

    /// Two groups on three nodes.
    pub(crate) fn cluster() -> Table {
        let founder = |node: u32| Founder {
            node: NodeId(node),
            info: NodeInfo {
                incarnation: Incarnation(node.into()),
                quic: format!("h{node}:1"),
                redis: format!("h{node}:2"),
                cluster_port: format!("h{node}:3"),
                http: format!("h{node}:4"),
                zone: None,
            },
        };
        let plan = InitPlan {
            cluster: ClusterId([1; 16]),
            hash_key: [0; 16],
            founders: vec![founder(1), founder(2), founder(3)],
            data_groups: 2,
            replication: u32::MAX,
            limits: ReplicatedLimits::default(),
        };
        Table::found(&plan).unwrap()
    }

    pub(crate) fn join(group: u32) -> ConfigCommand {
        let (groups, replicas) = (vec![GroupId(group)], Placement::Usual);
        ConfigCommand::Join { groups, replicas, planned_on: TableVersion(1) }
    }

    #[test]
    fn a_plan_says_what_goes_where() {
        let before = cluster();
        let after = before.after(&join(3)).unwrap();
        let mut plan = Document::new(&before, &after, true);
        plan.moves[0].keys = Some(7);
        plan.moves[0].bytes = Some(2048);
        let lines = [
            "plan on version 1, not carried out:",
            "  group 3 is made: replicas on 1, 2, 3",
            "  0-2729 (2730 buckets): group 1 → group 3, 7 keys, about 2.0 KiB",
            "  8192-10922 (2731 buckets): group 2 → group 3",
            "  5461 buckets to move; shares then: group 1: 5462, group 2: 5461, group 3: 5461",
        ];
        assert_eq!(plan.text(), lines.join("\n"));
        assert_eq!((plan.version, plan.moved_buckets), (1, 5461));
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["moves"][1]["buckets"], "8192-10922");
        assert_eq!(json["groups"][0]["born"], true);
        assert_eq!(json["shares"][2]["buckets"], 5461);
    }

    #[test]
    fn what_is_taken_back_stays_and_nothing_is_nothing() {
        let before = cluster().after(&join(3)).unwrap();
        let after = before.after(&ConfigCommand::CancelMoves(Pair::default())).unwrap();
        let taken_back = Document::new(&before, &after, false);
        assert_eq!(taken_back.stay, ["0-2729", "8192-10922"]);
        assert_eq!((taken_back.moved_buckets, taken_back.version), (0, 3));
        assert!(taken_back.text().contains("0-2729, 8192-10922 stay where they are"));
        let nothing = Document::new(&before, &before, false);
        assert_eq!(nothing.text(), "nothing to change: version 2 says so already");
    }
}
