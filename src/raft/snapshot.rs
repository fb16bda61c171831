//! Snapshots, as far as the core is concerned: who needs one, and what one that was installed means for
//! the log. Making, sending and installing them is the caller's.

use super::entry::SnapshotMeta;
use super::message::{MessageBody, NUMBER_MAX};
use super::progress::ProgressState;
use super::ready::SnapshotNeeded;
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
use crate::ids::{Index, NodeId, Term};

/// What became of the log when a snapshot was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The log agrees with the snapshot, and goes on behind it: nothing in it changes.
    LogKept,
    /// The log starts anew after the snapshot; the next Ready says so to the disk (`Ready::restart`).
    LogRestarted,
}

/// Why a snapshot is of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// It is older than what is known to be committed here, or than the log's start.
    #[error("the snapshot covers {snapshot}, {needed} is needed")]
    TooOld {
        /// What it covers.
        snapshot: Index,
        /// What it should cover at least.
        needed: Index,
    },
    /// The disk of this replica has forgotten what it knew: its group must re-admit it first.
    #[error("the disk has forgotten")]
    Forgotten,
    /// A leader's state is the newest there is.
    #[error("this replica leads")]
    Leading,
    /// Its index, term or membership cannot be those of this group.
    #[error("the snapshot does not belong to this log")]
    Foreign,
}

impl Raft {
    /// Whether a snapshot that stands for `meta` would be of use now: to be asked before fetching it,
    /// and again before switching the state machine to it.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check_snapshot(&self, meta: &SnapshotMeta) -> Result<(), InstallError> {
        if self.config.forgotten {
            return Err(InstallError::Forgotten);
        }
        if matches!(self.role, RoleState::Leader(_)) {
            return Err(InstallError::Leading);
        }
        let needed =
            if self.has_lost_state() { self.log.base_index() } else { self.log.commit().next() };
        if meta.index < needed {
            return Err(InstallError::TooOld { snapshot: meta.index, needed });
        }
        let conflicts =
            meta.index <= self.log.commit() && self.log.term(meta.index) != Some(meta.term);
        let absurd = meta.index.0 > NUMBER_MAX || meta.term > self.term;
        if absurd || conflicts || !meta.membership.is_consistent() {
            return Err(InstallError::Foreign);
        }
        Ok(())
    }

    /// The leader `from` of `term` offers a snapshot that stands for `meta`. Answers whether it is to be
    /// fetched and installed; if not, the leader is told what this log has. Offers are like messages:
    /// they may be late, or come twice.
    ///
    /// # Errors
    /// When it cannot be right.
    pub fn snapshot_offered(
        &mut self,
        from: NodeId,
        term: Term,
        meta: &SnapshotMeta,
    ) -> Result<bool, StepError> {
        if from == self.config.id {
            return Err(StepError::WrongSender);
        }
        if term.0 > NUMBER_MAX || meta.index.0 > NUMBER_MAX || meta.term > term {
            return Err(StepError::Malformed("a snapshot that nobody can have"));
        }
        if term < self.term || self.config.forgotten {
            return Ok(false);
        }
        self.wake();
        if term > self.term {
            self.become_follower(term, Some(from));
        }
        self.follow(from)?;
        let has_it = self.log.term(meta.index) == Some(meta.term) && !self.has_lost_state();
        if has_it {
            self.log.commit_to(meta.index);
            self.agrees(meta.index);
        } else if self.check_snapshot(meta).is_ok() {
            return Ok(true);
        }
        let body = MessageBody::AppendResponse { index: self.log.commit(), reject: None };
        self.send_after_persist(from, body);
        Ok(false)
    }

    /// Sends `peer` a snapshot although its log may not need one; answers whether that was begun.
    pub fn send_snapshot(&mut self, peer: NodeId) -> bool {
        let applied = self.apply.applied_index();
        let index_min = self.log.base_index();
        let Some(progress) = self.leader_mut().and_then(|leader| leader.peer_mut(peer)) else {
            return false;
        };
        if applied < index_min || matches!(progress.state, ProgressState::Snapshot(_)) {
            return false;
        }
        progress.become_snapshot(applied);
        self.outbox.snapshots.push(SnapshotNeeded { to: peer, index_min });
        true
    }

    /// The state machine *is* now the snapshot that stands for `meta`, durably. Entries handed out
    /// for apply before this and not yet applied must be dropped by the caller.
    ///
    /// The leader is told when the next Ready is durable.
    ///
    /// # Errors
    /// When it must not have been installed (see [`Raft::check_snapshot`]); nothing has changed.
    pub fn snapshot_installed(&mut self, meta: SnapshotMeta) -> Result<Installed, InstallError> {
        self.check_snapshot(&meta)?;
        let installed = if self.log.term(meta.index) == Some(meta.term) {
            self.log.commit_to(meta.index);
            Installed::LogKept
        } else {
            self.log.restart(meta.index, meta.term);
            self.outbox.restart = Some(meta.clone());
            Installed::LogRestarted
        };
        self.apply.restart(meta.index);
        self.agrees(meta.index);
        if let Some(leader) = self.leader() {
            let body = MessageBody::AppendResponse { index: meta.index, reject: None };
            self.send_after_persist(leader, body);
        }
        self.membership = meta.membership;
        Ok(installed)
    }

    /// A snapshot for `peer` was sent and installed, or could not be.
    pub fn report_snapshot(&mut self, peer: NodeId, sent: bool) {
        let base = self.log.base_index();
        let Some(progress) = self.leader_mut().and_then(|leader| leader.peer_mut(peer)) else {
            return;
        };
        if matches!(progress.state, ProgressState::Snapshot(_)) {
            if sent {
                progress.become_probe();
            } else {
                progress.snapshot_failed();
                // Perhaps it needs none: it may have more than it could make known, and refuse any
                // snapshot as too old. So the next probe asks for the first place that this log knows.
                progress.next = progress.next.max(base.next());
            }
            // The peer's own word is awaited, or a pause taken: the answer to a heartbeat goes on.
            progress.paused = true;
        }
    }

    /// A follower's state is older than its log's start.
    pub(super) fn handle_snapshot_request(
        &mut self,
        from: NodeId,
        index_min: Index,
    ) -> Result<(), StepError> {
        let applied = self.apply.applied_index();
        let commit = self.log.commit();
        let RoleState::Leader(leader) = &mut self.role else {
            return Ok(());
        };
        let peer = leader.peer_mut(from).ok_or(StepError::NotMember(from))?;
        peer.heard();
        // It asks again at the next heartbeat if this leader has yet to learn what is committed.
        if index_min <= commit && !matches!(peer.state, ProgressState::Snapshot(_)) {
            // Its log is fine and still counts; only nothing more is sent meanwhile.
            peer.become_snapshot(applied.max(index_min));
            self.outbox.snapshots.push(SnapshotNeeded { to: from, index_min });
        }
        Ok(())
    }
}
