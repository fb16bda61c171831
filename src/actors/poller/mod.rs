//! The config poller: follows the config table, starts the replicas that it assigns to this node, tells
//! peers how this node is, and hands leads to where they should be.

mod actor;
pub mod follow;

pub(crate) use actor::{Poller, PollerMessage, PollerSeed};
