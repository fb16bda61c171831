//! Reads on their way: gathered, confirmed together by one ReadIndex round, and handed to the apply
//! thread once everything up to the confirmed index has been handed over before them.

use super::event::{ConfirmedRead, ReplyTo};
use crate::ids::Index;
use crate::net::message::{Answer, Outcome, Refusal};
use crate::raft::{ReadContext, ReadState};
use std::collections::{BTreeMap, VecDeque};

/// See the module's first lines.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Not yet given to the core.
    gathered: Vec<ConfirmedRead>,
    /// Given to the core, and the index below which they may not be answered whatever it says.
    asked: BTreeMap<ReadContext, (Index, Vec<ConfirmedRead>)>,
    /// Confirmed at an index.
    confirmed: VecDeque<(Index, Vec<ConfirmedRead>)>,
    last_context: u64,
    units: usize,
}

impl Reads {
    /// Units that wait.
    #[must_use]
    pub(super) fn units(&self) -> usize {
        self.units
    }

    /// A unit of reads has arrived.
    pub(super) fn gather(&mut self, read: ConfirmedRead) {
        self.units += 1;
        self.gathered.push(read);
    }

    /// Whether anything waits to be given to the core.
    #[must_use]
    pub(super) fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// What was gathered, which need not be given to the core.
    pub(super) fn take_gathered(&mut self) -> Vec<ConfirmedRead> {
        self.units -= self.gathered.len();
        std::mem::take(&mut self.gathered)
    }

    /// Names what was gathered, to be given to the core. None of it may be answered before the entry
    /// at `least` is applied.
    pub(super) fn ask(&mut self, least: Index) -> ReadContext {
        self.last_context += 1;
        let context = ReadContext(self.last_context);
        self.asked.insert(context, (least, std::mem::take(&mut self.gathered)));
        context
    }

    /// The core has confirmed that the replica led when the reads had arrived.
    pub(super) fn confirm(&mut self, state: ReadState) {
        if let Some((least, reads)) = self.asked.remove(&state.context) {
            self.confirmed.push_back((state.index.max(least), reads));
        }
    }

    /// The reads that may be answered behind the entry at `handed_over`.
    pub(super) fn take_ready(&mut self, handed_over: Index) -> Vec<ConfirmedRead> {
        let mut ready = Vec::new();
        while self.confirmed.front().is_some_and(|first| first.0 <= handed_over) {
            let (_, mut reads) = self.confirmed.pop_front().expect("just seen");
            if ready.is_empty() {
                ready = reads;
            } else {
                ready.append(&mut reads);
            }
        }
        self.units -= ready.len();
        ready
    }

    /// The core lost this read (the lead changed): not done.
    pub(super) fn lost(
        &mut self,
        context: ReadContext,
        refusal: Refusal,
        answers: &mut Vec<(ReplyTo, Answer)>,
    ) {
        if let Some((_, reads)) = self.asked.remove(&context) {
            self.refuse(reads, refusal, answers);
        }
    }

    /// The replica no longer leads: nothing that is not confirmed will be.
    pub(super) fn refuse_all(&mut self, refusal: Refusal, answers: &mut Vec<(ReplyTo, Answer)>) {
        let gathered = std::mem::take(&mut self.gathered);
        self.refuse(gathered, refusal, answers);
        for (_, (_, reads)) in std::mem::take(&mut self.asked) {
            self.refuse(reads, refusal, answers);
        }
    }

    /// The replica is given up: neither the confirmed ones will be answered.
    pub(super) fn abandon(&mut self, refusal: Refusal, answers: &mut Vec<(ReplyTo, Answer)>) {
        self.refuse_all(refusal, answers);
        for (_, reads) in std::mem::take(&mut self.confirmed) {
            self.refuse(reads, refusal, answers);
        }
    }

    fn refuse(
        &mut self,
        reads: Vec<ConfirmedRead>,
        refusal: Refusal,
        answers: &mut Vec<(ReplyTo, Answer)>,
    ) {
        self.units -= reads.len();
        answers.extend(
            reads.into_iter().map(|read| {
                (read.to, Answer { unit: read.unit, outcome: Outcome::NotDone(refusal) })
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::message::{UnitId, Work};

    fn read(unit: u64) -> ConfirmedRead {
        ConfirmedRead { to: ReplyTo::Worker(0), unit: UnitId(unit), work: Work::Keys(Vec::new()) }
    }

    #[test]
    fn a_read_waits_for_its_index_and_its_least() {
        let mut reads = Reads::default();
        reads.gather(read(1));
        let first = reads.ask(Index(0));
        reads.gather(read(2));
        let second = reads.ask(Index(9));
        reads.confirm(ReadState { context: first, index: Index(5) });
        reads.confirm(ReadState { context: second, index: Index(5) });
        assert!(reads.take_ready(Index(4)).is_empty());
        assert_eq!(reads.take_ready(Index(5)).len(), 1);
        assert_eq!(reads.take_ready(Index(9)).len(), 1);
        assert_eq!(reads.units(), 0);
    }

    #[test]
    fn lost_and_refused_reads_are_told_so() {
        let (mut reads, mut answers) = (Reads::default(), Vec::new());
        reads.gather(read(1));
        let context = reads.ask(Index(0));
        reads.gather(read(2));
        reads.lost(context, Refusal::NotLeader(None), &mut answers);
        reads.refuse_all(Refusal::Stopping, &mut answers);
        assert_eq!(answers.len(), 2);
        assert_eq!(reads.units(), 0);
    }

    #[test]
    fn an_abandoned_read_is_told_so_even_if_it_was_confirmed() {
        let (mut reads, mut answers) = (Reads::default(), Vec::new());
        reads.gather(read(1));
        let context = reads.ask(Index(9));
        reads.confirm(ReadState { context, index: Index(5) });
        reads.abandon(Refusal::NoReplica, &mut answers);
        assert_eq!((answers.len(), reads.units()), (1, 0));
    }
}
