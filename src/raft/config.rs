//! What an embedder chooses once, when it starts a replica.

use crate::ids::{Incarnation, NodeId};
use crate::limits;

/// The settings of one replica. All of them may differ between the members of a group, except that
/// `pre_vote` and `check_quorum` should be on everywhere or nowhere.
#[derive(Clone, Debug)]
pub struct Config {
    /// This replica.
    pub id: NodeId,
    /// Ticks without a leader before an election; the real time-out is random in `[n, 2n)`. Also how
    /// long a leader goes on without hearing a quorum, and how long a transfer may take.
    pub election_ticks: u32,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: u32,
    /// Entries of one append message, bytes (a larger entry goes alone).
    pub append_bytes_max: usize,
    /// Append messages sent to one peer and not yet answered.
    pub inflight_messages_max: usize,
    /// Bytes sent to one peer and not yet acknowledged.
    pub inflight_bytes_max: usize,
    /// Bytes that were proposed and are not yet committed; over it proposals are refused.
    pub uncommitted_bytes_max: usize,
    /// Entries kept in memory, bytes. What is not yet on disk stays in memory in any case; what is not
    /// yet applied may take twice as much.
    pub tail_bytes_max: usize,
    /// Committed entries handed out by one `Ready`, bytes (a larger entry goes alone).
    pub apply_bytes_max: usize,
    /// Committed entries handed out and not yet applied, bytes; over it none are handed out.
    pub apply_inflight_bytes_max: usize,
    /// Reads that wait for their index, of this replica and forwarded to it, together.
    pub reads_max: usize,
    /// Ask before an election whether it could be won, so that a replica that comes back from a
    /// partition does not depose a healthy leader (thesis §9.6).
    pub pre_vote: bool,
    /// A leader that does not hear a quorum steps down; a follower that hears its leader ignores
    /// candidates (thesis §6.2).
    pub check_quorum: bool,
    /// Tell followers of a new commit index at once, by an empty append if nothing else is to be
    /// sent; else they learn it with the next append or heartbeat.
    pub eager_commit: bool,
    /// A peer that was not heard from for an election time-out gets heartbeats only, until it answers
    /// one.
    pub back_off: bool,
    /// A leader that is removed from the group, or loses its vote, follows from then on. Without it, it
    /// leads on, without counting itself and without taking proposals, until another is elected.
    pub step_down_on_removal: bool,
    /// Changes of membership that cannot be made in the membership in force, or that follow on one
    /// that is not applied yet, are refused. Only for callers that make sure of all that themselves.
    pub validate_changes: bool,
    /// A leader takes no change of membership before it has committed an entry of its term. As changes
    /// take effect only when applied, and an older one that the log ends with is waited for in any
    /// case, this is a second line of defence (thesis §4.1 and its erratum of 2015).
    pub changes_await_commit: bool,
    /// A replica that lags further behind than this many entries is not made a voter: until it has
    /// caught up it would only be missing from the quorum.
    pub promotion_lag_max: Option<u64>,
    /// Leases for reads; the same everywhere or nowhere. See [`Lease`].
    pub lease: Option<Lease>,
    /// Whose lead is preferred: the higher number; who is not named has 0. The same everywhere.
    pub priorities: Vec<(NodeId, u32)>,
    /// Ticks without any activity after which a group goes to sleep; `None`: never. The caller must
    /// then watch the nodes itself and call `Raft::wake`.
    pub quiet_ticks: Option<u32>,
    /// The disk of this replica has forgotten what it had promised or acknowledged. Nothing that it says
    /// may count, so it says nothing: it only listens who leads, until its group has removed it and
    /// added it again as a learner under a new identity of its disk, and it is started anew without
    /// this.
    pub forgotten: bool,
    /// The life of this replica's disk, if its group knows its members by theirs. A membership that knows
    /// this replica by another one means somebody else, who is gone: it gives this one no vote.
    pub disk: Option<Incarnation>,
    /// This replica is an observer: it never votes, and believes nobody what it has not seen itself.
    pub observer: bool,
    /// Ticks that a secretary may leave a question unanswered, or a peer that it serves without
    /// progress, before the leader serves directly.
    pub relay_ticks: u32,
    /// Feeds everything random. Must differ between replicas, and between the starts of one replica.
    pub seed: u64,
}

