//! Reading a segment from its first batch to its last, and saying what is wrong with it.
//!
//! Nothing is decided here: a batch that does not check may be the torn end of the log or damage, and
//! only what comes after it can tell (see `recovery`).

use super::batch::Recorded;
use super::format::{BATCH_HEADER, BLOCK, BatchHeader, RECORD_HEADER, RecordHeader, Salt};
use super::payload::Change;
use super::segment::Segment;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::GroupId;
use crate::store::disk::File;
use std::io;

/// Bytes read from the file at once, at least.
const WINDOW_BYTES: usize = 1024 * 1024;

/// A batch whose header checks.
#[derive(Debug)]
pub(super) struct ScannedBatch {
    pub(super) header: BatchHeader,
    pub(super) offset: u64,
    /// Its records that check.
    pub(super) records: Vec<Recorded>,
    /// What does not.
    pub(super) bad: Vec<Bad>,
}

/// A place where something does not check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bad {
    pub(super) offset: u64,
    /// Whose it was, if that can still be read.
    pub(super) group: Option<GroupId>,
    pub(super) what: &'static str,
}

/// Batches that are not where they should be, with others after them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    /// Where the first of them should begin.
    pub(super) offset: u64,
    /// Their numbers.
    pub(super) first: u64,
    pub(super) last: u64,
}

/// What is in a segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// In order.
    pub(super) batches: Vec<ScannedBatch>,
    pub(super) holes: Vec<Hole>,
    /// Where the last batch ends.
    pub(super) end: u64,
    /// The number that the next batch would have.
    pub(super) next_number: u64,
    /// What is there instead looks like a batch that did not make it whole.
    pub(super) torn_header: bool,
}

impl Scan {
    /// The number of the first batch that does not count, if those up to `proven` had been synced: the
    /// first one after them that is not whole.
    pub(super) fn cut(&self, proven: u64) -> u64 {
        let bad = self.batches.iter().filter(|batch| !batch.bad.is_empty());
        let bad = bad.map(|batch| (batch.header.number, batch.header.number));
        let lost = self.holes.iter().map(|hole| (hole.first, hole.last)).chain(bad);
        let cuts = lost.filter(|(_, last)| *last > proven).map(|(first, _)| first.max(proven + 1));
        #[cfg(feature = "controls")]
        let cuts = cuts.map(|cut| cut - u64::from(active(Control::TornTailTooFar)));
        cuts.min().unwrap_or(self.next_number)
    }
}

/// Scans a segment up to `limit`.
pub(super) fn scan<F: File>(segment: &Segment<F>, limit: u64) -> io::Result<Scan> {
    let mut window = Window { file: &segment.file, start: 0, bytes: Vec::new() };
    let (salt, life) = (segment.salt(), segment.life());
    let mut scan = Scan {
        batches: Vec::new(),
        holes: Vec::new(),
        end: BLOCK,
        next_number: segment.header.first_number,
        torn_header: false,
    };
    let mut offset = BLOCK;
    while offset < limit {
        let bytes = window.get(offset, BATCH_HEADER)?;
        let header = BatchHeader::decode(bytes, salt, life, offset).filter(|header| {
            let fits = offset.checked_add(header.blocks_bytes()).is_some_and(|end| end <= limit);
            header.number >= scan.next_number && fits
        });
        let Some(header) = header else {
            if offset == scan.end {
                scan.torn_header = looks_torn(bytes, life, scan.next_number);
            }
            offset += BLOCK;
            continue;
        };
        if header.number > scan.next_number || offset > scan.end {
            let (first, last) = (scan.next_number, header.number - 1);
            scan.holes.push(Hole { offset: scan.end, first, last: last.max(first) });
        }
        let bytes = window.get(offset, header.length as usize)?;
        let (records, bad) = records(bytes, &header, salt, offset);
        scan.batches.push(ScannedBatch { header, offset, records, bad });
        offset += header.blocks_bytes();
        scan.end = offset;
        scan.next_number = header.number + 1;
        scan.torn_header = false;
    }
    Ok(scan)
}

/// Whether a header that does not check was meant to be that of this batch: most of it fits.
fn looks_torn(bytes: &[u8], life: u64, number: u64) -> bool {
    let blank = BatchHeader { length: 0, life, number, synced_through: 0, records: 0 };
    let wanted = blank.encode(Salt::new(Default::default(), 0), 0);
    let same = |from: usize, to: usize| bytes.get(from..to) == wanted.get(from..to);
    [same(0, 4), same(8, 16), same(16, 24)].into_iter().filter(|same| *same).count() >= 2
}

/// The records of a batch, of which `bytes` is all.
fn records(
    bytes: &[u8],
    header: &BatchHeader,
    salt: Salt,
    offset: u64,
) -> (Vec<Recorded>, Vec<Bad>) {
    let salt = salt.of_batch(header.number);
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    let mut at = BATCH_HEADER;
    for _ in 0..header.records {
        let here = offset + at as u64;
        let Some(head) = bytes.get(at..).and_then(|bytes| RecordHeader::decode(bytes, salt)) else {
            bad.push(Bad { offset: here, group: None, what: "a record's header does not check" });
            break;
        };
        let payload = bytes.get(at + RECORD_HEADER..).unwrap_or_default();
        let payload = payload.get(..head.length as usize).unwrap_or(payload);
        let group = Some(head.group);
        if !head.fits(payload, salt) {
            bad.push(Bad { offset: here, group, what: "a record does not check" });
        } else if let Some(change) = Change::decode(head.kind, payload) {
            records.push(Recorded { group: head.group, change, offset: here, length: head.length });
        } else {
            bad.push(Bad { offset: here, group, what: "a record says nothing known" });
        }
        at += RECORD_HEADER + head.length as usize;
    }
    (records, bad)
}

/// A piece of a file in memory.
struct Window<'a, F> {
    file: &'a F,
    start: u64,
    bytes: Vec<u8>,
}

impl<F: File> Window<'_, F> {
    /// So many bytes at this offset; fewer where the file ends.
    fn get(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let inside =
            offset >= self.start && offset + length as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            self.bytes.resize(length.max(WINDOW_BYTES), 0);
            self.start = offset;
            let read = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX).min(self.bytes.len());
        let to = from.saturating_add(length).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }
}
