//! The config table, and what an operator wishes of it: buckets that go to and fro between the groups, a few at
//! a time or, where all buckets are shared out, by the thousand as groups leave and join. The table is edited by
//! the code that ships; only its group is not here: its versions reach the nodes late, out of order, or never,
//! and at times it has no leader and takes nothing.

use super::cluster::{Disks, Shape, first_range, hash_tag};
use super::coverage::Kind;
use super::swarm::{GROUPS, LATE};
use super::world::{Happening, World};
use eraft::ids::{Bucket, ClusterId, GroupId, Incarnation, NodeId, TableVersion};
use eraft::shard::{
    Actual, BucketRange, ConfigCommand, FIRST_EPOCH, Founder, InitPlan, NodeInfo, Owner,
    OwnerClaim, Owners, Pair, Placement, ReplicatedLimits, Table, bucket_of,
};
use std::sync::Arc;

/// A version reaches a node after at most so long, microseconds.
const NEWS_LATE: u64 = 700_000;
/// Rates that moves may be bound to, bytes per second.
const RATES: [Option<u64>; 3] = [None, None, Some(20_000)];
/// Where all buckets are shared out, half of the wishes come within this, microseconds, so that moves overlap.
const HURRY: u64 = 30_000;
/// The operator names buckets up to so far from those that clients use.
const NEAR: u16 = 2;

/// See the module's first lines.
#[derive(Debug, Default)]
pub(crate) struct Movers {
    /// The newest version. None: in this seed nothing moves.
    table: Option<Arc<Table>>,
    /// Its group has no leader before this.
    silent_until: u64,
}

/// The bucket in which the clients that begin at a group have their keys.
pub(crate) fn home_of(group: GroupId) -> Bucket {
    bucket_of(hash_tag(group).as_bytes())
}

impl Movers {
    /// For a cluster of which the first few nodes found the groups.
    pub(crate) fn new(shape: &Shape, founders: usize) -> Self {
        let info = |id| info_of(id, Disks::default().incarnation(id));
        let founder = |id: &NodeId| Founder { node: *id, info: info(*id) };
        let (nodes, others) = shape.nodes.split_at(founders);
        let plan = InitPlan {
            cluster: ClusterId([7; 16]),
            hash_key: [9; 16],
            founders: nodes.iter().map(founder).collect(),
            data_groups: u32::try_from(GROUPS.len()).expect("few groups"),
            replication: u32::try_from(nodes.len()).expect("few nodes"),
            limits: ReplicatedLimits::default(),
        };
        let mut table = Table::found(&plan).expect("a plan that makes sense");
        for node in others.iter().copied() {
            let add = ConfigCommand::AddNode { node, info: info(node) };
            table = table.after(&add).expect("nobody knows it");
        }
        table.owners = Owners::none();
        for group in GROUPS {
            let actual = Some(Actual { group, epoch: FIRST_EPOCH });
            let owner = Owner { desired: Some(group), actual };
            table.owners.set(first_range(group, shape.shared_out), owner);
        }
        Self { table: Some(Arc::new(table)), silent_until: 0 }
    }

    /// The newest version, if anything moves at all.
    pub(crate) fn table(&self) -> Option<&Arc<Table>> {
        self.table.as_ref()
    }
}

/// A node as the table knows it.
pub(crate) fn info_of(id: NodeId, incarnation: Incarnation) -> NodeInfo {
    NodeInfo {
        incarnation,
        quic: format!("{id}:1"),
        redis: format!("{id}:2"),
        cluster_port: format!("{id}:3"),
        http: format!("{id}:4"),
        zone: None,
    }
}

impl World {
    /// The operator looks at the table now and then.
    pub(crate) fn plan_wish(&mut self) {
        if let Some(pause) = self.swarm.wishes {
            let hurries = self.swarm.shape.shared_out && self.wishes.below(2) == 0;
            let after = match hurries {
                true => self.wishes.between(1_000, HURRY),
                false => self.wishes.between(pause / 4, 2 * pause),
            };
            self.plan(after, Happening::Wish);
        }
    }

    /// The operator has another wish.
    pub(crate) fn wish(&mut self) {
        let Some(table) = self.movers.table.clone() else { return };
        let pair = Pair { from: None, to: None };
        let command = match self.wishes.below(16) {
            0 => ConfigCommand::PauseMoves(pair),
            1..=3 => ConfigCommand::ResumeMoves(pair),
            4 | 5 => ConfigCommand::CancelMoves(pair),
            6 => ConfigCommand::SetMoveRate(self.wishes.pick(&RATES)),
            7..=9 if self.swarm.shape.shared_out => self.wish_for_shares(table.version),
            10 if self.swarm.shape.shared_out => {
                self.movers.silent_until = self.now + self.wishes.between(100_000, 1_500_000);
                self.coverage.count(Kind::ConfigSilent);
                return;
            }
            _ => {
                let range = self.some_buckets();
                let to = self.wishes.pick(&self.groups());
                ConfigCommand::Move { ranges: vec![range], to, planned_on: table.version }
            }
        };
        if matches!(command, ConfigCommand::CancelMoves(_)) && !table.pending().is_empty() {
            self.coverage.count(Kind::MovesCanceled);
        }
        self.change_table(&command);
    }

