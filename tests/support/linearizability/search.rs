//! The search for an order of the operations of one key.
//!
//! It goes depth first from configuration to configuration (see `memo`) by the moves of `moves`, with a stack of
//! its own. From each one it tries the operations that have to be done and may come next; only when all of
//! that has failed does it try the optional ones.

use std::cmp::Reverse;

use super::bits;
use super::memo::{Configuration, Memo};
use super::model::Model;
use super::moves::Moves;
use super::plan::Plan;

/// Steps and comparisons for each configuration that the bound allows.
const WORK_PER_STATE: usize = 64;

/// Words of all configurations: half a gigabyte at the most, which only keys with thousands of operations come near.
const WORDS_MAX: usize = 1 << 25;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is an order for all of them.
    Order,
    /// There is none; and how far the best one gets.
    NoOrder(Prefix),
    /// Too many configurations.
    TooMany,
}

/// The longest order found, as numbers of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) order: Vec<usize>,
    /// The state after it.
    pub(crate) state: String,
    /// Those of which one would have to come next.
    pub(crate) stuck: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    /// Try the operations that have to be done.
    Due(u32),
    /// Try the optional ones.
    Optional(u32),
}

pub(crate) struct Search<'p, 'h, M: Model> {
    moves: Moves<'p, 'h, M>,
    memo: Memo,
    tasks: Vec<Task>,
    /// The configuration with the most operations done, and how many these are.
    best: (u32, usize),
    /// Kept to spare allocations: what is looked at, what is made of it, and what can come next.
    at: Configuration,
    next: Configuration,
    choices: Vec<usize>,
}

impl<'p, 'h, M: Model> Search<'p, 'h, M> {
    pub(crate) fn new(plan: &'p Plan<'h, M>) -> Self {
        let mut moves = Moves::new(plan);
        let start = moves.start();
        Self {
            moves,
            memo: Memo::new(&start),
            tasks: Vec::new(),
            best: (0, 0),
            at: start.clone(),
            next: start,
            choices: Vec::new(),
        }
    }

    /// Searches, and gives up after `states_max` configurations.
    pub(crate) fn run(&mut self, states_max: usize) -> Found {
        self.moves.place_reads(&mut self.next, &mut |_| ());
        if self.keep_next(None) {
            return Found::Order;
        }
        while let Some(task) = self.tasks.pop() {
            let work = self.moves.steps.saturating_add(self.memo.comparisons);
            let full = self.memo.len() > states_max || self.memo.words() > WORDS_MAX;
            if full || work > states_max.saturating_mul(WORK_PER_STATE) {
                return Found::TooMany;
            }
            let (Task::Due(name) | Task::Optional(name)) = task;
            if !self.memo.is_outdone(name) && self.try_task(task, name) {
                return Found::Order;
            }
        }
        Found::NoOrder(self.prefix())
    }

    /// True if that ends the search.
    fn try_task(&mut self, task: Task, name: u32) -> bool {
        self.memo.load(name, &mut self.at);
        let mut choices = std::mem::take(&mut self.choices);
        let until = self.moves.due(&self.at, &mut choices);
        // The last that is pushed is the first that is tried.
        match task {
            Task::Due(_) => {
                self.tasks.push(Task::Optional(name));
                // What returned first most likely came first.
                choices.sort_by_key(|operation| Reverse(self.moves.plan.returned_at[*operation]));
            }
            Task::Optional(_) => {
                self.moves.optional(&self.at, until, &mut choices);
                // What was hidden is more often needed than what was lost, and has the lower numbers.
                choices.reverse();
            }
        }
        let found = choices.iter().any(|operation| self.try_one(name, *operation));
        self.choices = choices;
        found
    }

    /// Places the operation after `self.at`; true if that ends the search.
    fn try_one(&mut self, name: u32, operation: usize) -> bool {
        self.next.clone_from(&self.at);
        if !self.moves.place(&mut self.next, operation, &mut |_| ()) {
            return false;
        }
        self.moves.place_reads(&mut self.next, &mut |_| ());
        self.keep_next(Some((name, operation)))
    }

    /// Remembers `self.next` and puts it on the stack if it is new; true if it ends the search.
    fn keep_next(&mut self, from: Option<(u32, usize)>) -> bool {
        if self.moves.is_end(&self.next) {
            return true;
        }
        if let Some(name) = self.memo.insert(&self.next, from) {
            let done = bits::count(self.next.done());
            if done > self.best.1 {
                self.best = (name, done);
            }
            self.tasks.push(Task::Due(name));
        }
        false
    }

    /// The order that leads to the best configuration, found by going there again.
    fn prefix(&mut self) -> Prefix {
        let known = self.moves.plan.known;
        let way = self.memo.way_to(self.best.0);
        let mut at = self.moves.start();
        // The reads before all else, and after each operation of the way.
        let mut reads = vec![Vec::new(); way.len() + 1];
        // By which operation of the way each one was hidden last.
        let mut hidden_at = vec![None; known];
        self.moves.place_reads(&mut at, &mut |read| reads[0].push(read));
        for (position, placed) in way.iter().enumerate() {
            if let Some(hidden) = hidden_at.get_mut(*placed) {
                *hidden = None;
            }
            let fits = self
                .moves
                .place(&mut at, *placed, &mut |hidden| hidden_at[hidden] = Some(position));
            assert!(fits, "the way was gone before");
            self.moves.place_reads(&mut at, &mut |read| reads[position + 1].push(read));
        }

        let mut order = reads[0].clone();
        for (position, placed) in way.iter().enumerate() {
            let is_hidden =
                |other: &usize| hidden_at[*other] == Some(position) && bits::has(at.done(), *other);
            order.extend((0..known).filter(is_hidden));
            order.push(*placed);
            order.extend(&reads[position + 1]);
        }
        let mut stuck = Vec::new();
        self.moves.due(&at, &mut stuck);
        let state = self.moves.plan.model.describe(self.moves.states.get(at.state()));
        Prefix { order, state, stuck }
    }
}
