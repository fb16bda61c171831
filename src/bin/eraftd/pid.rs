//! The file with this process's id, for those who want to signal it.
//!
//! Written by the process itself before any port opens. Must always hold: a second process on the same file
//! leaves the first one's id in it.

use crate::lock::{self, Lock};
use crate::trouble::Trouble;
use std::path::Path;

/// Puts this process's id into `path`, renamed into place; the file is ours while the lock is held. `None` if
/// it is another living process's.
pub(crate) fn write(path: &Path) -> Result<Option<Lock>, Trouble> {
    let Some(held) = lock::take(&path.with_extension("lock"))? else { return Ok(None) };
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, format!("{}\n", std::process::id()))
        .and_then(|()| std::fs::rename(&fresh, path))
        .map_err(|error| Trouble::file("write", path, error))?;
    Ok(Some(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, "1\n").unwrap();
        let held = write(&path).unwrap();
        assert!(held.is_some());
        let read = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(read(), format!("{}\n", std::process::id()));
        std::fs::write(&path, "7\n").unwrap();
        assert!(write(&path).unwrap().is_none());
        assert_eq!(read(), "7\n");
        drop(held);
        assert!(write(&path).unwrap().is_some());
        assert_ne!(read(), "7\n");
    }
}
