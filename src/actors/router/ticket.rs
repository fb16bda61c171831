//! What a connection holds while its units are on their way: a future of all their outcomes.

use super::flight::UNIT_BYTES_MAX;
use crate::kv::{Reply, ReplyError};
use crate::net::message::{Outcome, Refusal};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How a unit ended, for the connection that sent it.
#[derive(Debug)]
pub struct Settled {
    /// What became of it.
    pub outcome: Outcome,
    /// For "not done" at the deadline: what the user should know.
    pub hint: Option<String>,
}

impl Settled {
    /// The replies to its `count` commands, whatever became of them.
    #[must_use]
    pub fn into_replies(self, count: usize) -> Vec<Reply> {
        match self.outcome {
            Outcome::Done(replies) => replies,
            trouble => vec![trouble_reply(&trouble, self.hint.as_deref()); count],
        }
    }
}

/// What a client is told of a unit that was not, or perhaps not, carried out.
#[must_use]
pub fn trouble_reply(outcome: &Outcome, hint: Option<&str>) -> Reply {
    let hint = hint.unwrap_or("the cluster");
    match outcome {
        Outcome::NotDone(Refusal::DiskLow) => ReplyError::new(
            "OOM",
            "the disk is nearly full: only deletes are taken until there is room (not done)",
        ),
        Outcome::NotDone(Refusal::TooLarge) => ReplyError::err(format!(
            "the commands sent together to one group are larger than {UNIT_BYTES_MAX} bytes (not done)"
        )),
        Outcome::NotDone(Refusal::Busy) => {
            ReplyError::not_done(format!("{hint} has too many requests waiting; slow down"))
        }
        Outcome::NotDone(Refusal::Stopping) => ReplyError::not_done("this node is stopping"),
        Outcome::NotDone(Refusal::Moving) => ReplyError::not_done(format!(
            "the bucket is on its way to another group; see 'eraftctl moves' ({hint})"
        )),
        Outcome::NotDone(refusal) => ReplyError::new(
            "CLUSTERDOWN",
            format!("{hint} did not answer in time: {refusal}; see 'eraftctl status' (not done)"),
        ),
        _ => ReplyError::outcome_unknown(format!("{hint} did not answer in time")),
    }
    .into()
}

#[derive(Debug)]
struct State {
    settled: Vec<Option<Settled>>,
    missing: usize,
    waker: Option<Waker>,
}

/// Resolves to the outcomes of some units, in the order in which they were given.
#[derive(Debug)]
pub struct Ticket(Rc<RefCell<State>>);

/// The router's end of a [`Ticket`], for one unit.
#[derive(Debug)]
pub(super) struct Slot {
    state: Rc<RefCell<State>>,
    position: usize,
}

/// A ticket for `units` units and a slot for each.
pub(super) fn ticket(units: usize) -> (Ticket, Vec<Slot>) {
    let settled = std::iter::repeat_with(|| None).take(units).collect();
    let state = Rc::new(RefCell::new(State { settled, missing: units, waker: None }));
    let slots = (0..units).map(|position| Slot { state: state.clone(), position }).collect();
    (Ticket(state), slots)
}

impl Slot {
    /// Puts the outcome in.
    pub(super) fn settle(self, settled: Settled) {
        let mut state = self.state.borrow_mut();
        if state.settled[self.position].replace(settled).is_none() {
            state.missing -= 1;
        }
        if state.missing == 0
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
    }
}

impl Future for Ticket {
    type Output = Vec<Settled>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.borrow_mut();
        if state.missing == 0 {
            let settled = std::mem::take(&mut state.settled);
            return Poll::Ready(settled.into_iter().flatten().collect());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
