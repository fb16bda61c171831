//! The agenda: all that is still to happen, in order.

use super::turn::Part;
use eraft::ids::{GroupId, NodeId};
use eraft::raft::Message;
use std::collections::BTreeMap;

/// Something on the agenda.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The clock of a node, in one of its lives.
    Tick(NodeId, u64),
    /// A part of a node has its turn, in one of the node's lives.
    Turn(NodeId, u64, Part),
    Deliver(GroupId, Message),
    /// A client wakes up.
    Wake(usize),
    /// A node that went down starts again.
    Start(NodeId),
    /// Something goes wrong with a node.
    Fault,
}

/// See the module's first lines. What is to happen at the same time happens in the order in which it was
/// noted down.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    open: BTreeMap<(u64, u64), Happening>,
    noted: u64,
}

impl Agenda {
    /// Notes down what is to happen at this time, microseconds.
    pub(crate) fn note(&mut self, at: u64, happening: Happening) {
        self.noted += 1;
        self.open.insert((at, self.noted), happening);
    }

    /// What is next, and when.
    pub(crate) fn next(&mut self) -> Option<(u64, Happening)> {
        self.open.pop_first().map(|((at, _), happening)| (at, happening))
    }
}
