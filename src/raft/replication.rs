//! Bringing the followers' logs up to the leader's.
//!
//! Sending is done in one place, when a `Ready` is taken, so that everything proposed until then goes
//! in one message per peer; everything else here only changes what may be sent.

use super::entry::Entry;
use super::leader::Leader;
use super::log::Log;
use super::message::{MessageBody, RejectHint};
use super::progress::{News, ProgressState, Step};
use super::ready::SnapshotNeeded;
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
use crate::ids::{Index, NodeId};

impl Raft {
    /// Sends every peer what it may be sent now.
    pub(super) fn replicate(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let news = leader.news(&self.log, &self.config);
        leader.served = (self.log.last_index(), self.log.commit());
        self.relay(news);
        for at in 0..self.peer_count() {
            let mut goes_on = self.replicate_to(at, news);
            while goes_on {
                goes_on = self.replicate_to(at, News::default());
            }
        }
    }

    /// One step for one peer; answers whether there may be another.
    fn replicate_to(&mut self, at: usize, news: News) -> bool {
        let RoleState::Leader(leader) = &mut self.role else {
            return false;
        };
        let peer = &mut leader.peers[at];
        // Who is served by a secretary has heard the news from there.
        let news = if peer.relay.is_some() { News::default() } else { news };
        let Some(step) = peer.step(&self.log, &self.config, news) else {
            return false;
        };
        // What a secretary could not carry, because it is only on disk, or in a snapshot.
        if peer.relay.take().is_some() {
            peer.due = true;
            return true;
        }
        let (to, from_index) = (peer.id, peer.next);
        match step {
            Step::Append { entries } => {
                let through = if entries { self.log.last_index() } else { Index(0) };
                let entries = self.log.slice(from_index, through, self.config.append_bytes_max);
                peer.sent(&entries, self.log.commit());
                self.send_append(to, from_index.prev(), entries);
            }
            Step::Fetch => {
                peer.fetching = Some(from_index);
                self.outbox.fetch(to, from_index, self.config.append_bytes_max);
            }
            Step::Snapshot => {
                let index_min = self.log.base_index();
                peer.become_snapshot(self.apply.applied_index().max(index_min));
                self.outbox.snapshots.push(SnapshotNeeded { to, index_min });
            }
        }
        true
    }

    fn send_append(&mut self, to: NodeId, prev_index: Index, entries: Vec<Entry>) {
        let prev_term = self.log.term(prev_index).expect("what is compacted is not sent");
        let commit = self.log.commit();
        self.send(to, MessageBody::Append { prev_index, prev_term, commit, entries });
    }

    /// A follower has taken an append, or refused it.
    pub(super) fn handle_append_response(
        &mut self,
        from: NodeId,
        index: Index,
        reject: Option<RejectHint>,
    ) -> Result<(), StepError> {
        let RoleState::Leader(leader) = &mut self.role else {
            return Ok(());
        };
        let peer = leader.peer_mut(from).ok_or(StepError::NotMember(from))?;
        if index > self.log.last_index() {
            return Err(StepError::Malformed("acknowledges what was never sent"));
        }
        peer.heard();
        self.append_answered(from, index, reject);
        Ok(())
    }

