//! The vocabulary of moving buckets between data groups: what the entries of both groups say, what the
//! destination asks and the source answers, and what a group remembers of its moves. `ARCHITECTURE.md`, "Sharding:
//! how a bucket moves", tells the whole story.
//!
//! | file | is |
//! |---|---|
//! | `id` | the name of a move, and a set of buckets |
//! | `progress` | how far a copy is |
//! | `item` | what is copied: rows, removals, kept replies, and a page of them |
//! | `record` | what an entry says about a move, and what it answers |
//! | `ask` | what the destination asks the source's leader, and what that answers |
//! | `state` | what a group remembers of its moves |
//! | `drive` | the driver: who asks and proposes what, and when |

mod ask;
pub mod drive;
mod id;
mod item;
mod look;
mod progress;
mod record;
mod state;

pub use ask::{MoveAnswer, MoveAsk};
pub use id::{MoveId, Ranges, RangesError};
pub use item::{Item, MovedReply, MovedSession, Page};
pub use look::{MoveLook, MoveSight};
pub use progress::{Mark, Place, Progress};
pub use record::{Handoff, MoveRecord, MoveRefusal, MoveReply};
pub use state::{Incoming, IncomingPhase, LiveMarks, Moves, Outgoing, OutgoingPhase};
