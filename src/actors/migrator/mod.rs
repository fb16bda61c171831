//! Moves of buckets on a node: an actor for each group led here that takes buckets in, and the reports to the
//! config group of what groups led here own.
//!
//! What a migrator thinks is `kv::migration::drive`; here it is given time, answers and a way out. The source
//! of a move has no actor of its own: what is asked of it are units of work like a client's, which routers
//! carry to its leader, and which its log and its state machine answer.
//!
//! | file | is |
//! |---|---|
//! | `actor` | [`ShardMigrator`]: the actor around the driver of one group |
//! | `ask` | a question of the driver as units for the source |
//! | `departures` | what the log is told of moves at the group that gives |
//! | `reports` | how far moves are, for whoever asks this node |
//! | `stewards` | which migrators run, and what is reported |

mod actor;
mod ask;
mod departures;
mod reports;
mod stewards;

pub(crate) use departures::tell;
pub(crate) use reports::{Intake, MoveReports};
pub(crate) use stewards::Stewards;
