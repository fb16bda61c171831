//! Stories of the config group's state machine, over rows that are a sorted map.

use super::super::change::Author;
use super::super::plan::tests::{info, plan};
use super::super::table::{Helper, NodeInfo, Recovery, ReplicatedLimits, TableStamp};
use super::*;
use crate::ids::{Era, Incarnation, NodeId};
use crate::rows::generation_prefix;
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MapRows(BTreeMap<Vec<u8>, Bytes>);

impl Rows for MapRows {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.get(key).cloned()
    }

    fn range(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
            if !each(key, value) {
                return;
            }
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.0.insert(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.0.remove(&key);
    }
}

const GROUP: GroupId = GroupId::CONFIG;
const FIRST: RowGeneration = RowGeneration(1);

/// A machine, its rows, and a clock that stamps entry n with 1000 * n.
struct Story {
    rows: MapRows,
    machine: ConfigMachine,
}

impl Story {
    fn new() -> Self {
        let mut rows = MapRows::default();
        let machine = ConfigMachine::create(GROUP, FIRST, &mut rows);
        Self { rows, machine }
    }

    fn with_three_nodes() -> Self {
        let mut story = Self::new();
        let replies = story.apply(vec![ConfigCommand::Init(plan(3, 2))]);
        assert_eq!(replies, [ConfigReply::Changed(TableVersion(1))]);
        story
    }

    fn apply(&mut self, commands: Vec<ConfigCommand>) -> Vec<ConfigReply> {
        let index = self.machine.applied().next();
        let bytes = payload(index, commands);
        self.machine.apply(&mut self.rows, index, &bytes).expect("an entry")
    }

    fn apply_one(&mut self, command: ConfigCommand) -> ConfigReply {
        self.apply(vec![command]).remove(0)
    }

    fn read(&self, query: ConfigQuery) -> ConfigReply {
        self.machine.read(&self.rows, &query).expect("an answer")
    }
}

fn payload(index: Index, commands: Vec<ConfigCommand>) -> Vec<u8> {
    let request = |command| ConfigRequest { by: Author::Admin("alice".into()), command };
    let requests = commands.into_iter().map(request).collect();
    ConfigPayload { time: UnixMillis(1000 * index.0), requests }.encode()
}

/// Node 2 moves to other ports; each `step` is another place.
fn moved(step: u16) -> ConfigCommand {
    let mut info = info(2);
    info.redis = format!("10.0.0.2:{}", 1 + step);
    ConfigCommand::NodeAddress { node: NodeId(2), info }
}

#[test]
fn a_newborn_machine_knows_nothing_and_says_so() {
    let mut story = Story::new();
    assert_eq!(story.machine.newest(), None);
    let none = TableVersion(0);
    assert_eq!(story.read(ConfigQuery::Newest { known: none }), ConfigReply::Unchanged(none));
    for version in [0, 1] {
        let reply = story.read(ConfigQuery::Version(TableVersion(version)));
        assert_eq!(reply, ConfigReply::NoSuchVersion { oldest: none, newest: none });
    }
    let history = ConfigQuery::History { until: None, count: 10 };
    assert_eq!(story.read(history), ConfigReply::History(vec![]));
    assert_eq!(story.apply_one(moved(1)), ConfigReply::Refused(Refusal::NotInitialised));
    let empty = MapRows::default();
    assert!(ConfigMachine::open(GROUP, FIRST, &empty).expect("no rows, no error").is_none());
}

#[test]
fn init_happens_once() {
    let mut story = Story::new();
    let bad = ConfigCommand::Init(plan(0, 2));
    assert!(matches!(story.apply_one(bad), ConfigReply::Refused(Refusal::Plan(_))));
    let first = ConfigCommand::Init(plan(3, 2));
    assert_eq!(story.apply_one(first.clone()), ConfigReply::Changed(TableVersion(1)));
    assert_eq!(story.apply_one(first.clone()), ConfigReply::Unchanged(TableVersion(1)));
    let cluster = plan(3, 2).cluster;
    let refused = ConfigReply::Refused(Refusal::AlreadyInitialised(cluster));
    assert_eq!(story.apply_one(ConfigCommand::Init(plan(3, 3))), refused);
    // The birth is remembered even when the table has moved on.
    assert_eq!(story.apply_one(moved(1)), ConfigReply::Changed(TableVersion(2)));
    assert_eq!(story.apply_one(first), ConfigReply::Unchanged(TableVersion(2)));
}

