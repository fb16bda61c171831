//! Why a history is not linearizable, for a person to read.

use std::fmt::{self, Debug, Display, Formatter};

use super::history::Operation;
use super::model::Model;
use super::plan::Plan;
use super::search::Prefix;

/// How much of the order is printed.
const LINES_SHOWN: usize = 20;

/// A key for which there is no order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) key: String,
    /// How many operations the key has, unknown reads not counted.
    pub(crate) operations: usize,
    /// The longest linearizable prefix, as positions in the history.
    pub(crate) order: Vec<usize>,
    /// What could come next and does not fit, as positions in the history.
    pub(crate) stuck: Vec<usize>,
    text: String,
}

impl Violation {
    pub(crate) fn new<M: Model>(key: &M::Key, plan: &Plan<'_, M>, prefix: &Prefix) -> Self {
        let line = |number: &usize| {
            format!("    #{} {}\n", plan.positions[*number], sentence(plan.operations[*number]))
        };
        let skipped = prefix.order.len().saturating_sub(LINES_SHOWN);
        let mut text = String::new();
        if skipped > 0 {
            text += &format!("    … {skipped} before\n");
        }
        text.extend(prefix.order[skipped..].iter().map(line));
        text += &format!("  then the value is {}, and none of these fits next:\n", prefix.state);
        text.extend(prefix.stuck.iter().map(line));

        let positions =
            |numbers: &[usize]| numbers.iter().map(|number| plan.positions[*number]).collect();
        Self {
            key: format!("{key:?}"),
            operations: plan.operations.len(),
            order: positions(&prefix.order),
            stuck: positions(&prefix.stuck),
            text,
        }
    }
}

fn sentence<I: Debug, O: Debug>(operation: &Operation<I, O>) -> String {
    let Operation { client, input, called_at, returned } = operation;
    match returned {
        Some((at, output)) => {
            format!("client {client} [{called_at}, {at}] {input:?} -> {output:?}")
        }
        None => format!("client {client} [{called_at}, never] {input:?}"),
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { key, operations, order, text, .. } = self;
        writeln!(
            f,
            "key {key} is not linearizable; of its {operations} operations, {} can be put in an order:",
            order.len()
        )?;
        f.write_str(text)
    }
}

impl Debug for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}
