//! Those who go through all keys of some buckets, page by page, wherever they are: what was there all the time must
//! be found each time. Where all buckets are shared out they also have the buckets beside those that clients use:
//! what happens to one must not happen to its neighbours, and a page must not pass over what is elsewhere.

use super::cluster::{Shape, hash_tag};
use super::coverage::Kind;
use super::movers::home_of;
use super::properties::{Held, Violation};
use super::swarm::GROUPS;
use super::world::{Happening, Parcel, World};
use bytes::Bytes;
use eraft::ids::{Bucket, GroupId, NodeId};
use eraft::kv::{Command, Condition, Expiry, HASH_BITS, Redirect, Reply, ScanPage};
use eraft::net::message::{Answer, Ask, Outcome, Refusal, Unit, UnitId, Work};
use eraft::shard::bucket_of;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// No client's and no driver's unit has such a number.
const FIRST_UNIT: u64 = 1 << 49;
/// Keys that are written first and never change.
const ANCHORS: usize = 5;
/// How long an answer is waited for, microseconds.
const PATIENCE: u64 = 400_000;

/// Buckets in their order, with texts that are in them.
type Range = Vec<(Bucket, String)>;

/// By group, the buckets around the one that its clients use.
static AROUND: LazyLock<Vec<Range>> = LazyLock::new(|| {
    let around = |group| {
        let home = home_of(group).0;
        (home - 1..=home + 1).map(|at| (Bucket(at), tag_in(group, Bucket(at)))).collect()
    };
    GROUPS.into_iter().map(around).collect()
});

fn tag_in(group: GroupId, bucket: Bucket) -> String {
    let numbered = (0_u32..).map(|number| format!("{{{group}.{number}}}"));
    let mut tags = std::iter::once(hash_tag(group)).chain(numbered);
    tags.find(|tag| bucket_of(tag.as_bytes()) == bucket).expect("hashes reach all buckets")
}

/// One of them.
#[derive(Debug)]
struct Scanner {
    range: Range,
    /// In so many of its buckets the keys are there.
    anchored: usize,
    /// Where the bucket seems to be that it is at, and who seems to lead there.
    at: GroupId,
    target: NodeId,
    cursor: u64,
    found: BTreeSet<Bytes>,
    sent: Option<(UnitId, u64)>,
    /// Nothing goes wrong any more, and it goes through its buckets one more time.
    is_last: bool,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub(crate) struct Scanners {
    all: Vec<Scanner>,
    last_unit: u64,
}

impl Scanner {
    fn new(group: GroupId, range: Range) -> Self {
        Self {
            anchored: 0,
            at: group,
            target: NodeId(1),
            cursor: start(&range),
            range,
            found: BTreeSet::new(),
            sent: None,
            is_last: false,
        }
    }

    fn anchors(&self, place: usize) -> impl Iterator<Item = Bytes> {
        (0..ANCHORS).map(move |at| Bytes::from(format!("{}anchor{at}", self.range[place].1)))
    }

    fn is_anchored(&self) -> bool {
        self.anchored == self.range.len()
    }

    fn work(&self) -> Work {
        let ask = |command| Ask { command, session: None };
        if !self.is_anchored() {
            let set = |key: Bytes| Command::Set {
                value: key.clone(),
                key,
                condition: Condition::Always,
                expiry: Expiry::Clear,
                get: false,
            };
            return Work::Keys(self.anchors(self.anchored).map(set).map(ask).collect());
        }
        let until = self.range[self.range.len() - 1].0.0 + 1;
        let page = ScanPage { cursor: self.cursor, until, count: 1, pattern: None, kind: None };
        Work::Keys(vec![ask(Command::Scan(page))])
    }

