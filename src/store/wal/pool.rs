//! Files that wait to become segments.
//!
//! A file is filled with zeros once, so that later writes into it need no new blocks and a sync of them
//! no change of the file's own data; that makes syncs up to twice as fast. The filling is done ahead of
//! time by a thread, unless the log is told to do everything in order.

use super::format::BLOCK;
use super::segment::Spare;
use super::write::LogOptions;
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::limits;
use crate::store::background::come_last;
use crate::store::disk::{Disk, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Zeros written before a sync, bytes: a commit's sync waits behind no more.
const FILL_BYTES: usize = 1024 * 1024;
/// Between two such pieces the disk is left alone for as long as one took, at most so long.
const FILL_PAUSE_MAX: Duration = Duration::from_millis(100);
/// A segment that must be made while somebody waits is so many times smaller.
const HURRY: u64 = 8;

/// The name of a log file, by its number.
fn name(number: u64) -> String {
    format!("{number:08}.log")
}

/// The number of a log file; `None` if the file is none of ours.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pool<D: Disk> {
    disk: D,
    dir: PathBuf,
    options: LogOptions,
    spares: Vec<Spare<D::File>>,
    next_file: u64,
    preparing: Option<Preparing<D::File>>,
}

#[derive(Debug)]
struct Preparing<F> {
    thread: JoinHandle<io::Result<Spare<F>>>,
    wish: Arc<Wish>,
}

/// What is wanted of the thread that prepares a file.
#[derive(Debug, Default)]
struct Wish {
    cancel: AtomicBool,
    /// Somebody waits.
    hurry: AtomicBool,
}

impl<D: Disk> Pool<D> {
    pub(super) fn new(disk: D, dir: &Path, options: LogOptions, next_file: u64) -> Self {
        let dir = dir.to_owned();
        Self { disk, dir, options, spares: Vec::new(), next_file, preparing: None }
    }

    /// Gives a file of the log another name, by which it is none of ours.
    pub(super) fn put_aside(&self, path: &Path) -> io::Result<()> {
        self.disk.rename(path, &path.with_extension("damaged"))?;
        self.disk.sync_dir(&self.dir)
    }

    /// Takes a file that is not needed any more, for later use if there are not enough of its kind.
    pub(super) fn give(&mut self, spare: Spare<D::File>) -> io::Result<()> {
        if self.spares.len() < limits::SEGMENTS_SPARE_MAX && spare.capacity == self.segment_bytes()
        {
            self.spares.push(spare);
            Ok(())
        } else {
            // If its name comes back after a power cut, it is found again as a spare.
            self.disk.remove(&spare.path)
        }
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes.next_multiple_of(BLOCK)
    }

    /// A file of at least so many bytes. Its name is durable.
    pub(super) fn take(&mut self, bytes_min: u64) -> io::Result<Spare<D::File>> {
        if bytes_min <= self.segment_bytes() {
            if let Some(spare) = self.spares.pop() {
                return Ok(spare);
            }
            if let Some(Preparing { thread, wish }) = self.preparing.take() {
                wish.hurry.store(true, Ordering::Relaxed);
                if let Ok(Ok(spare)) = thread.join() {
                    return Ok(spare);
                }
            }
        }
        let bytes = match self.options.background_prepare {
            true => self.segment_bytes() / HURRY,
            false => self.segment_bytes(),
        };
        let path = self.next_path();
        let wish = Wish { hurry: AtomicBool::new(true), ..Wish::default() };
        prepare(&self.disk, &self.dir, path, bytes.max(bytes_min), &wish)
    }

    /// Sees to it that the next [`Pool::take`] need not wait.
    pub(super) fn prepare_ahead(&mut self) {
        if !self.options.background_prepare || !self.spares.is_empty() || self.preparing.is_some() {
            return;
        }
        let (disk, dir, path) = (self.disk.clone(), self.dir.clone(), self.next_path());
        let bytes = self.segment_bytes();
        let wish = Arc::new(Wish::default());
        let wished = Arc::clone(&wish);
        let thread = thread::Builder::new().name("log-spare".into()).spawn(move || {
            come_last();
            prepare(&disk, &dir, path, bytes, &wished)
        });
        // Without a thread the file is made when it is needed.
        self.preparing = thread.ok().map(|thread| Preparing { thread, wish });
    }

    fn next_path(&mut self) -> PathBuf {
        self.next_file += 1;
        self.dir.join(name(self.next_file))
    }
}

impl<D: Disk> Drop for Pool<D> {
    fn drop(&mut self) {
        if let Some(preparing) = self.preparing.take() {
            preparing.wish.cancel.store(true, Ordering::Relaxed);
            // Its error, if any, was about a file that nobody needs any more.
            let _ = preparing.thread.join();
        }
    }
}

/// Makes a file of zeros. If that fails, what there is of it is removed as well as may be.
fn prepare<D: Disk>(
    disk: &D,
    dir: &Path,
    path: PathBuf,
    bytes: u64,
    wish: &Wish,
) -> io::Result<Spare<D::File>> {
    let capacity = bytes.next_multiple_of(BLOCK);
    let file = disk.create(&path)?;
    let filled = fill(&file, capacity, wish);
    #[cfg(feature = "controls")]
    if active(Control::NameNotSynced) {
        return filled.map(|()| Spare { file, path, capacity });
    }
    let filled = filled.and_then(|()| disk.sync_dir(dir));
    match filled {
        Ok(()) => Ok(Spare { file, path, capacity }),
        Err(error) => {
            let _ = disk.remove(&path);
            Err(error)
        }
    }
}

fn fill(file: &impl File, capacity: u64, wish: &Wish) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES.min(usize::try_from(capacity).unwrap_or(FILL_BYTES))];
    let mut offset = 0;
    while offset < capacity {
        if wish.cancel.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let begun = Instant::now();
        let rest = usize::try_from(capacity - offset).unwrap_or(FILL_BYTES);
        let piece = &zeros[..zeros.len().min(rest)];
        file.write_at(&mut [IoSlice::new(piece)], offset)?;
        file.sync_data()?;
        offset += piece.len() as u64;
        if offset < capacity && !wish.hurry.load(Ordering::Relaxed) {
            thread::sleep(begun.elapsed().min(FILL_PAUSE_MAX));
        }
    }
    Ok(())
}
