//! What the poller decides: a plain struct, told the time and what is known, that says what to do next.

use crate::actors::identity::Kinship;
use crate::actors::liveness::Health;
use crate::ids::{Era, GroupId, Incarnation, NodeId};
use crate::shard::{Helper, LeaderPlan, Table, TableStamp};
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

/// A node that the cluster knows by another disk says so again after this, milliseconds.
const ENLIST_MILLIS: u64 = 1_000;
/// A replica that hears no leader for so long says hello again, milliseconds: it may have been removed.
const LEADERLESS_MILLIS: u64 = 3_000;
/// Between two words to a group: the first time, and at most, milliseconds.
const WORD_MILLIS: u64 = 500;
const WORD_MILLIS_MAX: u64 = 8_000;

/// What the node knows of a replica here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// It is a copy for reading, and never belongs.
    pub observer: bool,
    /// It belongs to its group, as far as it knows.
    pub belongs: bool,
    /// Its disk has forgotten what it promised.
    pub forgotten: bool,
    /// The era of its group that it is in.
    pub era: Era,
    /// Its group was recovered without it, and goes on in this era.
    pub left_behind: Option<Era>,
    /// The disk by which it is known, once that is read.
    pub disk: Option<Incarnation>,
}

/// What the node knows at one moment.
#[derive(Debug)]
pub struct Told<'a> {
    /// The time.
    pub now: MonoMillis,
    /// This node.
    pub node: NodeId,
    /// Its disk.
    pub disk: Incarnation,
    /// Groups that live in the log here.
    pub living: &'a BTreeSet<GroupId>,
    /// Groups of which a replica is here, or was.
    pub began: &'a BTreeSet<GroupId>,
    /// Something is lost in the log here, and nobody knows whose.
    pub unsure: bool,
    /// The peers connected now.
    pub connected: &'a [NodeId],
    /// How the nodes are.
    pub health: &'a Health,
    /// The disk here is nearly full.
    pub disk_low: bool,
    /// Who leads each group with a replica here.
    pub leaders: &'a BTreeMap<GroupId, NodeId>,
    /// The groups with a replica here.
    pub replicas: &'a BTreeMap<GroupId, Seen>,
    /// The groups with a secretary here.
    pub secretaries: &'a BTreeSet<GroupId>,
    /// Raised whenever the former two change.
    pub revision: u64,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Look by this table from now on.
    Adopt(Arc<Table>),
    /// Start a replica of this group.
    Start(GroupId),
    /// Say to the nodes of the group that its replica here wants to belong to it; `aloud`: to all nodes.
    Join {
        /// The group.
        group: GroupId,
        /// The disk by which the replica is known.
        disk: Incarnation,
        /// The group's nodes alone may not be those who lead it.
        aloud: bool,
    },
    /// Ask them whether the group can do without it.
    Leave {
        /// The group.
        group: GroupId,
        /// The disk by which the replica is known.
        disk: Incarnation,
        /// It has forgotten what it promised.
        forgotten: bool,
        /// The group's nodes alone may not be those who lead it.
        aloud: bool,
    },
    /// Ask to be known by this disk.
    Enlist,
    /// Every group that should be here is: nothing that was lost is missing any more.
    Mend,
    /// Ask this node for its table.
    Ask(NodeId),
    /// This node leads the group; hand the lead over.
    Transfer(GroupId, NodeId),
    /// Pass this group's entries on.
    Employ(GroupId),
    /// Pass them on no more.
    Dismiss(GroupId),
    /// Tell the replica here of its group's helpers; answered by [`Follow::told_helpers`].
    TellHelpers(GroupId, Helpers),
}

