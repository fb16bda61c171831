//! The driver of one of three replicas, of which one other answers everything.

use super::caretaker::Wish;
use super::driver::Driver;
use super::event::{Applied, ApplyItem, Effects, Event, Leaver, Now, Proposed, ReplyTo};
use super::payload::PayloadKind;
use crate::actors::liveness::{Health, PeerHealth};
use crate::ids::{Generation, GroupId, Incarnation, Index, NodeId};
use crate::kv::migration::{Handoff, MoveId, MoveRecord};
use crate::kv::{Command, Condition, Expiry};
use crate::limits;
use crate::net::message::{Answer, Ask, Outcome, Refusal, Unit, UnitId, Work};
use crate::raft::{
    self, ChangeKind, Membership, MembershipChange, Message, MessageBody, ProposeError, Raft,
    Restored, Role, SnapshotMeta,
};
use crate::shard::TableStamp;
use crate::store::wal::LogOp;
use crate::time::{MonoMillis, UnixMillis};
use bytes::Bytes;
use std::sync::Arc;

const GROUP: GroupId = GroupId(1);
const ME: NodeId = NodeId(1);
const FRIEND: NodeId = NodeId(2);
const LIFE: Generation = Generation(1);

struct Bench {
    driver: Driver,
    now: u64,
    /// Whether the friend answers.
    friend: bool,
    outcomes: Vec<(u64, Outcome)>,
    compacted: Option<Index>,
    cut: Option<SnapshotMeta>,
    memberships: Vec<Membership>,
    changes: Vec<Proposed>,
    /// Until when the reads handed over may be answered.
    reads: Vec<Option<MonoMillis>>,
    farewells: Vec<Leaver>,
    /// The disk by which the friend speaks.
    disk: Incarnation,
    applied: Index,
}

impl Bench {
    /// A leader.
    fn new() -> Self {
        Self::with(None, Membership::of_voters([ME, FRIEND, NodeId(3)]))
    }

    /// A leader of these.
    fn among(membership: Membership) -> Self {
        Self::with(None, membership)
    }

    fn with(lease: Option<raft::Lease>, membership: Membership) -> Self {
        let mut config = raft::Config::new(ME, 7);
        config.eager_commit = false;
        config.lease = lease;
        let restored = Restored { membership, ..Restored::newborn([]) };
        let raft = Raft::new(config, restored).unwrap();
        let (index, time) = (Index(0), UnixMillis(0));
        let applied = Applied { generation: LIFE, index, time, next_due: None };
        let driver = Driver::new(GROUP, ME, LIFE, PayloadKind::Keys, raft, applied);
        let mut bench = Self {
            driver,
            now: 0,
            friend: true,
            outcomes: Vec::new(),
            compacted: None,
            cut: None,
            memberships: Vec::new(),
            changes: Vec::new(),
            farewells: Vec::new(),
            disk: Incarnation(2),
            reads: Vec::new(),
            applied: index,
        };
        while bench.driver.status().role != Role::Leader {
            assert!(bench.now < 1_000, "nobody leads");
            bench.handle(Event::Tick);
        }
        bench
    }

    /// The disk, the state machine and the friend answer at once.
    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.now += 1;
            let now = Now { mono: MonoMillis(self.now), median: Some(UnixMillis(self.now)) };
            let mut effects = Effects::default();
            self.driver.handle(event, now, &mut effects);
            let answers = effects.answers.into_iter();
            self.outcomes.extend(answers.map(|(_, answer)| (answer.unit.0, answer.outcome)));
            self.memberships.extend(effects.membership);
            self.changes.extend(effects.changes);
            self.farewells.extend(effects.farewells);
            for write in effects.log {
                if let Some(LogOp::Compacted(meta)) = &write.op {
                    self.compacted = Some(meta.index);
                    self.cut = Some(meta.clone());
                }
                events.push(Event::Persisted(LIFE, write.number));
            }
            let to_friend = effects.messages.into_iter().filter(|message| message.to == FRIEND);
            let friend = self.friend;
            let replies: Vec<_> = to_friend.filter(|_| friend).filter_map(answer).collect();
            if !replies.is_empty() {
                events.push(Event::Peer(self.disk, replies));
            }
            for item in effects.apply {
                if let ApplyItem::Reads { until, .. } = &item {
                    self.reads.push(*until);
                }
                if let ApplyItem::Entries(entries) = item {
                    self.applied = entries.last().unwrap().0.index;
                    let (index, time) = (self.applied, UnixMillis(0));
                    let applied = Applied { generation: LIFE, index, time, next_due: None };
                    events.push(Event::Applied(applied));
                }
            }
        }
    }

    fn send(&mut self, unit: u64, command: Command) {
        let work = Work::Keys(vec![Ask { command, session: None }]);
        let unit = Unit { id: UnitId(unit), group: GROUP, work };
        self.handle(Event::Units(ReplyTo::Worker(0), vec![unit]));
    }
}

