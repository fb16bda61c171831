//! Facts about commands, as data: names, numbers of arguments, flags, where keys are, what a person
//! would ask. Parsing, `COMMAND` replies, metrics and routing all read the same table.

mod cluster;
mod facts;
mod introspection;
mod keyspace;
mod server;
mod strings;
mod table;

pub use facts::{KeySpec, Name, Spec, category, flag};
pub use introspection::{Found, help, key_flags};
pub use table::{COMMANDS, lookup, lookup_subcommand};
