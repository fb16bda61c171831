//! The things whose histories are checked.

pub(crate) mod map;
pub(crate) mod redis;
pub(crate) mod register;
