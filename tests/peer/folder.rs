//! The folder with the cases.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder that `PEER_DATA` names; `None`, and a word about it, if that is not set.
///
/// # Panics
/// When it names no folder.
pub(crate) fn peer_data() -> Option<PathBuf> {
    let folder = std::env::var_os("PEER_DATA").map(PathBuf::from);
    if let Some(folder) = &folder {
        assert!(folder.is_dir(), "PEER_DATA is {}, which is no folder", folder.display());
    } else {
        // Straight to the terminal: what a passing test prints is otherwise swallowed.
        let _ = writeln!(std::io::stderr(), "\nskipped: no peer data");
    }
    folder
}

/// The scripts in `folder`, by name, with their text.
pub(crate) fn scripts(folder: &Path) -> Vec<(String, String)> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut scripts: Vec<(String, String)> = files
        .map(|file| file.expect("a folder that can be read").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a script is text"))
        })
        .collect();
    scripts.sort();
    scripts
}
