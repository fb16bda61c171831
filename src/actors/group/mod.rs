//! One replica: the driver that decides, and the actor that carries.

pub mod actor;
pub mod caretaker;
mod clock;
pub mod driver;
pub mod era;
pub mod event;
pub mod intake;
mod memberships;
mod neighbours;
pub mod payload;
mod proposals;
mod reads;
pub mod recovered;
pub mod recovery;
mod snapshots;
#[cfg(test)]
mod tests;
