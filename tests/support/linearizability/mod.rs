//! Is a history of concurrent operations linearizable?
//!
//! A history says what clients called, when, and what they were told. It is linearizable if every operation
//! can be given one moment between its call and its return such that, executed one at a time in the order of
//! these moments, all of them answer what they did answer. An operation that never returned may have taken
//! effect at any moment after its call, or never.
//!
//! ```text
//!  History ─► check ─► plan (one key) ─► search ─► memo (configurations met)
//!               │                          └─► moves ─► Model::step
//!               └─► Verdict: Linearizable | Violation (explained) | Unknown (gave up)
//! ```
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the memory of
//! Lowe ("Testing for linearizability", 2017): place, one after the other, an operation that no other one
//! has to precede, and never look twice at the same set of placed operations with the same state. A history
//! of several keys is one history for each of them. What keeps it fast beyond that is told in `moves`:
//!
//! - **Reads at once.** An operation that changes nothing and fits now is placed now.
//! - **Optional operations.** One that never returned is a choice, not a duty; nor is a write that another
//!   write may hide. Of two ways to the same point, the one with more choices left makes the other needless.
//! - **Alike operations.** Of lost operations that do the same, the one called first is used first.
//!
//! Work is bounded: past the bound the verdict is [`Verdict::Unknown`], which a test must not take for a pass.
//! The same history has the same verdict and the same explanation every time.
//!
//! Not here: transactions over several keys (that is another property, with other checkers), and models
//! with more than one legal next state for the same call and answer.
//!
//! ```ignore
//! let mut history = History::default();
//! let write = history.call(1, redis::Request::new("k", redis::Action::Set("a".into())), 10);
//! history.returned(write, redis::Reply::Done, 20);
//! assert_eq!(check::<RedisStrings>(&history.operations()), Verdict::Linearizable);
//! ```
#![allow(dead_code, unused_imports, reason = "each test that includes this uses a part of it")]

mod bits;
mod check;
mod explain;
mod history;
mod memo;
mod model;
mod models;
mod moves;
mod plan;
mod search;
mod states;

pub(crate) use check::{STATES_MAX, Verdict, check, check_within};
pub(crate) use explain::Violation;
pub(crate) use history::{Call, History, Operation};
pub(crate) use model::{Effect, Model};
pub(crate) use models::map::{self, Map};
pub(crate) use models::redis::{self, RedisStrings};
pub(crate) use models::register::{self, Register};
