//! A snapshot on its way out: what to send next, and when to stop. A plain struct.
//!
//! ```text
//!            Wanted                     quiet, link back, new term
//!  offering ────────► sending ─────────────────────────────────────► offering
//!     └──────────┬───────┘
//!                ▼
//!     installed | refused | expired
//! ```
//!
//! What must always hold: `taken <= next <= sent`; the receiver has stored the chunks before `taken`; where
//! each chunk from `taken` on begins is known, so any of them can be read again from the same view.

use crate::limits;
use crate::time::MonoMillis;
use std::collections::VecDeque;

/// How long a transfer waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Nothing came back for this long: ask the receiver where it stands, milliseconds.
    pub quiet_millis: u64,
    /// Nothing was taken for this long: let the view go, milliseconds.
    pub kept_millis: u64,
    /// The lead was lost this long ago: let the view go, milliseconds.
    pub without_lead_millis: u64,
}

impl Default for Patience {
    fn default() -> Self {
        let millis =
            |limit: std::time::Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self {
            quiet_millis: millis(limits::SNAPSHOT_QUIET),
            kept_millis: millis(limits::SNAPSHOT_VIEW_KEPT),
            without_lead_millis: millis(limits::SNAPSHOT_VIEW_KEPT_WITHOUT_LEAD),
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendStep {
    /// Offer the snapshot (again).
    Offer,
    /// Read the chunk that begins at this key, send it, and say so by [`Sending::sent`].
    Chunk {
        /// Its number.
        sequence: u64,
        /// The key.
        from: Vec<u8>,
    },
    /// Nothing until then, unless something is heard.
    Wait(MonoMillis),
    /// It is over: let the view go.
    End(SendEnd),
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendEnd {
    /// The receiver has installed the snapshot.
    #[error("it is installed")]
    Installed,
    /// The receiver has newer state, or follows another leader.
    #[error("the receiver does not want it (any more)")]
    Refused,
    /// The receiver took nothing for too long.
    #[error("the receiver has taken nothing for too long")]
    Expired,
    /// This node has lost the lead, and did not get it back soon.
    #[error("this node does not lead any more")]
    LeadLost,
    /// The receiver began anew too often.
    #[error("the receiver began anew too often")]
    Restarts,
}

/// See the module's first lines.
#[derive(Debug)]
pub struct Sending {
    patience: Patience,
    /// Where the first chunk begins.
    first: Vec<u8>,
    /// Where the chunks from `taken` on begin, as far as they have been read.
    starts: VecDeque<Vec<u8>>,
    /// The receiver has stored all chunks before this one.
    taken: u64,
    /// The chunk to send next.
    next: u64,
    /// All chunks before this one were sent at least once.
    sent: u64,
    /// How many there are, once the last was read.
    total: Option<u64>,
    /// The receiver has answered the newest offer.
    agreed: bool,
    /// When the newest offer was made, if it may still be answered.
    offered_at: Option<MonoMillis>,
    connected: bool,
    /// The link broke, or the term changed, since the receiver last agreed.
    broken: bool,
    lead_lost_at: Option<MonoMillis>,
    /// When something was last sent or heard.
    active_at: MonoMillis,
    /// When the transfer last came further.
    progressed_at: MonoMillis,
    resumed: u64,
    restarts: u32,
    end: Option<SendEnd>,
}

impl Sending {
    /// A transfer of a view whose first key is `first`.
    #[must_use]
    pub fn new(first: Vec<u8>, patience: Patience, now: MonoMillis) -> Self {
        Self {
            patience,
            starts: VecDeque::from([first.clone()]),
            first,
            taken: 0,
            next: 0,
            sent: 0,
            total: None,
            agreed: false,
            offered_at: None,
            connected: true,
            broken: false,
            lead_lost_at: None,
            active_at: now,
            progressed_at: now,
            resumed: 0,
            restarts: 0,
            end: None,
        }
    }

    /// Times that it went on in the middle instead of beginning anew.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// What to do now.
    pub fn step(&mut self, now: MonoMillis) -> SendStep {
        if let Some(end) = self.end.or_else(|| self.expired(now)) {
            self.end = Some(end);
            return SendStep::End(end);
        }
        let later = |since: MonoMillis, millis: u64| MonoMillis(since.0.saturating_add(millis));
        let expires = later(self.progressed_at, self.patience.kept_millis);
        if let Some(lost_at) = self.lead_lost_at {
            return SendStep::Wait(expires.min(later(lost_at, self.patience.without_lead_millis)));
        }
        if !self.connected {
            return SendStep::Wait(expires);
        }
        if self.agreed && !self.is_window_full() {
            let from =
                self.starts[usize::try_from(self.next - self.taken).expect("a few chunks")].clone();
            return SendStep::Chunk { sequence: self.next, from };
        }
        let quiet_since = if self.agreed { Some(self.active_at) } else { self.offered_at };
        if let Some(since) = quiet_since
            && now.since(since) < self.patience.quiet_millis
        {
            return SendStep::Wait(expires.min(later(since, self.patience.quiet_millis)));
        }
        (self.agreed, self.offered_at) = (false, Some(now));
        SendStep::Offer
    }

    fn expired(&self, now: MonoMillis) -> Option<SendEnd> {
        let over = |since, millis| now.since(since) >= millis;
        if self.lead_lost_at.is_some_and(|at| over(at, self.patience.without_lead_millis)) {
            return Some(SendEnd::LeadLost);
        }
        over(self.progressed_at, self.patience.kept_millis).then_some(SendEnd::Expired)
    }

    fn is_window_full(&self) -> bool {
        self.next - self.taken >= limits::SNAPSHOT_WINDOW_CHUNKS || self.total == Some(self.next)
    }

    /// The chunk that was asked for has gone; the one after it begins at `next`, if there is one.
    pub fn sent(&mut self, sequence: u64, next: Option<Vec<u8>>, now: MonoMillis) {
        assert_eq!(sequence, self.next, "chunks are sent as `step` says");
        self.next += 1;
        self.active_at = now;
        if self.next > self.sent {
            self.sent = self.next;
            self.progressed_at = now;
            match next {
                Some(next) => self.starts.push_back(next),
                None => self.total = Some(self.next),
            }
        }
    }

    /// The receiver has the chunks before `taken` in its store, and wants `next`.
    pub fn wanted(&mut self, next: u64, taken: u64, now: MonoMillis) {
        // What nobody who was sent these chunks can say.
        if taken > next || next > self.sent {
            return;
        }
        self.active_at = now;
        if next < self.taken {
            if next == 0 {
                self.begin_anew();
            }
            return;
        }
        self.resumed += u64::from(next > 0 && (self.broken || next < self.next));
        self.advance(taken, now);
        self.next = next;
        self.agree();
    }

    /// The receiver has lost what it had taken: the same view again, from its first key.
    fn begin_anew(&mut self) {
        self.restarts += 1;
        if self.restarts > limits::SNAPSHOT_RESTARTS_MAX {
            self.end = Some(SendEnd::Restarts);
        }
        (self.taken, self.next, self.sent, self.total) = (0, 0, 0, None);
        self.starts = VecDeque::from([self.first.clone()]);
        self.agree();
    }

    fn agree(&mut self) {
        (self.agreed, self.offered_at, self.broken) = (true, None, false);
    }

    fn offer_again(&mut self) {
        (self.agreed, self.offered_at, self.broken) = (false, None, true);
    }

    /// The receiver has the chunks before `taken` in its store, and has perhaps installed the whole.
    pub fn received(&mut self, taken: u64, installed: bool, now: MonoMillis) {
        if taken > self.sent {
            return;
        }
        self.active_at = now;
        self.advance(taken, now);
        if installed && self.total == Some(taken) {
            self.end = Some(SendEnd::Installed);
        }
    }

    fn advance(&mut self, taken: u64, now: MonoMillis) {
        if taken > self.taken {
            let gone = usize::try_from(taken - self.taken).expect("a few chunks");
            self.starts.drain(..gone.min(self.starts.len()));
            self.taken = taken;
            self.next = self.next.max(taken);
            self.progressed_at = now;
        }
    }

    /// The receiver wants no more of this view.
    pub fn refused(&mut self) {
        self.end = self.end.or(Some(SendEnd::Refused));
    }

    /// The link to the receiver has broken, or stands again: what was on its way may be lost.
    pub fn link(&mut self, connected: bool) {
        self.connected = connected;
        self.offer_again();
    }

    /// This node does not lead any more.
    pub fn lead_lost(&mut self, now: MonoMillis) {
        self.lead_lost_at = self.lead_lost_at.or(Some(now));
    }

    /// This node leads in a new term, and the receiver needs a snapshot still.
    pub fn renewed(&mut self) {
        self.lead_lost_at = None;
        self.offer_again();
    }
}

#[cfg(test)]
#[path = "sending_tests.rs"]
mod tests;
