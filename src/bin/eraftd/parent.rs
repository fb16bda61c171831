//! Nodes of a dev cluster end with the process that started them, however that ends.
//!
//! The system is asked to kill this process when its parent dies. That leaves the moment before it was asked,
//! which is looked at afterwards. A process that somebody else starts with the same environment (a test, a
//! debugger) is tied to that somebody.

use crate::trouble::Trouble;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// The environment variable with the process id of the dev cluster.
pub(crate) const VARIABLE: &str = "ERAFT_DEV_PARENT";

/// Ties this process to its parent, if it is a node of a dev cluster.
pub(crate) fn tie() -> Result<(), Trouble> {
    let Some(expected) = std::env::var(VARIABLE).ok().and_then(|pid| pid.parse().ok()) else {
        return Ok(());
    };
    // SIGKILL: at once, so that the ports are free for whoever starts the cluster again.
    set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| Trouble::new(format!("cannot tie this node to its parent: {error}")))?;
    let (expected, now) = (Pid::from_raw(expected), getppid());
    if now != expected && now == Pid::from_raw(1) {
        return Err(Trouble::new("the dev cluster that started this node has ended"));
    }
    Ok(())
}
