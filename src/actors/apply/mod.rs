//! The apply thread: runs the state machines of all groups of a node over one overlay, answers, and feeds
//! the state thread.
//!
//! It may block on a read of the store, so it is no actor; what it decides is in [`Applier`], a plain
//! struct that the simulator drives as well. A machine that fails or panics takes down its own replica
//! only: what it wrote since the last freeze is thrown away, so that its rows and its applied index
//! agree, and the replica is rebuilt from there.

mod applier;
mod command;
mod live;
mod machine;
#[cfg(test)]
mod tests;
mod thread;

pub use applier::Applier;
pub use command::{ApplyCommand, ApplySink, Birth, Holdings, Opened, Stats};
pub use live::{Forgotten, Live};
pub use thread::{ApplyInbox, ApplyThread};