    /// What a peer has answered to an append, by whatever way.
    pub(super) fn append_answered(
        &mut self,
        from: NodeId,
        index: Index,
        reject: Option<RejectHint>,
    ) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peer_mut(from) else {
            return;
        };
        match reject {
            Some(hint) if peer.observer && index <= peer.matched => {
                peer.regressed(hint.index.min(self.log.last_index()));
            }
            Some(hint) => {
                // Where a log of that term can agree with this one, by this log's terms: skips whole
                // terms that the follower cannot have.
                let hint = match hint.term.0 {
                    0 => hint.index,
                    _ => self.log.floor(hint.index, hint.term).0,
                };
                // A refusal of what was acknowledged before is late, or the follower has forgotten:
                // either way it waits for a heartbeat. A follower that forgot notices by itself.
                peer.rejected(index, hint);
            }
            // Index 0 is the answer to a leader of an older term, not to this one.
            None if index > Index(0) && peer.accepted(index, self.log.base_index()) => {
                self.leader_commit();
                self.tell_commit(from);
                self.finish_transfer(from);
            }
            None => {}
        }
    }

    fn peer_count(&self) -> usize {
        match &self.role {
            RoleState::Leader(leader) => leader.peers.len(),
            _ => 0,
        }
    }

    /// A peer that has acknowledged something may be waiting for a commit index that it could not be
    /// told before, or that was lost.
    fn tell_commit(&mut self, to: NodeId) {
        let commit = self.log.commit();
        let eager = self.config.eager_commit;
        if let Some(peer) = self.leader_mut().and_then(|leader| leader.peer_mut(to)) {
            peer.due |= eager && peer.lacks_commit(commit);
        }
    }

    /// A follower has answered a heartbeat.
    pub(super) fn handle_heartbeat_response(
        &mut self,
        from: NodeId,
        round: u64,
        bound: bool,
    ) -> Result<(), StepError> {
        let RoleState::Leader(leader) = &mut self.role else {
            return Ok(());
        };
        let newest = leader.reads.round();
        let peer = leader.peer_mut(from).ok_or(StepError::NotMember(from))?;
        if round > newest {
            return Err(StepError::Malformed("confirms a round that was never begun"));
        }
        peer.heard();
        peer.reopen(self.log.last_index());
        if round > peer.round {
            peer.round = round;
            if bound {
                peer.bound_round = round;
            }
            self.confirm_reads();
        }
        Ok(())
    }

    /// The answer to a [`super::Fetch`]: the stored entries from the index asked for, or nothing if
    /// they cannot be had (asked for again later). Answers that came too late are ignored.
    pub fn fetched(&mut self, peer: NodeId, mut entries: Vec<Entry>) {
        keep_known(&self.log, &mut entries);
        if peer == self.config.id {
            self.apply.fetched(entries, self.log.appliable());
            return;
        }
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.peer_mut(peer) else {
            return;
        };
        let Some(from_index) = progress.fetching else {
            return;
        };
        let Some(first) = entries.first() else {
            // Not now: wait for a heartbeat's answer instead of asking again at once.
            progress.fetching = None;
            progress.paused = true;
            return;
        };
        if first.index != from_index {
            return;
        }
        progress.fetching = None;
        if progress.next == from_index && from_index > self.log.base_index() {
            progress.sent(&entries, self.log.commit());
            self.send_append(peer, from_index.prev(), entries);
        }
    }

    /// Messages to `peer` are known not to arrive: stop streaming, and probe when it answers a
    /// heartbeat.
    pub fn report_unreachable(&mut self, peer: NodeId) {
        if let Some(leader) = self.leader_mut() {
            leader.lose_secretary(peer);
        }
        if let Some(progress) = self.leader_mut().and_then(|leader| leader.peer_mut(peer))
            && progress.state == ProgressState::Replicate
        {
            // The next proposal, or the answer to a heartbeat, goes on.
            progress.become_probe();
            progress.due = false;
        }
    }

    pub(super) fn leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            RoleState::Leader(leader) => Some(leader),
            _ => None,
        }
    }
}

/// Keeps the entries, from the first on, that are consecutive and of this very log.
fn keep_known(log: &Log, entries: &mut Vec<Entry>) {
    let first = entries.first().map_or(Index(0), |entry| entry.index);
    let known = entries
        .iter()
        .enumerate()
        .take_while(|(at, entry)| {
            first.0.checked_add(*at as u64) == Some(entry.index.0)
                && entry.index > log.base_index()
                && log.term(entry.index) == Some(entry.term)
        })
        .count();
    entries.truncate(known);
}
