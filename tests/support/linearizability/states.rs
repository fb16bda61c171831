//! States of the model, each kept once and named by a number, so that a configuration is a few words.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// All states that were met.
#[derive(Debug)]
pub(crate) struct States<S> {
    states: Vec<S>,
    names: HashMap<S, u64, BuildHasherDefault<Mixer>>,
}

impl<S: Clone + Eq + Hash> States<S> {
    pub(crate) fn new() -> Self {
        Self { states: Vec::new(), names: HashMap::default() }
    }

    pub(crate) fn name(&mut self, state: S) -> u64 {
        if let Some(name) = self.names.get(&state) {
            return *name;
        }
        let name = self.states.len() as u64;
        self.states.push(state.clone());
        self.names.insert(state, name);
        name
    }

    pub(crate) fn get(&self, name: u64) -> &S {
        &self.states[usize::try_from(name).expect("named above, from a length")]
    }
}

/// A hasher that is quick and the same in every run. Not for keys that an enemy may choose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixer(u64);

impl Mixer {
    pub(crate) fn of(words: &[u64]) -> u64 {
        let mut mixer = Self::default();
        for word in words {
            mixer.write_u64(*word);
        }
        mixer.finish()
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.write_u64(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table uses the highest and the lowest bits, and a product mixes only upwards.
        self.0 ^ (self.0 >> 32)
    }
}
