//! One client: what it is like, and the unit that it has under way.

use super::cluster::Chance;
use super::linearizability::Call;
use super::operation::Operation;
use eraft::ids::{GroupId, NodeId};
use eraft::kv::SessionRef;
use eraft::net::message::{Ask, Unit, UnitId, Work};
use std::collections::VecDeque;

/// How a client goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Gives up what it hears nothing of, and never knows whether it was done.
    Plain,
    /// Sends the same again under a session, to whomever it takes for the leader, until it is answered.
    Session,
    /// Only reads, and always asks the same node, whoever leads: who is served by a leader of the past
    /// is found out by such a one. It stops when the faults do.
    Loyal,
}

/// See the module's first lines.
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) group: GroupId,
    /// Where its keys seem to be.
    pub(super) at: GroupId,
    pub(super) habit: Habit,
    /// Whom it takes for the leader.
    pub(super) target: usize,
    /// What it may still begin; of one that is loyal: whether it goes on.
    pub(super) units: u32,
    /// What it does when there are no units left.
    pub(super) last: VecDeque<Vec<Operation>>,
    pub(super) sequence: u64,
    pub(super) doing: Option<Doing>,
    /// When it wants to be woken.
    pub(super) wake_at: u64,
}

impl Client {
    /// What it does next, if anything.
    pub(super) fn next(&mut self, padding: u64, chance: &mut Chance) -> Option<Vec<Operation>> {
        if self.units == 0 {
            return self.last.pop_front();
        }
        if self.habit == Habit::Loyal {
            return Some(vec![Operation::read(self.group, chance)]);
        }
        self.units -= 1;
        let count = 1 + u64::from(chance.below(5) == 0);
        let choose = |more| {
            let token = format!("c{}.{};", self.number, self.sequence + more + 1);
            Operation::choose(self.group, &token, padding, chance)
        };
        Some((0..count).map(choose).collect())
    }

    /// It has nothing under way and wants nothing, or is one that never has enough.
    pub(super) fn is_idle(&self) -> bool {
        let wants = self.units > 0 && self.habit != Habit::Loyal;
        !wants && self.last.is_empty() && self.doing.is_none()
    }

    /// It asks another node from now on, unless it never does.
    pub(super) fn turn_to(&mut self, node: usize) {
        if self.habit != Habit::Loyal {
            self.target = node;
        }
    }

    /// The faults are over: it begins no more than so many units.
    pub(super) fn hurry(&mut self, units: u32) {
        self.units = if self.habit == Habit::Loyal { 0 } else { self.units.min(units) };
    }
}

/// A unit that is not finished.
pub(super) struct Doing {
    pub(super) operations: Vec<Operation>,
    pub(super) calls: Vec<Call>,
    /// Of the first operation; the others follow it.
    pub(super) session: Option<SessionRef>,
    /// The unit under way, to whom, since when.
    pub(super) sent: Option<(UnitId, NodeId, u64)>,
    pub(super) attempts: u32,
    pub(super) is_write: bool,
}

impl Doing {
    pub(super) fn unit(&self, id: UnitId, group: GroupId) -> Unit {
        let ask = |(position, operation): (usize, &Operation)| Ask {
            command: operation.command.clone(),
            session: self.session.map(|session| SessionRef {
                sequence: session.sequence + position as u64,
                ..session
            }),
        };
        let asks = self.operations.iter().enumerate().map(ask).collect();
        Unit { id, group, work: Work::Keys(asks) }
    }
}