/// A group's helpers, as the table names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Helpers {
    /// They are fed, for reading.
    pub observers: Vec<NodeId>,
    /// They pass entries on.
    pub secretaries: Vec<NodeId>,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Follow {
    table: Option<Arc<Table>>,
    adopted: Option<TableStamp>,
    /// Nothing was to be started or said by this table while the replicas were these.
    complete: Option<(TableStamp, u64)>,
    /// The newest one that each peer says it has.
    offered: BTreeMap<NodeId, TableStamp>,
    asked_at: Option<MonoMillis>,
    /// What the replicas here know of their helpers; who is not in it knows of none.
    helpers: BTreeMap<GroupId, Helpers>,
    /// All of it was as it should be when this table and these replicas were looked at.
    helped: Option<(TableStamp, u64)>,
    connected_since: BTreeMap<NodeId, MonoMillis>,
    placed_at: MonoMillis,
    enlisted_at: Option<MonoMillis>,
    leaderless_since: BTreeMap<GroupId, MonoMillis>,
    /// When the next word to a group is due, and how many there were.
    words: BTreeMap<GroupId, (MonoMillis, u32)>,
    /// Everything was led from where it should be, when this was so.
    settled: Option<Placement>,
}

/// What decides who should lead what.
#[derive(Debug, PartialEq, Eq)]
struct Placement {
    table: TableStamp,
    revision: u64,
    well: BTreeSet<NodeId>,
    slow: BTreeSet<NodeId>,
}

impl Follow {
    /// The newest table seen; version 0 for none.
    #[must_use]
    pub fn known(&self) -> TableStamp {
        self.table.as_ref().map(|table| table.stamp()).unwrap_or_default()
    }

    /// A table was read, here or from a peer. Older ones, and those of another cluster, are ignored.
    pub fn learn(&mut self, table: Arc<Table>) {
        let newer = self
            .table
            .as_ref()
            .is_none_or(|known| known.stamp() < table.stamp() && known.cluster == table.cluster);
        if newer {
            self.table = Some(table);
            self.asked_at = None;
        }
    }

    /// A peer has said which table it has.
    pub fn offered(&mut self, peer: NodeId, table: TableStamp) {
        self.offered.insert(peer, table);
    }

    /// What to do now.
    pub fn step(&mut self, told: &Told<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        self.connected_since.retain(|node, _| told.connected.contains(node));
        for node in told.connected {
            self.connected_since.entry(*node).or_insert(told.now);
        }
        self.ask(told, &mut steps);
        let Some(table) = self.table.clone() else { return steps };
        if self.adopted != Some(table.stamp()) {
            self.adopted = Some(table.stamp());
            steps.push(Step::Adopt(table.clone()));
        }
        match Kinship::of(&table, told.node, told.disk) {
            Kinship::Peer => self.host(&table, told, &mut steps),
            // It was replaced, for ever.
            Kinship::Barred | Kinship::Unknown => {}
            Kinship::Stranger => {
                if self.enlisted_at.is_none_or(|at| told.now.since(at) >= ENLIST_MILLIS) {
                    self.enlisted_at = Some(told.now);
                    steps.push(Step::Enlist);
                }
            }
        }
        self.help(&table, told, &mut steps);
        if told.now.since(self.placed_at) >= PLACEMENT_MILLIS {
            self.placed_at = told.now;
            self.place(&table, told, &mut steps);
        }
        steps
    }

    /// A replica here has been told of its group's helpers.
    pub fn told_helpers(&mut self, group: GroupId, helpers: Helpers) {
        self.helpers.insert(group, helpers);
    }

