//! Chance from a seed, and the damage it does to bytes.

/// Numbers from a seed (splitmix64, Steele, Lea and Flood 2014).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("64 bits").max(1);
        usize::try_from(self.number() % end).expect("below a usize")
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

/// Damages `bytes` up to a few times; sometimes not at all.
pub(crate) fn damage(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..chance.below(5) {
        let at = chance.below(bytes.len());
        match chance.below(7) {
            _ if bytes.is_empty() => *bytes = chance.bytes(20),
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'9', b'-'][chance.below(7)],
            2 => bytes.truncate(at),
            3 => {
                let length = chance.below(9);
                let new = chance.bytes(length);
                bytes.splice(at..at, new);
            }
            4 => {
                let end = at + chance.below(bytes.len() - at + 1);
                bytes.drain(at..end);
            }
            5 => {
                let end = at + chance.below(bytes.len() - at + 1);
                let copy = bytes[at..end].to_vec();
                let to = chance.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            // What looks like a length becomes an extreme one.
            _ => {
                let extreme = [u64::MAX, u64::MAX / 2, 1 << 32, 1 << 31, 0][chance.below(5)];
                for (place, byte) in bytes[at..].iter_mut().zip(extreme.to_le_bytes()) {
                    *place = byte;
                }
            }
        }
    }
}

/// Cuts `bytes` into pieces, as a socket might.
pub(crate) fn pieces<'a>(chance: &mut Chance, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + chance.below(rest.len().min(64)));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
