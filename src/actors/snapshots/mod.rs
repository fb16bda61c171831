//! Sending snapshots: chunks of one read view, on the bulk lane, a few ahead of what the receiver has
//! stored, and no faster than the node's rate limit. It blocks neither reads nor writes of the group.
//!
//! ```text
//! leader:    Offer ─────────────► (wanted? the core says)
//!                  ◄───────────── Wanted{next, taken}
//!            Chunk next.. ──────► written to a life of the rows of its own
//!                  ◄───────────── Received{taken}              … and again, until
//!                  ◄───────────── Received{installed}
//! ```
//!
//! A link that breaks, a chunk that is lost and a new term of the same leader lead back to the offer, and
//! the receiver says from where to go on. `sending` decides (a plain struct), `transfer` carries.

mod pace;
mod progress;
mod sending;
mod transfer;
mod transfers;

pub use pace::Pace;
pub use sending::{Patience, SendEnd, SendStep, Sending};
pub use transfer::View;
pub(crate) use transfer::{Transfer, answer};
pub use transfers::Transfers;
