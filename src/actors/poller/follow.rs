//! What the poller decides: a plain struct, told the time and what is known, that says what to do next.

use crate::actors::liveness::Health;
use crate::ids::{GroupId, NodeId, TableVersion};
use crate::shard::{LeaderPlan, Table};
use crate::time::MonoMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Between two looks at who leads what, milliseconds.
const PLACEMENT_MILLIS: u64 = 2_000;
/// Leads handed over at one look: each wakes a group.
const TRANSFERS_MAX: usize = 32;
/// A node is taken for well when it has been connected for this long, milliseconds: a lead is not
/// handed to one that comes and goes.
const WELL_MILLIS: u64 = 4_000;
/// A question for a newer table is repeated after this long, milliseconds.
const ASK_MILLIS: u64 = 1_000;

/// What the node knows at one moment.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// The time.
    pub now: MonoMillis,
    /// This node.
    pub node: NodeId,
    /// The peers connected now.
    pub connected: &'a [NodeId],
    /// How the nodes are.
    pub health: &'a Health,
    /// The disk here is nearly full.
    pub disk_low: bool,
    /// Who leads each group with a replica here.
    pub leaders: &'a BTreeMap<GroupId, NodeId>,
    /// The groups with a replica here.
    pub replicas: &'a BTreeSet<GroupId>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Look by this table from now on.
    Adopt(Arc<Table>),
    /// Start a replica of this group.
    Start(GroupId),
    /// Ask this node for its table.
    Ask(NodeId),
    /// This node leads the group; hand the lead over.
    Transfer(GroupId, NodeId),
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct Follow {
    table: Option<Arc<Table>>,
    adopted: Option<TableVersion>,
    /// The newest version that each peer says it has.
    offered: BTreeMap<NodeId, TableVersion>,
    asked_at: Option<MonoMillis>,
    connected_since: BTreeMap<NodeId, MonoMillis>,
    placed_at: MonoMillis,
}

impl Follow {
    /// The newest table seen; version 0 for none.
    #[must_use]
    pub(super) fn known(&self) -> TableVersion {
        self.table.as_ref().map(|table| table.version).unwrap_or_default()
    }

    /// A table was read, here or from a peer. Older ones, and those of another cluster, are ignored.
    pub(super) fn learn(&mut self, table: Arc<Table>) {
        let newer = self
            .table
            .as_ref()
            .is_none_or(|known| known.version < table.version && known.cluster == table.cluster);
        if newer {
            self.table = Some(table);
            self.asked_at = None;
        }
    }

    /// A peer has said which table it has.
    pub(super) fn offered(&mut self, peer: NodeId, version: TableVersion) {
        self.offered.insert(peer, version);
    }

    /// What to do now.
    pub(super) fn step(&mut self, told: &Told<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        self.connected_since.retain(|node, _| told.connected.contains(node));
        for node in told.connected {
            self.connected_since.entry(*node).or_insert(told.now);
        }
        self.ask(told, &mut steps);
        let Some(table) = self.table.clone() else { return steps };
        if self.adopted != Some(table.version) {
            self.adopted = Some(table.version);
            steps.push(Step::Adopt(table.clone()));
        }
        for group in table.groups_on(told.node).filter(|group| !told.replicas.contains(group)) {
            steps.push(Step::Start(group));
        }
        if told.now.since(self.placed_at) >= PLACEMENT_MILLIS {
            self.placed_at = told.now;
            self.place(&table, told, &mut steps);
        }
        steps
    }

    fn ask(&mut self, told: &Told<'_>, steps: &mut Vec<Step>) {
        if self.asked_at.is_some_and(|at| told.now.since(at) < ASK_MILLIS) {
            return;
        }
        let known = self.known();
        let newer = self.offered.iter().filter(|(node, _)| told.connected.contains(node));
        if let Some((node, version)) = newer.max_by_key(|(_, version)| **version)
            && *version > known
        {
            self.asked_at = Some(told.now);
            steps.push(Step::Ask(*node));
        }
    }

