//! Checking fjall's journal before fjall reads it, and cutting it after the last whole batch.
//!
//! fjall trusts the lengths in its journal: behind a flipped byte it drops synced batches without a
//! word, and would still replay a *later* journal file, so that rows were missing in the middle. Other
//! flips keep it from opening at all. Both are fine for us as long as what survives is a prefix of what
//! was written, because every batch holds its applied indices and the log has the rest. So we read
//! the files first, in order, and end the journal at the first byte that is not part of a whole batch.
//!
//! ```text
//! batch = start │ item or clear … │ end          all numbers little-endian
//! start = 1u8 │ items u32 │ seqno u64
//! item  = 2u8 │ value type u8 │ compression u8 │ keyspace u64 │ key length u16 │ value length u32
//!         │ stored length u32 │ key │ stored value
//! clear = 4u8 │ keyspace u64
//! end   = 3u8 │ xxh3-64 of all items and clears u64 │ "FJL" 3u8
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";
/// Item header behind its tag: value type, compression, keyspace, and three lengths.
const ITEM_HEADER_BYTES: usize = 1 + 1 + 8 + 2 + 4 + 4;
/// A store that makes a million batches a second gets nowhere near this number in its life.
const SEQNO_MAX: u64 = 1 << 60;
/// How much is read at a time, bytes.
const READ_BYTES: usize = 256 * 1024;

/// Where the journal was cut. A torn end after a crash is the usual reason, and harmless; anything
/// more shows as an applied index below the log's purge mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalCut {
    /// The file that was cut.
    pub file: PathBuf,
    /// Its new length, bytes.
    pub at: u64,
    /// Bytes behind it that were no whole batch.
    pub bytes_dropped: u64,
    /// Later journal files, which were set aside (renamed to `….dropped`).
    pub files_dropped: Vec<PathBuf>,
}

