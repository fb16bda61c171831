//! Two clocks that must not be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since the Unix epoch: what expiry is measured in. Inside a group it is *replicated*
/// time, stamped by the leader into each entry, never a node's own clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Milliseconds of a clock that only goes forward, from some start: what time-outs are measured in.
/// The thinking parts get it as an argument and never read a clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MonoMillis(pub u64);

impl MonoMillis {
    /// Milliseconds from `earlier` to here; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: MonoMillis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
