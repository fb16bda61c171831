//! The apply thread's thinking: commands in, effects through the sink. No thread, no clock.

use super::command::{ApplyCommand, ApplySink, Birth, Opened, Reply};
use super::live::{GroupLife, Live};
use super::machine::{Control, Machine, control, set_control};
use crate::actors::group::event::{ApplyItem, Applied, ConfirmedRead, ReplyTo, Route};
use crate::actors::snapshots::View;
use crate::actors::supervision::guarded;
use crate::ids::{Generation, GroupId, Index};
use crate::limits;
use crate::net::message::{Answer, Outcome};
use crate::raft::{Entry, EntryKind, SnapshotMeta};
use crate::rows::{RowGeneration, generation_prefix, prefix_end};
use crate::store::state::{Batch, Command, Overlay};
use crate::time::{MonoMillis, UnixMillis};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Rows wait this long for others, milliseconds, before they are written to the store: they are in the
/// log already, and rows written again meanwhile are written once.
const FREEZE_MILLIS: u64 = 100;

/// See the module's first lines.
pub struct Applier<S> {
    overlay: Overlay,
    groups: BTreeMap<GroupId, Hosted>,
    live: Arc<Live>,
    sink: S,
    /// Work that waits for room in the overlay.
    backlog: VecDeque<ApplyCommand>,
    /// What needs a freeze of its own before it can go to the state thread.
    after_freeze: Vec<AfterFreeze>,
    /// Lives of rows captured when a persist was asked for, published when it is done.
    lives: VecDeque<(u64, Vec<(GroupId, GroupLife)>)>,
    last_token: u64,
    /// Installations that wait for the persist with this token.
    installing: Vec<(u64, Installing)>,
    frozen_at: MonoMillis,
    unfrozen_bytes: usize,
    answers: Vec<(ReplyTo, Answer)>,
    entries: u64,
    commands: u64,
}

struct Hosted {
    generation: Generation,
    birth: Birth,
    rows: RowGeneration,
    installed: Option<SnapshotMeta>,
    /// `None` after a failure, until it is opened again.
    machine: Option<Machine>,
    /// It has applied something since its meta rows were written.
    dirty: bool,
    /// It has applied something since the sink was told.
    news: bool,
}

enum AfterFreeze {
    View(GroupId, Reply<Result<View, String>>),
    Persist(Option<Installing>),
}

struct Installing {
    group: GroupId,
    generation: Generation,
    meta: SnapshotMeta,
    reply: Reply<Result<(SnapshotMeta, Applied), String>>,
}

impl<S: ApplySink> Applier<S> {
    /// An applier without groups.
    #[must_use]
    pub fn new(overlay: Overlay, live: Arc<Live>, sink: S) -> Self {
        Self {
            overlay,
            groups: BTreeMap::new(),
            live,
            sink,
            backlog: VecDeque::new(),
            after_freeze: Vec::new(),
            lives: VecDeque::new(),
            last_token: 0,
            installing: Vec::new(),
            frozen_at: MonoMillis(0),
            unfrozen_bytes: 0,
            answers: Vec::new(),
            entries: 0,
            commands: 0,
        }
    }

    /// Takes commands in, works off what there is room for, and tells the sink.
    pub fn turn(&mut self, commands: Vec<ApplyCommand>, now: MonoMillis) {
        self.sink.pump();
        for command in commands {
            match command {
                ApplyCommand::Written(batch) => self.overlay.written(batch),
                ApplyCommand::Persisted(token, groups) => self.persisted(token, groups),
                other => self.backlog.push_back(other),
            }
        }
        while !self.overlay.must_wait() {
            let Some(command) = self.backlog.pop_front() else { break };
            self.handle(command);
            if self.unfrozen_bytes >= limits::STATE_BATCH_BYTES {
                self.freeze_if_due(now);
            }
        }
        self.report();
        self.freeze_if_due(now);
    }

    /// When to be called again even if nothing comes in, milliseconds.
    #[must_use]
    pub fn wait_millis(&self, now: MonoMillis) -> Option<u64> {
        let due = self.unfrozen_bytes > 0 || !self.after_freeze.is_empty();
        // Without room, the state thread's next word is what is waited for.
        (due && self.overlay.has_room()).then(|| FREEZE_MILLIS.saturating_sub(now.since(self.frozen_at)).max(1))
    }

