//! How far moves are, for people.

use crate::kv::migration::{MoveId, MoveRefusal, Ranges};

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovePhase {
    /// Rows and kept replies are copied.
    Copying,
    /// What has changed since is copied.
    CatchingUp,
    /// The source has ended its ownership.
    HandedOff,
    /// Served here; the source is to forget.
    Accepted,
    /// It is given up.
    Ending,
}

impl MovePhase {
    /// All phases.
    pub const ALL: [Self; 5] =
        [Self::Copying, Self::CatchingUp, Self::HandedOff, Self::Accepted, Self::Ending];

    /// The phase in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::CatchingUp => "catching up",
            Self::HandedOff => "handed off",
            Self::Accepted => "accepted",
            Self::Ending => "ending",
        }
    }
}

/// Why a move does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The table says so.
    Paused,
    /// The source does not answer, or has no leader.
    Source,
    /// The own group does not take it.
    Refused(MoveRefusal),
}

/// One move to this group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveReport {
    /// The move.
    pub id: MoveId,
    /// Its buckets.
    pub ranges: Ranges,
    /// How far it is.
    pub phase: MovePhase,
    /// Why it does not go on.
    pub stall: Option<Stall>,
    /// Bytes taken in.
    pub bytes: u64,
    /// Bytes in all, as the source said last.
    pub total: Option<u64>,
    /// Bytes per second, lately.
    pub rate: u64,
    /// When the copy will be done at this rate, milliseconds from now.
    pub eta_millis: Option<u64>,
}
