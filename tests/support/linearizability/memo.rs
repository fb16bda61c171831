//! The configurations that the search has met.
//!
//! A configuration is where an order of operations can get to: the state, the set of operations that are
//! **done**, and the set of those still **open**: optional ones, which may yet be placed and need not be.
//! With the same state and the same operations done, more open ones can do all that fewer can. So only the
//! configurations are kept that no other one outdoes in this way.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::bits;
use super::states::Mixer;

/// "No configuration".
const NONE: u32 = u32::MAX;

/// Words of a configuration: the state's name, then the two sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    words: Vec<u64>,
    done_end: usize,
}

impl Configuration {
    /// Nothing done, nothing open, of `known` operations that returned and `all` in total.
    pub(crate) fn empty(known: usize, all: usize) -> Self {
        let done_end = 1 + bits::words(known);
        Self { words: vec![0; done_end + bits::words(all)], done_end }
    }

    pub(crate) fn state(&self) -> u64 {
        self.words[0]
    }

    pub(crate) fn set_state(&mut self, name: u64) {
        self.words[0] = name;
    }

    pub(crate) fn done(&self) -> &[u64] {
        &self.words[1..self.done_end]
    }

    pub(crate) fn done_mut(&mut self) -> &mut [u64] {
        &mut self.words[1..self.done_end]
    }

    pub(crate) fn open(&self) -> &[u64] {
        &self.words[self.done_end..]
    }

    pub(crate) fn open_mut(&mut self) -> &mut [u64] {
        &mut self.words[self.done_end..]
    }
}

/// How a configuration was reached first, and its place in the list of those with the same hash.
#[derive(Clone, Copy, Debug)]
struct Entry {
    from: u32,
    placed: u32,
    next: u32,
    outdone: bool,
}

/// All configurations met.
#[derive(Debug)]
pub(crate) struct Memo {
    words: Vec<u64>,
    stride: usize,
    entries: Vec<Entry>,
    heads: HashMap<u64, u32, BuildHasherDefault<Mixer>>,
    /// Comparisons made, which are work as well.
    pub(crate) comparisons: usize,
}

impl Memo {
    pub(crate) fn new(first: &Configuration) -> Self {
        let stride = first.words.len();
        Self {
            words: Vec::new(),
            stride,
            entries: Vec::new(),
            heads: HashMap::default(),
            comparisons: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How large it is.
    pub(crate) fn words(&self) -> usize {
        self.words.len()
    }

    /// Keeps the configuration unless one that is met already can do all that it can.
    pub(crate) fn insert(
        &mut self,
        new: &Configuration,
        from: Option<(u32, usize)>,
    ) -> Option<u32> {
        let name = u32::try_from(self.entries.len()).ok().filter(|name| *name != NONE)?;
        let (same, open) = new.words.split_at(new.done_end);
        let head = self.heads.entry(Mixer::of(same)).or_insert(NONE);
        let (mut before, mut at) = (NONE, *head);
        while at != NONE {
            self.comparisons += 1;
            let start = at as usize * self.stride;
            let next = self.entries[at as usize].next;
            let (old_same, old_open) =
                self.words[start..start + self.stride].split_at(new.done_end);
            if old_same == same {
                if bits::includes(old_open, open) {
                    return None;
                }
                if bits::includes(open, old_open) {
                    self.entries[at as usize].outdone = true;
                    match before {
                        NONE => *head = next,
                        _ => self.entries[before as usize].next = next,
                    }
                    at = next;
                    continue;
                }
            }
            (before, at) = (at, next);
        }
        let (from, placed) = from.map_or((NONE, 0), |(from, placed)| {
            (
                from,
                u32::try_from(placed).expect("fewer operations than configurations can be named"),
            )
        });
        self.entries.push(Entry { from, placed, next: *head, outdone: false });
        self.words.extend_from_slice(&new.words);
        *head = name;
        Some(name)
    }

    /// Was something met later that can do all that this one can?
    pub(crate) fn is_outdone(&self, name: u32) -> bool {
        self.entries[name as usize].outdone
    }

    pub(crate) fn load(&self, name: u32, into: &mut Configuration) {
        let start = name as usize * self.stride;
        into.words.copy_from_slice(&self.words[start..start + self.stride]);
    }

    /// The operations placed one by one on the way to a configuration.
    pub(crate) fn way_to(&self, name: u32) -> Vec<usize> {
        let mut way = Vec::new();
        let mut entry = self.entries[name as usize];
        while entry.from != NONE {
            way.push(entry.placed as usize);
            entry = self.entries[entry.from as usize];
        }
        way.reverse();
        way
    }
}
