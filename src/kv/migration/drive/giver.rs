//! A source as the group that takes from it sees it.

use super::migrator::{AskId, ProposalId};
use super::pace::Backoff;
use crate::kv::migration::Ranges;

/// The next move from a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Beginning {
    #[default]
    None,
    /// The source is asked to begin it.
    Asked(AskId),
    /// It has begun, and the own group is to take it in.
    Pulling(ProposalId),
}

#[derive(Debug, Default)]
pub(super) struct Giver {
    /// After a silence, or an answer of somebody who does not lead: nothing is asked of it.
    pub(super) backoff: Backoff,
    /// After a refusal: no move is begun.
    pub(super) begin_backoff: Backoff,
    pub(super) beginning: Beginning,
    /// What is wanted of it and not on its way.
    pub(super) left: Option<Ranges>,
}