#[test]
fn only_what_changes_something_makes_a_version() {
    let mut story = Story::with_three_nodes();
    let same = ConfigCommand::NodeAddress { node: NodeId(2), info: info(2) };
    assert_eq!(story.apply_one(same), ConfigReply::Unchanged(TableVersion(1)));
    let replies = story.apply(vec![
        moved(1),
        moved(1),
        ConfigCommand::SetLimits(ReplicatedLimits::default()),
        ConfigCommand::SetLimits(ReplicatedLimits {
            value_bytes_max: 1000,
            ..ReplicatedLimits::default()
        }),
    ]);
    let expected = [
        ConfigReply::Changed(TableVersion(2)),
        ConfigReply::Unchanged(TableVersion(2)),
        ConfigReply::Unchanged(TableVersion(2)),
        ConfigReply::Changed(TableVersion(3)),
    ];
    assert_eq!(replies, expected);
    let newest = story.machine.newest().expect("a table");
    assert_eq!(newest.nodes[&NodeId(2)].redis, "10.0.0.2:2");
    assert_eq!(newest.limits.value_bytes_max, 1000);
}

#[test]
fn a_node_with_another_disk_or_no_place_is_refused() {
    let mut story = Story::with_three_nodes();
    let report = |node, change: &dyn Fn(&mut super::super::table::NodeInfo)| {
        let mut info = info(2);
        change(&mut info);
        ConfigCommand::NodeAddress { node: NodeId(node), info }
    };
    let stranger = report(9, &|_| {});
    let refused = ConfigReply::Refused(Refusal::UnknownNode(NodeId(9)));
    assert_eq!(story.apply_one(stranger), refused);
    let wiped = report(2, &|info| info.incarnation = Incarnation(1));
    let refused = ConfigReply::Refused(Refusal::OtherIncarnation(NodeId(2)));
    assert_eq!(story.apply_one(wiped), refused);
    let nowhere = report(2, &|info| info.quic = "nowhere".into());
    assert!(matches!(story.apply_one(nowhere), ConfigReply::Refused(Refusal::Invalid(_))));
    let limits = ReplicatedLimits { value_bytes_max: 0, ..ReplicatedLimits::default() };
    let limits = story.apply_one(ConfigCommand::SetLimits(limits));
    assert!(matches!(limits, ConfigReply::Refused(Refusal::Invalid(_))));
    assert_eq!(story.machine.newest().expect("a table").version, TableVersion(1));
}

/// A recovery of `group` on `node` that begins the era after `from`.
fn recovered(group: u32, from: Era, node: u32, mark: u64) -> ConfigCommand {
    let (era, node) = (Era { number: from.number + 1, mark }, NodeId(node));
    let recovery = Recovery { era, node, disk: info(node.0).incarnation };
    ConfigCommand::Recover { group: GroupId(group), from, recovery }
}