    /// A group leaves, or one joins, or all get equal shares: many buckets move, mostly empty ones.
    fn wish_for_shares(&mut self, planned_on: TableVersion) -> ConfigCommand {
        if self.may_be_born() {
            self.coverage.count(Kind::GroupsBorn);
            let founders = self.swarm.shape.founders.voters.clone();
            let (groups, replicas) = (vec![LATE], Placement::Nodes(founders));
            return ConfigCommand::Join { groups, replicas, planned_on };
        }
        let groups = vec![self.wishes.pick(&self.groups())];
        self.coverage.count(Kind::SharesWished);
        match self.wishes.below(3) {
            0 => ConfigCommand::Join { groups, replicas: Placement::Usual, planned_on },
            1 => ConfigCommand::Leave { groups, planned_on },
            _ => ConfigCommand::Rebalance { planned_on },
        }
    }

    /// Whether a group is still to be born, and the founders of the others have the disks that they began with.
    fn may_be_born(&self) -> bool {
        let founders = &self.swarm.shape.founders;
        let is_well = |id: &NodeId| {
            let node = self.node(*id);
            let disk = self.disk(*id);
            founders.holds(*id, disk)
                && node.silent.is_empty()
                && !node.is_lost
                && !node.bitrot.is_on()
        };
        self.swarm.shape.late.is_some_and(|late| !self.groups().contains(&late))
            && founders.voters.iter().all(is_well)
    }

    /// The bucket that clients of a group use; where all are shared out, some near it, with it or without.
    fn some_buckets(&mut self) -> BucketRange {
        let home = home_of(self.wishes.pick(&GROUPS));
        if !self.swarm.shape.shared_out {
            return BucketRange { first: home, last: home };
        }
        let mut near = || home.0 - NEAR + self.wishes.below(2 * u64::from(NEAR) + 1) as u16;
        let (one, other) = (near(), near());
        BucketRange { first: Bucket(one.min(other)), last: Bucket(one.max(other)) }
    }

    /// Nothing stands still any more.
    pub(crate) fn let_all_move(&mut self) {
        self.movers.silent_until = 0;
        self.change_table(&ConfigCommand::ResumeMoves(Pair { from: None, to: None }));
        self.change_table(&ConfigCommand::SetMoveRate(None));
    }

    /// A node's report of who owns what has reached the config group.
    pub(crate) fn reported(&mut self, claims: Vec<OwnerClaim>) {
        self.change_table(&ConfigCommand::OwnerReport(claims));
    }

    pub(crate) fn change_table(&mut self, command: &ConfigCommand) {
        let Some(before) = self.movers.table.clone() else { return };
        if self.now < self.movers.silent_until {
            return;
        }
        let Ok(after) = before.after(command) else { return };
        if after == *before {
            return;
        }
        self.note(|| format!("table {}: {command:?}", after.version), &[11, after.version.0 as u8]);
        self.movers.table = Some(Arc::new(after));
        for id in self.swarm.shape.nodes.clone() {
            self.send_table(id);
        }
    }

    /// The newest table is on its way to a node.
    pub(crate) fn send_table(&mut self, id: NodeId) {
        let Some(table) = self.movers.table.clone() else { return };
        let after = self.wishes.below(NEWS_LATE);
        self.plan(after, Happening::News(id, table));
    }

    /// A table reaches a node, which may know a newer one.
    pub(crate) fn news(&mut self, id: NodeId, table: Arc<Table>) {
        let node = self.node_mut(id);
        if node.process.is_some()
            && node.table.as_ref().is_none_or(|old| old.stamp() < table.stamp())
        {
            node.table = Some(table);
            self.look_after_moves(id);
        }
    }

    /// Whether every bucket is where it should be, and nobody has anything left to do about it.
    pub(crate) fn nothing_moves(&self) -> bool {
        let Some(table) = self.movers.table.as_ref() else { return true };
        table.pending().is_empty()
            && self.groups().into_iter().all(|group| {
                let led =
                    self.leader(group).and_then(|(leader, _)| self.node(leader).holdings(group));
                led.is_some_and(|holdings| holdings.moves.is_empty())
            })
    }
}
