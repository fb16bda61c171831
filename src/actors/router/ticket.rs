//! What a connection holds while its units are on their way: a future of all their outcomes.

use crate::net::message::Outcome;
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