/// What the friend says to that.
fn answer(message: Message) -> Option<Message> {
    let body = match message.body {
        MessageBody::PreVote { .. } => MessageBody::PreVoteResponse { granted: true },
        MessageBody::Vote { .. } => MessageBody::VoteResponse { granted: true },
        MessageBody::Heartbeat { round, .. } => {
            MessageBody::HeartbeatResponse { round, bound: true }
        }
        MessageBody::Append { prev_index, entries, .. } => {
            let index = Index(prev_index.0 + entries.len() as u64);
            MessageBody::AppendResponse { index, reject: None }
        }
        _ => return None,
    };
    Some(Message { from: FRIEND, to: ME, term: message.term, body })
}

fn set(value_bytes: usize) -> Command {
    Command::Set {
        key: Bytes::from_static(b"k"),
        value: Bytes::from(vec![b'v'; value_bytes]),
        condition: Condition::Always,
        expiry: Expiry::Clear,
        get: false,
    }
}

#[test]
fn a_unit_that_fits_no_entry_is_refused() {
    let mut bench = Bench::new();
    bench.send(1, set(limits::ENTRY_BYTES_MAX - 64));
    assert_eq!(bench.outcomes, [(1, Outcome::NotDone(Refusal::TooLarge))]);
    let before = bench.applied;
    bench.send(2, set(limits::VALUE_BYTES_MAX));
    assert_eq!((bench.outcomes.len(), bench.applied), (1, before.next()));
}

#[test]
fn a_leader_keeps_log_for_a_follower_that_is_away() {
    let mut bench = Bench::new();
    for unit in 0..48 {
        bench.send(unit, set(2 * 1024 * 1024));
    }
    // The third has never been heard of, the second has everything.
    for _ in 0..200 {
        bench.handle(Event::Tick);
    }
    bench.handle(Event::StatePersisted(bench.applied));
    let compacted = bench.compacted.expect("96 MiB are more than is kept");
    let kept = bench.applied.0 - compacted.0;
    assert!((32..=33).contains(&kept), "64 MiB are 32 entries, not {kept}");

    bench.driver.set_log_floor(0);
    bench.handle(Event::StatePersisted(bench.applied));
    assert_eq!(bench.compacted, Some(bench.applied));
}

#[test]
fn a_driver_that_is_given_up_leaves_no_unit_without_a_word() {
    let mut bench = Bench::new();
    bench.friend = false;
    bench.send(1, set(1));
    bench.send(2, Command::Get { key: Bytes::from_static(b"k") });
    assert_eq!(bench.outcomes, [], "nobody confirms anything");
    let mut answers: Vec<(ReplyTo, Answer)> = Vec::new();
    bench.driver.abandon(&mut answers);
    let mut outcomes: Vec<_> =
        answers.into_iter().map(|(_, answer)| (answer.unit.0, answer.outcome)).collect();
    outcomes.sort_by_key(|one| one.0);
    let not_done = Outcome::NotDone(Refusal::NoReplica);
    assert_eq!(outcomes, [(1, Outcome::Unknown), (2, not_done)]);
}

#[test]
fn a_change_of_the_membership_is_in_force_once_it_is_handed_over() {
    let mut bench = Bench::new();
    let change = MembershipChange::admit(NodeId(4), Incarnation(44));
    bench.friend = false;
    bench.handle(Event::Change { token: 7, change: change.clone() });
    assert!(matches!(bench.changes[..], [(7, Ok(_))]));
    assert!(!bench.driver.membership().contains(NodeId(4)), "it is not committed");
    bench.handle(Event::Change { token: 8, change });
    assert!(matches!(bench.changes[1], (8, Err(ProposeError::ChangeInFlight { .. }))));
    bench.friend = true;
    while bench.memberships.is_empty() {
        bench.handle(Event::Tick);
    }
    assert!(bench.driver.membership().holds(NodeId(4), Incarnation(44)));
    assert_eq!(bench.memberships, [bench.driver.membership().clone()]);
}

