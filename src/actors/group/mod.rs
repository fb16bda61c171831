//! One replica: the driver that decides, and the actor that carries.

pub mod actor;
mod clock;
pub mod driver;
pub mod event;
pub mod intake;
mod neighbours;
pub mod payload;
mod proposals;
mod reads;
pub mod recovered;
#[cfg(test)]
mod tests;