#[test]
fn a_group_is_recovered_once_and_the_others_are_left_behind() {
    let mut story = Story::with_three_nodes();
    let first = recovered(1, Era::default(), 2, 7);
    assert_eq!(story.apply_one(first.clone()), ConfigReply::Changed(TableVersion(2)));
    assert_eq!(story.apply_one(first), ConfigReply::Unchanged(TableVersion(2)));
    let group = story.machine.newest().expect("a table").groups[&GroupId(1)].clone();
    assert_eq!((group.replicas.as_slice(), group.preferred_leader), (&[NodeId(2)][..], NodeId(2)));
    let disk = |node: u32| (NodeId(node), info(node).incarnation);
    assert_eq!(group.left_behind, [disk(1), disk(3)]);

    // Another replica that does not know of it, and another try of the same one.
    let era = Era { number: 1, mark: 7 };
    let refused =
        ConfigReply::Refused(Refusal::Recovered { group: GroupId(1), era, node: NodeId(2) });
    for late in [recovered(1, Era::default(), 3, 8), recovered(1, Era::default(), 2, 8)] {
        assert_eq!(story.apply_one(late), refused);
    }
    assert_eq!(story.apply_one(recovered(1, era, 2, 9)), ConfigReply::Changed(TableVersion(3)));
    let unknown = ConfigReply::Refused(Refusal::UnknownGroup(GroupId(9)));
    assert_eq!(story.apply_one(recovered(9, Era::default(), 2, 1)), unknown);
}

#[test]
fn a_later_era_of_the_config_group_makes_a_newer_table() {
    let mut story = Story::with_three_nodes();
    let before = story.machine.newest().expect("a table").stamp();
    // It was told only of the second recovery.
    let era = Era { number: 1, mark: 7 };
    assert_eq!(story.apply_one(recovered(0, era, 1, 8)), ConfigReply::Changed(TableVersion(2)));
    let table = story.machine.newest().expect("a table");
    assert_eq!(table.groups[&GroupId::CONFIG].era().number, 2);
    assert!(table.stamp() > before);
    assert!(table.stamp() > TableStamp { version: TableVersion(99), ..before }, "of other lines");
    let early = ConfigReply::Refused(Refusal::Recovered {
        group: GroupId::CONFIG,
        era: Era { number: 2, mark: 8 },
        node: NodeId(1),
    });
    assert_eq!(story.apply_one(recovered(0, era, 2, 9)), early);
}

#[test]
fn a_new_disk_takes_the_place_of_the_old_one_for_ever() {
    let mut story = Story::with_three_nodes();
    let adopt = |disk| {
        let info = NodeInfo { incarnation: Incarnation(disk), ..info(2) };
        ConfigCommand::AdoptDisk { node: NodeId(2), info }
    };
    let old = info(2).incarnation;
    assert_eq!(story.apply_one(adopt(old.0)), ConfigReply::Unchanged(TableVersion(1)));
    assert_eq!(story.apply_one(adopt(77)), ConfigReply::Changed(TableVersion(2)));
    assert_eq!(story.apply_one(adopt(77)), ConfigReply::Unchanged(TableVersion(2)));
    let table = story.machine.newest().expect("a table");
    assert_eq!(table.nodes[&NodeId(2)].incarnation, Incarnation(77));
    assert_eq!(table.barred.iter().copied().collect::<Vec<_>>(), [(NodeId(2), old)]);
    assert!(table.may_found(GroupId(1), NodeId(2), old), "a fact of its birth never changes");
    let refused = ConfigReply::Refused(Refusal::Barred(NodeId(2)));
    assert_eq!(story.apply_one(adopt(old.0)), refused);
    let stranger = ConfigCommand::AdoptDisk { node: NodeId(9), info: info(9) };
    let refused = ConfigReply::Refused(Refusal::UnknownNode(NodeId(9)));
    assert_eq!(story.apply_one(stranger), refused);
}