#[test]
fn a_mark_that_the_log_is_cut_names_the_membership_there() {
    let mut bench = Bench::new();
    bench.driver.set_log_floor(0);
    bench.send(1, set(1));
    let before = bench.applied;
    let change = MembershipChange::one(ChangeKind::Learner, NodeId(4));
    bench.handle(Event::Change { token: 1, change });
    bench.send(2, set(1));
    while bench.memberships.is_empty()
        || bench.driver.status().peers.iter().any(|p| p.active && p.id != FRIEND)
    {
        bench.handle(Event::Tick);
    }
    bench.handle(Event::StatePersisted(before));
    let named = |bench: &Bench| bench.cut.clone().expect("it was cut").membership;
    assert!(!named(&bench).contains(NodeId(4)));
    bench.handle(Event::StatePersisted(before.next()));
    assert!(named(&bench).is_learner(NodeId(4)));
}

#[test]
fn a_silent_replica_is_not_offered_the_lead() {
    let mut bench = Bench::new();
    bench.handle(Event::Transfer(NodeId(3)));
    assert_eq!(bench.driver.status().transfer, None, "proposals would wait for nothing");
    bench.send(1, set(1));
    assert_eq!(bench.applied, bench.driver.status().last);
    bench.handle(Event::Transfer(FRIEND));
    assert_eq!(bench.driver.status().transfer, Some(FRIEND));
}

#[test]
fn units_wait_for_a_commit_while_two_entries_are_not_committed() {
    let mut bench = Bench::new();
    let before = bench.driver.status().last;
    bench.friend = false;
    for unit in 0..40 {
        bench.send(unit, set(1));
    }
    assert_eq!(bench.driver.status().last.0, before.0 + 2);
    for unit in 40..80 {
        bench.send(unit, set(1));
    }
    assert_eq!(bench.driver.status().last.0, before.0 + 3, "enough for a full entry");
    bench.friend = true;
    for _ in 0..20 {
        bench.handle(Event::Tick);
    }
    assert_eq!(bench.applied.0, before.0 + 4);
}

#[test]
fn a_step_that_clients_wait_for_does_not_wait_for_a_commit() {
    let mut bench = Bench::new();
    let before = bench.driver.status().last;
    bench.friend = false;
    for unit in 0..10 {
        bench.send(unit, set(1));
    }
    let id = MoveId { source: GroupId(2), number: 1 };
    let steps = |step| Unit { id: UnitId(50), group: GROUP, work: Work::Steps(vec![step]) };
    let send = |bench: &mut Bench, unit| {
        bench.handle(Event::Units(ReplyTo::Worker(0), vec![unit]));
        bench.driver.status().last.0 - before.0
    };
    assert_eq!(send(&mut bench, steps(MoveRecord::Close { id })), 2, "nobody waits for it");
    let handoff = Handoff { index: Index(1), time: UnixMillis(1) };
    assert_eq!(send(&mut bench, steps(MoveRecord::Accept { id, handoff })), 3, "with all before");
    bench.send(60, set(1));
    assert_eq!(bench.driver.status().last.0 - before.0, 3, "others wait as before");
}

/// Three voters, each known by a disk numbered like it.
fn known() -> Membership {
    Membership::of_disks([1, 2, 3].map(|id| (NodeId(id), Incarnation(u64::from(id)))))
}

#[test]
fn another_disk_under_a_known_name_confirms_nothing() {
    let mut bench = Bench::among(known());
    bench.send(1, set(1));
    let before = bench.applied;
    bench.disk = Incarnation(99);
    bench.send(2, set(1));
    bench.send(3, Command::Get { key: Bytes::from_static(b"k") });
    bench.handle(Event::Tick);
    assert_eq!(bench.applied, before, "its acknowledgement does not count");
    assert!(bench.outcomes.iter().all(|(unit, _)| *unit != 3), "nor its answer to a heartbeat");
    bench.disk = Incarnation(2);
    for _ in 0..20 {
        bench.handle(Event::Tick);
    }
    assert!(bench.applied > before);
}

