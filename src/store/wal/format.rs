//! The bytes of batches and records.
//!
//! ```text
//! segment  │ header block │ batch │ batch │ ...                       blocks of 4 KiB
//! batch    │ magic length life number synced_through records crc │ record │ record │ ... │ filling │
//! record   │ length group kind crc header_crc │ payload │
//! ```
//! A batch begins on a block, so that a torn one never takes an earlier one with it. Every CRC starts
//! from a salt made of the disk's incarnation and the segment's life, so that what a recycled file
//! still holds of an earlier life never checks; within a life each place is written once. The header of
//! a batch is bound to its offset, its records to its number. A record's header has a check of its own,
//! so that damage to a payload still says whose it is.

use crate::ids::{GroupId, Incarnation};

/// The unit in which batches are placed, bytes.
pub(super) const BLOCK: u64 = 4096;
/// A batch's header, bytes.
pub(super) const BATCH_HEADER: usize = 40;
/// A record's header, bytes.
pub(super) const RECORD_HEADER: usize = 20;

const BATCH_MAGIC: u32 = 0x6572_6c62;

/// What every check in one life of a segment starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(u32);

impl Salt {
    pub(super) fn new(incarnation: Incarnation, life: u64) -> Self {
        let salt = crc32c::crc32c(&incarnation.0.to_le_bytes());
        Self(crc32c::crc32c_append(salt, &life.to_le_bytes()))
    }

    /// What the records of a batch start from.
    pub(super) fn of_batch(self, number: u64) -> Self {
        Self(crc32c::crc32c_append(self.0, &number.to_le_bytes()))
    }
}

/// The head of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// From the first byte of this header to the last of the last record, bytes.
    pub(super) length: u32,
    /// The segment's life.
    pub(super) life: u64,
    /// Counts the batches of the log, from 1.
    pub(super) number: u64,
    /// Batches up to this number had been synced when this one was written.
    pub(super) synced_through: u64,
    /// Records in it.
    pub(super) records: u32,
}

impl BatchHeader {
    pub(super) fn encode(&self, salt: Salt, offset: u64) -> [u8; BATCH_HEADER] {
        let mut bytes = [0; BATCH_HEADER];
        bytes[0..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.life.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.synced_through.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.records.to_le_bytes());
        let crc = Self::check(salt, offset, &bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, if these bytes are one of this life at this place.
    pub(super) fn decode(bytes: &[u8], salt: Salt, life: u64, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER)?;
        let header = Self {
            length: u32_at(bytes, 4),
            life: u64_at(bytes, 8),
            number: u64_at(bytes, 16),
            synced_through: u64_at(bytes, 24),
            records: u32_at(bytes, 32),
        };
        let good = u32_at(bytes, 0) == BATCH_MAGIC
            && header.life == life
            && u32_at(bytes, 36) == Self::check(salt, offset, &bytes[..36]);
        good.then_some(header)
    }

    fn check(salt: Salt, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(salt.0, &offset.to_le_bytes()), bytes)
    }

    /// Bytes that the batch takes up, filling included.
    pub(super) fn blocks_bytes(&self) -> u64 {
        u64::from(self.length).next_multiple_of(BLOCK)
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Bytes of the payload.
    pub(super) length: u32,
    /// Whose it is.
    pub(super) group: GroupId,
    /// What it is, see `Kind`.
    pub(super) kind: u8,
    /// The check of the payload.
    crc: u32,
}

impl RecordHeader {
    /// The header for this payload.
    ///
    /// # Panics
    /// When the payload is 4 GiB or more; entries are far smaller (`ENTRY_BYTES_MAX`), and the writer
    /// splits what is not.
    pub(super) fn of(payload: &[u8], group: GroupId, kind: u8, salt: Salt) -> Self {
        let length = u32::try_from(payload.len()).expect("records are split long before 4 GiB");
        Self { length, group, kind, crc: crc32c::crc32c_append(salt.0, payload) }
    }

    pub(super) fn encode(&self, salt: Salt) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        bytes[0..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.group.0.to_le_bytes());
        bytes[8] = self.kind;
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c_append(salt.0, &bytes[..16]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, if these bytes are one of this batch.
    pub(super) fn decode(bytes: &[u8], salt: Salt) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER)?;
        let good = u32_at(bytes, 16) == crc32c::crc32c_append(salt.0, &bytes[..16]);
        good.then(|| Self {
            length: u32_at(bytes, 0),
            group: GroupId(u32_at(bytes, 4)),
            kind: bytes[8],
            crc: u32_at(bytes, 12),
        })
    }

    /// Whether this is the payload that was written.
    pub(super) fn fits(&self, payload: &[u8], salt: Salt) -> bool {
        payload.len() == self.length as usize && crc32c::crc32c_append(salt.0, payload) == self.crc
    }
}

/// The four bytes at `at`, which the caller has checked to be there.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The eight bytes at `at`, which the caller has checked to be there.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_bound_to_their_life_and_place() {
        let header = BatchHeader { length: 99, life: 7, number: 5, synced_through: 4, records: 1 };
        let salt = Salt::new(Incarnation(1), 7);
        let bytes = header.encode(salt, 8192);
        let decode =
            |bytes: &[u8], salt, life, offset| BatchHeader::decode(bytes, salt, life, offset);
        assert_eq!(decode(&bytes, salt, 7, 8192), Some(header));
        assert_eq!(decode(&bytes, salt, 7, 4096), None, "another place");
        assert_eq!(decode(&bytes, Salt::new(Incarnation(1), 8), 8, 8192), None, "another life");
        assert_eq!(decode(&bytes, Salt::new(Incarnation(2), 7), 7, 8192), None, "another disk");
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes, salt, 7, 8192), None, "byte {at}");
        }
    }

    #[test]
    fn records_are_bound_to_their_batch_and_payload() {
        let salt = Salt::new(Incarnation(1), 7).of_batch(5);
        let header = RecordHeader::of(b"payload", GroupId(3), 2, salt);
        let bytes = header.encode(salt);
        assert_eq!(RecordHeader::decode(&bytes, salt), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, Salt::new(Incarnation(1), 7).of_batch(6)), None);
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 0x80;
            assert_eq!(RecordHeader::decode(&bytes, salt), None, "byte {at}");
        }
        assert!(header.fits(b"payload", salt));
        assert!(!header.fits(b"payloae", salt) && !header.fits(b"payloa", salt));
    }
}
