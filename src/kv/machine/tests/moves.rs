//! Stories of one bucket that moves between two groups.

use super::{Replica, START, b, bulk, del, get, pttl, set, set_for};
use crate::ids::{Bucket, Epoch, GroupId, Index};
use crate::kv::migration::{
    Handoff, IncomingPhase, Item, MoveId, MoveRecord, MoveRefusal, MoveReply, Page, Progress,
    Ranges,
};
use crate::kv::{Command, Redirect, Reply, ScanPage, SessionRef};
use crate::limits::BUCKETS;
use crate::shard::{TableStamp, bucket_of};
use crate::time::UnixMillis;

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

/// Two groups, of which the first owns everything at birth.
struct Pair {
    a: Replica,
    b: Replica,
}

impl Pair {
    fn new() -> Self {
        Self { a: Replica::of_group(A, 0..BUCKETS), b: Replica::of_group(B, []) }
    }

    /// The move of these buckets from the first to the second, begun and pulled.
    fn begin(&mut self, ranges: &Ranges) -> MoveId {
        begin(&mut self.a, &mut self.b, ranges)
    }

    fn copy_all(&mut self, id: MoveId) {
        copy_all(&self.a, &mut self.b, id);
    }

    fn finish(&mut self, id: MoveId) {
        finish(&mut self.a, &mut self.b, id);
    }
}

fn begin(from: &mut Replica, to: &mut Replica, ranges: &Ranges) -> MoveId {
    let record =
        MoveRecord::BeginMove { ranges: ranges.clone(), to: to.group, table: TableStamp::of(1) };
    let MoveReply::Begun(id, outgoing) = from.step(&record) else { panic!("not begun") };
    assert_eq!(from.machine.moves().leaving(id.number), Some(&*outgoing));
    let (epoch, begun) = (outgoing.epoch, outgoing.begun);
    let pull = MoveRecord::Pull { id, to: to.group, ranges: ranges.clone(), epoch, begun };
    assert_eq!(to.step(&pull), MoveReply::Done);
    id
}

fn progress(to: &Replica, id: MoveId) -> Progress {
    to.machine.moves().coming(id).unwrap().progress.clone()
}

fn page(from: &Replica, to: &Replica, id: MoveId, bytes: usize) -> Page {
    from.machine.page(&from.rows, id, &progress(to, id), bytes).unwrap()
}

fn chunk(to: &Replica, id: MoveId, page: Page) -> MoveRecord {
    let (expects, frozen) = (progress(to, id), page.handoff.is_some());
    MoveRecord::Chunk { id, expects, becomes: page.becomes, frozen, items: page.items }
}

fn copy_all(from: &Replica, to: &mut Replica, id: MoveId) -> usize {
    let mut pages = 0;
    loop {
        let page = page(from, to, id, 1_000);
        if page.becomes == progress(to, id) {
            return pages;
        }
        let chunk = chunk(to, id, page);
        assert_eq!(to.step(&chunk), MoveReply::Done);
        pages += 1;
    }
}

fn hand_off(from: &mut Replica, to: &Replica, id: MoveId) -> Handoff {
    let record = MoveRecord::Handoff { id, destination: progress(to, id) };
    let MoveReply::HandedOff(handoff, _) = from.step(&record) else { panic!("not handed off") };
    handoff
}

fn finish(from: &mut Replica, to: &mut Replica, id: MoveId) {
    copy_all(from, to, id);
    let handoff = hand_off(from, to, id);
    copy_all(from, to, id);
    assert_eq!(to.step(&MoveRecord::Accept { id, handoff }), MoveReply::Done);
    assert_eq!(from.step(&MoveRecord::Forget { id }), MoveReply::Done);
    assert_eq!(to.step(&MoveRecord::Close { id }), MoveReply::Done);
    assert!(from.machine.moves().is_over(id.number) && to.machine.moves().coming(id).is_none());
}

fn bucket_ranges(key: &str) -> Ranges {
    Ranges::of([bucket_of(key.as_bytes())]).unwrap()
}