#[test]
fn another_disk_under_a_known_name_is_let_in_as_a_learner() {
    let mut bench = Bench::among(known());
    let wish = Wish { table: TableStamp::default(), replicas: [1, 2, 3].map(NodeId).to_vec() };
    bench.handle(Event::Wish(wish));
    bench.handle(Event::Arrived { node: NodeId(3), disk: Incarnation(33) });
    while bench.memberships.is_empty() {
        bench.now += 50;
        bench.handle(Event::Tick);
    }
    let membership = bench.driver.membership();
    assert_eq!(membership.voters, [ME, FRIEND]);
    assert!(membership.is_learner(NodeId(3)) && membership.holds(NodeId(3), Incarnation(33)));
}

#[test]
fn who_does_not_belong_is_let_go_when_a_majority_says_so() {
    let mut bench = Bench::among(known());
    let leaving = |node, disk, forgotten| Event::Leaving {
        node: NodeId(node),
        disk: Incarnation(disk),
        forgotten,
        request: 100 + disk,
    };
    bench.handle(leaving(3, 3, false));
    for _ in 0..5 {
        bench.handle(Event::Tick);
    }
    assert_eq!(bench.farewells, [], "it belongs");
    bench.friend = false;
    bench.handle(leaving(3, 30, false));
    bench.handle(leaving(4, 4, false));
    assert!(!bench.driver.is_asleep());
    for _ in 0..5 {
        bench.handle(Event::Tick);
    }
    assert_eq!(bench.farewells, [], "this leader may be one of the past");
    bench.friend = true;
    for _ in 0..5 {
        bench.handle(Event::Tick);
    }
    let farewell =
        |node, disk| Leaver { node: NodeId(node), disk: Incarnation(disk), request: 100 + disk };
    assert_eq!(bench.farewells, [farewell(3, 30), farewell(4, 4)]);
}

#[test]
fn who_has_forgotten_is_removed_and_then_let_go() {
    let mut bench = Bench::among(known());
    let wish = Wish { table: TableStamp::default(), replicas: [1, 2, 3].map(NodeId).to_vec() };
    bench.handle(Event::Wish(wish));
    for _ in 0..200 {
        let (node, disk) = (NodeId(3), Incarnation(3));
        bench.now += 50;
        bench.handle(Event::Leaving { node, disk, forgotten: true, request: 7 });
        bench.handle(Event::Tick);
    }
    assert!(!bench.driver.membership().contains(NodeId(3)));
    let farewell = Leaver { node: NodeId(3), disk: Incarnation(3), request: 7 };
    assert!(bench.farewells.contains(&farewell));
}

#[test]
fn a_read_by_lease_asks_nobody_and_says_until_when_it_is_good() {
    let get = || Command::Get { key: Bytes::from_static(b"k") };
    let mut bench = Bench::with(
        Some(raft::Lease { millis: 600 }),
        Membership::of_voters([ME, FRIEND, NodeId(3)]),
    );
    for _ in 0..4 {
        bench.handle(Event::Tick);
    }
    bench.friend = false;
    bench.send(1, get());
    let [Some(until)] = bench.reads[..] else { panic!("{:?}", bench.reads) };
    assert!(until.0 > bench.now && until.0 <= bench.now + 600);
    // A slow disk may cost the lead at any moment: then a quorum is asked.
    let told = |slow| {
        // Nobody is better, or the lead would be handed over.
        let friend = PeerHealth { disk_slow: slow, ..PeerHealth::default() };
        let health = Health { slow, peers: [(FRIEND, friend)].into(), ..Health::default() };
        Event::Health { health: Arc::new(health), spread_ticks: 1 }
    };
    bench.handle(told(true));
    bench.send(2, get());
    assert_eq!(bench.reads.len(), 1);
    bench.handle(told(false));
    bench.send(3, get());
    assert_eq!(bench.reads.len(), 2);
    bench.now = until.0;
    bench.send(4, get());
    assert_eq!(bench.reads.len(), 2, "it has ended");
    bench.friend = true;
    for _ in 0..4 {
        bench.handle(Event::Tick);
    }
    assert_eq!(bench.reads[2..], [None], "a quorum has answered for both");
}
