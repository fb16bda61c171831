//! What a leader knows about one peer, and what it may send to it.
//!
//! ```text
//!             accepted                        rejected, unreachable, silent
//!   ┌───────┐ ───────────► ┌───────────┐ ─────────────────────────────────────┐
//!   │ Probe │              │ Replicate │                                      │
//!   └───────┘ ◄──────────┐ └───────────┘ ◄──── accepted, caught up ──┐        ▼
//!       │                │                                      ┌──────────┐ Probe
//!       └────────────────┼─ its next entry is compacted ──────► │ Snapshot │
//!                        └───────── sent, or failed ─────────── └──────────┘
//! ```
//!
//! In `Probe` one append is on its way at a time, in `Replicate` a window of them, in `Snapshot` none.
//! Always `matched < next`.

use super::config::Config;
use super::entry::{Entry, Membership};
use super::inflights::Inflights;
use super::log::Log;
use super::staff::Relay;
use crate::ids::{Index, NodeId};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// Looking for the place up to which the logs agree.
    Probe,
    /// The logs agree; entries are streamed.
    Replicate,
    /// The peer needs a state that covers at least this index.
    Snapshot(Index),
}

/// What is to be done for a peer next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send an append, with entries if there are any and the window is open.
    Append {
        /// Whether entries go with it.
        entries: bool,
    },
    /// Its next entries are only on disk.
    Fetch,
    /// Its next entries are compacted away.
    Snapshot,
}

/// Where a leader whose log ends with `last` begins to look for a newcomer's log: most likely at
/// nothing, but one that was given the state beforehand may have it all.
#[must_use]
pub fn first_probe(last: Index) -> Index {
    last.max(Index(1))
}

/// What has happened to the leader's log since the peers were last served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// There are new entries.
    pub(super) entries: bool,
    /// There is a new commit index, and the peers are to hear of it at once.
    pub(super) commit: bool,
}

/// One peer.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) id: NodeId,
    /// It has no vote.
    pub(super) learner: bool,
    /// It does not even belong to the membership.
    pub(super) observer: bool,
    pub(super) state: ProgressState,
    /// The last index on the peer's disk that agrees with this log.
    pub(super) matched: Index,
    /// The index of the entry to send next.
    pub(super) next: Index,
    /// Nothing is sent until the peer answers something: a probe is out, or the window is full.
    pub(super) paused: bool,
    /// An append is to be sent even if it has no entries.
    pub(super) due: bool,
    pub(super) inflights: Inflights,
    /// The commit index that the peer was told last.
    commit_sent: Index,
    /// Entries from here on are being read from disk for it.
    pub(super) fetching: Option<Index>,
    /// Heard from since the quorum was last checked.
    pub(super) active: bool,
    /// Ticks since it was last heard from.
    silent_ticks: u32,
    /// The next heartbeat's answer may ask for another attempt; given once per heartbeat tick, so
    /// that answers to rounds of reads cause no appends.
    pub(super) retry: bool,
    /// The newest round of reads that it has confirmed.
    pub(super) round: u64,
    /// The newest one with which it has bound itself to this leader.
    pub(super) bound_round: u64,
    /// The secretary that serves it, while it is streamed to; `None`: it is served directly.
    pub(super) relay: Option<Relay>,
    /// Ticks for which it is not to be served by a secretary.
    pub(super) direct_ticks: u32,
    /// Sessions up to this one were not about it, or about what it was before it was admitted anew.
    pub(super) sessions_before: u64,
}

impl Progress {
    /// A peer of which nothing is known.
    pub(super) fn new(id: NodeId, learner: bool, config: &Config, last: Index) -> Self {
        Self {
            id,
            learner,
            observer: false,
            state: ProgressState::Probe,
            matched: Index(0),
            next: last.next(),
            paused: false,
            due: true,
            inflights: Inflights::new(config.inflight_messages_max, config.inflight_bytes_max),
            commit_sent: Index(0),
            fetching: None,
            active: false,
            silent_ticks: 0,
            retry: true,
            round: 0,
            bound_round: 0,
            relay: None,
            direct_ticks: 0,
            sessions_before: 0,
        }
    }

    /// A peer that has just been added. It counts as heard from, so that the leader does not take its
    /// quorum for lost before the newcomer could say anything.
    pub(super) fn newcomer(id: NodeId, learner: bool, config: &Config, last: Index) -> Self {
        Self { next: first_probe(last), active: true, ..Self::new(id, learner, config, last) }
    }

    /// The same peer, as an observer or not, of which nothing was said in the sessions so far.
    pub(super) fn admitted(self, observer: bool, sessions_before: u64) -> Self {
        Self { observer, sessions_before, ..self }
    }

