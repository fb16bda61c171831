//! All moves to one group, driven by its leader: asks the sources, proposes to the own group.

use super::bounds::{
    ANSWER_MILLIS, ARRIVED_MILLIS, HELD_BYTES_MAX, LOSSES_MAX, MOVES_OPEN_MAX, URGENT_MILLIS,
};
use super::giver::{Beginning, Giver};
use super::goal::{Goal, Wish};
use super::job::{Job, Question, room};
use super::pace::Allowance;
use super::report::{MovePhase, MoveReport, Stall};
use crate::ids::{Bucket, GroupId};
use crate::kv::migration::{
    IncomingPhase, MoveAsk, MoveId, MoveRecord, MoveReply, Moves, Progress, Ranges,
};
use crate::limits::BUCKETS;
use crate::time::MonoMillis;
use std::collections::BTreeMap;

/// Names a question; never used again in the life of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Names a proposal; never used again in the life of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// What a driver wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask this group, by an [`super::Errand`].
    Ask {
        /// To be named with the answer.
        ask: AskId,
        /// The group.
        source: GroupId,
        /// The question.
        question: MoveAsk,
    },
    /// Propose one entry to the own group, of these records in this order.
    Propose {
        /// To be named with what becomes of it.
        proposal: ProposalId,
        /// What it says.
        records: Vec<MoveRecord>,
    },
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It was applied, and its records were answered so.
    Applied(Vec<MoveReply>),
    /// It did not come into the log, or nobody knows.
    NotNow,
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) source: GroupId,
    pub(super) about: About,
    pub(super) sent: MonoMillis,
    lost_at: MonoMillis,
    /// Bytes of memory kept for the answer.
    reserved: usize,
    /// Bytes of the rate spent beforehand.
    pub(super) spent: u64,
}

#[derive(Clone, Debug)]
pub(super) enum About {
    Begin,
    /// A move that nobody here wants: whatever is answered, nothing comes of it.
    Stray,
    Move(MoveId, Question, Progress),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Pull(GroupId),
    Move(MoveId),
}

/// Drives all moves to one group. Its methods are to be called by one thread, each with the time; what it
/// wants done is taken with [`Migrator::take_actions`] after each of them.
///
/// Must always hold: of a move at most one question and one entry are on their way; of a source at most one
/// move is beginning.
#[derive(Debug)]
pub struct Migrator {
    pub(super) group: GroupId,
    pub(super) goal: Option<Goal>,
    pub(super) jobs: BTreeMap<MoveId, Job>,
    pub(super) givers: BTreeMap<GroupId, Giver>,
    pub(super) asks: BTreeMap<AskId, Flight>,
    pub(super) entries: BTreeMap<ProposalId, Entry>,
    pub(super) allowance: Allowance,
    /// Buckets of moves away from here: they cannot come yet.
    pub(super) going: Vec<Ranges>,
    /// What has come a moment ago.
    arrived: Vec<(MonoMillis, Ranges)>,
    /// `left` of the givers is to be worked out anew.
    stale: bool,
    numbers: u64,
    /// The move that was asked about last.
    turn: Option<MoveId>,
    actions: Vec<Action>,
}

impl Migrator {
    /// The driver of a group whose replica here has just begun to lead, and has applied all entries of
    /// earlier terms. It does nothing before it knows [`Migrator::observe`] and [`Migrator::follow`].
    #[must_use]
    pub fn new(group: GroupId, now: MonoMillis) -> Self {
        Self {
            group,
            goal: None,
            jobs: BTreeMap::new(),
            givers: BTreeMap::new(),
            asks: BTreeMap::new(),
            entries: BTreeMap::new(),
            allowance: Allowance::new(now),
            going: Vec::new(),
            arrived: Vec::new(),
            stale: true,
            numbers: 0,
            turn: None,
            actions: Vec::new(),
        }
    }

    /// What the newest table says.
    pub fn follow(&mut self, now: MonoMillis, goal: Goal) {
        if self.goal.as_ref() == Some(&goal) {
            return;
        }
        self.allowance.set(now, goal.bytes_per_second);
        for (id, job) in &mut self.jobs {
            job.wish = goal.wish(id.source, &job.ranges);
        }
        self.goal = Some(goal);
        self.stale = true;
        self.drive(now);
    }

