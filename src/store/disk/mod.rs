//! The disk, as far as the log needs it: one small interface, the real thing, and a simulated one
//! that loses, tears and refuses exactly what a real one may.

mod crash;
mod device;
mod real;
mod sim;

#[cfg(test)]
mod conformance;

pub use crash::{Crash, SECTOR};
pub use device::{Disk, File};
pub use real::{RealDisk, RealFile};
pub use sim::{SimDisk, SimFile};