    fn place(&self, table: &Table, told: &Told<'_>, steps: &mut Vec<Step>) {
        let well =
            self.connected_since.iter().filter(|(_, at)| told.now.since(**at) >= WELL_MILLIS);
        let mut alive: BTreeSet<NodeId> = well.map(|(node, _)| *node).collect();
        alive.insert(told.node);
        // Who leads is alive, whatever the connection says.
        alive.extend(told.leaders.values());
        // A slow disk is no place for leads, unless all are slow.
        let is_slow = |node: &NodeId| match told.health.peers.get(node) {
            Some(peer) => peer.disk_slow,
            None => *node == told.node && told.health.slow,
        };
        if !alive.iter().all(is_slow) {
            alive.retain(|node| !is_slow(node));
        }
        // A disk that is nearly full keeps the leads it has, since it refuses writes, but gets no more.
        let is_low = |node: &NodeId| match told.health.peers.get(node) {
            Some(peer) => peer.disk_low,
            None => *node == told.node && told.disk_low,
        };
        let transfers = LeaderPlan::new(table, &alive, told.leaders).transfers(told.leaders);
        let own = transfers.iter().filter(|transfer| transfer.from == told.node);
        for transfer in own.filter(|transfer| !is_low(&transfer.to)).take(TRANSFERS_MAX) {
            steps.push(Step::Transfer(transfer.group, transfer.to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClusterId, Incarnation};
    use crate::shard::{Founder, InitPlan, NodeInfo, ReplicatedLimits};

    fn table() -> Arc<Table> {
        let founder = |id: u16| Founder {
            node: NodeId(id.into()),
            info: NodeInfo {
                incarnation: Incarnation(id.into()),
                quic: format!("127.0.0.1:{}", 1000 + id),
                redis: format!("127.0.0.1:{}", 1000 + id),
                cluster_port: format!("127.0.0.1:{}", 2000 + id),
                http: format!("127.0.0.1:{}", 3000 + id),
                zone: None,
            },
        };
        let plan = InitPlan {
            cluster: ClusterId([1; 16]),
            hash_key: [2; 16],
            founders: (1..=3).map(founder).collect(),
            data_groups: 2,
            replication: 3,
            limits: ReplicatedLimits::default(),
        };
        Arc::new(Table::found(&plan).unwrap())
    }

    fn told<'a>(
        now: u64,
        connected: &'a [NodeId],
        leaders: &'a BTreeMap<GroupId, NodeId>,
        replicas: &'a BTreeSet<GroupId>,
    ) -> Told<'a> {
        static HEALTH: std::sync::LazyLock<Health> = std::sync::LazyLock::new(Health::default);
        let (now, node, health) = (MonoMillis(now), NodeId(1), &*HEALTH);
        Told { now, node, connected, health, disk_low: false, leaders, replicas }
    }

    #[test]
    fn a_new_table_is_adopted_once_and_its_replicas_started() {
        let (leaders, mut replicas) = (BTreeMap::new(), BTreeSet::from([GroupId(0)]));
        let mut follow = Follow::default();
        assert!(follow.step(&told(0, &[], &leaders, &replicas)).is_empty());
        follow.learn(table());
        let steps = follow.step(&told(1, &[], &leaders, &replicas));
        assert_eq!(steps, [Step::Adopt(table()), Step::Start(GroupId(1)), Step::Start(GroupId(2))]);
        replicas.extend([GroupId(1), GroupId(2)]);
        assert!(follow.step(&told(2, &[], &leaders, &replicas)).is_empty());
    }

    #[test]
    fn the_peer_with_the_newest_table_is_asked_now_and_then() {
        let (leaders, replicas) = (BTreeMap::new(), BTreeSet::new());
        let peers = [NodeId(2), NodeId(3)];
        let mut follow = Follow::default();
        follow.offered(NodeId(2), TableVersion(4));
        follow.offered(NodeId(3), TableVersion(5));
        assert_eq!(follow.step(&told(0, &peers, &leaders, &replicas)), [Step::Ask(NodeId(3))]);
        assert!(follow.step(&told(500, &peers, &leaders, &replicas)).is_empty());
        assert_eq!(
            follow.step(&told(1_500, &peers[..1], &leaders, &replicas)),
            [Step::Ask(NodeId(2))]
        );
    }

    #[test]
    fn leads_go_where_they_belong_once_that_node_is_well() {
        let replicas = (0..3).map(GroupId).collect();
        let mut follow = Follow::default();
        follow.learn(table());
        let preferred = table().groups[&GroupId(2)].preferred_leader;
        assert_ne!(preferred, NodeId(1), "the story needs another node");
        let leaders = BTreeMap::from([(GroupId(2), NodeId(1))]);
        let peers = [NodeId(2), NodeId(3)];
        let transfers = |steps: Vec<Step>| {
            steps.into_iter().filter(|step| matches!(step, Step::Transfer(..))).collect::<Vec<_>>()
        };
        let early = follow.step(&told(2_000, &peers, &leaders, &replicas));
        let wanted = Step::Transfer(GroupId(2), preferred);
        assert!(!transfers(early).contains(&wanted));
        let later = follow.step(&told(8_000, &peers, &leaders, &replicas));
        assert!(transfers(later).contains(&wanted));
    }
}
