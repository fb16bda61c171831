//! The router: brings clients' commands to the leaders of their buckets and the replies back.
//!
//! One per worker thread. What all connections of the thread bring in during one turn of the event loop
//! leaves as one message per local group and one frame per remote leader. A unit that is answered "not
//! done", or lost with its connection, is sent again until its deadline; a forwarded write carries this
//! router's session, so that it applies once however often it is sent.

mod flight;
mod gather;
mod sessions;
mod ticket;

#[cfg(test)]
pub(crate) use flight::UNIT_BYTES_MAX;
pub use flight::{Mode, Router, Target, worker_of};
pub use ticket::{Settled, Ticket, trouble_reply};
