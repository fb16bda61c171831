//! The first block of a segment's file: whose it is, which life of the file this is, and what came
//! before it.
//!
//! It is written twice, in the block's first two sectors, so that one damaged sector costs nothing. A
//! sector of zeros is a file that was never used.

use super::format::{u32_at, u64_at};
use super::write::LogIdentity;
use crate::ids::{ClusterId, Incarnation, NodeId};

/// The format that this program writes.
pub(super) const FORMAT: u32 = 5;
/// Bytes of one copy; a disk writes so many whole.
const SECTOR: usize = 512;
const MAGIC: [u8; 8] = *b"eraftlog";
const LENGTH: usize = 108;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Whose it is.
    pub(super) identity: LogIdentity,
    /// Which life; never used twice by any file of this log. Raised at each use.
    pub(super) life: u64,
    /// The segment is part of the log. If not, it was about to become so, and its life is used up.
    pub(super) live: bool,
    /// The life of the segment before it; 0 if there is none.
    pub(super) previous: u64,
    /// Where that one ends, bytes: all before was synced, nothing after counts.
    pub(super) previous_end: u64,
    /// The number of this segment's first batch.
    pub(super) first_number: u64,
    /// Batches up to this number were durable when the header was written.
    pub(super) proven: u64,
    /// The oldest life that the log needed when this segment became part of it.
    pub(super) oldest: u64,
}

/// What the first block of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderBlock {
    /// A header.
    Valid(SegmentHeader),
    /// Zeros: it was never used.
    Unused,
    /// A header of a format that we do not know.
    OtherFormat(u32),
    /// Neither copy can be read.
    Damaged,
}

impl SegmentHeader {
    /// Both copies.
    pub(super) fn encode(&self) -> [u8; 2 * SECTOR] {
        let mut bytes = [0; 2 * SECTOR];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.identity.cluster.0);
        bytes[28..32].copy_from_slice(&self.identity.node.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.identity.incarnation.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.life.to_le_bytes());
        bytes[48] = u8::from(self.live);
        bytes[56..64].copy_from_slice(&self.previous.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.first_number.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[88..96].copy_from_slice(&self.proven.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..LENGTH - 4]);
        bytes[LENGTH - 4..LENGTH].copy_from_slice(&crc.to_le_bytes());
        bytes.copy_within(..SECTOR, SECTOR);
        bytes
    }

    /// Reads a first block. If both copies are good and differ (the power was cut between them), the
    /// newer counts.
    pub(super) fn decode(block: &[u8]) -> HeaderBlock {
        let copies = [0, SECTOR].map(|at| block.get(at..at + SECTOR).map(Self::decode_copy));
        let [one, two] = copies.map(|copy| copy.unwrap_or(HeaderBlock::Unused));
        match (one, two) {
            (HeaderBlock::Valid(one), HeaderBlock::Valid(two)) => {
                let newer = (two.life, two.live) > (one.life, one.live);
                HeaderBlock::Valid(if newer { two } else { one })
            }
            (valid @ HeaderBlock::Valid(_), _) | (_, valid @ HeaderBlock::Valid(_)) => valid,
            (other @ HeaderBlock::OtherFormat(_), _) | (_, other @ HeaderBlock::OtherFormat(_)) => {
                other
            }
            (HeaderBlock::Damaged, _) | (_, HeaderBlock::Damaged) => HeaderBlock::Damaged,
            (HeaderBlock::Unused, HeaderBlock::Unused) => HeaderBlock::Unused,
        }
    }

    fn decode_copy(bytes: &[u8]) -> HeaderBlock {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderBlock::Unused;
        }
        let good = bytes[..8] == MAGIC
            && u32_at(bytes, LENGTH - 4) == crc32c::crc32c(&bytes[..LENGTH - 4]);
        if !good {
            return HeaderBlock::Damaged;
        }
        if u32_at(bytes, 8) != FORMAT {
            return HeaderBlock::OtherFormat(u32_at(bytes, 8));
        }
        HeaderBlock::Valid(Self {
            identity: LogIdentity {
                cluster: ClusterId(bytes[12..28].try_into().expect("sixteen bytes")),
                node: NodeId(u32_at(bytes, 28)),
                incarnation: Incarnation(u64_at(bytes, 32)),
            },
            life: u64_at(bytes, 40),
            live: bytes[48] == 1,
            previous: u64_at(bytes, 56),
            previous_end: u64_at(bytes, 64),
            first_number: u64_at(bytes, 72),
            oldest: u64_at(bytes, 80),
            proven: u64_at(bytes, 88),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(life: u64) -> SegmentHeader {
        let identity = LogIdentity {
            cluster: ClusterId([3; 16]),
            node: NodeId(2),
            incarnation: Incarnation(9),
        };
        SegmentHeader {
            identity,
            life,
            live: true,
            previous: life - 1,
            previous_end: 8192,
            first_number: 40,
            proven: 39,
            oldest: 2,
        }
    }

    #[test]
    fn one_good_copy_is_enough() {
        let bytes = header(7).encode();
        assert_eq!(SegmentHeader::decode(&bytes), HeaderBlock::Valid(header(7)));
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 4;
            assert_eq!(SegmentHeader::decode(&bytes), HeaderBlock::Valid(header(7)), "byte {at}");
        }
        let mut both = bytes;
        both[40] ^= 1;
        both[SECTOR + 40] ^= 1;
        assert_eq!(SegmentHeader::decode(&both), HeaderBlock::Damaged);
        assert_eq!(SegmentHeader::decode(&[0; 1024]), HeaderBlock::Unused);
        assert_eq!(SegmentHeader::decode(&[]), HeaderBlock::Unused);
    }

    #[test]
    fn of_two_good_copies_the_newer_counts() {
        let (old, new) = (header(7).encode(), header(8).encode());
        let torn = [&new[..SECTOR], &old[SECTOR..]].concat();
        assert_eq!(SegmentHeader::decode(&torn), HeaderBlock::Valid(header(8)));
        let torn = [&old[..SECTOR], &new[SECTOR..]].concat();
        assert_eq!(SegmentHeader::decode(&torn), HeaderBlock::Valid(header(8)));
    }
}
