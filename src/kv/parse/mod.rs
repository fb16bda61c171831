//! From a client's words to typed commands.
//!
//! [`resolve`] says which command it is, [`parse`] what it asks. Everything that can be judged from the
//! words alone is judged here, with Redis's error texts; what needs the data is judged in `apply`.

mod arguments;
mod connection;
mod expiry;
mod introspection;
mod keyspace;
mod parsed;
mod resolve;
mod server;
mod split;
mod strings;
#[cfg(test)]
mod tests;

pub use parsed::{
    ClientCommand, ClientFilter, ClusterWide, ConnectionCommand, Hello, Kill, KillFilter, Parsed,
    ReplyMode, ServerCommand,
};
pub use resolve::{Resolved, parse, resolve};
pub use split::{COMMAND_BYTES_MAX, Join, Part, Split};
