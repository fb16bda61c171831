//! Seeds that always run, each with its reason. Whoever finds a violation adds its seed here; what a seed
//! means changes with the simulator, so the bug should have a test of its own as well.

/// Seed and reason.
pub(crate) const ALWAYS: &[(u64, &str)] = &[
    (0, "the smallest"),
    (62, "a learner that was removed unawares, and wanted again, followed its old leader for ever"),
    (1_009, "a replica was destroyed by a late answer, though its group had let it in again"),
    (1_637, "a replica of whose log all was lost was born again as the founder that it had been"),
    (u64::MAX, "the largest"),
    (
        101_879,
        "a candidate that lacked only the knowledge of a commit was not told so in a newer term",
    ),
    (106_877, "a candidate that was removed while it stood led on, and took no proposals"),
    (109_135, "a core that did not know its own disk campaigned after a wipe"),
    (201_680, "the same as 1009"),
    (
        206_554,
        "a bit had flipped in a log that nobody had read since, and its node was taken for well",
    ),
    (
        207_419,
        "without pre-vote and check-quorum, a leader of an older term never heard of a newer one",
    ),
    (
        213_538,
        "what was acknowledged late, when its entry had been replaced, was taken for a promise of the new one",
    ),
    (
        218_701,
        "late copies of a finished move's steps began it again, and its bucket had two owners",
    ),
    (
        220_597,
        "the same as 1000098 by a node that was removed, whose question waited for two minutes",
    ),
    (221_484, "groups whose loss was real were forgiven when their states were copied"),
    (
        223_564,
        "the birth of a replica that was well was given up, and a mark from before took it for lost",
    ),
    (231_235, "the same as 207419, where the newer term was known to a learner alone"),
    (231_348, "an observer that took its sleeping leader for lost never heard of it again"),
    (
        232_852,
        "without pre-vote, a candidate in an older term was not told so, and never caught up",
    ),
    (236_335, "the same as 221484"),
    (
        238_575,
        "a disk was lost after its node had gone from the group, and all others forgot that it had",
    ),
    (240_258, "the same as 221484"),
    (
        244_646,
        "who had the longest log did not know that it had been given a vote, and refused the others",
    ),
    (246_997, "the same as 206554"),
    (249_244, "the same as 232852"),
    (302_198, "founders that had not begun were to go, and their group never had a leader"),
    (311_825, "the same as 302198"),
    (
        1_000_098,
        "a driver of moves asked its own node, whose replica of the source was silent, for ever",
    ),
];
