//! Where the applier tells what it did: kept until the process picks it up after the applier's turn.

use eraft::actors::apply::{ApplySink, Stats};
use eraft::actors::group::event::{Applied, Event, ReplyTo};
use eraft::ids::{Generation, GroupId, Index};
use eraft::net::message::Answer;
use eraft::shard::Table;
use eraft::store::state::Command;
use std::sync::{Arc, Mutex};

/// What the applier told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) answers: Vec<Answer>,
    pub(crate) events: Vec<(GroupId, Event)>,
    pub(crate) has_applied: bool,
    /// For the state thread.
    pub(crate) commands: Vec<Command>,
    pub(crate) failed: Option<String>,
}

/// Where it tells it.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Told>>);

impl Sink {
    /// All that was told since the last time.
    pub(crate) fn take(&self) -> Told {
        self.with(std::mem::take)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.0.lock().expect("nobody panics while holding it"))
    }
}

impl ApplySink for Sink {
    fn answers(&mut self, answers: Vec<(ReplyTo, Answer)>) {
        self.with(|told| told.answers.extend(answers.into_iter().map(|(_, answer)| answer)));
    }

    fn applied(&mut self, group: GroupId, applied: Applied, _: Stats) {
        self.with(|told| {
            told.has_applied = true;
            told.events.push((group, Event::Applied(applied)));
        });
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
