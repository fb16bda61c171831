//! A unit whose commands had to go to several groups after all: its replies, gathered.

use super::ticket::{Settled, Slot};
use crate::kv::Reply;
use crate::net::message::Outcome;
use std::cell::RefCell;
use std::rc::Rc;

/// Where the outcome of a unit goes.
#[derive(Debug)]
pub(super) enum Sink {
    /// To who sent it.
    Asker(Slot),
    /// Into these places of the unit that it was a part of.
    Part(Rc<RefCell<Gather>>, Vec<usize>),
}

/// The replies of a unit that are there, and where they go when all are.
#[derive(Debug)]
pub(super) struct Gather {
    replies: Vec<Reply>,
    missing: usize,
    sink: Option<Sink>,
}

impl Gather {
    /// For a unit that got these replies; those in `missing` places are no replies yet.
    pub(super) fn new(replies: Vec<Reply>, missing: usize, sink: Sink) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { replies, missing, sink: Some(sink) }))
    }
}

impl Sink {
    /// Puts the outcome in.
    pub(super) fn settle(self, settled: Settled) {
        let (gather, places) = match self {
            Self::Asker(slot) => return slot.settle(settled),
            Self::Part(gather, places) => (gather, places),
        };
        let mut inner = gather.borrow_mut();
        inner.missing = inner.missing.saturating_sub(places.len());
        let replies = settled.into_replies(places.len());
        for (place, reply) in places.into_iter().zip(replies) {
            inner.replies[place] = reply;
        }
        if inner.missing > 0 {
            return;
        }
        let outcome = Outcome::Done(std::mem::take(&mut inner.replies));
        let sink = inner.sink.take();
        drop(inner);
        if let Some(sink) = sink {
            sink.settle(Settled { outcome, hint: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ticket::ticket;
    use super::*;
    use crate::net::message::Refusal;

    fn done(replies: &[i64]) -> Settled {
        let replies = replies.iter().map(|number| Reply::Integer(*number)).collect();
        Settled { outcome: Outcome::Done(replies), hint: None }
    }

    #[test]
    fn the_replies_of_parts_are_in_their_places() {
        actix_rt::System::new().block_on(async {
            let (ticket, mut slots) = ticket(1);
            let sink = Sink::Asker(slots.pop().unwrap());
            let first = vec![Reply::Integer(0), Reply::Nil, Reply::Nil, Reply::Nil];
            let gather = Gather::new(first, 3, sink);
            let outer = Sink::Part(gather.clone(), vec![1, 3]);
            Sink::Part(gather, vec![2]).settle(done(&[2]));
            // A part of a part.
            let inner = Gather::new(vec![Reply::Nil, Reply::Integer(3)], 1, outer);
            let outcome = Outcome::NotDone(Refusal::Moving);
            Sink::Part(inner, vec![0]).settle(Settled { outcome, hint: None });
            let Outcome::Done(replies) = &ticket.await[0].outcome else { panic!() };
            assert_eq!(replies[0], Reply::Integer(0));
            assert!(matches!(&replies[1], Reply::Error(error) if error.code == "TRYAGAIN"));
            assert_eq!(replies[2..], [Reply::Integer(2), Reply::Integer(3)]);
        });
    }
}
