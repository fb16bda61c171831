//! A leader's secretaries: which of them are there, and who serves whom.
//!
//! ```text
//!              answers a question asked since
//!   ┌────────┐ ─────────────────────────────► ┌─────────┐
//!   │ Absent │                                │ Present │
//!   └────────┘ ◄───────────────────────────── └─────────┘
//!      leaves one unanswered, is unreachable, or the group has slept
//! ```
//!
//! Only who is present serves anybody. A peer is dealt to a secretary under a session, a number that is
//! never used twice in a term, and what is reported about it counts only if it is about a session of this
//! admission: a peer that was removed and admitted anew may have another disk.

use super::config::Config;
use super::leader::Leader;
use super::progress::{Progress, ProgressState};
use crate::ids::NodeId;
use crate::limits::RELAY_TARGETS_MAX;

/// Peers for which a secretary is worth its while: for a single one it would save nothing.
const SERVED_MIN: usize = 2;

/// By whom a peer is served, as far as entries are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relay {
    pub(super) by: NodeId,
    pub(super) session: u64,
    /// Ticks since it was heard of by that way, while something is in flight.
    pub(super) waiting_ticks: u32,
}

/// One secretary.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) id: NodeId,
    pub(super) present: bool,
    /// The messages sent to it so far.
    number: u64,
    /// The oldest question that it has not answered, and for how many ticks.
    open: Option<(u64, u32)>,
}

/// All of a leader's secretaries, in order.
#[derive(Debug, Default)]
pub(super) struct Staff {
    pub(super) desks: Vec<Desk>,
    /// No message to a secretary that was dismissed had a higher number.
    dismissed: u64,
    /// The sessions so far.
    pub(super) sessions: u64,
}

impl Desk {
    /// One whose messages are numbered on from there: it may have been employed before in this term, and
    /// what it still reports on that must not pass for an answer to a newer question.
    fn new(id: NodeId, number: u64) -> Self {
        Self { id, present: false, number, open: None }
    }

    /// The number of its next message.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The number of a message that asks whether it is there.
    pub(super) fn ask(&mut self) -> u64 {
        let number = self.next_number();
        self.open.get_or_insert((number, 0));
        number
    }

    /// It has seen the message `number`. Answers whether that message was ever sent.
    pub(super) fn answered(&mut self, number: u64) -> bool {
        if number > self.number {
            return false;
        }
        if self.open.take_if(|open| open.0 <= number).is_some() {
            self.present = true;
        }
        true
    }
}

impl Staff {
    pub(super) fn desk_mut(&mut self, id: NodeId) -> Option<&mut Desk> {
        self.desks.iter_mut().find(|desk| desk.id == id)
    }
}

impl Leader {
    /// Employs exactly these secretaries from now on.
    pub(super) fn hire(&mut self, ids: &[NodeId]) {
        for id in self.staff.desks.iter().map(|desk| desk.id).collect::<Vec<_>>() {
            if !ids.contains(&id) {
                self.lose_secretary(id);
            }
        }
        let dismissed = self.staff.desks.iter().filter(|desk| !ids.contains(&desk.id));
        let dismissed = dismissed.map(|desk| desk.number).max().unwrap_or(0);
        self.staff.dismissed = self.staff.dismissed.max(dismissed);
        let mut old = std::mem::take(&mut self.staff.desks).into_iter();
        let known: Vec<Desk> = old.by_ref().filter(|desk| ids.contains(&desk.id)).collect();
        let desk = |&id| known.iter().find(|desk| desk.id == id).cloned();
        let number = self.staff.dismissed;
        let desks = ids.iter().map(|id| desk(id).unwrap_or(Desk::new(*id, number)));
        self.staff.desks = desks.collect();
    }

    /// A secretary is gone, or seems to be: what it serves is served directly at once. What was
    /// asked does not count any more; a later question has to be answered.
    pub(super) fn lose_secretary(&mut self, id: NodeId) {
        if let Some(desk) = self.staff.desk_mut(id) {
            (desk.present, desk.open) = (false, None);
        }
        for peer in &mut self.peers {
            if peer.relay.is_some_and(|relay| relay.by == id) {
                peer.become_probe();
            }
        }
    }

    /// The group has slept: nobody knows who is still there, and nothing is in flight.
    pub(super) fn forget_staff(&mut self) {
        for desk in &mut self.staff.desks {
            (desk.present, desk.open) = (false, None);
        }
        for peer in &mut self.peers {
            peer.relay = None;
        }
    }

    /// A tick passed.
    pub(super) fn tick_staff(&mut self, config: &Config) {
        if self.staff.desks.is_empty() {
            return;
        }
        let mut lost = Vec::new();
        for desk in &mut self.staff.desks {
            if let Some((_, ticks)) = &mut desk.open {
                *ticks += 1;
                if *ticks > config.relay_ticks {
                    lost.push(desk.id);
                }
            }
        }
        for id in lost {
            self.lose_secretary(id);
        }
        for peer in &mut self.peers {
            peer.tick_relay(config);
        }
    }

    /// Deals the peers that are streamed to evenly to the secretaries that are present, as far as
    /// these are worth their while.
    pub(super) fn deal(&mut self, config: &Config) {
        if self.staff.desks.is_empty() {
            return;
        }
        let alive = self.peers.iter().filter(|peer| peer.is_alive(config)).count();
        let streamed =
            self.peers.iter().filter(|peer| peer.relay.is_some() || peer.may_be_relayed());
        let alive = if streamed.count() < SERVED_MIN { 0 } else { alive };
        let present = self.staff.desks.iter().filter(|desk| desk.present);
        let used: Vec<NodeId> = present.map(|desk| desk.id).take(alive / SERVED_MIN).collect();
        let mut served = vec![0; used.len()];
        for peer in &mut self.peers {
            match peer.relay.and_then(|relay| used.iter().position(|id| *id == relay.by)) {
                Some(at) => served[at] += 1,
                None => peer.relay = None,
            }
        }
        for peer in &mut self.peers {
            let Some(least) = (0..used.len()).min_by_key(|&at| served[at]) else {
                return;
            };
            let at = peer.relay.and_then(|relay| used.iter().position(|id| *id == relay.by));
            let moves = match at {
                None => peer.may_be_relayed(),
                Some(at) => served[at] > served[least] + 1,
            };
            if moves && served[least] < RELAY_TARGETS_MAX {
                if let Some(at) = at {
                    served[at] -= 1;
                }
                served[least] += 1;
                self.staff.sessions += 1;
                let session = self.staff.sessions;
                peer.relay = Some(Relay { by: used[least], session, waiting_ticks: 0 });
            }
        }
    }
}

impl Progress {
    fn may_be_relayed(&self) -> bool {
        self.state == ProgressState::Replicate && self.fetching.is_none() && self.direct_ticks == 0
    }

    /// A tick passed. A peer of which its secretary reports nothing, though something is in flight, is
    /// taken back, and not dealt out again for a while.
    fn tick_relay(&mut self, config: &Config) {
        self.direct_ticks = self.direct_ticks.saturating_sub(1);
        let busy = self.inflights.count() > 0;
        let Some(relay) = &mut self.relay else {
            return;
        };
        relay.waiting_ticks = if busy { relay.waiting_ticks + 1 } else { 0 };
        if relay.waiting_ticks > config.relay_ticks {
            self.become_probe();
            self.direct_ticks = config.election_ticks;
        }
    }
}

#[cfg(test)]
#[path = "staff_tests.rs"]
mod tests;