    /// What is replicated. To be called once at first and whenever it has changed
    /// (`Machine::moves_revision`), before the results of the entries that changed it.
    pub fn observe(&mut self, now: MonoMillis, moves: &Moves) {
        let ended: Vec<_> =
            self.jobs.keys().filter(|id| moves.coming(**id).is_none()).copied().collect();
        for id in ended {
            let job = self.jobs.remove(&id).expect("just seen");
            if let Some(ask) = job.ask {
                self.forget_ask(ask);
            }
            if job.phase == IncomingPhase::Accepted {
                self.arrived.push((now, job.ranges));
            }
            self.stale = true;
        }
        for (id, incoming) in moves.incoming() {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.observe(now, incoming);
                continue;
            }
            let wish = self.goal.as_ref().map(|goal| goal.wish(id.source, &incoming.ranges));
            self.jobs.insert(id, Job::new(incoming, wish.unwrap_or(Wish::Pause)));
            self.stale = true;
        }
        let going = || moves.outgoing().map(|(_, outgoing)| &outgoing.ranges);
        if !going().eq(&self.going) {
            self.going = going().cloned().collect();
            self.stale = true;
        }
        self.drive(now);
    }

    /// Time has passed. To be called every 50 ms or more often.
    pub fn tick(&mut self, now: MonoMillis) {
        for job in self.jobs.values_mut() {
            job.sample(now);
        }
        let before = self.arrived.len();
        self.arrived.retain(|(at, _)| now.since(*at) < ARRIVED_MILLIS);
        self.stale |= self.arrived.len() != before;
        self.drive(now);
    }

    /// What is to be done, in this order. Nothing is lost for ever if it is not done.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Bytes of chunks that are asked for, waiting or proposed.
    #[must_use]
    pub fn held(&self) -> usize {
        let reserved = self.asks.values().map(|flight| flight.reserved).sum::<usize>();
        reserved + self.jobs.values().map(Job::held).sum::<usize>()
    }

    /// How many buckets are wanted and not on their way.
    #[must_use]
    pub fn waiting_buckets(&self) -> u32 {
        self.givers.values().filter_map(|giver| giver.left.as_ref()).map(Ranges::count).sum()
    }

    /// How far the moves are, by name.
    #[must_use]
    pub fn report(&self) -> Vec<MoveReport> {
        self.jobs.iter().map(|(id, job)| self.report_of(*id, job)).collect()
    }

    /// For how long at most nobody could write the buckets of a move that has been accepted, milliseconds: from
    /// when this driver asked for the hand-off, or heard that it was done.
    #[must_use]
    pub fn pause(&self, id: MoveId) -> Option<u64> {
        self.jobs.get(&id)?.pause
    }

    fn report_of(&self, id: MoveId, job: &Job) -> MoveReport {
        let phase = match job.phase {
            IncomingPhase::Accepted => MovePhase::Accepted,
            IncomingPhase::Coming if job.is_handed_off() => MovePhase::HandedOff,
            IncomingPhase::Coming if job.is_over() || job.wish == Wish::Drop => MovePhase::Ending,
            IncomingPhase::Coming if job.is_catching_up() => MovePhase::CatchingUp,
            IncomingPhase::Coming => MovePhase::Copying,
        };
        let still = matches!(phase, MovePhase::Copying | MovePhase::CatchingUp);
        let stall = if still && job.wish == Wish::Pause {
            Some(Stall::Paused)
        } else if let Some(refusal) = &job.refused {
            Some(Stall::Refused(refusal.clone()))
        } else {
            self.is_silent(id.source).then_some(Stall::Source)
        };
        let rate = job.speed.rate;
        let eta_millis = job
            .total
            .filter(|_| rate > 0)
            .map(|total| total.saturating_sub(job.bytes).saturating_mul(1_000) / rate.max(1));
        let (ranges, bytes, total) = (job.ranges.clone(), job.bytes, job.total);
        MoveReport { id, ranges, phase, stall, bytes, total, rate, eta_millis }
    }

    pub(super) fn is_silent(&self, source: GroupId) -> bool {
        self.givers.get(&source).is_some_and(|giver| giver.backoff.is_failing())
    }

    pub(super) fn giver(&mut self, source: GroupId) -> &mut Giver {
        self.givers.entry(source).or_default()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The question counts no more: what is kept for its answer is free.
    pub(super) fn forget_ask(&mut self, ask: AskId) -> Option<Flight> {
        let flight = self.asks.remove(&ask)?;
        self.allowance.give_back(flight.spent);
        Some(flight)
    }

    pub(super) fn propose(&mut self, entry: Entry, records: Vec<MoveRecord>) -> ProposalId {
        let proposal = ProposalId(self.number());
        self.entries.insert(proposal, entry);
        self.actions.push(Action::Propose { proposal, records });
        proposal
    }

    pub(super) fn ask(
        &mut self,
        now: MonoMillis,
        source: GroupId,
        about: About,
        question: MoveAsk,
        (reserved, spent): (usize, u64),
    ) -> AskId {
        let ask = AskId(self.number());
        let urgent = matches!(about, About::Move(_, Question::Handoff | Question::Rest, _));
        let wait = if urgent { URGENT_MILLIS } else { ANSWER_MILLIS };
        // What takes long, takes as long the next time.
        let losses = match &about {
            About::Move(id, ..) => self.jobs.get(id).map_or(0, |job| job.losses),
            About::Begin | About::Stray => 0,
        };
        let lost_at = MonoMillis(now.0 + (wait << losses.min(LOSSES_MAX)));
        self.asks.insert(ask, Flight { source, about, sent: now, lost_at, reserved, spent });
        self.allowance.spend(spent);
        self.actions.push(Action::Ask { ask, source, question });
        ask
    }

    /// Does all that can be done now.
    pub(super) fn drive(&mut self, now: MonoMillis) {
        self.allowance.fill(now);
        let late = |(ask, flight): (&AskId, &Flight)| (flight.lost_at <= now).then_some(*ask);
        for ask in self.asks.iter().filter_map(late).collect::<Vec<_>>() {
            self.lose(now, ask);
        }
        let ids: Vec<MoveId> = self.jobs.keys().copied().collect();
        let first = ids.partition_point(|id| self.turn.is_some_and(|turn| *id <= turn));
        for id in ids[first..].iter().chain(&ids[..first]) {
            self.drive_move(now, *id);
        }
        if self.goal.is_some() {
            self.begin_moves(now);
        }
    }

    fn drive_move(&mut self, now: MonoMillis, id: MoveId) {
        let job = self.jobs.get_mut(&id).expect("a move that is known");
        if !job.backoff.is_over(now) {
            return;
        }
        if let Some(records) = job.next_entry(id, now) {
            self.propose(Entry::Move(id), records);
        }
        let job = &self.jobs[&id];
        let Some(question) = job.next_question(now) else { return };
        if self.givers.get(&id.source).is_some_and(|giver| !giver.backoff.is_over(now)) {
            return;
        }
        let bulk = question == Question::Bulk;
        let progress = job.tip().clone();
        let room = room(question, self.allowance.page_bytes());
        let reserved = if room > 0 { room.max(job.needs) } else { 0 };
        if reserved > 0 {
            let held = self.held();
            // A larger thing waits until there is room, and nobody takes the room from it.
            let hungry = |(other, job): (&MoveId, &Job)| {
                let goes = job.wish == Wish::Go || job.is_handed_off();
                job.needs > 0 && goes && !self.is_silent(other.source)
            };
            let full = held > 0 && held + reserved > HELD_BYTES_MAX;
            if full || (bulk && job.needs == 0 && self.jobs.iter().any(hungry)) {
                return;
            }
        }
        if bulk && !self.allowance.is_open() {
            return;
        }
        let bytes_max = u32::try_from(room).unwrap_or(u32::MAX);
        let words = match question {
            Question::Bulk | Question::Rest | Question::Hold => {
                MoveAsk::Page { id, progress: progress.clone(), bytes_max }
            }
            Question::Handoff => MoveAsk::Handoff { id, progress: progress.clone() },
            Question::Cancel => MoveAsk::Cancel { id },
            Question::Accepted => MoveAsk::Accepted { id },
        };
        let spent = if bulk { room as u64 } else { 0 };
        let about = About::Move(id, question, progress);
        let ask = self.ask(now, id.source, about, words, (reserved, spent));
        let job = self.jobs.get_mut(&id).expect("just seen");
        job.ask = Some(ask);
        if question == Question::Handoff {
            job.may_freeze(now);
        }
        if bulk {
            self.turn = Some(id);
        }
    }

    /// Lets the next moves begin, first from the sources that have the fewest on their way.
    fn begin_moves(&mut self, now: MonoMillis) {
        if std::mem::take(&mut self.stale) {
            self.work_out_left();
        }
        let goal = self.goal.as_ref().expect("a goal");
        let (table, most, most_each) = (goal.table, goal.moves_max, goal.moves_per_source_max);
        let mut open = 0;
        let mut running = 0;
        let mut of_source: BTreeMap<GroupId, usize> = BTreeMap::new();
        for (id, job) in &self.jobs {
            if job.phase == IncomingPhase::Coming {
                open += 1;
                let moves = job.wish != Wish::Pause;
                running += usize::from(moves && !self.is_silent(id.source));
                *of_source.entry(id.source).or_default() += usize::from(moves);
            }
        }
        for (source, giver) in &self.givers {
            if giver.beginning != Beginning::None {
                open += 1;
                running += usize::from(!giver.backoff.is_failing());
                *of_source.entry(*source).or_default() += 1;
            }
        }
        let mut ready: Vec<(usize, GroupId)> = self
            .givers
            .iter()
            .filter(|(_, giver)| giver.left.is_some() && giver.beginning == Beginning::None)
            .filter(|(_, giver)| giver.backoff.is_over(now) && giver.begin_backoff.is_over(now))
            .map(|(source, _)| (of_source.get(source).copied().unwrap_or_default(), *source))
            .filter(|(count, _)| *count < most_each)
            .collect();
        ready.sort_unstable();
        for (_, source) in ready {
            if running >= most || open >= MOVES_OPEN_MAX {
                break;
            }
            // One that does not answer takes nobody's place.
            running += usize::from(!self.is_silent(source));
            open += 1;
            let ranges = self.givers[&source].left.clone().expect("some are left");
            let question = MoveAsk::Begin { to: self.group, ranges, table };
            let ask = self.ask(now, source, About::Begin, question, (0, 0));
            self.giver(source).beginning = Beginning::Asked(ask);
        }
    }

    /// What of the wanted buckets is neither here nor on its way.
    fn work_out_left(&mut self) {
        let goal = self.goal.as_ref().expect("a goal");
        let mut taken = vec![false; usize::from(BUCKETS)];
        let coming = self.jobs.values().map(|job| &job.ranges);
        let arrived = self.arrived.iter().map(|(_, ranges)| ranges);
        for ranges in coming.chain(arrived).chain(&self.going) {
            ranges.buckets().for_each(|bucket| taken[usize::from(bucket.0)] = true);
        }
        let mut left: BTreeMap<GroupId, Vec<Bucket>> = BTreeMap::new();
        for wanted in goal.wanted.iter().filter(|wanted| !wanted.paused) {
            let free = wanted.ranges.buckets().filter(|bucket| !taken[usize::from(bucket.0)]);
            left.entry(wanted.source).or_default().extend(free);
        }
        left.remove(&self.group);
        for giver in self.givers.values_mut() {
            giver.left = None;
        }
        for (source, mut buckets) in left {
            buckets.sort_unstable();
            buckets.dedup();
            let ranges = Ranges::of(buckets);
            self.giver(source).left = ranges;
        }
        let jobs = &self.jobs;
        self.givers.retain(|source, giver| {
            giver.left.is_some()
                || giver.beginning != Beginning::None
                || jobs.keys().any(|id| id.source == *source)
        });
    }
}
