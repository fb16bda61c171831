//! A small file system in memory, for tests that need one that is full or read-only.

use std::path::Path;
use std::process::Command;

use crate::outside;

/// Mounted; unmounted when dropped.
pub(crate) struct Mount(tempfile::TempDir);

impl Mount {
    /// Mounts a tmpfs; prints `skipped: no …` where that is not permitted.
    pub(crate) fn memory(mib: u32, mode: &str) -> Option<Mount> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={mib}m,{mode}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "eraft-e2e"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            outside::skipped("permission to mount a tmpfs (run as root)");
            return None;
        }
        Some(Mount(folder))
    }

    /// Where.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a server that has not quite ended may still hold files open.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}