    /// Who should be followed: the members and the observers, in order, without `own`. Answers for each
    /// whether it has no vote.
    pub(super) fn peers<'a>(
        membership: &'a Membership,
        observers: &[NodeId],
        own: NodeId,
    ) -> impl Iterator<Item = (NodeId, bool)> + use<'a> {
        let mut all = membership.everyone();
        all.extend(observers);
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter(move |&id| id != own).map(|id| (id, !membership.is_voter(id)))
    }

    /// The peer has sent something.
    pub(super) fn heard(&mut self) {
        self.active = true;
        self.silent_ticks = 0;
    }

    /// Whether it was heard from lately.
    pub(super) fn is_alive(&self, config: &Config) -> bool {
        !config.back_off || self.silent_ticks < config.election_ticks
    }

    /// A tick passed. A peer silent for an election time-out is taken for dead: what is in flight to
    /// it is forgotten, and it gets heartbeats only, until it answers one.
    pub(super) fn tick(&mut self, config: &Config) {
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        if config.back_off
            && self.silent_ticks == config.election_ticks
            && self.state == ProgressState::Replicate
        {
            self.become_probe();
            self.paused = true;
        }
    }

    /// What is to be done for it now, if anything. A probe goes out when there is a reason for one,
    /// not just because entries wait; a stream goes on as long as its window is open.
    pub(super) fn step(&self, log: &Log, config: &Config, news: News) -> Option<Step> {
        if self.is_paused() || self.fetching.is_some() {
            return None;
        }
        let asked = self.due || news.entries || news.commit;
        if self.next.prev() < log.base_index() {
            // A peer that nobody has heard of gets no snapshot: it may not exist any more.
            return (asked && self.active && self.is_alive(config)).then_some(Step::Snapshot);
        }
        let waits = self.next <= log.last_index();
        let (entries, send) = if self.state == ProgressState::Probe {
            (waits, asked)
        } else {
            let entries = waits && !self.inflights.is_full();
            // A secretary's message holds entries for others: whose window is full hears of a commit when
            // it opens, or by a heartbeat.
            let tells = (self.due || news.commit) && !(waits && self.relay.is_some());
            (entries, entries || tells)
        };
        if !send {
            None
        } else if entries && self.next < log.tail_first() {
            Some(Step::Fetch)
        } else {
            Some(Step::Append { entries })
        }
    }

    /// Whether telling it `commit` would move its commit index, as far as can be known.
    pub(super) fn lacks_commit(&self, commit: Index) -> bool {
        commit > self.commit_sent && self.commit_sent < self.next.prev()
    }

    /// A heartbeat was sent, telling `commit`.
    pub(super) fn told(&mut self, commit: Index) {
        self.commit_sent = commit;
    }

    /// An append with these entries was sent, telling `commit`.
    pub(super) fn sent(&mut self, entries: &[Entry], commit: Index) {
        self.due = false;
        self.commit_sent = commit;
        if let Some(last) = entries.last() {
            match self.state {
                ProgressState::Probe => self.paused = true,
                ProgressState::Replicate => {
                    self.next = last.index.next();
                    self.inflights.add(last.index, entries.iter().map(Entry::cost).sum());
                }
                ProgressState::Snapshot(_) => unreachable!("a paused peer is sent nothing"),
            }
        }
        if self.state == ProgressState::Replicate {
            self.paused = self.inflights.is_full();
        }
    }

    /// The peer agrees up to `index`. Answers whether that is news.
    pub(super) fn accepted(&mut self, index: Index, base: Index) -> bool {
        let grew = index > self.matched;
        if grew {
            self.matched = index;
            self.next = self.next.max(index.next());
            self.paused = false;
        }
        let news = grew || (self.matched == index && self.state == ProgressState::Probe);
        if news {
            match self.state {
                ProgressState::Probe => self.become_replicate(),
                ProgressState::Replicate => self.inflights.free_through(index),
                // Caught up as far as this log reaches back, by whatever snapshot.
                ProgressState::Snapshot(_) if self.matched >= base => self.become_replicate(),
                ProgressState::Snapshot(_) => {}
            }
        }
        news
    }

    /// The peer refused an append after `rejected`; `hint` is the newest index that may agree.
    /// Answers whether the refusal is to be acted on; a stale one is not.
    pub(super) fn rejected(&mut self, rejected: Index, hint: Index) -> bool {
        match self.state {
            ProgressState::Replicate if rejected > self.matched => {
                self.become_probe();
                true
            }
            ProgressState::Probe if self.next.prev() == rejected && rejected > self.matched => {
                self.next = rejected.min(hint.next()).max(self.matched.next());
                self.commit_sent = self.commit_sent.min(self.next.prev());
                self.paused = false;
                self.due = true;
                self.fetching = None;
                true
            }
            _ => false,
        }
    }

    /// An observer's log does not agree as far as it was taken to: what was known about it is void.
    pub(super) fn regressed(&mut self, hint: Index) {
        self.matched = Index(0);
        self.state = ProgressState::Probe;
        self.become_probe();
        self.next = hint.next();
        self.commit_sent = Index(0);
    }

    /// A heartbeat was answered: one more attempt may be made, if something is open.
    pub(super) fn reopen(&mut self, last: Index) {
        if self.retry {
            self.retry = false;
            self.paused = false;
            self.due |= self.matched < last || self.state == ProgressState::Probe;
        }
    }

    /// Look anew for the place where the logs agree.
    pub(super) fn become_probe(&mut self) {
        let snapshot = match self.state {
            ProgressState::Snapshot(index) => index,
            _ => Index(0),
        };
        self.reset(ProgressState::Probe);
        self.next = self.matched.max(snapshot).next();
        self.commit_sent = self.commit_sent.min(self.next.prev());
        self.due = true;
    }

    /// The logs agree up to `matched`: stream from there.
    pub(super) fn become_replicate(&mut self) {
        self.reset(ProgressState::Replicate);
        self.next = self.matched.next();
    }

    /// A snapshot that covers at least `index` is on its way.
    pub(super) fn become_snapshot(&mut self, index: Index) {
        self.reset(ProgressState::Snapshot(index));
        self.next = self.matched.max(index).next();
        self.commit_sent = index;
    }

    /// The snapshot did not arrive.
    pub(super) fn snapshot_failed(&mut self) {
        self.state = ProgressState::Probe;
        self.become_probe();
    }

    /// Whether nothing may be sent but heartbeats.
    pub(super) fn is_paused(&self) -> bool {
        self.paused || matches!(self.state, ProgressState::Snapshot(_))
    }

    fn reset(&mut self, state: ProgressState) {
        self.state = state;
        self.paused = false;
        self.due = false;
        self.fetching = None;
        self.relay = None;
        self.inflights.clear();
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
