//! The operating system's files.
//!
//! Whole blocks are written past the page cache (`O_DIRECT`) where the file system allows it: they are
//! synced at once anyway, so a copy there would only cost, and a log does not have to wait when the kernel
//! slows down writers of the cache. What is written is as lost or safe as without: `sync_data` decides.

use super::device::{Disk, File};
use nix::libc;
use nix::sys::{statvfs::statvfs, uio::pwritev};
use std::cell::RefCell;
use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The unit of writes past the page cache, bytes: a multiple of every disk's own.
const BLOCK_BYTES: usize = 4096;
/// Writes larger than this, bytes, go through the page cache: copying them into place would cost more.
const DIRECT_BYTES_MAX: usize = 1024 * 1024;

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// An open file of it.
#[derive(Debug)]
pub struct RealFile {
    cached: fs::File,
    /// The same file past the page cache, if that can be.
    direct: Option<fs::File>,
    /// Such a write was refused: not every file system that opens so also writes so.
    refused: AtomicBool,
}

thread_local! {
    /// Where blocks are put together on a block boundary of memory, as such writes want it.
    static BLOCKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl RealFile {
    fn new(cached: fs::File, path: &Path) -> Self {
        let mut options = fs::OpenOptions::new();
        let direct = options.write(true).custom_flags(libc::O_DIRECT).open(path).ok();
        Self { cached, direct, refused: AtomicBool::new(false) }
    }

    /// Writes whole blocks past the page cache; `false` if that cannot be done.
    fn write_direct(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<bool> {
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let whole = offset.is_multiple_of(BLOCK_BYTES as u64) && bytes.is_multiple_of(BLOCK_BYTES);
        let Some(direct) = self.direct.as_ref().filter(|_| !self.refused.load(Relaxed)) else {
            return Ok(false);
        };
        if !whole || bytes > DIRECT_BYTES_MAX {
            return Ok(false);
        }
        let written = BLOCKS.with_borrow_mut(|memory| {
            memory.resize(DIRECT_BYTES_MAX + BLOCK_BYTES, 0);
            let start = memory.as_ptr().align_offset(BLOCK_BYTES);
            let blocks = &mut memory[start..start + bytes];
            let mut rest = &mut *blocks;
            for slice in slices {
                let (place, behind) = rest.split_at_mut(slice.len());
                place.copy_from_slice(slice);
                rest = behind;
            }
            direct.write_all_at(blocks, offset)
        });
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.refused.store(true, Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<RealFile> {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map(|file| RealFile::new(file, path))
    }

    fn open(&self, path: &Path) -> io::Result<RealFile> {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map(|file| RealFile::new(file, path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let (true, Ok(name)) =
                (entry.file_type()?.is_file(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        // The field types differ between systems.
        #[expect(clippy::useless_conversion, reason = "u32 on some systems")]
        Ok(u64::from(stat.blocks_available()) * u64::from(stat.fragment_size()))
    }
}

impl File for RealFile {
    fn write_at(&self, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        // Empty slices must not look like a disk that takes nothing.
        IoSlice::advance_slices(&mut slices, 0);
        if self.write_direct(slices, offset)? {
            return Ok(());
        }
        while !slices.is_empty() {
            let at = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
            match pwritev(&self.cached, slices, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.cached.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.cached.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.cached.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.cached.set_len(length)
    }
}