    /// Answers whether a scan is at its end.
    fn took(&mut self, reply: &Reply) -> Result<bool, Violation> {
        let Reply::Array(parts) = reply else { return Ok(false) };
        let [Reply::Integer(next), Reply::Array(keys)] = &parts[..] else { return Ok(false) };
        self.found.extend(keys.iter().filter_map(|key| match key {
            Reply::Bulk(key) => Some(key.clone()),
            _ => None,
        }));
        self.cursor = next.cast_unsigned();
        if self.cursor != 0 {
            return Ok(false);
        }
        let found = std::mem::take(&mut self.found);
        self.cursor = start(&self.range);
        let mut all = (0..self.range.len()).flat_map(|place| self.anchors(place));
        match all.find(|key| !found.contains(key)) {
            None => Ok(true),
            Some(missing) => {
                let story =
                    format!("{missing:?} was there all the time, and the scan found {found:?}");
                Err(Violation::new("a scan finds what stays", story))
            }
        }
    }
}

fn start(range: &Range) -> u64 {
    u64::from(range[0].0.0) << HASH_BITS
}

impl Scanners {
    /// One for each bucket that clients use, and those around it if all are shared out.
    pub(crate) fn new(shape: &Shape) -> Self {
        let range = |group, around: &Range| match shape.shared_out {
            true => around.clone(),
            false => vec![(home_of(group), hash_tag(group))],
        };
        let one = |(group, around)| Scanner::new(group, range(group, around));
        Self { all: GROUPS.into_iter().zip(AROUND.iter()).map(one).collect(), last_unit: 0 }
    }

    /// Each goes through its buckets from the first one more time, when its keys are there.
    pub(crate) fn begin_last(&mut self) {
        for scanner in &mut self.all {
            scanner.found.clear();
            scanner.cursor = start(&scanner.range);
            scanner.sent = None;
            scanner.is_last = true;
        }
    }

    /// Whether all have done so.
    pub(crate) fn are_done(&self) -> bool {
        self.all.iter().all(|scanner| !scanner.is_last)
    }

    /// Whether this unit is one of theirs, whoever still waits for it.
    pub(crate) fn is_theirs(unit: UnitId) -> bool {
        unit.0 >= FIRST_UNIT
    }
}

impl World {
    /// Who waits for nothing, or has waited for long, asks again.
    pub(crate) fn scan(&mut self) {
        if self.now < self.lull_until {
            return;
        }
        for at in 0..self.scanners.all.len() {
            let scanner = &mut self.scanners.all[at];
            if self.is_calm && !scanner.is_last {
                continue;
            }
            match scanner.sent {
                Some((_, since)) if self.now < since + PATIENCE => continue,
                Some(_) => scanner.target = self.wishes.pick(&self.swarm.shape.nodes),
                None => {}
            }
            self.scanners.last_unit += 1;
            let id = UnitId(FIRST_UNIT + self.scanners.last_unit);
            scanner.sent = Some((id, self.now));
            let unit = Unit { id, group: scanner.at, work: scanner.work() };
            let (target, after) = (scanner.target, self.wishes.between(20, 600));
            self.plan(after, Happening::Deliver(target, Parcel::Unit(unit)));
        }
    }

    /// One of them is answered.
    pub(crate) fn scanned(&mut self, answer: &Answer) -> Held {
        let any = self.wishes.pick(&self.swarm.shape.nodes);
        let waits = |one: &&mut Scanner| one.sent.is_some_and(|sent| sent.0 == answer.unit);
        let Some(scanner) = self.scanners.all.iter_mut().find(waits) else { return Ok(()) };
        scanner.sent = None;
        match &answer.outcome {
            Outcome::NotDone(Refusal::NotLeader(Some(leader))) => scanner.target = *leader,
            Outcome::NotDone(_) | Outcome::Unknown => scanner.target = any,
            Outcome::Done(replies) => match &replies[0] {
                Reply::Redirect(Redirect::Moved { to, .. }) => scanner.at = *to,
                Reply::Redirect(_) => {
                    scanner.at = GROUPS[usize::from(scanner.at == GROUPS[0])];
                }
                Reply::Ok if replies.iter().all(|one| *one == Reply::Ok) => scanner.anchored += 1,
                page => {
                    if scanner.took(page)? {
                        scanner.is_last = false;
                        self.coverage.count(Kind::Scans);
                    }
                }
            },
        }
        Ok(())
    }
}