fn refusal(reply: MoveReply) -> MoveRefusal {
    match reply {
        MoveReply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn moved(key: &str, to: GroupId, epoch: u32) -> Reply {
    Reply::Redirect(Redirect::Moved { bucket: bucket_of(key.as_bytes()), to, epoch: Epoch(epoch) })
}

fn not_yet(key: &str) -> Reply {
    Reply::Redirect(Redirect::NotYet { bucket: bucket_of(key.as_bytes()) })
}

#[test]
fn a_bucket_moves_with_its_keys_and_deadlines_while_it_is_written() {
    let mut pair = Pair::new();
    pair.a.run(set("{k}1", "one"));
    pair.a.run(set_for("{k}2", "two", 5_000));
    pair.a.run(set("other", "stays"));
    let id = pair.begin(&bucket_ranges("k"));
    assert_eq!(pair.b.read(&get("{k}1")), not_yet("k"));
    pair.copy_all(id);
    // Written while it moves: the source serves, and nothing is seen at the destination.
    assert_eq!(pair.a.run(set("{k}3", "three")), Reply::Ok);
    assert_eq!(pair.a.run(del("{k}1")), Reply::Integer(1));
    assert_eq!(pair.b.machine.stats().keys, 0);
    pair.a.tick(100);
    let handoff = hand_off(&mut pair.a, &pair.b, id);
    assert_eq!(pair.a.read(&get("{k}3")), moved("k", B, 2));
    assert_eq!(pair.a.run(set("{k}3", "late")), moved("k", B, 2));
    assert_eq!(pair.a.machine.stats().keys, 1);
    let early = pair.b.step(&MoveRecord::Accept { id, handoff });
    assert_eq!(refusal(early), MoveRefusal::Incomplete(id));
    let early = pair.b.step(&MoveRecord::Close { id });
    assert_eq!(refusal(early), MoveRefusal::Incomplete(id));
    pair.copy_all(id);
    assert_eq!(pair.b.step(&MoveRecord::Accept { id, handoff }), MoveReply::Done);
    assert_eq!(pair.b.machine.time(), UnixMillis(START + 100), "time moves along");
    assert_eq!(pair.b.read(&get("{k}1")), Reply::Nil);
    assert_eq!(pair.b.read(&pttl("{k}2")), Reply::Integer(4_900));
    assert_eq!(pair.b.read(&get("{k}3")), bulk("three"));
    assert_eq!(pair.b.machine.stats().keys, 2);
    assert_eq!(pair.a.step(&MoveRecord::Forget { id }), MoveReply::Done);
    pair.a.compact();
    assert_eq!((pair.a.data_rows(), pair.a.read(&get("other"))), (1, bulk("stays")));
    assert_eq!(pair.a.machine.owned_runs().iter().map(|run| run.0.count()).sum::<u32>(), 16_383);
    assert_eq!(pair.b.machine.owned_runs().len(), 1);
    assert!(pair.a.rows.rows.keys().all(|row| row[8] != 2), "no mark is left");
    // What was to expire expires at its time, which nobody else has to tell.
    pair.b.time = START + 5_000;
    pair.b.tick(0);
    assert_eq!((pair.b.machine.stats().keys, pair.b.meta_rows("due")), (1, 0));
}

#[test]
fn sixteen_thousand_empty_buckets_move_in_eight_entries() {
    let mut pair = Pair::new();
    pair.a.run(set("k", "v"));
    pair.a.run(Command::Flush);
    let before = (pair.a.machine.applied(), pair.b.machine.applied());
    let id = pair.begin(&Ranges::of((0..BUCKETS).map(Bucket)).unwrap());
    let looks = pair.a.rows.gets.get() + pair.a.rows.ranges.get();
    let first = page(&pair.a, &pair.b, id, 1_000);
    assert!(first.items.is_empty() && first.becomes.is_catching_up());
    assert_eq!(pair.a.rows.gets.get() + pair.a.rows.ranges.get(), looks, "no row is looked at");
    pair.finish(id);
    let after = (pair.a.machine.applied(), pair.b.machine.applied());
    assert_eq!((after.0.0 - before.0.0) + (after.1.0 - before.1.0), 8);
    assert_eq!(pair.a.machine.stats().buckets, 0);
    assert_eq!(pair.b.machine.stats().buckets, u32::from(BUCKETS));
    assert_eq!(pair.b.run(set("k", "v")), Reply::Ok);
    assert_eq!(pair.a.run(set("k", "v")), moved("k", B, 3));
}

#[test]
fn a_bucket_that_comes_back_has_a_newer_epoch_and_nothing_of_the_old() {
    let mut pair = Pair::new();
    pair.a.run(set("{k}1", "old"));
    pair.a.run(set("{k}2", "old"));
    let ranges = bucket_ranges("k");
    let id = pair.begin(&ranges);
    pair.finish(id);
    pair.b.run(del("{k}1"));
    pair.b.run(set("{k}2", "new"));
    let back = begin(&mut pair.b, &mut pair.a, &ranges);
    assert_eq!(pair.a.read(&get("{k}2")), not_yet("k"));
    finish(&mut pair.b, &mut pair.a, back);
    let (a, mut b) = (pair.a.reopened(), pair.b.reopened());
    assert_eq!((a.read(&get("{k}1")), a.read(&get("{k}2"))), (Reply::Nil, bulk("new")));
    let epoch = |replica: &Replica| replica.machine.live_epochs()[usize::from(bucket_of(b"k").0)];
    assert!(epoch(&a) > Epoch(2) && epoch(&b) > Epoch(2));
    assert_eq!(b.read(&get("{k}1")), moved("k", A, 3));
    b.compact();
    assert_eq!(b.data_rows(), 0);
}

#[test]
fn a_retry_is_recognised_where_the_bucket_went() {
    let mut pair = Pair::new();
    let request = |sequence, low| {
        let expires = UnixMillis(START + 1_000);
        SessionRef { client: 7, sequence, lowest_unanswered: low, expires }
    };
    let append = |text: &str| Command::Append { key: b("{k}"), value: b(text) };
    let first = pair.a.run_under(append("a"), Some(request(1, 1)));
    let elsewhere = Command::Append { key: b("other"), value: b("x") };
    pair.a.run_under(elsewhere.clone(), Some(request(2, 1)));
    let id = pair.begin(&bucket_ranges("{k}"));
    pair.copy_all(id);
    let second = pair.a.run_under(append("b"), Some(request(3, 1)));
    // Asked of the destination too early: that is not its answer for ever.
    assert_eq!(pair.b.run_under(append("b"), Some(request(3, 1))), not_yet("{k}"));
    let handoff = hand_off(&mut pair.a, &pair.b, id);
    assert_eq!(pair.a.run_under(append("c"), Some(request(4, 1))), moved("{k}", B, 2));
    pair.copy_all(id);
    pair.b.step(&MoveRecord::Accept { id, handoff });
    assert_eq!(pair.b.run_under(append("b"), Some(request(3, 1))), second);
    assert_eq!(pair.b.run_under(append("a"), Some(request(1, 1))), first);
    assert_eq!(pair.b.run_under(append("c"), Some(request(4, 4))), Reply::Integer(3));
    let late = pair.b.run_under(append("a"), Some(request(1, 1)));
    assert!(super::error(&late).starts_with("UNKNOWN"));
    assert_eq!(pair.b.read(&get("{k}")), bulk("abc"));
    // And back: what the source was asked in between does not stand in the way.
    pair.a.step(&MoveRecord::Forget { id });
    pair.b.step(&MoveRecord::Close { id });
    let back = begin(&mut pair.b, &mut pair.a, &bucket_ranges("{k}"));
    finish(&mut pair.b, &mut pair.a, back);
    assert_eq!(pair.a.run_under(append("c"), Some(request(4, 4))), Reply::Integer(3));
    let late = pair.a.run_under(append("a"), Some(request(1, 1)));
    assert!(super::error(&late).starts_with("UNKNOWN"), "acknowledged at the other group");
    assert_eq!(pair.a.read(&get("{k}")), bulk("abc"));
}

#[test]
fn a_full_table_of_sessions_holds_a_copy_up_but_no_hand_off() {
    let mut pair = Pair::new();
    let request = |client| {
        let expires = UnixMillis(START + 1_000);
        SessionRef { client, sequence: 1, lowest_unanswered: 1, expires }
    };
    for client in 100..110 {
        pair.a.run_under(set("{k}", "v"), Some(request(client)));
    }
    // The destination remembers as many others.
    pair.b.time = START;
    let ranges = bucket_ranges("x");
    let id = pair.begin(&ranges);
    pair.finish(id);
    for client in 200..210 {
        let reply = pair.b.run_under(set("x", "v"), Some(request(client)));
        // The copy brought the ten of the source along.
        assert!(super::error(&reply).starts_with("TRYAGAIN"), "{reply:?}");
    }
    assert_eq!(pair.b.machine.stats().sessions, 10);
    // They are the same clients: there is room for what is known of them.
    let id = pair.begin(&bucket_ranges("{k}"));
    pair.copy_all(id);
    pair.a.tick(1_000);
    assert_eq!(pair.a.machine.stats().sessions, 0);
    let later = |client| SessionRef { expires: UnixMillis(START + 9_000), ..request(client) };
    pair.a.run_under(set("{k}", "v"), Some(later(300)));
    let late = chunk(&pair.b, id, page(&pair.a, &pair.b, id, 1_000));
    assert_eq!(refusal(pair.b.step(&late)), MoveRefusal::NoRoom);
    let handoff = hand_off(&mut pair.a, &pair.b, id);
    pair.copy_all(id);
    assert_eq!(pair.b.machine.stats().sessions, 11, "over its limit, and nothing forgotten");
    assert_eq!(pair.b.step(&MoveRecord::Accept { id, handoff }), MoveReply::Done);
}

#[test]
fn a_flush_during_a_move_is_copied_too() {
    for flush_after_pages in 0..4 {
        let mut pair = Pair::new();
        for number in 0..20 {
            pair.a.run(set_for(&format!("{{k}}{number}"), "0123456789", 10_000));
        }
        let id = pair.begin(&bucket_ranges("k"));
        for _ in 0..flush_after_pages {
            let chunk = chunk(&pair.b, id, page(&pair.a, &pair.b, id, 200));
            assert_eq!(pair.b.step(&chunk), MoveReply::Done);
        }
        pair.a.run(set("{k}3", "before"));
        pair.a.run(Command::Flush);
        pair.a.run(set("{k}7", "after"));
        pair.finish(id);
        assert_eq!(pair.b.machine.stats().keys, 1, "after {flush_after_pages}");
        assert_eq!(pair.b.read(&get("{k}7")), bulk("after"));
        pair.b.compact();
        assert_eq!(pair.b.data_rows(), 1);
        let epoch = pair.b.machine.owned_runs()[0].1;
        assert!(epoch > Epoch(2), "the source had {}", Epoch(2));
    }
}

#[test]
fn a_look_at_a_move_that_stands_still_carries_nothing() {
    let mut pair = Pair::new();
    pair.a.run(set("{a}x", "1"));
    let id = pair.begin(&bucket_ranges("{a}x"));
    let page = page(&pair.a, &pair.b, id, 0);
    assert_eq!((page.items, page.becomes), (Vec::new(), Progress::START));
    assert_eq!(self::page(&pair.a, &pair.b, id, 1).items.len(), 1, "a larger thing comes alone");
}

#[test]
fn a_move_that_is_given_up_leaves_nothing_behind() {
    let mut pair = Pair::new();
    pair.a.run(set("{k}1", "v"));
    let id = pair.begin(&bucket_ranges("k"));
    pair.copy_all(id);
    pair.a.run(set("{k}2", "v"));
    assert_eq!(refusal(pair.a.step(&MoveRecord::Forget { id })), MoveRefusal::NotHandedOff(id));
    for _ in 0..2 {
        assert_eq!(pair.a.step(&MoveRecord::Cancel { id }), MoveReply::Done);
        assert_eq!(pair.b.step(&MoveRecord::Discard { id }), MoveReply::Done);
    }
    assert_eq!(pair.a.run(set("{k}3", "v")), Reply::Ok);
    let over = pair.a.step(&MoveRecord::Handoff { id, destination: Progress::START });
    assert_eq!(refusal(over), MoveRefusal::Over(id));
    assert_eq!(pair.a.machine.page(&pair.a.rows, id, &Progress::START, 9).ok(), None);
    for replica in [&mut pair.a, &mut pair.b] {
        replica.compact();
        assert!(replica.machine.moves().is_empty());
        assert!(replica.rows.rows.keys().all(|row| row[8] != 2));
    }
    assert_eq!((pair.a.data_rows(), pair.b.data_rows()), (3, 0));
    let there = Redirect::NotHere { bucket: bucket_of(b"k") };
    assert_eq!(pair.b.read(&get("{k}1")), Reply::Redirect(there));
    // The next one begins anew.
    let id = pair.begin(&bucket_ranges("k"));
    pair.finish(id);
    assert_eq!(pair.b.machine.stats().keys, 3);
}

#[test]
fn late_copies_of_a_finished_moves_steps_change_nothing() {
    let mut pair = Pair::new();
    pair.a.run(set("{k}1", "old"));
    let ranges = bucket_ranges("k");
    let table = TableStamp::of(5);
    let first = MoveRecord::BeginMove { ranges: ranges.clone(), to: B, table };
    let MoveReply::Begun(id, outgoing) = pair.a.step(&first) else { panic!("not begun") };
    let (epoch, begun) = (outgoing.epoch, outgoing.begun);
    let mut steps = vec![MoveRecord::Pull { id, to: B, ranges, epoch, begun }];
    assert_eq!(pair.b.step(&steps[0]), MoveReply::Done);
    loop {
        let page = page(&pair.a, &pair.b, id, 1_000);
        if page.becomes == progress(&pair.b, id) {
            break;
        }
        steps.push(chunk(&pair.b, id, page));
        assert_eq!(pair.b.step(steps.last().unwrap()), MoveReply::Done);
    }
    let handoff = hand_off(&mut pair.a, &pair.b, id);
    steps.push(chunk(&pair.b, id, page(&pair.a, &pair.b, id, 1_000)));
    assert_eq!(pair.b.step(steps.last().unwrap()), MoveReply::Done);
    steps.push(MoveRecord::Accept { id, handoff });
    assert_eq!(pair.b.step(steps.last().unwrap()), MoveReply::Done);
    assert_eq!(pair.a.step(&MoveRecord::Forget { id }), MoveReply::Done);
    assert_eq!(pair.b.step(&MoveRecord::Close { id }), MoveReply::Done);
    // The bucket goes home, and is written there.
    let back = begin(&mut pair.b, &mut pair.a, &bucket_ranges("k"));
    finish(&mut pair.b, &mut pair.a, back);
    assert_eq!(pair.a.run(set("{k}1", "new")), Reply::Ok);
    assert_eq!(refusal(pair.b.step(&steps[0])), MoveRefusal::Over(id));
    for late in &steps[1..] {
        assert_eq!(refusal(pair.b.step(late)), MoveRefusal::Unknown(id));
    }
    assert_eq!(pair.b.read(&get("{k}1")), moved("{k}1", A, 3));
    assert_eq!(pair.b.machine.moves().incoming().count(), 0);
}

#[test]
fn tables_of_a_config_group_that_was_recovered_are_newer_whatever_their_versions() {
    let mut pair = Pair::new();
    let begin = |key, table| MoveRecord::BeginMove { ranges: bucket_ranges(key), to: B, table };
    assert!(matches!(pair.a.step(&begin("k", TableStamp::of(9))), MoveReply::Begun(..)));
    let recovered = TableStamp { recoveries: 1, ..TableStamp::of(7) };
    assert!(matches!(pair.a.step(&begin("z", recovered)), MoveReply::Begun(..)));
    let lost = begin("y", TableStamp::of(10));
    assert_eq!(refusal(pair.a.step(&lost)), MoveRefusal::OldTable(recovered));
}

#[test]
fn what_contradicts_the_state_is_refused() {
    let mut pair = Pair::new();
    let ranges = bucket_ranges("k");
    let (bucket, table) = (bucket_of(b"k"), TableStamp::of(5));
    let begin = |to, table| MoveRecord::BeginMove { ranges: bucket_ranges("k"), to, table };
    for nobody in [A, GroupId(0)] {
        let refused = refusal(pair.a.step(&begin(nobody, table)));
        assert_eq!(refused, MoveRefusal::NoDestination(nobody));
    }
    let refused = refusal(pair.b.step(&begin(A, table)));
    assert_eq!(refused, MoveRefusal::NotOwned(bucket));
    let MoveReply::Begun(id, _) = pair.a.step(&begin(B, table)) else { panic!("not begun") };
    let again = refusal(pair.a.step(&begin(B, table)));
    assert_eq!(again, MoveRefusal::InMove { bucket, id });
    let old = MoveRecord::BeginMove { ranges: bucket_ranges("z"), to: B, table: TableStamp::of(4) };
    assert_eq!(refusal(pair.a.step(&old)), MoveRefusal::OldTable(table));
    let early = MoveRecord::Handoff { id, destination: Progress::START };
    assert_eq!(refusal(pair.a.step(&early)), MoveRefusal::Incomplete(id));
    let future = MoveId { number: 9, ..id };
    assert_eq!(
        refusal(pair.a.step(&MoveRecord::Cancel { id: future })),
        MoveRefusal::Unknown(future)
    );
    let pull = |to, epoch| MoveRecord::Pull {
        id,
        to,
        ranges: ranges.clone(),
        epoch: Epoch(epoch),
        begun: Index(1),
    };
    assert_eq!(refusal(pair.b.step(&pull(GroupId(9), 1))), MoveRefusal::Unknown(id));
    assert!(matches!(refusal(pair.b.step(&pull(B, u32::MAX))), MoveRefusal::Malformed(_)));
    assert_eq!(pair.b.step(&pull(B, 1)), MoveReply::Done);
    assert_eq!(pair.b.step(&pull(B, 1)), MoveReply::Done);
    let chunk = |expects: &Progress, becomes: &Progress, items: Vec<Item>| MoveRecord::Chunk {
        id,
        expects: expects.clone(),
        becomes: becomes.clone(),
        frozen: false,
        items,
    };
    let changes = Progress::Changes { through: Index(9), within: None };
    let row = |key: &str| Item::Row { key: b(key), deadline: None, value: b("v") };
    for (record, word) in [
        (chunk(&Progress::START, &Progress::START, vec![]), "go on"),
        (chunk(&Progress::START, &changes, vec![row("foreign")]), "another move"),
        (chunk(&Progress::START, &changes, vec![row(&"k".repeat(40_000))]), "too large"),
    ] {
        let why = refusal(pair.b.step(&record)).to_string();
        assert!(why.contains(word), "{why}");
    }
    assert_eq!(pair.b.step(&chunk(&Progress::START, &changes, vec![row("k")])), MoveReply::Done);
    let twice = refusal(pair.b.step(&chunk(&Progress::START, &changes, vec![row("k")])));
    assert_eq!(twice, MoveRefusal::Elsewhere(id, Box::new(changes)));
    assert_eq!(pair.b.machine.moves().coming(id).unwrap().phase, IncomingPhase::Coming);
    pair.b.compact();
    assert_eq!(pair.b.data_rows(), 1);
}

#[test]
fn a_scan_stops_before_a_bucket_of_another_group() {
    let mut pair = Pair::new();
    for number in 0..50 {
        pair.a.run(set(&format!("k{number}"), "v"));
    }
    let middle = bucket_of(b"k7");
    let id = pair.begin(&bucket_ranges("k7"));
    pair.finish(id);
    let scan = |replica: &Replica, cursor| {
        let page = ScanPage { cursor, until: BUCKETS, count: 1_000, pattern: None, kind: None };
        replica.read(&Command::Scan(page))
    };
    let Reply::Array(first) = scan(&pair.a, 0) else { panic!("no page") };
    let here = crate::kv::scan::cursor(middle, 0);
    assert_eq!(first[0], Reply::Integer(here.cast_signed()));
    assert_eq!(scan(&pair.a, here), moved("k7", B, 2));
    let Reply::Array(there) = scan(&pair.b, here) else { panic!("no page") };
    // Of the buckets behind it that group knows nothing: another one may have keys there.
    let behind = crate::kv::scan::cursor(Bucket(middle.0 + 1), 0);
    assert_eq!(there[0], Reply::Integer(behind.cast_signed()));
    assert_eq!(there[1], Reply::Array(vec![bulk("k7")]));
    let not_here = Redirect::NotHere { bucket: Bucket(middle.0 + 1) };
    assert_eq!(scan(&pair.b, behind), Reply::Redirect(not_here));
    let Reply::Array(rest) = scan(&pair.a, behind) else { panic!("no page") };
    let count = |page: &Reply| match page {
        Reply::Array(keys) => keys.len(),
        other => panic!("no keys: {other:?}"),
    };
    assert_eq!((rest[0].clone(), count(&first[1]) + count(&rest[1])), (Reply::Integer(0), 49));
}

#[test]
fn what_comes_is_not_swept_before_its_time_nor_kept_beyond_it() {
    let mut pair = Pair::new();
    // The destination's clock is ahead.
    pair.b.tick(500);
    pair.a.run(set_for("{k}1", "v", 300));
    pair.a.run(set_for("{k}2", "v", 300));
    let id = pair.begin(&bucket_ranges("k"));
    pair.copy_all(id);
    pair.b.tick(1);
    // The key is alive at the source, which makes it live longer.
    let longer = Command::Persist { key: b("{k}1") };
    assert_eq!(pair.a.run(longer), Reply::Integer(1));
    pair.finish(id);
    pair.b.tick(1);
    assert_eq!(pair.b.read(&get("{k}1")), bulk("v"));
    assert_eq!(pair.b.read(&get("{k}2")), Reply::Nil);
    assert_eq!((pair.b.machine.stats().keys, pair.b.meta_rows("due")), (1, 0));
}
