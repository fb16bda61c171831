//! The trace that shows that two runs were the same, and the hash that it is made of.

/// A quick hash over bytes and numbers, the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn word(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.word(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

/// A hash over all that happened.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    hash: Digest,
    tell: bool,
}

impl Trace {
    /// An empty trace; it is printed as well if that is wanted.
    pub(crate) fn new(tell: bool) -> Self {
        Self { hash: Digest::new(), tell }
    }

    /// This happened.
    pub(crate) fn note(&mut self, at: u64, what: impl FnOnce() -> String, bytes: &[u8]) {
        if self.tell {
            println!("{:>9}.{:03} {}", at / 1000, at % 1000, what());
        }
        self.hash.word(at);
        self.hash.bytes(bytes);
    }

    /// The hash.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }
}
