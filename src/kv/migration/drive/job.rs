//! One move at the group that takes it: what to ask of the source and what to propose next. At most one
//! page is asked for or waiting, and at most one entry is on its way to be applied.
//!
//! ```text
//!            ┌── page waits ──┐          ┌─ applied ─┐
//!  Page? ────┤                ├─► Chunk ─┤           ├─► Page? … until the rest is small
//!            └─ (next: from where the chunk will end) ┘
//!  Handoff? (nothing on its way) ──► Chunk + Accept ──► Accepted? ──► over ──► Close
//!  not wanted: Cancel? ──► over ──► Discard
//! ```

use super::bounds::{
    HANDOFF_BYTES, HOLD_MILLIS, REST_BYTES, REST_ITEMS, ROUND_BYTES, ROUNDS_MAX, ROUNDS_THROTTLED,
    SMALL_MILLIS,
};
use super::goal::Wish;
use super::migrator::AskId;
use super::pace::Backoff;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::kv::migration::{
    Incoming, IncomingPhase, Item, MoveId, MoveRecord, MoveRefusal, MoveReply, Page, Progress,
    Ranges,
};
use crate::time::MonoMillis;

/// A question to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// What follows, under the rate.
    Bulk,
    /// What follows, at once: writers wait, or are faster than the rate.
    Rest,
    /// Only whether the move is there.
    Hold,
    Handoff,
    Cancel,
    Accepted,
}

/// A page that has arrived.
#[derive(Debug)]
struct Fetched {
    from: Progress,
    page: Page,
    bytes: usize,
}

/// An entry that is on its way to be applied.
#[derive(Debug)]
enum Proposed {
    Chunk { becomes: Progress, bytes: usize, round: Round, last: bool, at: MonoMillis },
    End,
}

/// What a page tells of the catching up.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Bytes of changes.
    bytes: u64,
    /// Nothing was left then.
    ends: bool,
    /// And it was little.
    small: bool,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits to be proposed, or had nothing new.
    Yes,
    /// It does not continue the copy.
    Unfit,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) ranges: Ranges,
    pub(super) phase: IncomingPhase,
    pub(super) wish: Wish,
    /// How far the copy is, at least.
    at: Progress,
    pub(super) ask: Option<AskId>,
    /// Questions in a row that were not answered in time.
    pub(super) losses: u32,
    page: Option<Fetched>,
    proposed: Option<Proposed>,
    handed_off: bool,
    /// Since when writers may wait: the hand-off was asked for, or had been done when this was first heard of.
    frozen: Option<MonoMillis>,
    /// How long they waited at most, milliseconds.
    pub(super) pause: Option<u64>,
    /// The source has said so, which is true for ever.
    over: bool,
    /// When the rest was small.
    small: Option<MonoMillis>,
    rounds: u32,
    round_bytes: u64,
    pub(super) backoff: Backoff,
    /// Why the own group did not take the last entry.
    pub(super) refused: Option<MoveRefusal>,
    /// A thing of this size did not fit.
    pub(super) needs: usize,
    pub(super) heard: Option<MonoMillis>,
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    pub(super) speed: Speed,
}

/// Bytes per second, lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speed {
    pub(super) rate: u64,
    since: Option<(MonoMillis, u64)>,
}

impl Speed {
    /// At most once a second: the mean of what was known and of what is new.
    fn sample(&mut self, now: MonoMillis, bytes: u64) {
        let Some((at, before)) = self.since else {
            self.since = Some((now, bytes));
            return;
        };
        let millis = now.since(at);
        if millis >= 1_000 {
            let rate = bytes.saturating_sub(before).saturating_mul(1_000) / millis;
            self.rate = if self.rate == 0 { rate } else { self.rate / 2 + rate / 2 };
            self.since = Some((now, bytes));
        }
    }
}

impl Job {
    pub(super) fn new(incoming: &Incoming, wish: Wish) -> Self {
        Self {
            ranges: incoming.ranges.clone(),
            phase: incoming.phase,
            wish,
            at: incoming.progress.clone(),
            ask: None,
            losses: 0,
            page: None,
            proposed: None,
            handed_off: false,
            frozen: None,
            pause: None,
            over: false,
            small: None,
            rounds: 0,
            round_bytes: 0,
            backoff: Backoff::default(),
            refused: None,
            needs: 0,
            heard: None,
            bytes: incoming.bytes,
            total: None,
            speed: Speed::default(),
        }
    }