    /// Writes what is left; the caller then stops the state thread, which syncs.
    pub fn finish(&mut self) {
        self.freeze();
    }

    fn handle(&mut self, command: ApplyCommand) {
        match command {
            ApplyCommand::Open { group, generation, birth, reply } => {
                reply(self.open(group, generation, birth));
            }
            ApplyCommand::Work { group, generation, items } => self.work(group, generation, items),
            ApplyCommand::View { group, reply } => {
                self.after_freeze.push(AfterFreeze::View(group, reply));
            }
            ApplyCommand::Ingest { group, row_generation, rows, done } => {
                let prefix = generation_prefix(group, row_generation);
                let mut batch = Batch::new();
                for (suffix, value) in rows {
                    let mut key = prefix.clone();
                    key.extend_from_slice(&suffix);
                    batch.put(key, value);
                }
                self.sink.submit(Command::Bulk { batch: Arc::new(batch), done });
            }
            ApplyCommand::Install { group, generation, row_generation, meta, reply } => {
                self.install(group, row_generation, Installing { group, generation, meta, reply });
            }
            ApplyCommand::Persist => self.after_freeze.push(AfterFreeze::Persist(None)),
            // The thread ends the applier itself.
            ApplyCommand::Stop => {}
            ApplyCommand::Written(_) | ApplyCommand::Persisted(..) => {
                unreachable!("taken in by `turn`")
            }
        }
    }

    fn open(&mut self, group: GroupId, generation: Generation, birth: Birth) -> Result<Opened, String> {
        if !self.groups.get(&group).is_some_and(|hosted| hosted.machine.is_some()) {
            let control = control(group, &self.overlay)?;
            let rows = RowGeneration(control.generation);
            let machine = Machine::open(group, rows, &birth, &mut self.overlay)?;
            if let Some(error) = self.overlay.take_error() {
                return Err(error.to_string());
            }
            if let Some(table) = machine.table() {
                self.sink.table(table);
            }
            let hosted = Hosted {
                generation,
                birth,
                rows,
                installed: control.installed,
                machine: Some(machine),
                dirty: true,
                news: true,
            };
            self.groups.insert(group, hosted);
        }
        let hosted = self.groups.get_mut(&group).expect("just inserted");
        hosted.generation = generation;
        let machine = hosted.machine.as_ref().expect("just opened");
        Ok(Opened {
            applied: machine.applied(generation),
            row_generation: hosted.rows,
            installed: hosted.installed.clone(),
        })
    }

    fn work(&mut self, group: GroupId, generation: Generation, items: Vec<ApplyItem>) {
        for item in items {
            // What an earlier life of the driver handed over was opened over: the new one hands it
            // over again.
            let current = self.groups.get(&group).is_some_and(|hosted| {
                hosted.generation == generation && hosted.machine.is_some()
            });
            if !current {
                return;
            }
            match item {
                ApplyItem::Entries(entries) => {
                    for (entry, routes) in entries {
                        if !self.apply(group, generation, &entry, &routes) {
                            return;
                        }
                    }
                }
                ApplyItem::Reads(reads, now) => self.read(group, reads, now),
            }
        }
    }

    /// Applies one entry; `false` if the machine failed.
    fn apply(
        &mut self,
        group: GroupId,
        generation: Generation,
        entry: &Entry,
        routes: &[Route],
    ) -> bool {
        let hosted = self.groups.get_mut(&group).expect("checked by `work`");
        let machine = hosted.machine.as_mut().expect("checked by `work`");
        if entry.index <= machine.index() {
            // A snapshot that was installed meanwhile covers it.
            self.answers.extend(routes.iter().map(|route| {
                (route.to, Answer { unit: route.unit, outcome: Outcome::Unknown })
            }));
            return true;
        }
        let overlay = &mut self.overlay;
        overlay.begin_step();
        let nothing = Bytes::new();
        // A membership change says nothing to the state machine but its index.
        let payload = if entry.kind == EntryKind::Normal { &entry.data } else { &nothing };
        let applied = guarded(|| machine.apply(overlay, entry.index, payload));
        let trouble = match applied {
            Ok(Ok(replies)) => match overlay.take_error() {
                None => {
                    overlay.end_step(group, entry.index);
                    hosted.dirty = true;
                    hosted.news = true;
                    self.unfrozen_bytes += entry.cost();
                    self.entries += 1;
                    self.commands += replies.len() as u64;
                    self.route(replies, routes);
                    return true;
                }
                Some(error) => error.to_string(),
            },
            Ok(Err(trouble)) => trouble,
            Err(panicked) => panicked.0,
        };
        self.fail(group, generation, format!("entry {}: {trouble}", entry.index));
        false
    }

