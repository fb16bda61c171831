//! Where the applier and the state store tell what they did: kept until the process picks it up after
//! their turn.

use super::incoming::Arrival;
use eraft::actors::apply::{ApplySink, Holdings, Stats};
use eraft::actors::group::event::{Applied, Event, ReplyTo};
use eraft::actors::snapshots::View;
use eraft::ids::{Generation, GroupId, Index};
use eraft::net::message::Answer;
use eraft::raft::{SnapshotMeta, SnapshotNeeded};
use eraft::rows::RowGeneration;
use eraft::shard::Table;
use eraft::store::state::Command;
use eraft::time::MonoMillis;
use std::sync::{Arc, Mutex};

/// About snapshots, and rows that are no more.
pub(crate) enum Mail {
    /// A view of the state is there, for a peer.
    View(GroupId, SnapshotNeeded, Result<View, String>),
    /// A chunk, written to this life of the rows, is in the store.
    Stored(GroupId, RowGeneration, u64),
    /// The rows are the state, or cannot become it.
    Installed(GroupId, Arrival, Result<(SnapshotMeta, Applied), String>),
    /// There is room for a replica that is to begin.
    Blank(GroupId),
    /// Nothing is left of a replica that was destroyed.
    Forgotten(GroupId),
}

/// What was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) answers: Vec<Answer>,
    pub(crate) events: Vec<(GroupId, Event)>,
    pub(crate) has_applied: bool,
    /// For the state thread.
    pub(crate) commands: Vec<Command>,
    pub(crate) mail: Vec<Mail>,
    /// What groups own now, and what moves.
    pub(crate) holdings: Vec<(GroupId, Holdings)>,
    pub(crate) failed: Option<String>,
    /// What the applier sees when it looks at the clock; only ever set.
    clock: MonoMillis,
}

/// Where it is told.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Told>>);

impl Sink {
    /// All that was told since the last time.
    pub(crate) fn take(&self) -> Told {
        self.with(|told| {
            let clock = told.clock;
            std::mem::replace(told, Told { clock, ..Told::default() })
        })
    }

    /// From now on the applier sees this time. One that is later than the time of its turn is a pause in the
    /// middle of it.
    pub(crate) fn set_clock(&self, now: MonoMillis) {
        self.with(|told| told.clock = now);
    }

    /// Tells such a thing.
    pub(crate) fn post(&self, mail: Mail) {
        self.with(|told| told.mail.push(mail));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.0.lock().expect("nobody panics while holding it"))
    }
}

impl ApplySink for Sink {
    fn clock(&mut self) -> MonoMillis {
        self.with(|told| told.clock)
    }

    fn answers(&mut self, answers: Vec<(ReplyTo, Answer)>) {
        self.with(|told| told.answers.extend(answers.into_iter().map(|(_, answer)| answer)));
    }

    fn applied(&mut self, group: GroupId, applied: Applied, _: Stats) {
        self.with(|told| {
            told.has_applied = true;
            told.events.push((group, Event::Applied(applied)));
        });
    }

    fn holdings(&mut self, group: GroupId, holdings: Holdings) -> bool {
        self.with(|told| told.holdings.push((group, holdings)));
        true
    }

    fn table(&mut self, _: &Arc<Table>) {}

    fn persisted(&mut self, groups: Vec<(GroupId, Index)>) {
        let events = groups.into_iter().map(|(group, index)| (group, Event::StatePersisted(index)));
        self.with(|told| told.events.extend(events));
    }

    fn failed(&mut self, group: GroupId, _: Generation, why: String) {
        self.with(|told| told.failed = Some(format!("the machine of {group}: {why}")));
    }

    fn submit(&mut self, command: Command) {
        self.with(|told| told.commands.push(command));
    }

    fn pump(&mut self) {}

    fn worked(&mut self, _: u64, _: u64, _: usize) {}
}