    /// What is replicated by now.
    pub(super) fn observe(&mut self, now: MonoMillis, incoming: &Incoming) {
        self.phase = incoming.phase;
        self.bytes = incoming.bytes;
        if self.phase == IncomingPhase::Accepted {
            self.page = None;
            if let Some(since) = self.frozen.take() {
                self.pause = Some(now.since(since));
            }
        }
        if incoming.progress > self.at {
            self.at = incoming.progress.clone();
        }
    }

    pub(super) fn sample(&mut self, now: MonoMillis) {
        self.speed.sample(now, self.bytes);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_handed_off(&self) -> bool {
        self.handed_off
    }

    pub(super) fn is_catching_up(&self) -> bool {
        self.at.is_catching_up()
    }

    /// How far the copy will be when all is applied that is on its way.
    pub(super) fn tip(&self) -> &Progress {
        match &self.proposed {
            Some(Proposed::Chunk { becomes, .. }) => becomes,
            _ => &self.at,
        }
    }

    /// Bytes of chunks that it holds.
    pub(super) fn held(&self) -> usize {
        let proposed = match &self.proposed {
            Some(Proposed::Chunk { bytes, .. }) => *bytes,
            _ => 0,
        };
        proposed + self.page.as_ref().map_or(0, |fetched| fetched.bytes)
    }

    /// What to propose now.
    pub(super) fn next_entry(&mut self, id: MoveId, now: MonoMillis) -> Option<Vec<MoveRecord>> {
        if self.proposed.is_some() {
            return None;
        }
        if self.over {
            self.proposed = Some(Proposed::End);
            return Some(vec![match self.phase {
                IncomingPhase::Coming => MoveRecord::Discard { id },
                IncomingPhase::Accepted => MoveRecord::Close { id },
            }]);
        }
        let Fetched { from, page, bytes } = self.page.take()?;
        if from != self.at {
            return None;
        }
        let round = round_of(&page, bytes);
        let Page { items, becomes, handoff, .. } = page;
        let mut records = Vec::new();
        if becomes > self.at {
            let (expects, becomes) = (from, becomes.clone());
            let frozen = handoff.is_some();
            records.push(MoveRecord::Chunk { id, expects, becomes, frozen, items });
        }
        let end = handoff.filter(|handoff| becomes.is_through(handoff.index));
        #[cfg(feature = "controls")]
        let end = end.or(match becomes {
            Progress::Changes { through: index, within: None }
                if active(Control::AcceptWithoutHandoff) =>
            {
                Some(crate::kv::migration::Handoff { index, time: crate::time::UnixMillis(0) })
            }
            _ => None,
        });
        if let Some(handoff) = end {
            records.push(MoveRecord::Accept { id, handoff });
        }
        let last = end.is_some();
        self.proposed = Some(Proposed::Chunk { becomes, bytes, round, last, at: now });
        Some(records)
    }

    /// What to ask now, if the source may be asked.
    pub(super) fn next_question(&self, now: MonoMillis) -> Option<Question> {
        if self.ask.is_some() || self.page.is_some() || self.over {
            return None;
        }
        match self.proposed {
            #[cfg(feature = "controls")]
            Some(Proposed::Chunk { last: true, .. })
                if active(Control::CollectBeforeAcceptance) =>
            {
                return Some(Question::Accepted);
            }
            Some(Proposed::End | Proposed::Chunk { last: true, .. }) => return None,
            _ if self.phase == IncomingPhase::Accepted => return Some(Question::Accepted),
            _ => {}
        }
        if self.handed_off {
            return Some(Question::Rest);
        }
        match self.wish {
            Wish::Drop => return Some(Question::Cancel),
            Wish::Pause => {
                let known = self.heard.is_some_and(|heard| now.since(heard) < HOLD_MILLIS);
                return (!known).then_some(Question::Hold);
            }
            Wish::Go => {}
        }
        if !self.tip().is_catching_up() {
            return Some(Question::Bulk);
        }
        let small = self.small.is_some_and(|small| now.since(small) <= SMALL_MILLIS);
        if small || self.rounds >= ROUNDS_MAX {
            // What is asked to be ended is reported as it is replicated: a copy that waits for room must
            // do so before.
            return self.proposed.is_none().then_some(Question::Handoff);
        }
        // A page may be on its way into the log that ends the catching up.
        let ending = match &self.proposed {
            Some(Proposed::Chunk { round, .. }) => round.small || self.rounds + 1 >= ROUNDS_MAX,
            _ => false,
        };
        match self.rounds {
            _ if ending => None,
            ROUNDS_THROTTLED.. => Some(Question::Rest),
            _ => Some(Question::Bulk),
        }
    }

    /// The source knows the move no more.
    pub(super) fn end(&mut self) {
        self.over = true;
        self.page = None;
    }

    /// The source's ownership has ended.
    pub(super) fn hand_off(&mut self, now: MonoMillis) {
        self.handed_off = true;
        self.may_freeze(now);
    }

    /// From now on the source may serve no more.
    pub(super) fn may_freeze(&mut self, now: MonoMillis) {
        if self.phase == IncomingPhase::Coming {
            self.frozen.get_or_insert(now);
        }
    }

    /// The source has refused the hand-off: it still serves.
    pub(super) fn not_frozen(&mut self) {
        self.frozen = None;
    }

    pub(super) fn not_small(&mut self) {
        self.small = None;
    }

    /// A page that continues `from`.
    pub(super) fn take(&mut self, now: MonoMillis, from: &Progress, page: Page) -> Taken {
        self.total = Some(page.total);
        let complete = page.handoff.is_some_and(|handoff| page.becomes.is_through(handoff.index));
        let waits = self.over || self.phase == IncomingPhase::Accepted;
        if waits || from != self.tip() || page.becomes < *from || self.page.is_some() {
            return Taken::Unfit;
        }
        if page.becomes == *from && !complete {
            if !from.is_catching_up() || self.handed_off {
                return Taken::Unfit;
            }
            self.count(now, Round { bytes: 0, ends: true, small: true });
            return Taken::Yes;
        }
        let bytes = bytes_of(&page);
        self.page = Some(Fetched { from: from.clone(), page, bytes });
        Taken::Yes
    }

    fn count(&mut self, now: MonoMillis, round: Round) {
        self.round_bytes += round.bytes;
        if round.ends || self.round_bytes >= ROUND_BYTES {
            self.rounds += 1;
            self.round_bytes = 0;
        }
        self.small = round.small.then_some(now);
    }

    /// The entry was applied and answered so, or never came into the log (`None`). Answers how many bytes of a
    /// move it carried, and since when it was on its way, if it was applied.
    pub(super) fn settled(
        &mut self,
        now: MonoMillis,
        replies: Option<&[MoveReply]>,
    ) -> Option<(usize, MonoMillis)> {
        let proposed = self.proposed.take()?;
        let replies = replies.unwrap_or_default();
        let refused = replies.iter().find_map(|reply| match reply {
            MoveReply::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        });
        if let (None, false) = (&refused, replies.is_empty()) {
            self.refused = None;
            self.backoff.clear();
            let Proposed::Chunk { becomes, bytes, round, at, .. } = proposed else { return None };
            self.at = self.at.clone().max(becomes);
            self.count(now, round);
            return Some((bytes, at));
        }
        // The chain is broken: on from what is replicated.
        (self.page, self.ask, self.small) = (None, None, None);
        match refused {
            Some(MoveRefusal::Elsewhere(_, at)) => self.at = *at,
            other => {
                self.refused = other;
                self.backoff.failed(now);
            }
        }
        None
    }
}

/// Bytes of its items.
pub(super) fn bytes_of(page: &Page) -> usize {
    page.items.iter().map(Item::bytes).sum()
}

fn round_of(page: &Page, bytes: usize) -> Round {
    let ends = matches!(page.becomes, Progress::Changes { within: None, .. });
    Round {
        bytes: if page.becomes.is_catching_up() { bytes as u64 } else { 0 },
        ends,
        small: ends && (bytes <= REST_BYTES || page.items.len() <= REST_ITEMS),
    }
}

/// How much the answer to a question may hold, bytes.
pub(super) fn room(question: Question, page_bytes: u32) -> usize {
    match question {
        Question::Bulk => page_bytes as usize,
        Question::Rest => crate::limits::CHUNK_BYTES,
        Question::Handoff => HANDOFF_BYTES,
        Question::Hold | Question::Cancel | Question::Accepted => 0,
    }
}