    /// Takes a machine out of service. What it wrote since its meta rows were written goes with it, so
    /// that they agree when it is opened again.
    fn fail(&mut self, group: GroupId, generation: Generation, why: String) {
        self.overlay.undo_step();
        self.overlay.discard(&generation_prefix(group, RowGeneration(0))[..4], group);
        if let Some(hosted) = self.groups.get_mut(&group) {
            hosted.machine = None;
            hosted.dirty = false;
        }
        self.sink.failed(group, generation, why);
    }

    fn route(&mut self, replies: Vec<crate::kv::Reply>, routes: &[Route]) {
        let mut replies = replies.into_iter();
        for route in routes {
            let own: Vec<_> = replies.by_ref().take(route.replies).collect();
            // A unit gets as many replies as it has commands, or it is not known what became of it.
            let outcome = if own.len() == route.replies { Outcome::Done(own) } else { Outcome::Unknown };
            self.answers.push((route.to, Answer { unit: route.unit, outcome }));
        }
    }

    fn read(&mut self, group: GroupId, reads: Vec<ConfirmedRead>, now: UnixMillis) {
        let hosted = &self.groups[&group];
        let (generation, machine) = (hosted.generation, hosted.machine.as_ref());
        let machine = machine.expect("checked by `work`");
        let overlay = &self.overlay;
        let answers = &mut self.answers;
        let mut commands = 0;
        let done = guarded(|| {
            for read in reads {
                let replies = machine.read(overlay, &read.work, now);
                commands += replies.len() as u64;
                let outcome = Outcome::Done(replies);
                answers.push((read.to, Answer { unit: read.unit, outcome }));
            }
        });
        self.commands += commands;
        let trouble = match done {
            Ok(()) => self.overlay.take_error().map(|error| error.to_string()),
            Err(panicked) => Some(panicked.0),
        };
        if let Some(trouble) = trouble {
            self.answers.clear();
            self.fail(group, generation, format!("a read: {trouble}"));
        }
    }

    fn report(&mut self) {
        if !self.answers.is_empty() {
            self.sink.answers(std::mem::take(&mut self.answers));
        }
        for (group, hosted) in &mut self.groups {
            if !std::mem::take(&mut hosted.news) {
                continue;
            }
            let Some(machine) = &hosted.machine else { continue };
            if let Some(table) = machine.table() {
                self.sink.table(table);
            }
            self.sink.applied(*group, machine.applied(hosted.generation), machine.stats());
        }
        if self.entries > 0 || self.commands > 0 {
            self.sink.worked(self.entries, self.commands, self.overlay.bytes());
            (self.entries, self.commands) = (0, 0);
        }
    }

    fn freeze_if_due(&mut self, now: MonoMillis) {
        let due = !self.after_freeze.is_empty()
            || self.unfrozen_bytes >= limits::STATE_BATCH_BYTES
            || (self.unfrozen_bytes > 0 && now.since(self.frozen_at) >= FREEZE_MILLIS);
        if due && self.freeze() {
            self.frozen_at = now;
        }
    }

