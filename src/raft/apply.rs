//! How far committed entries were handed to the state machine, and what is on the way to it.
//!
//! Entries are handed out in pages, only when they are committed *and* on this replica's own disk, and
//! only while not too many bytes are on their way. What is no longer in memory is fetched from disk
//! first, one page at a time.

use super::config::Config;
use super::entry::Entry;
use super::log::Log;
use super::queue::pop_front_if;
use super::replica::Raft;
use crate::ids::Index;
use std::collections::VecDeque;

/// Whether a page is being read from disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    No,
    /// From this index on.
    Asked(Index),
    /// The caller could not read it; asked again at the next tick.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Apply {
    /// The last index handed out.
    handed: Index,
    /// The last index applied.
    applied: Index,
    /// Last index and bytes of each page handed out and not yet applied.
    pages: VecDeque<(Index, usize)>,
    bytes: usize,
    /// A page that came from disk, to go out with the next Ready.
    staged: Vec<Entry>,
    reading: Reading,
    /// The replica was added to a group that was born without it. The founders stand in no entry of
    /// the log, so it must not apply the log from its beginning, which would change a membership that
    /// it does not know: its first state has to be a snapshot.
    blank: bool,
}

impl Apply {
    pub(super) fn new(applied: Index) -> Self {
        Self {
            handed: applied,
            applied,
            pages: VecDeque::new(),
            bytes: 0,
            staged: Vec::new(),
            reading: Reading::No,
            blank: false,
        }
    }

    /// At the start: whether the replica knows of no membership.
    pub(super) fn begin_blank(&mut self, unknown: bool) {
        self.blank = unknown && self.handed == Index(0);
    }

    /// Whether the first state has to be a snapshot.
    pub(super) fn is_blank(&self) -> bool {
        self.blank
    }

    /// The caller has told the membership by itself.
    pub(super) fn end_blank(&mut self) {
        self.blank = false;
    }

    pub(super) fn handed_index(&self) -> Index {
        self.handed
    }

    pub(super) fn applied_index(&self) -> Index {
        self.applied
    }

    pub(super) fn applied(&mut self, index: Index) {
        assert!(index <= self.handed, "only what was handed out can be applied");
        self.applied = self.applied.max(index);
        while let Some((_, bytes)) = pop_front_if(&mut self.pages, |page| page.0 <= index) {
            self.bytes -= bytes;
        }
    }

    /// The state machine was replaced by one that has applied everything up to `index`.
    pub(super) fn restart(&mut self, index: Index) {
        *self = Self::new(index);
    }

    /// Whether the next Ready would carry a page.
    pub(super) fn has_page(&self, log: &Log, config: &Config) -> bool {
        self.wants_page(log, config)
            && (!self.staged.is_empty() || self.handed.next() >= log.tail_first())
    }

    /// The next page; empty if there is none.
    pub(super) fn take_page(&mut self, log: &Log, config: &Config) -> Vec<Entry> {
        if !self.has_page(log, config) {
            return Vec::new();
        }
        let page = if self.staged.is_empty() {
            log.slice(self.handed.next(), log.appliable(), config.apply_bytes_max)
        } else {
            std::mem::take(&mut self.staged)
        };
        if let Some(last) = page.last() {
            let bytes = page.iter().map(Entry::cost).sum();
            self.handed = last.index;
            self.pages.push_back((last.index, bytes));
            self.bytes += bytes;
        }
        page
    }

    /// Whether the next page is to be read from disk, and nobody was asked yet.
    pub(super) fn wants_fetch(&self, log: &Log, config: &Config) -> bool {
        self.reading == Reading::No
            && self.staged.is_empty()
            && self.wants_page(log, config)
            && self.handed.next() < log.tail_first()
    }

    /// The caller is asked to read from here on.
    pub(super) fn asked(&mut self) -> Index {
        self.reading = Reading::Asked(self.handed.next());
        self.handed.next()
    }