/// How long a leader may serve reads on the word of a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Milliseconds from the sending of a heartbeat that a quorum answered. A follower keeps its word
    /// for `election_ticks` of *its* clock from the arrival of that heartbeat, so this must be shorter
    /// by as much as two clocks may drift apart meanwhile, and a tick of slack.
    pub millis: u64,
}

/// Why a configuration cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A follower must hear several heartbeats before it may lose its patience.
    #[error("heartbeat_ticks must be at least 1 and below election_ticks")]
    Ticks,
    /// Leases rest on followers that stand by their leader.
    #[error("leases need check_quorum, and a length")]
    Lease,
    /// A limit of zero would stop replication, proposals, apply or reads.
    #[error("{0} must not be zero")]
    Zero(&'static str),
}

impl Config {
    /// The defaults of this program for replica `id`.
    #[must_use]
    pub fn new(id: NodeId, seed: u64) -> Self {
        Self {
            id,
            election_ticks: limits::ELECTION_TICKS,
            heartbeat_ticks: limits::HEARTBEAT_TICKS,
            append_bytes_max: limits::APPEND_BYTES_MAX,
            inflight_messages_max: limits::INFLIGHT_MESSAGES_MAX,
            inflight_bytes_max: limits::INFLIGHT_BYTES_MAX,
            uncommitted_bytes_max: limits::UNCOMMITTED_BYTES_MAX,
            tail_bytes_max: limits::LOG_TAIL_BYTES_MAX,
            apply_bytes_max: limits::APPLY_BYTES_MAX,
            apply_inflight_bytes_max: 4 * limits::APPLY_BYTES_MAX,
            reads_max: limits::GROUP_REQUESTS_MAX,
            pre_vote: true,
            check_quorum: true,
            eager_commit: true,
            back_off: true,
            step_down_on_removal: true,
            validate_changes: true,
            changes_await_commit: true,
            promotion_lag_max: None,
            lease: None,
            priorities: Vec::new(),
            quiet_ticks: None,
            forgotten: false,
            disk: None,
            observer: false,
            relay_ticks: limits::RELAY_TICKS,
            seed,
        }
    }

    /// Checks what the settings must fulfil together.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.heartbeat_ticks == 0 || self.heartbeat_ticks >= self.election_ticks {
            return Err(ConfigError::Ticks);
        }
        if self.lease.is_some_and(|lease| lease.millis == 0 || !self.check_quorum) {
            return Err(ConfigError::Lease);
        }
        for (name, limit) in [
            ("append_bytes_max", self.append_bytes_max),
            ("inflight_messages_max", self.inflight_messages_max),
            ("inflight_bytes_max", self.inflight_bytes_max),
            ("uncommitted_bytes_max", self.uncommitted_bytes_max),
            ("tail_bytes_max", self.tail_bytes_max),
            ("apply_bytes_max", self.apply_bytes_max),
            ("apply_inflight_bytes_max", self.apply_inflight_bytes_max),
            ("reads_max", self.reads_max),
        ] {
            if limit == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let good = Config::new(NodeId(1), 7);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Config { heartbeat_ticks: 0, ..good.clone() }.check(), Err(ConfigError::Ticks));
        assert_eq!(Config { election_ticks: 2, ..good.clone() }.check(), Err(ConfigError::Ticks));
        assert_eq!(
            Config { inflight_messages_max: 0, ..good }.check(),
            Err(ConfigError::Zero("inflight_messages_max"))
        );
    }
}
