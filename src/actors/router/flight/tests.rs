//! Tests of the router, with nobody at the other end.

use super::*;
use crate::actors::group::event::Lead;
use crate::kv::{Command, ReplyError};
use crate::net::message::Ask;
use bytes::Bytes;

fn router() -> Router {
    Router::new(Arc::new(Shared::new(NodeId(1))), 0, 7)
}

fn append(value: &Bytes) -> Ask {
    let command = Command::Append { key: Bytes::from_static(b"k"), value: value.clone() };
    Ask { command, session: None }
}

fn submit(router: &Router) -> (Ticket, UnitId) {
    let work = Work::Keys(vec![append(&Bytes::from_static(b"v"))]);
    let ticket = router.submit(vec![(Target::Group(GroupId(3)), work)], Mode::Cluster);
    (ticket, UnitId(router.0.borrow().last_unit))
}

/// As if it had been forwarded once.
fn forward(router: &Router, id: UnitId) {
    let mut inner = router.0.borrow_mut();
    let Inner { sessions, flights, .. } = &mut *inner;
    let flight = flights.get_mut(&id).unwrap();
    sessions.number(GroupId(3), &mut flight.work, UnixMillis(0));
    flight.numbered = Some(GroupId(3));
    flight.open += 1;
}

fn refused() -> Outcome {
    Outcome::Done(vec![ReplyError::not_done("too many unacknowledged replies").into()])
}

#[test]
fn what_fits_no_entry_is_refused_at_once_and_costs_nothing() {
    actix_rt::System::new().block_on(async {
        let router = router();
        let value = Bytes::from(vec![0; 1024 * 1024]);
        let asks = std::iter::repeat_with(|| append(&value)).take(65).collect();
        let work = vec![(Target::Group(GroupId(3)), Work::Keys(asks))];
        let settled = router.submit(work, Mode::Cluster).await;
        assert_eq!(settled[0].outcome, Outcome::NotDone(Refusal::TooLarge));
        assert_eq!(router.shared().request_bytes.load(std::sync::atomic::Ordering::Relaxed), 0);
    });
}

#[test]
fn a_write_refused_by_its_session_is_tried_again_under_a_new_number() {
    actix_rt::System::new().block_on(async {
        let router = router();
        let (_ticket, unit) = submit(&router);
        forward(&router, unit);
        router.answered(vec![Answer { unit, outcome: refused() }]);
        let inner = router.0.borrow();
        let flight = inner.flights.get(&unit).expect("not settled");
        assert_eq!(flight.numbered, None);
        assert!(matches!(&flight.work, Work::Keys(asks) if asks[0].session.is_none()));
        assert!(matches!(flight.place, Place::Waiting(_)));
    });
}

#[test]
fn with_another_copy_on_its_way_the_number_stays() {
    actix_rt::System::new().block_on(async {
        let router = router();
        let (ticket, unit) = submit(&router);
        forward(&router, unit);
        forward(&router, unit);
        router.answered(vec![Answer { unit, outcome: refused() }]);
        let Outcome::Done(replies) = &ticket.await[0].outcome else { panic!("it was answered") };
        assert!(matches!(&replies[..], [Reply::Error(error)] if error.code == "UNKNOWN"));
    });
}

#[test]
fn what_has_settled_does_not_leave_any_more() {
    actix_rt::System::new().block_on(async {
        let router = router();
        let (ticket, unit) = submit(&router);
        {
            let mut inner = router.0.borrow_mut();
            let work = inner.flights[&unit].work.clone();
            let units = vec![Unit { id: unit, group: GroupId(3), work }];
            inner.outgoing.insert(Destination::Here(GroupId(3)), units.clone());
            inner.settle(unit, Outcome::NotDone(Refusal::Busy));
            inner.flush();
            assert!(inner.flights.is_empty() && inner.outgoing.is_empty());
        }
        assert_eq!(ticket.await[0].outcome, Outcome::NotDone(Refusal::Busy));
    });
}

#[test]
fn a_sweep_that_ends_lets_the_next_begin() {
    actix_rt::System::new().block_on(async {
        let router = router();
        router.0.borrow_mut().sweeping = true;
        drop(Sweeping(router.clone()));
        assert!(!router.0.borrow().sweeping);
        assert!(!router.guarded("a test", |_| panic!("on purpose")));
        assert!(router.guarded("a test", |_| {}), "the borrow has ended");
    });
}

#[test]
fn a_read_that_an_observer_here_cannot_answer_is_put_to_the_leader() {
    actix_rt::System::new().block_on(async {
        let (router, group, leader) = (router(), GroupId(3), NodeId(2));
        assert!(router.routing().is_none(), "it has looked at what is shared");
        let board = Arc::new(Board::default());
        let (role, term) = (crate::raft::Role::Follower, crate::ids::Term(1));
        board.publish(Lead { group, role, leader: Some(leader), term });
        board.set_observes(true);
        router.0.borrow_mut().boards.insert(group, board);
        let submit = |command| {
            let work = Work::Keys(vec![Ask { command, session: None }]);
            let ticket = router.submit(vec![(Target::Group(group), work)], Mode::Here);
            (ticket, UnitId(router.0.borrow().last_unit))
        };
        let place = |unit| router.0.borrow().flights[&unit].place;
        let key = Bytes::from_static(b"k");
        let (write, _) = submit(Command::Append { key: key.clone(), value: key.clone() });
        let refused = Outcome::NotDone(Refusal::NotLeader(Some(leader)));
        assert_eq!(write.await[0].outcome, refused, "an observer takes no writes");
        let (_ticket, read) = submit(Command::Get { key });
        assert!(matches!(place(read), Place::Sent(Destination::Here(_), _)));
        router.answered(vec![Answer { unit: read, outcome: refused }]);
        assert!(matches!(place(read), Place::Waiting(_)));
        router.0.borrow_mut().send(read, MonoMillis(9));
        assert!(matches!(place(read), Place::Sent(Destination::Peer(to), _) if to == leader));
    });
}