    /// The caller has read `entries`, which are known to be those of the log, or could not.
    pub(super) fn fetched(&mut self, mut entries: Vec<Entry>, appliable: Index) {
        let Reading::Asked(from) = self.reading else {
            return;
        };
        assert_eq!(from, self.handed.next(), "nothing else is handed out while a page is read");
        entries.retain(|entry| entry.index <= appliable);
        if entries.first().is_none_or(|first| first.index != from) {
            self.reading = Reading::Failed;
        } else {
            self.reading = Reading::No;
            self.staged = entries;
        }
    }

    /// A tick passed: what could not be read may be asked for again.
    pub(super) fn retry_fetch(&mut self) {
        if self.reading == Reading::Failed {
            self.reading = Reading::No;
        }
    }

    fn wants_page(&self, log: &Log, config: &Config) -> bool {
        !self.blank
            && self.handed < log.appliable()
            && self.handed >= log.base_index()
            && self.bytes < config.apply_inflight_bytes_max
    }
}

impl Raft {
    /// Asks for the next page to be applied, if it is only on disk.
    pub(super) fn fetch_for_apply(&mut self) {
        if self.apply.wants_fetch(&self.log, &self.config) {
            let from = self.apply.asked();
            self.outbox.fetch(self.config.id, from, self.config.apply_bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::EntryKind;
    use super::super::terms::Terms;
    use super::*;
    use crate::ids::{NodeId, ReadyNumber, Term};
    use bytes::Bytes;

    fn entry(index: u64) -> Entry {
        let data = Bytes::from_static(&[7; 68]);
        Entry { index: Index(index), term: Term(1), kind: EntryKind::Normal, data }
    }

    fn config() -> Config {
        let base = Config::new(NodeId(1), 1);
        Config { apply_bytes_max: 200, apply_inflight_bytes_max: 350, ..base }
    }

    fn log(tail_from: u64, last: u64, commit: u64) -> Log {
        let terms = Terms::restored(Index(0), Term(0), vec![(Index(1), Term(1))], Index(last));
        let tail = (tail_from..=last).map(entry).collect();
        Log::new(terms.expect("a log"), tail, Index(commit), 1 << 20)
    }

    fn indexes(page: &[Entry]) -> Vec<u64> {
        page.iter().map(|entry| entry.index.0).collect()
    }

    #[test]
    fn pages_are_capped_and_wait_for_the_state_machine() {
        let (config, log) = (config(), log(1, 9, 8));
        let mut apply = Apply::new(Index(0));
        assert_eq!(indexes(&apply.take_page(&log, &config)), [1, 2]);
        assert_eq!(indexes(&apply.take_page(&log, &config)), [3, 4]);
        assert!(!apply.has_page(&log, &config), "400 bytes are on their way");
        apply.applied(Index(2));
        assert_eq!(indexes(&apply.take_page(&log, &config)), [5, 6]);
        apply.applied(Index(6));
        assert_eq!(indexes(&apply.take_page(&log, &config)), [7, 8]);
        assert!(!apply.has_page(&log, &config), "9 is not committed");
    }

    #[test]
    fn only_what_this_replica_has_synced_is_applied() {
        let (config, mut log) = (config(), log(1, 1, 1));
        let mut apply = Apply::new(Index(1));
        log.push(entry(2));
        log.commit_to(Index(2));
        assert!(!apply.has_page(&log, &config));
        log.hand_out();
        log.writing(ReadyNumber(1), true, None);
        log.persisted(ReadyNumber(1));
        assert_eq!(indexes(&apply.take_page(&log, &config)), [2]);
    }

    #[test]
    fn what_is_only_on_disk_is_fetched_once() {
        let (config, log) = (config(), log(5, 9, 6));
        let mut apply = Apply::new(Index(2));
        assert!(!apply.has_page(&log, &config) && apply.wants_fetch(&log, &config));
        assert_eq!(apply.asked(), Index(3));
        assert!(!apply.wants_fetch(&log, &config), "already asked");
        apply.fetched(Vec::new(), log.appliable());
        assert!(!apply.wants_fetch(&log, &config), "not again before a tick");
        apply.retry_fetch();
        assert!(apply.wants_fetch(&log, &config));
        apply.asked();
        apply.fetched(vec![entry(3), entry(4), entry(5), entry(6), entry(7)], log.appliable());
        assert_eq!(indexes(&apply.take_page(&log, &config)), [3, 4, 5, 6], "7 is not committed");
    }
}
