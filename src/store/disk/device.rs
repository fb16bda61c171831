//! What the log asks of a disk. It stands apart so that the log can run on a simulated disk, where a
//! power cut may be tried at every single step.
//!
//! The contract is that of POSIX files, no more: what was written is certain only after
//! [`File::sync_data`], a name only after [`Disk::sync_dir`], and between two syncs the pages reach the
//! disk in any order. After a sync has failed nothing is known about what it should have saved.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;

/// A place for files.
pub trait Disk: Clone + Send + 'static {
    /// Its open files.
    type File: File;

    /// Makes the directory and those above it; none of it is an error if it exists.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes an empty file and opens it.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of this name, or what the system says.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// The names of the files in a directory, sorted.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Gives a file another name; a file that has it already is replaced.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. All of its calls name their offset, so that threads may share it.
pub trait File: Debug + Send + Sync + 'static {
    /// Writes all slices, one behind the other, from `offset` on; the file grows if needed. One call to
    /// the system, unless that one writes less than it was given.
    ///
    /// # Errors
    /// What the system says; any part of the bytes may have been written.
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Reads into the buffer and says how much; less than its length only at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes contents and length durable.
    ///
    /// # Errors
    /// What the system says. Then it is not known what is durable, and a second call that succeeds
    /// proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// The length, bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file, or lets it grow by zeros (without giving them a place on the disk).
    ///
    /// # Errors
    /// What the system says.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Fills the whole buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, or what the system says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_at(buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}
