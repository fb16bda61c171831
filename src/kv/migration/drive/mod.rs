//! The driver of moves: [`Migrator`] at the leader of the group that takes. It is born when its replica begins
//! to lead and dropped when that ends: all that must outlive it is replicated (`Moves`). What it asks, the log
//! and the state machine of the group that gives answer, to the words of an [`Errand`].
//!
//! ```text
//!  table ──follow──►┌──────────┐──Ask──► Errand ──► the source's log and state
//!  Moves ─observe──►│ Migrator │◄─answered / lost ◄────────┘
//!  reply ─settled──►└──────────┘──Propose──► own log
//! ```
//!
//! | file | is |
//! |---|---|
//! | `bounds` | every number |
//! | `goal` | what the table wants of the taker |
//! | `pace` | how long to wait after a failure, and how much may be taken in |
//! | `job` | one move at its taker: what to ask and what to propose next |
//! | `giver` | a source as its taker sees it: whether it answers, and the next move that begins |
//! | `migrator` | [`Migrator`]: all moves to a group |
//! | `answers` | what the migrator makes of answers and of settled proposals |
//! | `errand` | one question on its way to the source |
//! | `report` | how far moves are, for people |
//!
//! Must always hold: a driver only ever proposes what is right by facts that cannot become wrong, or what
//! apply refuses when it is; so losing, doubling or delaying anything costs time only.

mod answers;
mod bounds;
mod errand;
mod giver;
mod goal;
mod job;
mod migrator;
mod pace;
mod report;
#[cfg(test)]
mod tests;

pub use bounds::{HANDOFF_BYTES, HELD_BYTES_MAX, MOVES_AT_A_TIME, MOVES_PER_SOURCE};
pub use errand::{Errand, Heard, Word};
pub use goal::{Goal, Wanted};
pub use migrator::{Action, AskId, Migrator, ProposalId, Settled};
pub use report::{MovePhase, MoveReport, Stall};
