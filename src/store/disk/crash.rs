//! What is left of a simulated file after the power was cut.
//!
//! Everything that was synced, and of the rest what chance decides page by page: a page that was
//! written and not synced is there, is not there, or is there in some of its sectors.

use std::collections::BTreeSet;

/// The unit in which a file's un-synced bytes are kept, bytes.
pub(super) const PAGE: usize = 4096;
/// The unit that a disk writes whole, bytes.
pub const SECTOR: usize = 512;

/// What happens to everything that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// All of it is gone.
    Drop,
    /// All of it is there; that is what the death of the process alone leaves.
    Keep,
    /// Each page and each name is kept, dropped or (pages) torn, by chance, from this seed.
    Mixed(u64),
}

/// A chance that is the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Chance(Crash, u64);

impl Chance {
    pub(super) fn new(crash: Crash) -> Self {
        let seed = if let Crash::Mixed(seed) = crash { seed } else { 0 };
        Self(crash, seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.1 = self.1.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.1;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether something that was not synced is there all the same.
    pub(super) fn keeps(&mut self) -> bool {
        match self.0 {
            Crash::Drop => false,
            Crash::Keep => true,
            Crash::Mixed(_) => self.next() & 1 == 1,
        }
    }

    /// Which of a page's sectors are there, a bit for each.
    fn sectors(&mut self) -> u8 {
        match self.0 {
            Crash::Drop => 0,
            Crash::Keep => 0xff,
            Crash::Mixed(_) => match self.next() % 3 {
                0 => 0,
                1 => 0xff,
                _ => (self.next() >> 32) as u8,
            },
        }
    }
}

/// The bytes of one file, in the cache and on the platter.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// What a reader sees.
    pub(super) cached: Vec<u8>,
    /// What is certain to be there after a power cut.
    durable: Vec<u8>,
    /// The pages of `cached` that a sync would have to write.
    dirty: BTreeSet<usize>,
}

impl Contents {
    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
    }

    pub(super) fn set_length(&mut self, length: usize) {
        if length < self.cached.len() {
            // The rest of the last page is zeros when the file grows again.
            self.dirty.insert(length / PAGE);
        }
        self.cached.resize(length, 0);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.cached.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            let (from, to) = (page * PAGE, ((page + 1) * PAGE).min(self.cached.len()));
            if from < to {
                self.durable[from..to].copy_from_slice(&self.cached[from..to]);
            }
        }
    }

    pub(super) fn unsynced_pages(&self) -> usize {
        self.dirty.len()
    }

    /// A sync that fails: the pages count as written, and are not. That is what Linux does.
    pub(super) fn fail_sync(&mut self) {
        self.dirty.clear();
    }

    /// Changes a byte where it lies, and in the cache.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) {
        for bytes in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= mask;
            }
        }
    }

    /// What is left.
    pub(super) fn after(&self, chance: &mut Chance) -> Self {
        let length = if chance.keeps() { self.cached.len() } else { self.durable.len() };
        let mut left = self.durable.clone();
        left.resize(length.max(self.durable.len()), 0);
        for &page in &self.dirty {
            let sectors = chance.sectors();
            for sector in (0..PAGE / SECTOR).filter(|sector| sectors & (1 << sector) != 0) {
                let from = page * PAGE + sector * SECTOR;
                let to = (from + SECTOR).min(self.cached.len()).min(left.len());
                if from < to {
                    left[from..to].copy_from_slice(&self.cached[from..to]);
                }
            }
        }
        left.resize(length, 0);
        Self { cached: left.clone(), durable: left, dirty: BTreeSet::new() }
    }
}