    /// Secretaries here, and what replicas here should know of their helpers. A replica that starts
    /// learns of them from the table.
    fn help(&mut self, table: &Table, told: &Told<'_>, steps: &mut Vec<Step>) {
        let looked_at = Some((table.stamp(), told.revision));
        if self.helped == looked_at {
            return;
        }
        let before = steps.len();
        let wanted: BTreeSet<GroupId> = table.helped_by(told.node, Helper::Secretary).collect();
        steps.extend(wanted.difference(told.secretaries).copied().map(Step::Employ));
        steps.extend(told.secretaries.difference(&wanted).copied().map(Step::Dismiss));
        self.helpers.retain(|group, _| told.replicas.contains_key(group));
        for group in told.replicas.keys() {
            let Some(info) = table.groups.get(group) else { continue };
            let known = self.helpers.get(group);
            let (observers, secretaries) =
                known.map_or((&[][..], &[][..]), |known| (&known.observers, &known.secretaries));
            if (observers, secretaries) != (&info.observers, &info.secretaries) {
                let (observers, secretaries) = (info.observers.clone(), info.secretaries.clone());
                steps.push(Step::TellHelpers(*group, Helpers { observers, secretaries }));
            }
        }
        self.helped = looked_at.filter(|_| steps.len() == before);
    }

    /// Replicas: those that should run, and what they have to say to their groups.
    fn host(&mut self, table: &Table, told: &Told<'_>, steps: &mut Vec<Step>) {
        let looked_at = Some((table.stamp(), told.revision));
        if self.complete == looked_at {
            return;
        }
        let members: BTreeSet<GroupId> = table.groups_on(told.node).collect();
        let observed: BTreeSet<GroupId> = table.helped_by(told.node, Helper::Observer).collect();
        let mut runs: BTreeSet<GroupId> = members.union(&observed).copied().collect();
        // What lives here runs, wanted or not: its group may still need it.
        runs.extend(told.living.iter().filter(|group| table.groups.contains_key(group)));
        // So does a founder that never began: the others may be too few to begin without it, and to let it go.
        let founded = table.founded_by(told.node, told.disk);
        runs.extend(founded.filter(|group| !told.unsure && !told.began.contains(group)));
        let missing: Vec<GroupId> =
            runs.into_iter().filter(|group| !told.replicas.contains_key(group)).collect();
        let all_run = missing.is_empty();
        let all_well = all_run && !told.replicas.values().any(|one| one.forgotten);
        steps.extend(missing.into_iter().map(Step::Start));
        self.leaderless_since.retain(|group, _| told.replicas.contains_key(group));
        self.words.retain(|group, _| told.replicas.contains_key(group));
        for (&group, seen) in told.replicas {
            let Some(disk) = seen.disk else { continue };
            if told.leaders.contains_key(&group) {
                self.leaderless_since.remove(&group);
            }
            let since = match told.leaders.contains_key(&group) {
                true => told.now,
                false => *self.leaderless_since.entry(group).or_insert(told.now),
            };
            let is_lost = told.now.since(since) >= LEADERLESS_MILLIS;
            // What is wanted otherwise than it is goes first.
            let is_wanted = if seen.observer { &observed } else { &members }.contains(&group);
            let leaves = seen.forgotten || seen.left_behind.is_some() || !is_wanted;
            // What was left behind stays where it is, for a person to look at, until a person wishes for
            // another replica in its place: in a table that knows of the recovery.
            let era = table.groups.get(&group).map_or(0, |info| info.era().number);
            let is_kept = match seen.left_behind {
                Some(own) => !is_wanted || era < own.number,
                // It will hear of it.
                None => seen.belongs && seen.era.number < era,
            };
            if is_kept || (!leaves && (seen.observer || (seen.belongs && !is_lost))) {
                self.words.remove(&group);
                continue;
            }
            let (due, count) = self.words.entry(group).or_insert((told.now, 0));
            if *due > told.now {
                continue;
            }
            let pause = (WORD_MILLIS << (*count).min(8)).min(WORD_MILLIS_MAX);
            *due = MonoMillis(told.now.0 + pause);
            *count += 1;
            let (aloud, forgotten) = (count.is_multiple_of(3), seen.forgotten);
            steps.push(match leaves {
                true => Step::Leave { group, disk, forgotten, aloud },
                false => Step::Join { group, disk, aloud },
            });
        }
        if told.unsure && all_well && told.replicas.values().all(|one| one.disk.is_some()) {
            steps.push(Step::Mend);
        }
        // Else something is to be looked at again though nothing changes.
        let waits = told.unsure || !self.words.is_empty() || !self.leaderless_since.is_empty();
        self.complete = looked_at.filter(|_| all_run && !waits);
    }

