//! The replicated state of one data group: keys with their values and deadlines, the buckets it owns,
//! the sessions of its clients, and the time that its leaders have stamped.
//!
//! | file | is |
//! |---|---|
//! | `state` | [`Machine`]: born, opened, one entry applied, one read answered, meta rows written |
//! | `layout` | how rows look |
//! | `fault` | what can go wrong |
//! | `meta` | the row that says how far all others are |
//! | `budget` | what one entry may cost |
//! | `buckets` | how the group stands to each bucket, in which epoch, and how much each holds |
//! | `slot` | one key: found, written, removed, counted, with its place in the index of deadlines |
//! | `sweep` | removes what is due |
//! | `moves`, `leaving`, `coming` | the steps of moves: told apart, at the source, at the destination |
//! | `marks` | what changes in a bucket that is on the move |
//! | `page` | the next part of a copy, read at the source |
//! | `dispatch` | from a command to the function that carries it out |
//! | `strings`, `counters`, `keyspace`, `expiry`, `whole` | the commands, by family |
//!
//! Must always hold: what a replica answers and writes depends only on its rows and on the entries, so
//! that all replicas hold equal rows; and all state is in rows after [`Machine::flush_meta`].

mod buckets;
mod budget;
mod coming;
mod counters;
mod dispatch;
mod expiry;
mod fault;
mod keyspace;
mod layout;
mod leaving;
mod marks;
mod meta;
mod moves;
mod page;
mod slot;
mod state;
mod strings;
mod sweep;
#[cfg(test)]
mod tests;
mod whole;

pub use fault::{ApplyError, DamagedRow, OpenError, PageError};
pub use state::{Genesis, Machine, MachineStats};
