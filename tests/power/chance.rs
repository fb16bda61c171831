//! Chance that is the same for the same seed, and the trace that shows that two runs were the same.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// One of many independent streams of a seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut chance = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        chance.next();
        chance
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number in `from..to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }
}

/// A hash (FNV-1a) over all that happened.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    hash: u64,
    tell: bool,
}

impl Trace {
    /// An empty trace; with `POWER_TRACE` set it is printed as well.
    pub(crate) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, tell: std::env::var_os("POWER_TRACE").is_some() }
    }

    /// This happened.
    pub(crate) fn note(&mut self, at: u64, what: impl FnOnce() -> String, bytes: &[u8]) {
        if self.tell {
            println!("{:>9}.{:03} {}", at / 1000, at % 1000, what());
        }
        for byte in at.to_le_bytes().iter().chain(bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The hash.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}
