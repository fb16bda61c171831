//! What must hold, whatever happens to the power; one type for each promise.

use eraft::ids::{GroupId, Index, NodeId, Term};
use eraft::raft::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("an acknowledged write is lost: {0}")]
    Lost(String),
    #[error("a write was done twice: {0}")]
    Twice(String),
    #[error("there is what nobody wrote, or what was said to be not done: {0}")]
    Invented(String),
    #[error("only a part of a unit was done: {0}")]
    Torn(String),
    #[error("a committed entry has changed: {0}")]
    Rewritten(String),
    #[error("two leaders: {0}")]
    TwoLeaders(String),
    #[error("the replicas differ: {0}")]
    Diverged(String),
    #[error("a node does not open: {0}")]
    DoesNotOpen(String),
    #[error("the cluster does not get on: {0}")]
    Stuck(String),
    #[error("a node's own check failed: {0}")]
    Failed(String),
}

impl Violation {
    /// The same, and whom it concerns.
    pub(crate) fn about(mut self, whom: &str) -> Self {
        let (Self::Lost(story)
        | Self::Twice(story)
        | Self::Invented(story)
        | Self::Torn(story)
        | Self::Rewritten(story)
        | Self::TwoLeaders(story)
        | Self::Diverged(story)
        | Self::DoesNotOpen(story)
        | Self::Stuck(story)
        | Self::Failed(story)) = &mut self;
        *story = format!("{whom}: {story}");
        self
    }
}

/// A register with one writer, whose writes may have an unknown outcome.
///
/// An unknown write stands in the log before any later one of the same writer, or never: so it cannot
/// show up once a later one was done.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    /// The last value known to have been there, and what may have taken its place, in order.
    possible: Vec<Option<String>>,
    tried: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Register {
    pub(crate) fn new() -> Self {
        Self { possible: vec![None], tried: BTreeSet::new(), refused: BTreeSet::new() }
    }

    /// From now on it may have this value.
    pub(crate) fn trying(&mut self, value: &str) {
        self.possible.push(Some(value.to_owned()));
        self.tried.insert(value.to_owned());
    }

    /// The write of this value is done.
    pub(crate) fn done(&mut self, value: &str) {
        self.possible = vec![Some(value.to_owned())];
    }

    /// The write of this value is said to be not done.
    pub(crate) fn refused(&mut self, value: &str) {
        self.possible.retain(|possible| possible.as_deref() != Some(value));
        self.refused.insert(value.to_owned());
    }

    /// A read has found this.
    pub(crate) fn saw(&mut self, value: Option<&str>) -> Result<(), Violation> {
        let known = self.possible.iter().position(|possible| possible.as_deref() == value);
        if let Some(position) = known {
            self.possible.drain(..position);
            return Ok(());
        }
        let short = |value: &Option<String>| value.as_deref().map(|text| label(text).to_owned());
        let possible: Vec<_> = self.possible.iter().map(short).collect();
        let story = format!("found {:?}, possible were {possible:?}", value.map(label));
        let invented =
            value.is_some_and(|value| self.refused.contains(value) || !self.tried.contains(value));
        Err(if invented { Violation::Invented(story) } else { Violation::Lost(story) })
    }
}

/// Values are long; their first part names them.
fn label(value: &str) -> &str {
    value.split('~').next().unwrap_or(value)
}

/// A text that one client appends to under a session, so that every append is done exactly once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story(String);

impl Story {
    /// An append was answered with this length.
    pub(crate) fn appended(&mut self, text: &str, length: i64) -> Result<(), Violation> {
        self.0.push_str(text);
        let story = || format!("append of {} answered {length}, not {}", label(text), self.0.len());
        match usize::try_from(length).unwrap_or(0).cmp(&self.0.len()) {
            std::cmp::Ordering::Less => Err(Violation::Lost(story())),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Violation::Twice(story())),
        }
    }

    /// A read found this; no append is under way.
    pub(crate) fn saw(&self, found: &str) -> Result<(), Violation> {
        if found == self.0 {
            return Ok(());
        }
        let story = format!("a text of {} bytes reads as {} bytes", self.0.len(), found.len());
        Err(if found.len() > self.0.len() {
            Violation::Twice(story)
        } else {
            Violation::Lost(story)
        })
    }
}

/// A counter that all clients of a group count up, each under its session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Total {
    answered: BTreeSet<i64>,
}

impl Total {
    /// The highest number that was answered so far. Whoever asks from now on gets a higher one.
    pub(crate) fn highest(&self) -> i64 {
        self.answered.last().copied().unwrap_or(0)
    }

    /// A count that began when `floor` was the highest was answered with `number`.
    pub(crate) fn counted(&mut self, floor: i64, number: i64) -> Result<(), Violation> {
        if number > floor && self.answered.insert(number) {
            return Ok(());
        }
        Err(Violation::Lost(format!("counted {number} again, after {floor}")))
    }

    /// A read found this, and nobody counts.
    pub(crate) fn saw(&self, found: i64) -> Result<(), Violation> {
        let all = i64::try_from(self.answered.len()).unwrap_or(i64::MAX);
        let story = || format!("counted {all} times, and the counter is at {found}");
        match found.cmp(&all) {
            std::cmp::Ordering::Less => Err(Violation::Lost(story())),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Violation::Twice(story())),
        }
    }
}

/// What replicas have been told to apply, and who has led; for all times.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    committed: BTreeMap<(GroupId, Index), Entry>,
    leaders: BTreeMap<(GroupId, Term), NodeId>,
}

impl Ledger {
    /// A replica applies this entry.
    pub(crate) fn committed(&mut self, group: GroupId, entry: &Entry) -> Result<(), Violation> {
        let known = self.committed.entry((group, entry.index)).or_insert_with(|| entry.clone());
        if known == entry {
            return Ok(());
        }
        let (index, was, is) = (entry.index, known.term, entry.term);
        Err(Violation::Rewritten(format!("{group} {index} was of {was}, now it is of {is}")))
    }

    /// This node leads in this term.
    pub(crate) fn leads(
        &mut self,
        group: GroupId,
        term: Term,
        node: NodeId,
    ) -> Result<(), Violation> {
        let known = *self.leaders.entry((group, term)).or_insert(node);
        if known == node {
            return Ok(());
        }
        Err(Violation::TwoLeaders(format!("{group} in {term}: {known} and {node}")))
    }

    /// Leads so far.
    pub(crate) fn leads_count(&self) -> usize {
        self.leaders.len()
    }

    /// Entries so far.
    pub(crate) fn entries(&self) -> usize {
        self.committed.len()
    }
}
