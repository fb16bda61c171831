//! A node: everything above, put together, started and stopped in order.

mod admin;
mod birth;
mod host;
mod inbound;
mod join;
mod recover;
mod scheduling;
mod settings;
mod start;

pub use host::Host;
pub use settings::{NodeSettings, RedisTls};
pub use start::{StartError, run};
