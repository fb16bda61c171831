//! The apply thread's thinking: commands in, effects through the sink. No thread, no clock.

use super::command::{ApplyCommand, ApplySink, Birth, Opened, Reply};
use super::live::{GroupLife, Live};
use super::machine::{Control, FIRST, Machine, control, newest_rows, set_control};
use crate::actors::group::event::{Applied, ApplyItem, ConfirmedRead, ReplyTo, Route};
use crate::actors::snapshots::View;
use crate::actors::supervision::guarded;
#[cfg(feature = "controls")]
use crate::controls;
use crate::ids::{Generation, GroupId, Index};
use crate::limits;
use crate::net::message::{Answer, Outcome, Refusal};
use crate::raft::{Entry, EntryKind, Membership, MembershipChange, SnapshotMeta};
use crate::rows::{RowGeneration, generation_prefix, prefix_end};
use crate::store::state::{Batch, Command, Overlay};
use crate::time::{MonoMillis, UnixMillis};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Rows wait this long for others, milliseconds, before they are written to the store: they are in the
/// log already, and rows written again meanwhile are written once.
const FREEZE_MILLIS: u64 = 500;
/// Answers kept back until the sink gets them all together.
const ANSWERS_MAX: usize = 512;

/// See the module's first lines.
pub struct Applier<S> {
    overlay: Overlay,
    groups: BTreeMap<GroupId, Hosted>,
    /// Those that may have news: nothing that is done each turn looks at all of them.
    with_news: BTreeSet<GroupId>,
    /// Those that may be dirty.
    touched: BTreeSet<GroupId>,
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
    /// Groups that are forgotten once the persist with this token is done.
    resetting: Vec<(u64, Reply<Result<(), String>>)>,
    frozen_at: MonoMillis,
    answers: Vec<(ReplyTo, Answer)>,
    entries: u64,
    commands: u64,
}

struct Hosted {
    generation: Generation,
    birth: Birth,
    rows: RowGeneration,
    installed: Option<SnapshotMeta>,
    membership: Membership,
    /// `None` after a failure, until it is opened again.
    machine: Option<Machine>,
    /// It has applied something since its meta rows were written.
    dirty: bool,
    /// It has applied something since the sink was told.
    news: bool,
    /// The revision of its holdings that the sink was told.
    holdings: Option<u64>,
}

impl Hosted {
    fn control(&self) -> Control {
        Control {
            generation: self.rows.0,
            installed: self.installed.clone(),
            membership: self.membership.clone(),
        }
    }
}