#[test]
fn replicas_are_wished_for_and_the_last_one_stays() {
    let mut story = Story::with_three_nodes();
    let wish = |group, node, wanted| ConfigCommand::Replica {
        group: GroupId(group),
        node: NodeId(node),
        wanted,
    };
    let preferred = |story: &Story| story.machine.newest().unwrap().groups[&GroupId(1)].clone();
    assert_eq!(story.apply_one(wish(1, 2, true)), ConfigReply::Unchanged(TableVersion(1)));
    let refused = |refusal| ConfigReply::Refused(refusal);
    assert_eq!(story.apply_one(wish(7, 2, true)), refused(Refusal::UnknownGroup(GroupId(7))));
    assert_eq!(story.apply_one(wish(1, 7, true)), refused(Refusal::UnknownNode(NodeId(7))));
    for (count, leader) in [(2, preferred(&story).preferred_leader), (3, NodeId(0))] {
        let leader = if leader == NodeId(0) { preferred(&story).preferred_leader } else { leader };
        assert_eq!(
            story.apply_one(wish(1, leader.0, false)),
            ConfigReply::Changed(TableVersion(count))
        );
        let info = preferred(&story);
        assert!(!info.replicas.contains(&leader) && info.replicas.contains(&info.preferred_leader));
    }
    let last = preferred(&story).replicas[0];
    let refusal = Refusal::LastReplica(GroupId(1), last);
    assert_eq!(story.apply_one(wish(1, last.0, false)), refused(refusal));
    assert_eq!(preferred(&story).founders.len(), 3, "a fact of its birth never changes");
}

#[test]
fn a_refused_request_does_not_touch_its_neighbours() {
    let mut story = Story::with_three_nodes();
    let stranger = ConfigCommand::NodeAddress { node: NodeId(9), info: info(9) };
    let replies = story.apply(vec![moved(1), stranger, moved(2)]);
    assert_eq!(replies[0], ConfigReply::Changed(TableVersion(2)));
    assert!(matches!(replies[1], ConfigReply::Refused(_)));
    assert_eq!(replies[2], ConfigReply::Changed(TableVersion(3)));
}

#[test]
fn of_two_groups_that_leave_in_one_entry_one_stays() {
    let mut story = Story::with_three_nodes();
    let planned_on = TableVersion(1);
    let leave = |group| ConfigCommand::Leave { groups: vec![GroupId(group)], planned_on };
    let replies = story.apply(vec![leave(1), leave(2), ConfigCommand::OwnerReport(vec![])]);
    let newest = TableVersion(2);
    let stale = Refusal::Stale { planned_on, newest };
    let expected =
        [ConfigReply::Changed(newest), ConfigReply::Refused(stale), ConfigReply::Unchanged(newest)];
    assert_eq!(replies, expected);
    let table = story.machine.newest().expect("a table");
    assert_eq!((table.version, table.desired_count(GroupId(2))), (newest, 16_384));
}

#[test]
fn versions_and_their_history_can_be_asked_for() {
    let mut story = Story::with_three_nodes();
    story.apply(vec![moved(1), moved(2)]);
    let ConfigReply::Table { summary, table } = story.read(ConfigQuery::Version(TableVersion(2)))
    else {
        panic!("version 2 is there");
    };
    assert_eq!((summary.version, summary.time), (TableVersion(2), UnixMillis(2000)));
    assert_eq!(summary.by, "alice");
    assert!(summary.what.contains("10.0.0.2:2"), "{}", summary.what);
    let table = Table::decode(&table).expect("a table");
    assert_eq!(
        (table.version, table.nodes[&NodeId(2)].redis.as_str()),
        (TableVersion(2), "10.0.0.2:2")
    );

    let newest = |known| story.read(ConfigQuery::Newest { known: TableVersion(known) });
    assert!(matches!(newest(2), ConfigReply::Table { summary, .. } if summary.version.0 == 3));
    assert_eq!(newest(3), ConfigReply::Unchanged(TableVersion(3)));
    assert_eq!(newest(4), ConfigReply::Unchanged(TableVersion(3)));

    let history = |until: Option<u64>, count| -> Vec<u64> {
        let until = until.map(TableVersion);
        match story.read(ConfigQuery::History { until, count }) {
            ConfigReply::History(links) => links.iter().map(|link| link.version.0).collect(),
            other => panic!("{other:?}"),
        }
    };
    let none: Vec<u64> = vec![];
    assert_eq!(history(None, 2), [2, 3]);
    assert_eq!(history(Some(2), 5), [1, 2]);
    assert_eq!(history(Some(99), u32::MAX), [1, 2, 3]);
    assert_eq!(history(None, 0), none);
    assert_eq!(history(Some(0), 5), none);
}

