//! Seeds that always run, each with its reason. Whoever finds a violation adds its seed here; what a seed
//! means changes with the simulator, so the bug should have a test of its own as well.

/// Seed and reason.
pub(crate) const ALWAYS: &[(u64, &str)] = &[
    (0, "the smallest"),
    (u64::MAX, "the largest"),
    (106_877, "a candidate that was removed while it stood led on, and took no proposals"),
    (109_135, "a core that did not know its own disk campaigned after a wipe"),
    (
        1_000_098,
        "a driver of moves asked its own node, whose replica of the source was silent, for ever",
    ),
];
