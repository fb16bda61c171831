//! A segment: a file that is part of the log, or one that waits to become so.

use super::format::{BLOCK, RECORD_HEADER, RecordHeader, Salt};
use super::group::Place;
use super::header::SegmentHeader;
use crate::ids::{GroupId, Index};
use crate::raft::Entry;
use crate::store::disk::File;
use crate::store::wal::payload::{Change, decode_entries};
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::path::PathBuf;

/// Why a record cannot be read.
#[derive(Debug)]
pub(super) enum RecordError {
    Io(io::Error),
    Damaged,
}

/// A file that may become a segment.
#[derive(Debug)]
pub(super) struct Spare<F> {
    pub(super) file: F,
    pub(super) path: PathBuf,
    /// Its size; there are blocks for all of it, or that was tried.
    pub(super) capacity: u64,
}

/// A file in one of its lives.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) file: F,
    pub(super) path: PathBuf,
    pub(super) capacity: u64,
    pub(super) header: SegmentHeader,
}

impl<F: File> Segment<F> {
    /// Gives a spare file its next life. It counts only once [`Segment::write_header`] is synced.
    pub(super) fn begin(spare: Spare<F>, header: SegmentHeader) -> Self {
        Self { file: spare.file, path: spare.path, capacity: spare.capacity, header }
    }

    /// Ends this life. What is in the file stays, and never checks again.
    pub(super) fn end(self) -> Spare<F> {
        Spare { file: self.file, path: self.path, capacity: self.capacity }
    }

    /// Writes the header as it is now, in one sector-sized piece and a copy.
    pub(super) fn write_header(&self) -> io::Result<()> {
        self.file.write_at(&mut [IoSlice::new(&self.header.encode())], 0)
    }

    pub(super) fn life(&self) -> u64 {
        self.header.life
    }

    pub(super) fn salt(&self) -> Salt {
        Salt::new(self.header.identity.incarnation, self.header.life)
    }

    /// Whether another batch of so many bytes fits, with the mark that may end the segment.
    pub(super) fn has_room(&self, end: u64, batch_bytes: u64) -> bool {
        end + batch_bytes.next_multiple_of(BLOCK) + BLOCK <= self.capacity
    }

    /// The name of the file, for people.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The payload of a record, checked.
    pub(super) fn read_record(
        &self,
        group: GroupId,
        place: Place,
    ) -> Result<(u8, Bytes), RecordError> {
        let mut bytes = vec![0; RECORD_HEADER + place.length as usize];
        self.file.read_exact_at(&mut bytes, place.offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RecordError::Damaged,
            _ => RecordError::Io(error),
        })?;
        let salt = self.salt().of_batch(place.number);
        let header = RecordHeader::decode(&bytes, salt).ok_or(RecordError::Damaged)?;
        let payload = Bytes::from(bytes).slice(RECORD_HEADER..);
        if header.group == group && header.fits(&payload, salt) {
            Ok((header.kind, payload))
        } else {
            Err(RecordError::Damaged)
        }
    }

    /// The entries of a record from `from` to `to`.
    pub(super) fn read_entries(
        &self,
        group: GroupId,
        place: Place,
        from: Index,
        to: Index,
    ) -> Result<Vec<Entry>, RecordError> {
        let (kind, payload) = self.read_record(group, place)?;
        match Change::decode(kind, &payload) {
            Some(Change::Entries { first, last, .. } | Change::Kept { first, last, .. })
                if first <= from && to <= last =>
            {
                decode_entries(&payload, from, to).ok_or(RecordError::Damaged)
            }
            _ => Err(RecordError::Damaged),
        }
    }
}