/// The journal could not be checked or cut.
#[derive(Debug, thiserror::Error)]
#[error("the journal {file}: {source}")]
pub struct JournalError {
    /// The file.
    pub file: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// Checks the journal of the store in `dir` and cuts it if need be. Nobody may have the store open.
pub(super) fn check(dir: &Path) -> Result<Option<JournalCut>, JournalError> {
    let files = files(dir).map_err(fail(dir))?;
    let mut last = None;
    for (at, file) in files.iter().enumerate() {
        match scan(file, &mut last).map_err(fail(file))? {
            Scan::Clean => {}
            Scan::EndsAt(bytes) => return cut(dir, &files[at..], bytes).map(Some),
            Scan::LastIsWrong => {
                let last = last.expect("compared with it");
                let from = files.iter().position(|file| *file == last.file).unwrap_or(at);
                return cut(dir, &files[from..], last.start).map(Some);
            }
        }
    }
    Ok(None)
}

/// Ends the first of `files` at `bytes` and sets the others aside.
fn cut(dir: &Path, files: &[PathBuf], bytes: u64) -> Result<JournalCut, JournalError> {
    // Later files first: if this is interrupted, the next check comes to the same answer.
    let mut files_dropped = Vec::new();
    for later in files[1..].iter().rev() {
        let aside = later.with_extension("jnl.dropped");
        std::fs::rename(later, &aside).map_err(fail(later))?;
        files_dropped.push(aside);
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail(dir))?;
    let file = &files[0];
    let cut = OpenOptions::new().write(true).open(file).map_err(fail(file))?;
    let length = cut.metadata().map_err(fail(file))?.len();
    cut.set_len(bytes).and_then(|()| cut.sync_all()).map_err(fail(file))?;
    Ok(JournalCut {
        file: file.clone(),
        at: bytes,
        bytes_dropped: length.saturating_sub(bytes),
        files_dropped,
    })
}

fn fail(file: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let file = file.to_path_buf();
    move |source| JournalError { file, source }
}

/// The journal files of `dir`, oldest first; none if there is no store yet.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        if let Some(number) = number {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The last whole batch read.
struct Last {
    file: PathBuf,
    start: u64,
    seqno: u64,
}

/// What a file is.
enum Scan {
    /// Whole batches, and then nothing but the zeros that fjall fills a new file with.
    Clean,
    /// After so many bytes comes something that is no whole batch.
    EndsAt(u64),
    /// A batch has no greater sequence number than the one before it. The numbers are not covered by
    /// the checksum, so either may be wrong; the earlier one must go to be certain.
    LastIsWrong,
}

fn scan(path: &Path, last: &mut Option<Last>) -> io::Result<Scan> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = Reader { from: BufReader::with_capacity(READ_BYTES, file), at: 0, length };
    let mut start = 0;
    loop {
        match reader.batch() {
            Ok(Some(seqno)) => {
                if last.as_ref().is_some_and(|last| last.seqno >= seqno) {
                    return Ok(Scan::LastIsWrong);
                }
                *last = Some(Last { file: path.to_path_buf(), start, seqno });
                start = reader.at;
            }
            Ok(None) => break,
            // The file ends within the batch.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    let mut rest = reader.from.into_inner();
    io::Seek::seek(&mut rest, io::SeekFrom::Start(start))?;
    Ok(if only_zeros(rest)? { Scan::Clean } else { Scan::EndsAt(start) })
}

fn only_zeros(mut rest: impl Read) -> io::Result<bool> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(true),
            read if buffer[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

struct Reader {
    from: BufReader<File>,
    at: u64,
    length: u64,
}

impl Reader {
    /// Reads one batch and returns its sequence number; `None` if what stands here is none.
    fn batch(&mut self) -> io::Result<Option<u64>> {
        let [tag] = self.take::<1>()?;
        if tag != START {
            return Ok(None);
        }
        let items = u32::from_le_bytes(self.take()?);
        let seqno = u64::from_le_bytes(self.take()?);
        let mut checksum = Xxh3::new();
        for _ in 0..items {
            if !self.item(&mut checksum)? {
                return Ok(None);
            }
        }
        let [tag] = self.take::<1>()?;
        let want = u64::from_le_bytes(self.take()?);
        let trailer = self.take::<4>()?;
        let is_whole =
            tag == END && trailer == TRAILER && want == checksum.digest() && seqno <= SEQNO_MAX;
        Ok(is_whole.then_some(seqno))
    }

    fn item(&mut self, checksum: &mut Xxh3) -> io::Result<bool> {
        let tag = self.take::<1>()?;
        checksum.update(&tag);
        match tag {
            [CLEAR] => {
                checksum.update(&self.take::<8>()?);
                Ok(true)
            }
            [ITEM] => {
                let header = self.take::<ITEM_HEADER_BYTES>()?;
                checksum.update(&header);
                let key = u16::from_le_bytes([header[10], header[11]]);
                let stored = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
                self.through(u64::from(key) + u64::from(stored), checksum)
            }
            _ => Ok(false),
        }
    }

    /// Passes `bytes` bytes through the checksum, a piece at a time; false if the file is shorter.
    fn through(&mut self, bytes: u64, checksum: &mut Xxh3) -> io::Result<bool> {
        if bytes > self.length - self.at {
            return Ok(false);
        }
        let mut left = bytes;
        while left > 0 {
            let piece = io::BufRead::fill_buf(&mut self.from)?;
            let n = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if n == 0 {
                return Ok(false);
            }
            checksum.update(&piece[..n]);
            io::BufRead::consume(&mut self.from, n);
            left -= n as u64;
        }
        self.at += bytes;
        Ok(true)
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as fjall writes it.
    fn batch(seqno: u64, rows: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut items = Vec::new();
        for (key, value) in rows {
            items.extend_from_slice(&[ITEM, 0, 0]);
            items.extend_from_slice(&1u64.to_le_bytes());
            items.extend_from_slice(&(key.len() as u16).to_le_bytes());
            items.extend_from_slice(&(value.len() as u32).to_le_bytes());
            items.extend_from_slice(&(value.len() as u32).to_le_bytes());
            items.extend_from_slice(key);
            items.extend_from_slice(value);
        }
        let mut bytes = vec![START];
        bytes.extend_from_slice(&(rows.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&seqno.to_le_bytes());
        bytes.extend_from_slice(&items);
        bytes.push(END);
        bytes.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(&items).to_le_bytes());
        bytes.extend_from_slice(TRAILER);
        bytes
    }

    /// Two files of five batches each, and where the batches end.
    fn files() -> [(Vec<u8>, Vec<u64>); 2] {
        [10u64, 20].map(|first| {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for n in 0..5 {
                bytes.extend(batch(first + 2 * n, &[(b"key", b"value"), (b"empty", b"")]));
                ends.push(bytes.len() as u64);
            }
            (bytes, ends)
        })
    }

    fn write(dir: &Path, first: &[u8], second: &[u8]) {
        std::fs::write(dir.join("9.jnl"), first).expect("writes");
        std::fs::write(dir.join("10.jnl"), second).expect("writes");
    }

    #[test]
    fn a_whole_journal_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(check(dir.path()).expect("reads"), None);
        assert_eq!(check(&dir.path().join("nowhere")).expect("reads"), None);
        let [(first, _), (mut second, _)] = files();
        second.extend([0; 5000]);
        write(dir.path(), &first, &second);
        assert_eq!(check(dir.path()).expect("reads"), None);
        assert_eq!(std::fs::read(dir.path().join("10.jnl")).expect("reads"), second);
    }

    #[test]
    fn wherever_a_byte_is_hurt_only_whole_batches_before_it_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let [(first, first_ends), (second, second_ends)] = files();
        for (which, hurt, ends) in [(9, &first, &first_ends), (10, &second, &second_ends)] {
            for at in 0..hurt.len() {
                let mut bytes = hurt.clone();
                bytes[at] ^= 0x81;
                match which {
                    9 => write(dir.path(), &bytes, &second),
                    _ => write(dir.path(), &first, &bytes),
                }
                let start = *ends.iter().rfind(|end| **end <= at as u64).expect("0 is one");
                let Some(cut) = check(dir.path()).expect("reads") else {
                    // A sequence number that is still in order does no harm.
                    let in_seqno = (5..13).contains(&(at as u64 - start));
                    assert!(in_seqno, "file {which}, byte {at} went unnoticed");
                    continue;
                };
                let name = cut.file.file_name().and_then(|name| name.to_str());
                let all = if name == Some("9.jnl") { &first_ends } else { &second_ends };
                assert!(all.contains(&cut.at), "file {which}, byte {at}: cut inside a batch");
                assert!(name == Some("9.jnl") || (which, cut.at) <= (10, start));
                assert!(which == 10 || (name == Some("9.jnl") && cut.at <= start));
                assert_eq!(cut.files_dropped.len(), usize::from(name == Some("9.jnl")));
                assert_eq!(dir.path().join("10.jnl").exists(), name == Some("10.jnl"));
                assert_eq!(check(dir.path()).expect("reads"), None, "cut once and for all");
            }
        }
    }

    #[test]
    fn wherever_the_last_file_ends_its_whole_batches_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let [(first, _), (second, ends)] = files();
        for length in 0..=second.len() {
            write(dir.path(), &first, &second[..length]);
            let cut = check(dir.path()).expect("reads");
            let kept = std::fs::read(dir.path().join("10.jnl")).expect("reads").len() as u64;
            assert_eq!(Some(&kept), ends.iter().rfind(|end| **end <= length as u64));
            assert_eq!(cut.is_some(), kept < length as u64);
        }
    }
}