enum AfterFreeze {
    View(GroupId, Reply<Result<View, String>>),
    Persist(Option<Installing>),
    Reset(GroupId, RowGeneration, Reply<Result<(), String>>),
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
            with_news: BTreeSet::new(),
            touched: BTreeSet::new(),
            live,
            sink,
            backlog: VecDeque::new(),
            after_freeze: Vec::new(),
            lives: VecDeque::new(),
            last_token: 0,
            installing: Vec::new(),
            resetting: Vec::new(),
            frozen_at: MonoMillis(0),
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
        while self.make_room(now) {
            let Some(command) = self.backlog.pop_front() else { break };
            self.handle(command, now);
        }
        self.report();
        self.freeze_if_due(now);
    }

    /// When to be called again even if nothing comes in, milliseconds.
    #[must_use]
    pub fn wait_millis(&self, now: MonoMillis) -> Option<u64> {
        let due = self.overlay.has_active() || !self.after_freeze.is_empty();
        // Without room, the state thread's next word is what is waited for.
        (due && self.overlay.has_room())
            .then(|| FREEZE_MILLIS.saturating_sub(now.since(self.frozen_at)).max(1))
    }

    /// The thread has failed, and the applier must not be used any more.
    pub(super) fn give_up(&mut self, why: String) {
        self.sink.fatal(why);
    }

    /// Hands over what is worth a batch of its own. `false` if there is no room for more rows until the
    /// state thread has written some; it then says so, since something is on its way to it.
    fn make_room(&mut self, now: MonoMillis) -> bool {
        if self.overlay.active_bytes() >= limits::STATE_BATCH_BYTES {
            self.freeze_if_due(now);
        }
        self.overlay.bytes() < limits::OVERLAY_BYTES_MAX
    }

    /// Writes what is left; the caller then stops the state thread, which syncs.
    pub fn finish(&mut self) {
        self.freeze();
    }

    fn handle(&mut self, command: ApplyCommand, now: MonoMillis) {
        match command {
            ApplyCommand::Open { group, generation, birth, founders, reply } => {
                reply(self.open(group, generation, birth, founders));
            }
            ApplyCommand::Work { group, generation, items } => {
                self.work(group, generation, items, now);
            }
            ApplyCommand::View { group, reply } => {
                self.after_freeze.push(AfterFreeze::View(group, reply));
            }
            ApplyCommand::Ingest { group, row_generation, rows, done } => {
                let prefix = generation_prefix(group, row_generation);
                let mut batch = Batch::new();
                for (suffix, value) in rows {
                    #[cfg(feature = "controls")]
                    if controls::active(controls::Control::ForgetSessionsInSnapshot)
                        && suffix[1..].starts_with(b"session")
                    {
                        continue;
                    }
                    let mut key = prefix.clone();
                    key.extend_from_slice(&suffix);
                    batch.put(key, value);
                }
                self.sink.submit(Command::Bulk { batch: Arc::new(batch), done });
            }
            ApplyCommand::Install { group, generation, row_generation, meta, reply } => {
                self.install(group, row_generation, Installing { group, generation, meta, reply });
            }
            ApplyCommand::Reset { group, newest_rows, reply } => {
                self.reset(group, newest_rows, reply);
            }
            ApplyCommand::Persist => self.after_freeze.push(AfterFreeze::Persist(None)),
            // The thread ends the applier itself.
            ApplyCommand::Stop => {}
            ApplyCommand::Written(_) | ApplyCommand::Persisted(..) => {
                unreachable!("taken in by `turn`")
            }
        }
    }

    fn open(
        &mut self,
        group: GroupId,
        generation: Generation,
        birth: Birth,
        founders: Membership,
    ) -> Result<Opened, String> {
        if self.groups.get(&group).is_none_or(|hosted| hosted.machine.is_none()) {
            let known = self.trusted(|overlay| control(group, overlay))?;
            let newborn = known.is_none();
            let control = known.unwrap_or(Control {
                generation: FIRST.0,
                installed: None,
                membership: founders,
            });
            let rows = RowGeneration(control.generation);
            let machine = self.open_machine(group, rows, &birth)?;
            if newborn {
                set_control(group, &control, &mut self.overlay);
            }
            self.overlay.end_step(group, machine.index());
            if let Some(table) = machine.table() {
                self.sink.table(table);
            }
            let hosted = Hosted {
                generation,
                birth,
                rows,
                installed: control.installed,
                membership: control.membership,
                machine: Some(machine),
                dirty: true,
                news: true,
                holdings: None,
            };
            self.groups.insert(group, hosted);
            self.touch(group);
        }
        let live = self.groups[&group].rows;
        let newest_rows = self.trusted(|overlay| Ok(newest_rows(group, live, overlay)))?;
        let hosted = self.groups.get_mut(&group).expect("just inserted");
        hosted.generation = generation;
        let machine = hosted.machine.as_ref().expect("just opened");
        Ok(Opened {
            applied: machine.applied(generation),
            row_generation: hosted.rows,
            newest_rows,
            installed: hosted.installed.clone(),
            membership: hosted.membership.clone(),
        })
    }

    /// What was read from the overlay, if nothing went wrong: of a row that cannot be read the overlay
    /// says only later that it was not missing.
    fn trusted<T>(
        &mut self,
        read: impl FnOnce(&Overlay) -> Result<T, String>,
    ) -> Result<T, String> {
        let read = guarded(|| read(&self.overlay));
        if let Some(error) = self.overlay.take_error() {
            return Err(error.to_string());
        }
        read.map_err(|panicked| panicked.0)?
    }

    /// Opens a machine on these rows, in a step that the caller ends, or undoes. After an error
    /// nothing has changed: a machine that takes rows for missing begins by writing them.
    fn open_machine(
        &mut self,
        group: GroupId,
        rows: RowGeneration,
        birth: &Birth,
    ) -> Result<Machine, String> {
        self.overlay.begin_step();
        let opened = guarded(|| Machine::open(group, rows, birth, &mut self.overlay));
        let trouble = match (self.overlay.take_error(), opened) {
            (Some(error), _) => error.to_string(),
            (None, Ok(Ok(machine))) => return Ok(machine),
            (None, Ok(Err(trouble))) => trouble,
            (None, Err(panicked)) => panicked.0,
        };
        self.overlay.undo_step();
        Err(trouble)
    }

    fn work(
        &mut self,
        group: GroupId,
        generation: Generation,
        items: Vec<ApplyItem>,
        now: MonoMillis,
    ) {
        let mut items = VecDeque::from(items);
        while let Some(item) = items.pop_front() {
            // What an earlier life of the driver handed over was opened over: the new one hands the
            // entries over again, but knows nothing of the units.
            let current = self
                .groups
                .get(&group)
                .is_some_and(|hosted| hosted.generation == generation && hosted.machine.is_some());
            match item {
                item if !current => self.drop_item(item),
                ApplyItem::Entries(entries) => {
                    let mut entries = VecDeque::from(entries);
                    while let Some((entry, routes)) = entries.pop_front() {
                        if !self.apply(group, generation, &entry, &routes) {
                            break;
                        }
                        if !self.make_room(now) {
                            break;
                        }
                    }
                    if !entries.is_empty() {
                        items.push_front(ApplyItem::Entries(entries.into()));
                    }
                }
                ApplyItem::Reads { reads, clock, until } => self.read(group, reads, clock, until),
            }
            if self.answers.len() >= ANSWERS_MAX {
                self.report();
            }
            if !items.is_empty() && !self.make_room(now) {
                let items = items.into();
                self.backlog.push_front(ApplyCommand::Work { group, generation, items });
                return;
            }
        }
    }

    /// Tells the units of work that is not carried out here what can be known of them.
    fn drop_item(&mut self, item: ApplyItem) {
        match item {
            // They are committed: applied here later, or elsewhere.
            ApplyItem::Entries(entries) => {
                for (_, routes) in entries {
                    self.unknown(&routes);
                }
            }
            ApplyItem::Reads { reads, .. } => {
                self.answers.extend(reads.iter().map(not_read));
            }
        }
    }

    fn unknown(&mut self, routes: &[Route]) {
        self.answers.extend(
            routes
                .iter()
                .map(|route| (route.to, Answer { unit: route.unit, outcome: Outcome::Unknown })),
        );
    }

    fn touch(&mut self, group: GroupId) {
        self.with_news.insert(group);
        self.touched.insert(group);
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
            // A snapshot that was installed meanwhile covers it. The driver must hear that it is done.
            hosted.news = true;
            self.touch(group);
            self.unknown(routes);
            return true;
        }
        let overlay = &mut self.overlay;
        overlay.begin_step();
        let nothing = Bytes::new();
        // A membership change says nothing to the state machine but its index.
        let payload = if entry.kind == EntryKind::Normal { &entry.data } else { &nothing };
        // One that cannot be made changes nothing, here as in every core.
        let changed = (entry.kind == EntryKind::Membership)
            .then(|| MembershipChange::decode(&entry.data)?.apply(&hosted.membership))
            .and_then(Result::ok);
        let applied = guarded(|| machine.apply(overlay, entry.index, payload));
        let trouble = match applied {
            Ok(Ok(replies)) => match overlay.take_error() {
                None => {
                    if let Some(changed) = changed {
                        hosted.membership = changed.membership;
                        set_control(group, &hosted.control(), overlay);
                    }
                    overlay.end_step(group, entry.index);
                    hosted.dirty = true;
                    hosted.news = true;
                    self.touch(group);
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
        self.unknown(routes);
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
            let outcome =
                if own.len() == route.replies { Outcome::Done(own) } else { Outcome::Unknown };
            self.answers.push((route.to, Answer { unit: route.unit, outcome }));
        }
    }

    fn read(
        &mut self,
        group: GroupId,
        reads: Vec<ConfirmedRead>,
        now: UnixMillis,
        until: Option<MonoMillis>,
    ) {
        let first = self.answers.len();
        let hosted = &self.groups[&group];
        let (generation, mut machine) = (hosted.generation, hosted.machine.as_ref());
        let mut failed = None;
        for read in reads {
            let Some(whole) = machine else {
                self.answers.push(not_read(&read));
                continue;
            };
            let replies = guarded(|| whole.read(&self.overlay, &read.work, now));
            let trouble = match (self.overlay.take_error(), replies) {
                (Some(error), _) => error.to_string(),
                (None, Err(panicked)) => panicked.0,
                (None, Ok(replies)) => {
                    self.commands += replies.len() as u64;
                    let outcome = Outcome::Done(replies);
                    self.answers.push((read.to, Answer { unit: read.unit, outcome }));
                    continue;
                }
            };
            // What rests on a row that cannot be read is no answer; another replica may have it.
            self.answers.push(not_read(&read));
            failed = Some(trouble);
            machine = None;
        }
        if until.is_some_and(|until| self.sink.clock() >= until) {
            // By now another may lead, and know better.
            self.sink.leases_ended(self.answers.len() - first);
            for (_, answer) in &mut self.answers[first..] {
                answer.outcome = Outcome::NotDone(Refusal::NotLeader(None));
            }
        }
        if let Some(trouble) = failed {
            self.fail(group, generation, format!("a read: {trouble}"));
        }
    }

    /// Before the answers: who hears what an entry did may look at what it left.
    fn report_holdings(&mut self) {
        for group in &self.with_news {
            let Some(hosted) = self.groups.get_mut(group) else { continue };
            let Some(machine) = &hosted.machine else { continue };
            let revision = machine.holdings_revision();
            if revision == hosted.holdings {
                continue;
            }
            let holdings = machine.holdings();
            if holdings.is_none_or(|holdings| self.sink.holdings(*group, holdings)) {
                hosted.holdings = revision;
            }
        }
    }

    fn report(&mut self) {
        self.report_holdings();
        if !self.answers.is_empty() {
            self.sink.answers(std::mem::take(&mut self.answers));
        }
        for group in std::mem::take(&mut self.with_news) {
            let Some(hosted) = self.groups.get_mut(&group) else { continue };
            if !std::mem::take(&mut hosted.news) {
                continue;
            }
            let Some(machine) = &hosted.machine else { continue };
            if let Some(table) = machine.table() {
                self.sink.table(table);
            }
            self.sink.applied(group, machine.applied(hosted.generation), machine.stats());
        }
        if self.entries > 0 || self.commands > 0 {
            self.sink.worked(self.entries, self.commands, self.overlay.bytes());
            (self.entries, self.commands) = (0, 0);
        }
    }

    fn freeze_if_due(&mut self, now: MonoMillis) {
        let due = !self.after_freeze.is_empty()
            || self.overlay.active_bytes() >= limits::STATE_BATCH_BYTES
            || (self.overlay.has_active() && now.since(self.frozen_at) >= FREEZE_MILLIS);
        if due && self.freeze() {
            self.frozen_at = now;
        }
    }

    /// Hands everything applied to the state thread; `false` if that has too much to do already.
    fn freeze(&mut self) -> bool {
        if !self.overlay.has_room() {
            return false;
        }
        for group in std::mem::take(&mut self.touched) {
            if let Some(hosted) = self.groups.get_mut(&group)
                && hosted.dirty
                && let Some(machine) = &mut hosted.machine
            {
                machine.flush_meta(&mut self.overlay);
                hosted.dirty = false;
            }
        }
        if self.overlay.has_active() {
            let frozen = self.overlay.freeze().expect("there is room and something to freeze");
            self.sink.submit(Command::Write(frozen));
        }
        for wanted in std::mem::take(&mut self.after_freeze) {
            match wanted {
                AfterFreeze::View(group, reply) => self.view(group, reply),
                AfterFreeze::Persist(installing) => self.persist(installing),
                AfterFreeze::Reset(group, rows, reply) => {
                    self.resetting.push((self.last_token + 1, reply));
                    self.persist(None);
                    if let Some((_, lives)) = self.lives.back_mut() {
                        lives.push((group, GroupLife::of_nothing(rows)));
                    }
                }
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
        let membership = hosted.membership.clone();
        self.last_token += 1;
        let id = self.last_token;
        let to = prefix_end(&from);
        self.sink.submit(Command::View {
            reply: Box::new(move |rows| {
                reply(Ok(View { id, applied, membership, from, to, rows }));
            }),
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
        #[cfg(feature = "controls")]
        if controls::active(controls::Control::SnapshotBeforePersisted) {
            self.persisted(token, Vec::new());
        }
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
        let (done_resets, waiting) =
            std::mem::take(&mut self.resetting).into_iter().partition(|one| one.0 <= token);
        self.resetting = waiting;
        for (_, reply) in done_resets {
            self.live.group_forgotten();
            reply(Ok(()));
        }
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

    /// A life of the rows that never had any takes the place of all that there are: the compaction
    /// filter may drop those once that is on disk.
    fn reset(
        &mut self,
        group: GroupId,
        newest_rows: RowGeneration,
        reply: Reply<Result<(), String>>,
    ) {
        let hosted = self.groups.remove(&group);
        if let Some(hosted) = hosted {
            self.overlay.discard(&generation_prefix(group, hosted.rows), group);
        }
        let known = self.trusted(|overlay| {
            let Some(known) = control(group, overlay)? else { return Ok(None) };
            let live = newest_rows.max(RowGeneration(known.generation));
            Ok(Some(self::newest_rows(group, live, overlay)))
        });
        let newest = match known {
            Ok(Some(newest)) => newest,
            Ok(None) => return reply(Ok(())),
            Err(trouble) => return reply(Err(trouble)),
        };
        let Some(next) = newest.0.checked_add(1) else {
            return reply(Err(format!("{group} has used up the lives of its rows")));
        };
        let blank =
            Control { generation: next, installed: None, membership: Membership::default() };
        set_control(group, &blank, &mut self.overlay);
        self.overlay.end_step(group, Index(0));
        self.after_freeze.push(AfterFreeze::Reset(group, RowGeneration(next), reply));
    }

    /// All rows of the snapshot have gone to the state thread, in its bulk lane; a fence brings the
    /// switch behind them. From here on the machine works on the new rows.
    fn install(&mut self, group: GroupId, rows: RowGeneration, installing: Installing) {
        let Some(hosted) = self.groups.get(&group) else {
            return (installing.reply)(Err(format!("no state of {group} here")));
        };
        if hosted.generation != installing.generation {
            return (installing.reply)(Err("the replica was rebuilt meanwhile".into()));
        }
        let newer = hosted.machine.as_ref().is_some_and(|m| m.index() >= installing.meta.index);
        if newer {
            return (installing.reply)(Err("the state is newer than the snapshot".into()));
        }
        let birth = hosted.birth.clone();
        let machine = match self.open_machine(group, rows, &birth) {
            Ok(machine) => machine,
            Err(trouble) => return (installing.reply)(Err(trouble)),
        };
        if machine.index() != installing.meta.index {
            self.overlay.undo_step();
            let found = machine.index();
            return (installing.reply)(Err(format!(
                "its rows are at {found}, it should be at {}",
                installing.meta.index
            )));
        }
        self.overlay.end_step(group, installing.meta.index);
        let hosted = self.groups.get_mut(&group).expect("just seen");
        // Rows of the old life that are not written yet need never be.
        self.overlay.discard(&generation_prefix(group, hosted.rows), group);
        hosted.machine = Some(machine);
        hosted.holdings = None;
        hosted.rows = rows;
        hosted.installed = Some(installing.meta.clone());
        hosted.membership = installing.meta.membership.clone();
        hosted.dirty = true;
        hosted.news = true;
        set_control(group, &hosted.control(), &mut self.overlay);
        self.overlay.end_step(group, installing.meta.index);
        self.touch(group);
        self.after_freeze.push(AfterFreeze::Persist(Some(installing)));
    }
}

fn not_read(read: &ConfirmedRead) -> (ReplyTo, Answer) {
    (read.to, Answer { unit: read.unit, outcome: Outcome::NotDone(Refusal::NoReplica) })
}