#[test]
fn the_chain_is_bounded_and_its_base_moves() {
    let mut story = Story::with_three_nodes();
    for step in 0..1500 {
        story.apply_one(moved(step));
    }
    let (oldest, newest) = (TableVersion(1501 - VERSIONS_KEPT + 1), TableVersion(1501));
    let gone = story.read(ConfigQuery::Version(oldest.0.checked_sub(1).map(TableVersion).unwrap()));
    assert_eq!(gone, ConfigReply::NoSuchVersion { oldest, newest });
    let base = story.read(ConfigQuery::Version(oldest));
    assert!(matches!(base, ConfigReply::Table { summary, .. } if summary.version == oldest));
    let rows = story.rows.0.len() as u64;
    assert_eq!(rows, 2 * VERSIONS_KEPT + 2, "tables, summaries, the birth and the state");
    let all = ConfigQuery::History { until: None, count: u32::MAX };
    let ConfigReply::History(links) = story.read(all) else { panic!("a history") };
    assert_eq!(links.len(), HISTORY_ROWS_MAX as usize);
    assert_eq!(links.last().map(|link| link.version), Some(newest));
}

#[test]
fn rows_copied_to_another_generation_are_an_equal_machine() {
    let mut story = Story::with_three_nodes();
    story.apply(vec![moved(1)]);
    story.machine.flush_meta(&mut story.rows);
    let second = RowGeneration(2);
    let (from, to) = (generation_prefix(GROUP, FIRST), generation_prefix(GROUP, second));
    let mut copy = MapRows::default();
    for (key, value) in &story.rows.0 {
        let tail = key.strip_prefix(from.as_slice()).expect("a row of the generation");
        copy.put([&to, tail].concat(), value.clone());
    }
    let mut opened = ConfigMachine::open(GROUP, second, &copy).expect("rows").expect("a machine");
    assert_eq!(opened.state, story.machine.state);
    assert_eq!(opened.newest, story.machine.newest);
    // And it goes on alike.
    let index = opened.applied().next();
    let bytes = payload(index, vec![ConfigCommand::Init(plan(3, 2)), moved(7)]);
    let there = opened.apply(&mut copy, index, &bytes).expect("an entry");
    let here = story.machine.apply(&mut story.rows, index, &bytes).expect("an entry");
    assert_eq!(there, here);
    assert_eq!(opened.newest, story.machine.newest);
}

#[test]
fn entries_applied_again_after_a_crash_give_the_same_rows() {
    let mut story = Story::with_three_nodes();
    story.machine.flush_meta(&mut story.rows);
    // The rows of these entries reach the disk; what `flush_meta` would have said does not.
    let entries: Vec<Vec<ConfigCommand>> = (1..40).map(|step| vec![moved(step)]).collect();
    for commands in &entries {
        story.apply(commands.clone());
    }
    let mut rows = story.rows.clone();
    let mut machine = ConfigMachine::open(GROUP, FIRST, &rows).expect("rows").expect("a machine");
    assert_eq!(machine.applied(), Index(1));
    let reply = machine.read(&rows, &ConfigQuery::Version(TableVersion(2))).expect("an answer");
    assert!(matches!(reply, ConfigReply::NoSuchVersion { .. }), "not yet");
    for commands in entries {
        let index = machine.applied().next();
        machine.apply(&mut rows, index, &payload(index, commands)).expect("an entry");
    }
    machine.flush_meta(&mut rows);
    story.machine.flush_meta(&mut story.rows);
    assert_eq!(rows, story.rows);
}

#[test]
fn time_does_not_run_backwards_and_empty_entries_only_count() {
    let mut story = Story::with_three_nodes();
    assert_eq!(story.machine.time(), UnixMillis(1000));
    let early = ConfigPayload { time: UnixMillis(5), requests: vec![] }.encode();
    let replies = story.machine.apply(&mut story.rows, Index(2), &early);
    assert_eq!(replies, Ok(vec![]));
    assert_eq!(story.machine.apply(&mut story.rows, Index(4), &[]), Ok(vec![]));
    assert_eq!((story.machine.time(), story.machine.applied()), (UnixMillis(1000), Index(4)));
}