    fn ask(&mut self, told: &Told<'_>, steps: &mut Vec<Step>) {
        if self.asked_at.is_some_and(|at| told.now.since(at) < ASK_MILLIS) {
            return;
        }
        let known = self.known();
        let newer = self.offered.iter().filter(|(node, _)| told.connected.contains(node));
        if let Some((node, newest)) = newer.max_by_key(|(_, newest)| **newest)
            && *newest > known
        {
            self.asked_at = Some(told.now);
            steps.push(Step::Ask(*node));
        }
    }

    fn place(&mut self, table: &Table, told: &Told<'_>, steps: &mut Vec<Step>) {
        let well = self.connected_since.iter().filter(|(node, at)| {
            told.now.since(**at) >= WELL_MILLIS && !told.health.is_lost(**node)
        });
        let well: BTreeSet<NodeId> = well.map(|(node, _)| *node).chain([told.node]).collect();
        let peers = told.health.peers.iter().filter(|(_, peer)| peer.disk_slow);
        let own = Some(told.node).filter(|_| told.health.slow);
        let slow: BTreeSet<NodeId> = peers.map(|(node, _)| *node).chain(own).collect();
        let revision = told.revision;
        let now = Placement { table: table.stamp(), revision, well, slow };
        // There may be thousands of groups, and mostly nothing has changed.
        if self.settled.as_ref() == Some(&now) {
            return;
        }
        let mut alive = now.well.clone();
        // Who leads is alive, whatever the connection says.
        alive.extend(told.leaders.values());
        // A slow disk is no place for leads, unless all are slow.
        if !alive.is_subset(&now.slow) {
            alive.retain(|node| !now.slow.contains(node));
        }
        // A disk that is nearly full keeps the leads it has, since it refuses writes, but gets no more.
        let is_low = |node: &NodeId| match told.health.peers.get(node) {
            Some(peer) => peer.disk_low,
            None => *node == told.node && told.disk_low,
        };
        let transfers = LeaderPlan::new(table, &alive, told.leaders).transfers(told.leaders);
        let own: Vec<_> =
            transfers.into_iter().filter(|transfer| transfer.from == told.node).collect();
        self.settled = own.is_empty().then_some(now);
        for transfer in own.iter().filter(|transfer| !is_low(&transfer.to)).take(TRANSFERS_MAX) {
            steps.push(Step::Transfer(transfer.group, transfer.to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::liveness::PeerHealth;
    use crate::ids::{ClusterId, TableVersion};
    use crate::shard::{Founder, GroupInfo, InitPlan, NodeInfo, Recovery, ReplicatedLimits};
    use std::sync::LazyLock;

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
        replicas: &'a BTreeMap<GroupId, Seen>,
    ) -> Told<'a> {
        static HEALTH: LazyLock<Health> = LazyLock::new(Health::default);
        static NONE: BTreeSet<GroupId> = BTreeSet::new();
        static ALL: LazyLock<BTreeSet<GroupId>> = LazyLock::new(|| (0..100).map(GroupId).collect());
        Told {
            now: MonoMillis(now),
            node: NodeId(1),
            disk: Incarnation(1),
            living: &NONE,
            began: &ALL,
            unsure: false,
            connected,
            health: &HEALTH,
            disk_low: false,
            leaders,
            replicas,
            secretaries: &NONE,
            revision: replicas.len() as u64,
        }
    }

    /// A replica with which all is well.
    const WELL: Seen = Seen {
        observer: false,
        belongs: true,
        forgotten: false,
        era: Era { number: 0, mark: 0 },
        left_behind: None,
        disk: Some(Incarnation(1)),
    };

    fn all(groups: std::ops::Range<u32>, seen: Seen) -> BTreeMap<GroupId, Seen> {
        groups.map(|group| (GroupId(group), seen)).collect()
    }

    /// The table in its second version, changed.
    fn changed(change: impl FnOnce(&mut Table)) -> Arc<Table> {
        let mut table = Table { version: TableVersion(2), ..Table::clone(&table()) };
        change(&mut table);
        Arc::new(table)
    }

    #[test]
    fn a_replica_that_does_not_belong_says_hello_and_one_that_is_not_wanted_farewell() {
        let leaders = BTreeMap::from([0, 1, 2].map(|group| (GroupId(group), NodeId(2))));
        let mut follow = Follow::default();
        follow.learn(changed(|table| {
            table.groups.get_mut(&GroupId(2)).unwrap().replicas = vec![NodeId(2), NodeId(3)];
        }));
        let mut replicas = all(0..3, WELL);
        let disk = Incarnation(7);
        let newborn = Seen { belongs: false, disk: Some(disk), ..WELL };
        replicas.insert(GroupId(1), newborn);
        let said = |follow: &mut Follow, now, replicas: &_| {
            let steps = follow.step(&told(now, &[], &leaders, replicas)).into_iter();
            steps
                .filter(|step| matches!(step, Step::Join { .. } | Step::Leave { .. }))
                .collect::<Vec<_>>()
        };
        let join = |aloud| Step::Join { group: GroupId(1), disk, aloud };
        let leave = |forgotten, aloud| {
            let disk = Incarnation(1);
            Step::Leave { group: GroupId(2), disk, forgotten, aloud }
        };
        assert_eq!(said(&mut follow, 0, &replicas), [join(false), leave(false, false)]);
        assert!(said(&mut follow, 400, &replicas).is_empty());
        assert_eq!(said(&mut follow, 500, &replicas), [join(false), leave(false, false)]);
        assert_eq!(said(&mut follow, 1_500, &replicas), [join(true), leave(false, true)]);
        replicas.insert(GroupId(1), WELL);
        replicas.insert(GroupId(2), Seen { forgotten: true, ..WELL });
        assert_eq!(said(&mut follow, 3_500, &replicas), [leave(true, false)]);
    }

    #[test]
    fn what_was_left_behind_is_kept_until_another_is_wished_for_in_its_place() {
        let leaders = BTreeMap::from([0, 1, 2].map(|group| (GroupId(group), NodeId(2))));
        let era = Era { number: 1, mark: 5 };
        let mut replicas = all(0..3, WELL);
        replicas.insert(GroupId(1), Seen { left_behind: Some(era), ..WELL });
        let recovered = |version, replicas: &[u32]| {
            let mut table = Table { version: TableVersion(version), ..Table::clone(&table()) };
            let info = table.groups.get_mut(&GroupId(1)).unwrap();
            let (node, disk) = (NodeId(2), Incarnation(2));
            info.recovery = Some(Recovery { era, node, disk });
            info.replicas = replicas.iter().copied().map(NodeId).collect();
            info.preferred_leader = node;
            Arc::new(table)
        };
        let mut follow = Follow::default();
        let mut leaves = |now, table: Arc<Table>| {
            follow.learn(table);
            let steps = follow.step(&told(now, &[], &leaders, &replicas));
            steps.iter().filter(|step| matches!(step, Step::Leave { .. })).count()
        };
        assert_eq!(leaves(0, table()), 0, "this table does not know of it");
        assert_eq!(leaves(1, recovered(2, &[2])), 0, "nobody wishes for it");
        assert_eq!(leaves(2, recovered(3, &[1, 2])), 1);
        // One that has not heard of it yet.
        let mut follow = Follow::default();
        follow.learn(recovered(2, &[2]));
        let steps = follow.step(&told(0, &[], &leaders, &all(0..3, WELL)));
        assert!(matches!(&steps[..], [Step::Adopt(_)]), "{steps:?}");
    }

    #[test]
    fn a_replica_without_a_leader_asks_whether_it_still_belongs() {
        let (leaders, replicas) = (BTreeMap::new(), all(0..3, WELL));
        let mut follow = Follow::default();
        follow.learn(table());
        follow.step(&told(0, &[], &leaders, &replicas));
        let joins = |steps: Vec<Step>| {
            steps.iter().filter(|step| matches!(step, Step::Join { .. })).count()
        };
        assert_eq!(joins(follow.step(&told(2_900, &[], &leaders, &replicas))), 0);
        assert_eq!(joins(follow.step(&told(3_000, &[], &leaders, &replicas))), 3);
    }

    #[test]
    fn a_disk_that_the_table_does_not_know_asks_to_be_known_and_starts_nothing() {
        let (leaders, replicas) = (BTreeMap::new(), BTreeMap::new());
        let mut follow = Follow::default();
        follow.learn(changed(|table| {
            table.nodes.get_mut(&NodeId(1)).unwrap().incarnation = Incarnation(9);
        }));
        let steps = follow.step(&told(0, &[], &leaders, &replicas));
        assert!(matches!(&steps[..], [Step::Adopt(_), Step::Enlist]), "{steps:?}");
        assert!(follow.step(&told(500, &[], &leaders, &replicas)).is_empty());
        assert_eq!(follow.step(&told(1_000, &[], &leaders, &replicas)), [Step::Enlist]);
        let mut barred = Table::clone(&changed(|_| ()));
        barred.version = TableVersion(3);
        barred.nodes.get_mut(&NodeId(1)).unwrap().incarnation = Incarnation(9);
        barred.barred.insert((NodeId(1), Incarnation(1)));
        follow.learn(Arc::new(barred));
        let steps = follow.step(&told(2_000, &[], &leaders, &replicas));
        assert!(matches!(&steps[..], [Step::Adopt(_)]), "{steps:?}");
    }

    #[test]
    fn what_lives_here_runs_though_it_is_not_wanted_any_more() {
        let (leaders, replicas) = (BTreeMap::new(), all(0..2, WELL));
        let living = BTreeSet::from([GroupId(1), GroupId(2), GroupId(77)]);
        let mut follow = Follow::default();
        follow.learn(changed(|table| {
            table.groups.get_mut(&GroupId(2)).unwrap().replicas = vec![NodeId(2), NodeId(3)];
        }));
        let steps = follow.step(&Told { living: &living, ..told(0, &[], &leaders, &replicas) });
        assert!(matches!(&steps[..], [Step::Adopt(_), Step::Start(GroupId(2))]), "{steps:?}");
    }

    #[test]
    fn a_founder_that_never_began_does_so_though_it_is_not_wanted_any_more() {
        let (leaders, replicas) = (BTreeMap::new(), all(0..2, WELL));
        let starts = |began: &[u32], unsure, change: &dyn Fn(&mut GroupInfo)| {
            let began: BTreeSet<GroupId> = began.iter().copied().map(GroupId).collect();
            let mut follow = Follow::default();
            follow.learn(changed(|table| {
                let info = table.groups.get_mut(&GroupId(2)).unwrap();
                info.replicas = vec![NodeId(2), NodeId(3)];
                change(info);
            }));
            let told = told(0, &[], &leaders, &replicas);
            let steps = follow.step(&Told { began: &began, unsure, ..told });
            steps.contains(&Step::Start(GroupId(2)))
        };
        assert!(starts(&[0, 1], false, &|_| ()));
        let behind: &dyn Fn(&mut GroupInfo) = &|info| info.left_behind = info.founders.clone();
        assert!(!starts(&[0, 1], false, behind), "its group was recovered without it");
        assert!(!starts(&[0, 1, 2], false, &|_| ()), "it was here, and has been let go");
        assert!(!starts(&[0, 1], true, &|_| ()), "it may have been here");
    }

    #[test]
    fn the_log_is_mended_when_all_replicas_are_born_anew() {
        let leaders = BTreeMap::from([0, 1, 2].map(|group| (GroupId(group), NodeId(2))));
        let mut follow = Follow::default();
        follow.learn(table());
        let mut step = |now, replicas: &_| {
            let told = Told { unsure: true, ..told(now, &[], &leaders, replicas) };
            follow.step(&told).contains(&Step::Mend)
        };
        let mut replicas = all(0..3, WELL);
        replicas.insert(GroupId(2), Seen { forgotten: true, ..WELL });
        assert!(!step(0, &replicas));
        replicas.remove(&GroupId(2));
        assert!(!step(1, &replicas));
        replicas.insert(GroupId(2), Seen { belongs: false, disk: None, ..WELL });
        assert!(!step(2, &replicas), "it is not born yet");
        replicas.insert(GroupId(2), Seen { belongs: false, ..WELL });
        assert!(step(3, &replicas));
    }

    #[test]
    fn a_new_table_is_adopted_once_and_its_replicas_started() {
        let (leaders, mut replicas) = (BTreeMap::new(), all(0..1, WELL));
        let mut follow = Follow::default();
        assert!(follow.step(&told(0, &[], &leaders, &replicas)).is_empty());
        follow.learn(table());
        let steps = follow.step(&told(1, &[], &leaders, &replicas));
        assert_eq!(steps, [Step::Adopt(table()), Step::Start(GroupId(1)), Step::Start(GroupId(2))]);
        replicas.extend(all(1..3, WELL));
        assert!(follow.step(&told(2, &[], &leaders, &replicas)).is_empty());
    }

    #[test]
    fn the_peer_with_the_newest_table_is_asked_now_and_then() {
        let (leaders, replicas) = (BTreeMap::new(), BTreeMap::new());
        let peers = [NodeId(2), NodeId(3)];
        let mut follow = Follow::default();
        follow.offered(NodeId(2), TableStamp::of(4));
        follow.offered(NodeId(3), TableStamp::of(5));
        assert_eq!(follow.step(&told(0, &peers, &leaders, &replicas)), [Step::Ask(NodeId(3))]);
        assert!(follow.step(&told(500, &peers, &leaders, &replicas)).is_empty());
        assert_eq!(
            follow.step(&told(1_500, &peers[..1], &leaders, &replicas)),
            [Step::Ask(NodeId(2))]
        );
    }

    #[test]
    fn an_observer_asks_for_nothing_until_it_is_not_wanted_any_more() {
        let leaders = BTreeMap::from([0, 1, 2].map(|group| (GroupId(group), NodeId(2))));
        let group = GroupId(2);
        let mut follow = Follow::default();
        let mut table = Table::clone(&changed(|table| {
            let info = table.groups.get_mut(&group).unwrap();
            (info.replicas, info.observers) = (vec![NodeId(2), NodeId(3)], vec![NodeId(1)]);
        }));
        follow.learn(Arc::new(table.clone()));
        let said = |follow: &mut Follow, now, replicas: &_| {
            let steps = follow.step(&told(now, &[], &leaders, replicas)).into_iter();
            let wanted = |step: &Step| !matches!(step, Step::Adopt(_) | Step::TellHelpers(..));
            steps.filter(wanted).collect::<Vec<_>>()
        };
        let mut replicas = all(0..2, WELL);
        assert_eq!(said(&mut follow, 0, &replicas), [Step::Start(group)]);
        let leave = |now, follow: &mut Follow, replicas: &_| {
            let steps = said(follow, now, replicas);
            matches!(steps[..], [Step::Leave { group: left, .. }] if left == group)
        };
        replicas.insert(group, WELL);
        assert!(leave(1, &mut follow, &replicas), "what it was before goes first");
        replicas.insert(group, Seen { observer: true, belongs: false, ..WELL });
        assert_eq!(said(&mut follow, 2, &replicas), []);
        table.version = TableVersion(3);
        table.groups.get_mut(&group).unwrap().observers.clear();
        follow.learn(Arc::new(table));
        assert!(leave(3, &mut follow, &replicas));
    }

    #[test]
    fn helpers_are_told_until_it_is_known_and_secretaries_come_and_go() {
        let (leaders, replicas) = (BTreeMap::new(), all(0..3, WELL));
        let mut follow = Follow::default();
        let change = |follow: &mut Follow, edit: &dyn Fn(&mut Table)| {
            let mut table = Table::clone(follow.table.as_deref().unwrap_or(&table()));
            table.version.0 += 1;
            edit(&mut table);
            follow.learn(Arc::new(table));
        };
        let group = GroupId(1);
        let look = |follow: &mut Follow, secretaries: &[GroupId]| {
            let secretaries = secretaries.iter().copied().collect();
            let told = Told { secretaries: &secretaries, ..told(0, &[], &leaders, &replicas) };
            let steps = follow.step(&told);
            steps.into_iter().filter(|step| !matches!(step, Step::Adopt(_))).collect::<Vec<_>>()
        };
        change(&mut follow, &|table| {
            table.groups.get_mut(&group).unwrap().secretaries = vec![NodeId(1)];
        });
        let helpers = Helpers { observers: vec![], secretaries: vec![NodeId(1)] };
        let tell = Step::TellHelpers(group, helpers.clone());
        assert_eq!(look(&mut follow, &[]), [Step::Employ(group), tell]);
        assert_eq!(look(&mut follow, &[group]).len(), 1, "its mailbox was full");
        follow.told_helpers(group, helpers);
        assert_eq!(look(&mut follow, &[group]), []);
        change(&mut follow, &|table| {
            table.groups.get_mut(&group).unwrap().secretaries.clear();
        });
        let tell = Step::TellHelpers(group, Helpers::default());
        assert_eq!(look(&mut follow, &[group]), [Step::Dismiss(group), tell]);
    }

    #[test]
    fn leads_go_where_they_belong_once_that_node_is_well() {
        let replicas = all(0..3, WELL);
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

    #[test]
    fn no_lead_goes_to_a_disk_that_is_slow_and_those_there_leave() {
        let replicas = all(0..3, WELL);
        let mut follow = Follow::default();
        follow.learn(table());
        let preferred = table().groups[&GroupId(2)].preferred_leader;
        let peers = [NodeId(2), NodeId(3)];
        let leaders = BTreeMap::from([(GroupId(2), NodeId(1))]);
        let slow = PeerHealth { disk_slow: true, ..PeerHealth::default() };
        let health = Health { peers: [(preferred, slow)].into(), ..Health::default() };
        let gives = |follow: &mut Follow, now, health: &Health| {
            let told = Told { health, ..told(now, &peers, &leaders, &replicas) };
            let steps = follow.step(&told);
            steps.contains(&Step::Transfer(GroupId(2), preferred))
        };
        gives(&mut follow, 0, &health);
        assert!(!gives(&mut follow, 8_000, &health));
        assert!(gives(&mut follow, 16_000, &Health::default()), "it is preferred again");
        // The same the other way round: what is slow is this node.
        let leaders = BTreeMap::from([(table_group_of(NodeId(1)), NodeId(1))]);
        let health = Health { slow: true, ..Health::default() };
        let told = Told { health: &health, ..told(24_000, &peers, &leaders, &replicas) };
        assert!(follow.step(&told).iter().any(|step| matches!(step, Step::Transfer(..))));
    }

    /// A group that `node` should lead.
    fn table_group_of(node: NodeId) -> GroupId {
        let table = table();
        let mut groups = table.groups.iter();
        *groups.find(|(_, info)| info.preferred_leader == node).expect("it leads something").0
    }
}
