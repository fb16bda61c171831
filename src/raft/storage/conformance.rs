//! What every storage must do, as tests that any of them can be put through.

use super::{MemoryStorage, Storage};
use crate::ids::{Index, NodeId, Term};
use crate::raft::random::Random;
use crate::raft::{Entry, EntryKind, HardState, Membership, Restored, SnapshotMeta};
use bytes::Bytes;

/// Histories of writes that every storage is put through, and how many writes each has.
const HISTORIES: u64 = 16;
const WRITES: u32 = 60;

/// Puts a storage through everything that the core relies on. `fresh` makes an empty one, whose log
/// starts after index 0; `reopen` closes one, as a crash would, and opens it again.
///
/// # Panics
/// When it does not keep what a storage must keep; the message says what.
pub fn conformance<S: Storage>(mut fresh: impl FnMut() -> S, mut reopen: impl FnMut(S) -> S) {
    an_empty_one_is_empty(fresh());
    for seed in 1..=HISTORIES {
        let mut pair = Pair { storage: fresh(), model: MemoryStorage::default() };
        let mut random = Random::new(seed);
        for step in 0..WRITES {
            pair.work(&mut random);
            pair.compare(&format!("history {seed}, write {step}"));
            if random.below(4) == 0 {
                pair.storage = reopen(pair.storage);
                pair.compare(&format!("history {seed}, opened again after write {step}"));
            }
        }
    }
}

fn an_empty_one_is_empty(storage: impl Storage) {
    let restored = restored(&storage);
    assert_eq!((restored.last, restored.base.index), (Index(0), Index(0)), "an empty log");
    assert_eq!(restored.hard_state, HardState::default(), "no vote was given yet");
    assert!(read(&storage, Index(1), usize::MAX).is_empty(), "nothing was written yet");
}

/// A storage and what it should be.
struct Pair<S> {
    storage: S,
    model: MemoryStorage,
}

impl<S: Storage> Pair<S> {
    fn work(&mut self, random: &mut Random) {
        let Restored { hard_state, base, last, terms, .. } = restored(&self.model);
        let last_term = terms.last().map_or(base.term, |run| run.1);
        let length = u32::try_from(last.0 - base.index.0).expect("a short log");
        match random.below(10) {
            0 if length > 0 => {
                let index = Index(base.index.0 + 1 + u64::from(random.below(length)));
                let term = read(&self.model, index, 0)[0].term;
                let through = SnapshotMeta { index, term, membership: members(random) };
                self.both(
                    |storage| storage.compact(&through).map_err(drop),
                    |model| model.compact(&through).map_err(drop),
                );
            }
            1 => {
                let index = Index(last.0 + u64::from(random.below(20)));
                let term = Term(last_term.0 + u64::from(random.below(2)));
                let meta = SnapshotMeta { index, term, membership: members(random) };
                let hard = HardState { term: term.max(hard_state.term), ..hard_state };
                self.write(Some(&meta), Some(&hard), &[]);
            }
            2 => {
                let term = Term(hard_state.term.0 + 1);
                let vote = (random.below(2) == 0).then(|| NodeId(1 + random.below(5)));
                self.write(None, Some(&HardState { term, vote, commit: hard_state.commit }), &[]);
            }
            _ => {
                // After the last entry, or over the last few.
                let cut = u64::from(random.below(length.min(5) + 1)) * u64::from(random.below(2));
                let first = Index(last.0 + 1 - cut);
                let term = hard_state.term.max(Term(1)).max(last_term);
                let count = 1 + random.below(4);
                let entries: Vec<Entry> = (first.0..first.0 + u64::from(count))
                    .map(|index| Entry {
                        index: Index(index),
                        term,
                        kind: EntryKind::Normal,
                        data: Bytes::from(vec![
                            u8::try_from(index % 251).expect("small");
                            {
                                usize::try_from(random.below(200)).expect("small")
                            }
                        ]),
                    })
                    .collect();
                let hard = HardState { term, ..hard_state };
                self.write(None, (hard != hard_state).then_some(&hard), &entries);
            }
        }
    }

    fn write(
        &mut self,
        restart: Option<&SnapshotMeta>,
        hard_state: Option<&HardState>,
        entries: &[Entry],
    ) {
        self.both(
            |storage| storage.write(restart, hard_state, entries).map_err(drop),
            |model| model.write(restart, hard_state, entries).map_err(drop),
        );
    }

    fn both(
        &mut self,
        act: impl FnOnce(&mut S) -> Result<(), ()>,
        act_too: impl FnOnce(&mut MemoryStorage) -> Result<(), ()>,
    ) {
        act(&mut self.storage).expect("it does what the model does");
        act_too(&mut self.model).expect("the model never fails");
    }

    fn compare(&self, when: &str) {
        let (found, wanted) = (restored(&self.storage), restored(&self.model));
        assert_eq!(found.hard_state, wanted.hard_state, "{when}: term, vote and commit");
        assert_eq!(found.base, wanted.base, "{when}: where the log starts");
        assert_eq!(found.last, wanted.last, "{when}: the last index");
        assert_eq!(found.terms, wanted.terms, "{when}: the terms of the log");
        let kept = found.tail.len().min(wanted.tail.len());
        let newest = &wanted.tail[wanted.tail.len() - kept..];
        assert_eq!(found.tail, newest, "{when}: the newest entries");
        for index in (wanted.base.index.0..=wanted.last.0 + 1).map(Index) {
            let all = read(&self.model, index, usize::MAX);
            assert_eq!(read(&self.storage, index, usize::MAX), all, "{when}: from {index} on");
            for bytes_max in [0, 300] {
                let some = read(&self.storage, index, bytes_max);
                assert!(all.starts_with(&some), "{when}: {bytes_max} bytes from {index} on");
                assert_eq!(some.is_empty(), all.is_empty(), "{when}: one at least from {index} on");
                let bytes = some.iter().map(Entry::cost).sum::<usize>();
                assert!(
                    bytes <= bytes_max || some.len() == 1,
                    "{when}: {bytes} bytes, not {bytes_max}"
                );
            }
        }
    }
}

fn members(random: &mut Random) -> Membership {
    Membership::of_voters((1..=1 + random.below(5)).map(NodeId))
}

fn restored(storage: &impl Storage) -> Restored {
    storage.restore().unwrap_or_else(|error| panic!("what is durable can be read: {error}"))
}

fn read(storage: &impl Storage, from: Index, bytes_max: usize) -> Vec<Entry> {
    storage.read(from, bytes_max).unwrap_or_else(|error| panic!("{from} can be read: {error}"))
}
