//! What goes wrong in front of a person: a sentence with the next step in it.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// A sentence for the person in front of the program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Trouble(String);

impl Trouble {
    /// This sentence.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Something failed with a file.
    pub(crate) fn file(action: &str, path: &Path, error: impl Display) -> Self {
        Self(format!("cannot {action} {}: {error}", path.display()))
    }
}

/// Says a line on stderr. Nobody listening there is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "eraftd: {text}");
}
