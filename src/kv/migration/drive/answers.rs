//! What the migrator makes of answers, of silence, and of what became of its proposals.

use super::bounds::HELD_BYTES_MAX;
use super::giver::Beginning;
use super::goal::{Wish, common};
use super::job::{Question, Taken, bytes_of};
use super::migrator::{About, AskId, Entry, Flight, Migrator, ProposalId, Settled};
use crate::ids::GroupId;
use crate::kv::migration::{
    MoveAnswer, MoveAsk, MoveId, MoveRecord, MoveRefusal, MoveReply, Outgoing, Page, Progress,
};
use crate::time::MonoMillis;

impl Migrator {
    /// A source has answered. Answers to questions that count no more are passed over.
    pub fn answered(&mut self, now: MonoMillis, ask: AskId, answer: MoveAnswer) {
        let Some(flight) = self.forget_ask(ask) else { return };
        let source = flight.source;
        // The asked replica may not have heard of it yet.
        let not_now =
            matches!(answer, MoveAnswer::Refused { why: MoveRefusal::Unknown(_), id: Some(_) });
        let giver = self.giver(source);
        if not_now {
            giver.backoff.failed_since(flight.sent, now);
        } else {
            giver.backoff.clear();
        }
        match flight.about {
            About::Begin => self.begun(now, source, answer),
            About::Stray => {}
            About::Move(id, question, ref from) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.ask = None;
                    job.losses = 0;
                    job.heard = (!not_now).then_some(now).or(job.heard);
                    self.answered_move(now, (id, question), from, answer);
                }
            }
        }
        self.drive(now);
    }

    /// There will be no answer: the link is broken, or nobody leads the source.
    pub fn lost(&mut self, now: MonoMillis, ask: AskId) {
        self.lose(now, ask);
        self.drive(now);
    }

    pub(super) fn lose(&mut self, now: MonoMillis, ask: AskId) {
        let Some(Flight { source, about, sent, .. }) = self.forget_ask(ask) else { return };
        self.giver(source).backoff.failed_since(sent, now);
        match about {
            About::Begin => self.giver(source).beginning = Beginning::None,
            About::Stray => {}
            About::Move(id, ..) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.ask = None;
                    job.losses += 1;
                }
            }
        }
    }

    /// What became of a proposal.
    pub fn settled(&mut self, now: MonoMillis, proposal: ProposalId, settled: Settled) {
        let Some(entry) = self.entries.remove(&proposal) else { return };
        let replies = match settled {
            Settled::Applied(replies) => Some(replies),
            Settled::NotNow => None,
        };
        match entry {
            Entry::Pull(source) => {
                let giver = self.giver(source);
                giver.beginning = Beginning::None;
                match replies.as_deref() {
                    Some([MoveReply::Done]) => giver.begin_backoff.clear(),
                    _ => giver.begin_backoff.failed(now),
                }
                if let Some([MoveReply::Refused(MoveRefusal::Over(id))]) = replies.as_deref() {
                    // A later one has come and gone meanwhile: it can only begin anew.
                    self.ask(now, source, About::Stray, MoveAsk::Cancel { id: *id }, (0, 0));
                }
            }
            Entry::Move(id) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    let before = job.ask;
                    let carried = job.settled(now, replies.as_deref());
                    if let (Some(ask), None) = (before, job.ask) {
                        self.forget_ask(ask);
                    }
                    let page = self.allowance.page_bytes() as usize;
                    if let Some((_, since)) =
                        carried.filter(|(bytes, _)| (page * 3 / 4..=page).contains(bytes))
                    {
                        self.allowance.took(now, since);
                    }
                }
            }
        }
        self.drive(now);
    }

    fn begun(&mut self, now: MonoMillis, source: GroupId, answer: MoveAnswer) {
        self.giver(source).beginning = Beginning::None;
        match answer {
            MoveAnswer::Begun { id, outgoing } if id.source == source => {
                self.pull(now, id, outgoing);
            }
            _ => self.giver(source).begin_backoff.failed(now),
        }
    }

    /// A move has begun at its source.
    fn pull(&mut self, now: MonoMillis, id: MoveId, outgoing: Outgoing) {
        let Outgoing { ranges, to, epoch, begun, .. } = outgoing;
        if to != self.group || self.jobs.contains_key(&id) {
            return self.giver(id.source).begin_backoff.failed(now);
        }
        let goal = self.goal.as_ref();
        if goal.is_none_or(|goal| goal.wish(id.source, &ranges) == Wish::Drop) {
            let question = MoveAsk::Cancel { id };
            self.ask(now, id.source, About::Stray, question, (0, 0));
            return;
        }
        let coming = self.jobs.values().map(|job| &job.ranges);
        if coming.chain(&self.going).any(|other| common(other, &ranges) > 0) {
            // Until that is over it cannot come; it is asked for again then.
            return self.giver(id.source).begin_backoff.failed(now);
        }
        let record = MoveRecord::Pull { id, to, ranges, epoch, begun };
        let proposal = self.propose(Entry::Pull(id.source), vec![record]);
        self.giver(id.source).beginning = Beginning::Pulling(proposal);
    }

    fn answered_move(
        &mut self,
        now: MonoMillis,
        (id, question): (MoveId, Question),
        from: &Progress,
        answer: MoveAnswer,
    ) {
        let job = self.jobs.get_mut(&id).expect("just seen");
        match answer {
            MoveAnswer::Over { id: over }
            | MoveAnswer::Refused { why: MoveRefusal::Over(over), .. }
                if over == id =>
            {
                job.end();
            }
            MoveAnswer::Refused { why: MoveRefusal::HandedOff(_), .. } => job.hand_off(now),
            MoveAnswer::Refused { why: MoveRefusal::Unknown(_), .. } => {}
            MoveAnswer::Refused { why, .. } => {
                if question == Question::Handoff {
                    job.not_frozen();
                }
                if matches!(why, MoveRefusal::Incomplete(_)) {
                    job.not_small();
                }
                job.backoff.failed(now);
            }
            MoveAnswer::Page { id: of, from: start, page } if of == id && start == *from => {
                self.arrive(now, (id, question), from, page);
            }
            MoveAnswer::HandedOff { id: of, handoff, from: start, page } if of == id => {
                job.hand_off(now);
                if start == *from {
                    let page = Page { handoff: Some(handoff), ..page };
                    self.arrive(now, (id, question), from, page);
                }
            }
            _ => job.backoff.failed(now),
        }
    }

    fn arrive(
        &mut self,
        now: MonoMillis,
        (id, question): (MoveId, Question),
        from: &Progress,
        page: Page,
    ) {
        let bytes = bytes_of(&page);
        if question == Question::Bulk {
            self.allowance.spend(bytes as u64);
        }
        let held = self.held();
        let job = self.jobs.get_mut(&id).expect("just seen");
        if page.handoff.is_some() {
            job.hand_off(now);
        }
        if question == Question::Hold {
            return;
        }
        if held > 0 && held + bytes > HELD_BYTES_MAX {
            job.needs = bytes;
            return;
        }
        job.needs = 0;
        if job.take(now, from, page) == Taken::Unfit {
            job.backoff.failed(now);
        }
    }
}
