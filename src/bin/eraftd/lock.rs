//! A file that one process at a time holds locked, for as long as it lives.

use crate::trouble::Trouble;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::path::Path;

/// The lock; dropped, or when the process ends, it is given back.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// Takes the lock on `path`, which is made if missing; `None` if another process holds it.
pub(crate) fn take(path: &Path) -> Result<Option<Lock>, Trouble> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| Trouble::file("open", path, error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Lock(lock))),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(Trouble::file("lock", path, error)),
    }
}
