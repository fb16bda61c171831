//! Sending by way of secretaries, and hearing back.
//!
//! What a peer is sent, and when, is decided as for any other (`progress`); a secretary only carries it.
//! So the entries that several peers of one secretary lack leave the leader once. Heartbeats, probes,
//! snapshots and what has to be read from disk go directly.

use super::message::{Message, MessageBody, RelayAnswer, RelayTarget};
use super::progress::{News, Step};
use super::replica::Raft;
use super::role::RoleState;
use super::step::StepError;
use crate::ids::{Index, NodeId};

/// The secretary by which an append came, and the session that its answer has to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Via {
    pub(super) secretary: NodeId,
    pub(super) session: u64,
}

impl Raft {
    /// Which secretaries this replica employs while it leads; it asks each whether it is there, and uses
    /// those that answer. The same list again changes nothing. They are no members, and should not be.
    pub fn set_secretaries(&mut self, ids: &[NodeId]) {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| *id != self.config.id);
        if ids == self.secretaries {
            return;
        }
        self.secretaries = ids;
        self.wake();
        if let RoleState::Leader(leader) = &mut self.role {
            leader.hire(&self.secretaries);
        }
        self.ask_secretaries();
    }

    /// Asks every secretary whether it is there.
    pub(super) fn ask_secretaries(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        let prev_index = self.log.last_index();
        let prev_term = self.log.last_term();
        let commit = self.log.commit();
        for desk in &mut leader.staff.desks {
            let number = desk.ask();
            let (entries, targets) = (Vec::new(), Vec::new());
            let body =
                MessageBody::Relay { number, prev_index, prev_term, commit, entries, targets };
            let (from, to, term) = (self.config.id, desk.id, self.term);
            self.outbox.messages.push(Message { from, to, term, body });
        }
    }

    /// Serves all peers that are dealt to secretaries.
    pub(super) fn relay(&mut self, news: News) {
        let RoleState::Leader(leader) = &mut self.role else {
            return;
        };
        leader.deal(&self.config);
        for at in 0..leader.peers.len() {
            let peer = &mut leader.peers[at];
            // Not every peer is in the first message, so each remembers what is new.
            peer.due |= peer.relay.is_some() && news.commit;
        }
        let present = leader.staff.desks.iter().filter(|desk| desk.present);
        for by in present.map(|desk| desk.id).collect::<Vec<_>>() {
            while self.relay_by(by) {}
        }
    }

    /// One message by this secretary; answers whether there may be another.
    fn relay_by(&mut self, by: NodeId) -> bool {
        let RoleState::Leader(leader) = &mut self.role else {
            return false;
        };
        let (log, config) = (&self.log, &self.config);
        let mut wanting = Vec::new();
        let mut through = Index(0);
        for (at, peer) in leader.peers.iter().enumerate() {
            if peer.relay.is_some_and(|relay| relay.by == by)
                && let Some(Step::Append { entries }) = peer.step(log, config, News::default())
            {
                through = if entries { log.last_index() } else { through };
                wanting.push(at);
            }
        }
        let Some(first) = wanting.iter().map(|&at| leader.peers[at].next).min() else {
            return false;
        };
        let entries = log.slice(first, through, config.append_bytes_max);
        let last = entries.last().map_or(first.prev(), |entry| entry.index);
        let commit = log.commit();
        let mut targets = Vec::new();
        for at in wanting {
            let peer = &mut leader.peers[at];
            // Who is further than this message reaches is in a later one.
            let is_in = peer.next <= last || (peer.next.prev() == last && last >= through);
            if let Some(relay) = peer.relay.filter(|_| is_in) {
                let next = peer.next;
                targets.push(RelayTarget { to: peer.id, session: relay.session, next });
                let known = entries.partition_point(|entry| entry.index < next);
                peer.sent(&entries[known..], commit);
            }
        }
        let Some(desk) = leader.staff.desk_mut(by) else {
            return false;
        };
        let number = desk.next_number();
        let prev_index = first.prev();
        let prev_term = log.term(prev_index).expect("what is compacted is not sent");
        let body = MessageBody::Relay { number, prev_index, prev_term, commit, entries, targets };
        self.send(by, body);
        true
    }

    /// A secretary reports what peers have answered.
    pub(super) fn handle_relay_report(
        &mut self,
        from: NodeId,
        number: u64,
        answers: &[RelayAnswer],
    ) -> Result<(), StepError> {
        let RoleState::Leader(leader) = &mut self.role else {
            return Ok(());
        };
        let desk = leader.staff.desk_mut(from).ok_or(StepError::NotMember(from))?;
        if !desk.answered(number) {
            return Err(StepError::Malformed("reports on what was never sent"));
        }
        if answers.iter().any(|answer| answer.index > self.log.last_index()) {
            return Err(StepError::Malformed("acknowledges what was never sent"));
        }
        for answer in answers {
            let Some(peer) = self.leader_mut().and_then(|leader| leader.peer_mut(answer.from))
            else {
                continue;
            };
            let current = peer
                .relay
                .as_mut()
                .filter(|relay| (relay.by, relay.session) == (from, answer.session));
            let is_current = current.is_some();
            if let Some(relay) = current {
                relay.waiting_ticks = 0;
            }
            // What is on its disk stays true when it is dealt anew; a refusal may be overtaken.
            let counts = answer.session > peer.sessions_before && answer.reject.is_none();
            if is_current || counts {
                self.append_answered(answer.from, answer.index, answer.reject);
            }
        }
        Ok(())
    }
}