#[test]
fn entries_that_cannot_be_read_or_come_twice_stop_the_replica() {
    let mut story = Story::with_three_nodes();
    let before = story.rows.clone();
    let again = story.machine.apply(&mut story.rows, Index(1), &[]);
    assert!(matches!(again, Err(ApplyError::Order { .. })));
    for bytes in [&[1, 2][..], &[200][..], &[1, 0, 1, 0, 0, 99][..]] {
        let result = story.machine.apply(&mut story.rows, Index(2), bytes);
        assert!(matches!(result, Err(ApplyError::Payload(Index(2), _))), "{bytes:?}");
    }
    assert_eq!(story.rows, before);
    assert_eq!(story.machine.applied(), Index(1));
}

#[test]
fn rows_that_cannot_be_right_do_not_open() {
    let mut story = Story::with_three_nodes();
    story.machine.flush_meta(&mut story.rows);
    let open = |rows: &MapRows| ConfigMachine::open(GROUP, FIRST, rows).map(|_| ());
    assert_eq!(open(&story.rows), Ok(()));
    let version = story.machine.version_key(VERSION, TableVersion(1));
    let mut rows = story.rows.clone();
    rows.delete(version.clone());
    assert_eq!(open(&rows), Err(OpenError::Missing(TableVersion(1))));
    rows.put(version, Bytes::from_static(b"\x01nonsense"));
    assert!(matches!(open(&rows), Err(OpenError::Table(TableVersion(1), _))));
    rows.put(story.machine.key(STATE), Bytes::from_static(b"\xff"));
    assert!(matches!(open(&rows), Err(OpenError::Row(STATE, _))));
}

#[test]
fn helpers_come_and_go_and_are_checked() {
    let mut story = Story::new();
    let wide = InitPlan { replication: 3, ..plan(5, 1) };
    story.apply(vec![ConfigCommand::Init(wide)]);
    let table = story.machine.newest().expect("a table").clone();
    let (group, replica) = (GroupId(1), table.groups[&GroupId(1)].replicas[0]);
    let outside: Vec<NodeId> = table
        .nodes
        .keys()
        .copied()
        .filter(|n| !table.groups[&group].replicas.contains(n))
        .collect();
    let set =
        |group, node, helper, wanted| ConfigCommand::SetHelper { group, node, helper, wanted };
    let (observer, secretary) = (Helper::Observer, Helper::Secretary);
    let version = |number| TableVersion(number);
    let replies = story.apply(vec![
        set(group, outside[1], observer, true),
        set(group, outside[1], observer, true),
        set(group, outside[0], secretary, true),
        set(group, outside[0], observer, true),
        set(group, replica, observer, true),
        set(group, NodeId(9), observer, true),
        set(GroupId(7), outside[0], observer, true),
        set(group, outside[0], observer, false),
        set(group, outside[1], observer, false),
    ]);
    let refused = |refusal| ConfigReply::Refused(refusal);
    assert_eq!(
        replies,
        [
            ConfigReply::Changed(version(2)),
            ConfigReply::Unchanged(version(2)),
            ConfigReply::Changed(version(3)),
            refused(Refusal::HelpsOtherwise { node: outside[0], group, helper: secretary }),
            refused(Refusal::HoldsReplica { node: replica, group, helper: observer }),
            refused(Refusal::UnknownNode(NodeId(9))),
            refused(Refusal::UnknownGroup(GroupId(7))),
            ConfigReply::Unchanged(version(3)),
            ConfigReply::Changed(version(4)),
        ]
    );
    let info = &story.machine.newest().expect("a table").groups[&group];
    assert_eq!((info.observers.as_slice(), info.secretaries.as_slice()), (&[][..], &outside[..1]));
}
