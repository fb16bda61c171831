//! Seeds that always run, each with its reason. Whoever finds a violation adds its seed here; what a seed
//! means changes with the simulator, so the bug should have a test of its own as well.

/// Seed and reason.
pub(crate) const ALWAYS: &[(u64, &str)] = &[(0, "the smallest"), (u64::MAX, "the largest")];
