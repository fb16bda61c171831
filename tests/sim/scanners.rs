//! Those who go through all keys of a bucket, page by page, wherever it is: what was there all the time must
//! be found each time.

use super::cluster::hash_tag;
use super::coverage::Kind;
use super::movers::home_of;
use super::properties::{Held, Violation};
use super::swarm::GROUPS;
use super::world::{Happening, Parcel, World};
use bytes::Bytes;
use eraft::ids::{GroupId, NodeId};
use eraft::kv::{Command, Condition, Expiry, HASH_BITS, Redirect, Reply, ScanPage};
use eraft::net::message::{Answer, Ask, Outcome, Refusal, Unit, UnitId, Work};
use std::collections::BTreeSet;

/// No client's and no driver's unit has such a number.
const FIRST_UNIT: u64 = 1 << 49;
/// Keys that are written first and never change.
const ANCHORS: usize = 5;
/// How long an answer is waited for, microseconds.
const PATIENCE: u64 = 400_000;

/// One of them.
#[derive(Debug)]
struct Scanner {
    group: GroupId,
    /// Where its bucket seems to be, and who seems to lead there.
    at: GroupId,
    target: NodeId,
    /// The keys are there.
    is_anchored: bool,
    cursor: u64,
    found: BTreeSet<Bytes>,
    sent: Option<(UnitId, u64)>,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub(crate) struct Scanners {
    all: Vec<Scanner>,
    last_unit: u64,
}

impl Scanner {
    fn new(group: GroupId) -> Self {
        Self {
            group,
            at: group,
            target: NodeId(1),
            is_anchored: false,
            cursor: start(group),
            found: BTreeSet::new(),
            sent: None,
        }
    }

    fn anchors(&self) -> impl Iterator<Item = Bytes> {
        (0..ANCHORS).map(|at| Bytes::from(format!("{}anchor{at}", hash_tag(self.group))))
    }

    fn work(&self) -> Work {
        let ask = |command| Ask { command, session: None };
        if !self.is_anchored {
            let set = |key: Bytes| Command::Set {
                value: key.clone(),
                key,
                condition: Condition::Always,
                expiry: Expiry::Clear,
                get: false,
            };
            return Work::Keys(self.anchors().map(set).map(ask).collect());
        }
        let until = home_of(self.group).0 + 1;
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
        self.cursor = start(self.group);
        match self.anchors().find(|key| !found.contains(key)) {
            None => Ok(true),
            Some(missing) => {
                let story =
                    format!("{missing:?} was there all the time, and the scan found {found:?}");
                Err(Violation::new("a scan finds what stays", story))
            }
        }
    }
}

fn start(group: GroupId) -> u64 {
    u64::from(home_of(group).0) << HASH_BITS
}

impl Scanners {
    /// One for each group.
    pub(crate) fn new() -> Self {
        Self { all: GROUPS.into_iter().map(Scanner::new).collect(), last_unit: 0 }
    }

    /// Whether this unit is one of theirs, whoever still waits for it.
    pub(crate) fn is_theirs(unit: UnitId) -> bool {
        unit.0 >= FIRST_UNIT
    }
}

impl World {
    /// Who waits for nothing, or has waited for long, asks again.
    pub(crate) fn scan(&mut self) {
        if self.is_calm || self.now < self.lull_until {
            return;
        }
        for at in 0..self.scanners.all.len() {
            let scanner = &mut self.scanners.all[at];
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
                Reply::Ok => scanner.is_anchored = replies.iter().all(|one| *one == Reply::Ok),
                page => {
                    if scanner.took(page)? {
                        self.coverage.count(Kind::Scans);
                    }
                }
            },
        }
        Ok(())
    }
}
