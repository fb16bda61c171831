//! Following: taking the leader's entries and its heartbeats.
//!
//! An append is acknowledged only when it, and everything before it, is on disk; a heartbeat is
//! answered at once, because it speaks of nothing that a disk would have to hold.

use super::entry::Entry;
use super::message::{MessageBody, RejectHint};
use super::relay::Via;
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::{Index, NodeId, Term};

/// The leader must not be forgotten: its leases rest on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leases are on")]
pub struct LeasesOn;

impl Raft {
    /// The leader of this term has spoken.
    pub(super) fn follow(&mut self, from: NodeId) -> Result<(), StepError> {
        match &mut self.role {
            RoleState::Leader(_) => return Err(StepError::RivalLeader(from)),
            RoleState::Follower(Some(leader)) if *leader != from => {
                return Err(StepError::RivalLeader(from));
            }
            RoleState::Follower(leader) => *leader = Some(from),
            _ => self.become_follower(self.term, Some(from)),
        }
        self.election_elapsed = 0;
        self.refusals = 0;
        self.handicaps = 0;
        self.bind();
        Ok(())
    }

    /// The leader sends `entries` to follow after `prev`, directly or `via` a secretary.
    pub(super) fn handle_append(
        &mut self,
        from: NodeId,
        via: Option<Via>,
        prev: (Index, Term),
        commit: Index,
        mut entries: Vec<Entry>,
    ) -> Result<(), StepError> {
        self.follow(from)?;
        let known = self.log.commit();
        if prev.0 < known {
            // A late or repeated message. What is committed is the same in both logs; the rest may
            // still be news.
            let old = entries.partition_point(|entry| entry.index <= known);
            if let Some(entry) = entries[..old].last()
                && entry.index >= self.log.base_index()
                && self.log.term(entry.index) != Some(entry.term)
            {
                return Err(StepError::ConflictsWithCommitted { from, index: entry.index });
            }
            entries.drain(..old);
        } else if !self.matches(prev) {
            self.reject_append(from, via, prev);
            return Ok(());
        }
        let last = entries.last().map_or(known.max(prev.0), |entry| entry.index);
        let same = entries
            .iter()
            .take_while(|entry| self.log.term(entry.index) == Some(entry.term))
            .count();
        #[cfg(feature = "controls")]
        let same = if active(Control::StaleAppendCuts) { 0 } else { same };
        if let Some(first) = entries.get(same) {
            if first.index <= self.log.last_index() {
                self.log.truncate(first.index);
            }
            for entry in entries.drain(same..) {
                self.log.push(entry);
            }
        }
        self.log.commit_to(commit.min(last));
        self.agrees(last);
        self.answer_append(from, via, last, None);
        Ok(())
    }

    /// Forgets who leads, but not the term nor when a leader was heard: this replica may then help to
    /// elect another at once, and follows its leader again when that one is heard. Nothing happens to
    /// one that does not follow anybody.
    ///
    /// # Errors
    /// When leases are on: then the leader relies on being remembered.
    pub fn forget_leader(&mut self) -> Result<(), LeasesOn> {
        if let RoleState::Follower(leader) = &mut self.role
            && leader.is_some()
        {
            if self.config.lease.is_some() {
                return Err(LeasesOn);
            }
            *leader = None;
            self.lose_forwarded();
        }
        Ok(())
    }

    /// Whether the log has this entry, so that others may follow it.
    fn matches(&self, prev: (Index, Term)) -> bool {
        #[cfg(feature = "controls")]
        if active(Control::AppendWithoutMatch) {
            return prev.0 <= self.log.last_index();
        }
        self.log.term(prev.0) == Some(prev.1)
    }

    fn reject_append(&mut self, from: NodeId, via: Option<Via>, prev: (Index, Term)) {
        let (index, term) = self.log.floor(prev.0.min(self.log.last_index()), prev.1);
        let hint = RejectHint { index, term: term.unwrap_or_default() };
        self.answer_append(from, via, prev.0, Some(hint));
    }

    /// The answer goes the way that the append came.
    fn answer_append(
        &mut self,
        leader: NodeId,
        via: Option<Via>,
        index: Index,
        reject: Option<RejectHint>,
    ) {
        // A secretary does not know whose acknowledgements count: who is not sure to be a member, by this very
        // disk, says nothing, and is soon asked directly.
        let is_sure = self.config.observer
            || self.config.disk.is_none_or(|disk| self.membership.holds(self.config.id, disk));
        if via.is_some() && !is_sure {
            return;
        }
        let (to, body) = match via {
            None => (leader, MessageBody::AppendResponse { index, reject }),
            Some(Via { secretary, session }) => {
                (secretary, MessageBody::RelayedResponse { session, index, reject })
            }
        };
        #[cfg(feature = "controls")]
        if via.is_some() && active(Control::RelayedBeforeSync) {
            return self.send(to, body);
        }
        self.send_after_persist(to, body);
    }

    /// The leader lives.
    pub(super) fn handle_heartbeat(
        &mut self,
        from: NodeId,
        commit: Index,
        round: u64,
    ) -> Result<(), StepError> {
        self.follow(from)?;
        let commit = match self.config.observer && !self.observer_agrees(from, commit) {
            true => self.log.commit(),
            false => commit,
        };
        if commit > self.log.last_index() {
            return Err(StepError::LogForgotten(commit));
        }
        self.log.commit_to(commit);
        let bound = self.config.lease.is_some();
        self.send(from, MessageBody::HeartbeatResponse { round, bound });
        if self.has_lost_state() {
            let index_min = self.log.base_index();
            self.send(from, MessageBody::SnapshotRequest { index_min });
        }
        Ok(())
    }
}
