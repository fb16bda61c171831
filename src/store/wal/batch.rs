//! The batch that is being made: one buffer, used again and again, that becomes one write.
//!
//! Where it will stand is known only when its size is, so the checks are filled in at the end.

use super::format::{BATCH_HEADER, BatchHeader, RECORD_HEADER, RecordHeader, Salt};
use super::payload::{Change, encode_entries};
use super::write::{LogOp, LogWrite};
use crate::ids::GroupId;
use crate::limits;
use crate::raft::Entry;

/// Where a record stops taking further entries, bytes: a reader reads whole records.
const RECORD_BYTES_TARGET: usize = 1024 * 1024;
/// A batch's length must fit its header; callers stay far below.
pub(super) const BATCH_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A record and where it is: in the batch, or, once that is written, in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    /// Whose it is.
    pub(super) group: GroupId,
    /// What it says.
    pub(super) change: Change,
    /// Where its header is, bytes.
    pub(super) offset: u64,
    /// Bytes of its payload.
    pub(super) length: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    records: Vec<Recorded>,
}

impl Batch {
    /// Forgets all; the memory stays unless one huge batch had made it huge.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * limits::WAL_BATCH_BYTES_MAX);
        self.bytes.resize(BATCH_HEADER, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes so far, without the filling.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn records(&self) -> &[Recorded] {
        &self.records
    }

    /// Adds what a group wants written.
    pub(super) fn put_write(&mut self, write: &LogWrite) {
        let group = write.group;
        match &write.op {
            None => {}
            Some(LogOp::Born(membership)) => self.put(group, Change::Born(membership.clone())),
            Some(LogOp::Compacted(meta)) => self.put(group, Change::Compacted(meta.clone())),
            Some(LogOp::SnapshotInstalled(meta)) => {
                self.put(group, Change::Installed(meta.clone()))
            }
            Some(LogOp::Dead) => self.put(group, Change::Dead),
            Some(LogOp::Identity(identity)) => self.put(group, Change::Identity(*identity)),
            Some(LogOp::LeftBehind(era)) => self.put(group, Change::LeftBehind(*era)),
        }
        if let Some(hard_state) = write.hard_state {
            self.put(group, Change::HardState(hard_state));
        }
        let mut rest = &write.entries[..];
        while let Some(first) = rest.first() {
            let mut bytes = 0;
            let fits = |entry: &&Entry| {
                bytes += entry.data.len();
                entry.term == first.term && bytes <= RECORD_BYTES_TARGET
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (run, after) = rest.split_at(count);
            self.put_entries(group, run, false);
            rest = after;
        }
    }

    /// Adds a run of entries of one term; `kept`: they are copied from a segment that is given up.
    pub(super) fn put_entries(&mut self, group: GroupId, run: &[Entry], kept: bool) {
        let [first, .., last] = run else {
            return if let [only] = run {
                self.put_run(group, only, only, run, kept)
            };
        };
        self.put_run(group, first, last, run, kept);
    }

    fn put_run(&mut self, group: GroupId, first: &Entry, last: &Entry, run: &[Entry], kept: bool) {
        let (first, last, term) = (first.index, last.index, first.term);
        let change = if kept {
            Change::Kept { first, last, term }
        } else {
            Change::Entries { first, last, term }
        };
        self.record(group, change, |_, bytes| encode_entries(run, bytes));
    }

    /// Adds anything but entries.
    pub(super) fn put(&mut self, group: GroupId, change: Change) {
        self.record(group, change, Change::encode_into);
    }

    /// Adds a record whose payload is at hand.
    pub(super) fn put_encoded(&mut self, group: GroupId, change: Change, payload: &[u8]) {
        self.record(group, change, |_, bytes| bytes.extend_from_slice(payload));
    }

    fn record(
        &mut self,
        group: GroupId,
        change: Change,
        payload: impl FnOnce(&Change, &mut Vec<u8>),
    ) {
        let offset = self.bytes.len();
        self.bytes.resize(offset + RECORD_HEADER, 0);
        payload(&change, &mut self.bytes);
        let length = self.bytes.len() - offset - RECORD_HEADER;
        let length = u32::try_from(length).expect("writes are limited");
        self.records.push(Recorded { group, change, offset: offset as u64, length });
    }

    /// Fills in all checks and the filling, and gives the bytes to be written at `offset`.
    pub(super) fn finish(
        &mut self,
        salt: Salt,
        life: u64,
        number: u64,
        synced_through: u64,
        offset: u64,
    ) -> &[u8] {
        let records_salt = salt.of_batch(number);
        for record in &self.records {
            let from = record.offset as usize;
            let (head, payload) = self.bytes[from..].split_at_mut(RECORD_HEADER);
            let payload = &payload[..record.length as usize];
            let header =
                RecordHeader::of(payload, record.group, record.change.kind(), records_salt);
            head.copy_from_slice(&header.encode(records_salt));
        }
        let header = BatchHeader {
            length: u32::try_from(self.bytes.len()).expect("batches are limited"),
            life,
            number,
            synced_through,
            records: u32::try_from(self.records.len()).expect("batches are limited"),
        };
        self.bytes[..BATCH_HEADER].copy_from_slice(&header.encode(salt, offset));
        self.bytes.resize(header.blocks_bytes() as usize, 0);
        for record in &mut self.records {
            record.offset += offset;
        }
        &self.bytes
    }
}

const _: () = {
    // A batch is at most one full round of the log thread and one largest write on top.
    assert!(limits::WAL_BATCH_BYTES_MAX + 2 * limits::ENTRY_BYTES_MAX < BATCH_BYTES_MAX);
    assert!(limits::UNCOMMITTED_BYTES_MAX + limits::WAL_BATCH_BYTES_MAX < BATCH_BYTES_MAX);
};