    /// Hands everything applied to the state thread; `false` if that has too much to do already.
    fn freeze(&mut self) -> bool {
        if !self.overlay.has_room() {
            return false;
        }
        for hosted in self.groups.values_mut() {
            if hosted.dirty && let Some(machine) = &mut hosted.machine {
                machine.flush_meta(&mut self.overlay);
                hosted.dirty = false;
            }
        }
        if self.overlay.has_active() {
            let frozen = self.overlay.freeze().expect("there is room and something to freeze");
            self.sink.submit(Command::Write(frozen));
        }
        self.unfrozen_bytes = 0;
        for wanted in std::mem::take(&mut self.after_freeze) {
            match wanted {
                AfterFreeze::View(group, reply) => self.view(group, reply),
                AfterFreeze::Persist(installing) => self.persist(installing),
            }
        }
        true
    }

    fn view(&mut self, group: GroupId, reply: Reply<Result<View, String>>) {
        let Some(hosted) = self.groups.get(&group) else {
            return reply(Err(format!("no state of {group} here")));
        };
        let Some(machine) = &hosted.machine else {
            return reply(Err(format!("the state of {group} has failed")));
        };
        let (applied, from) = (machine.index(), generation_prefix(group, hosted.rows));
        self.last_token += 1;
        let id = self.last_token;
        let to = prefix_end(&from);
        self.sink.submit(Command::View {
            reply: Box::new(move |rows| reply(Ok(View { id, applied, from, to, rows }))),
        });
    }

    fn persist(&mut self, installing: Option<Installing>) {
        self.last_token += 1;
        let token = self.last_token;
        if let Some(installing) = installing {
            self.installing.push((token, installing));
        }
        let lives = self
            .groups
            .iter()
            .filter_map(|(group, hosted)| {
                Some((*group, hosted.machine.as_ref()?.life(hosted.rows)))
            })
            .collect();
        self.lives.push_back((token, lives));
        self.sink.submit(Command::Persist { token });
    }

    fn persisted(&mut self, token: u64, groups: Vec<(GroupId, Index)>) {
        while self.lives.front().is_some_and(|first| first.0 <= token) {
            for (group, life) in self.lives.pop_front().expect("just seen").1 {
                self.live.publish(group, life);
            }
        }
        let (done, waiting) =
            std::mem::take(&mut self.installing).into_iter().partition(|one| one.0 <= token);
        self.installing = waiting;
        for (_, installing) in done {
            let Installing { group, generation, meta, reply } = installing;
            let machine = self.groups.get(&group).and_then(|hosted| hosted.machine.as_ref());
            reply(match machine {
                Some(machine) => Ok((meta, machine.applied(generation))),
                None => Err("the state failed meanwhile".into()),
            });
        }
        self.sink.persisted(groups);
    }

    /// All rows of the snapshot have gone to the state thread, in its bulk lane; a fence brings the
    /// switch behind them. From here on the machine works on the new rows.
    fn install(&mut self, group: GroupId, rows: RowGeneration, installing: Installing) {
        let Some(hosted) = self.groups.get_mut(&group) else {
            return (installing.reply)(Err(format!("no state of {group} here")));
        };
        let newer = hosted.machine.as_ref().is_some_and(|m| m.index() >= installing.meta.index);
        if newer {
            return (installing.reply)(Err("the state is newer than the snapshot".into()));
        }
        let opened = guarded(|| Machine::open(group, rows, &hosted.birth, &mut self.overlay));
        let machine = match opened {
            Ok(Ok(machine)) => machine,
            Ok(Err(trouble)) => return (installing.reply)(Err(trouble)),
            Err(panicked) => return (installing.reply)(Err(panicked.0)),
        };
        if machine.index() != installing.meta.index {
            let found = machine.index();
            return (installing.reply)(Err(format!(
                "its rows are at {found}, it should be at {}",
                installing.meta.index
            )));
        }
        // Rows of the old life that are not written yet need never be.
        self.overlay.discard(&generation_prefix(group, hosted.rows), group);
        hosted.machine = Some(machine);
        hosted.rows = rows;
        hosted.installed = Some(installing.meta.clone());
        hosted.dirty = true;
        hosted.news = true;
        let control = Control { generation: rows.0, installed: Some(installing.meta.clone()) };
        set_control(group, &control, &mut self.overlay);
        self.overlay.end_step(group, installing.meta.index);
        self.after_freeze.push(AfterFreeze::Persist(Some(installing)));
    }
}
