//! What a command comes to, and how it is said.

use eraft::client::ClientError;
use serde::Serialize;
use std::io::{self, Write};

/// What a script should know of a command that worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1: the question was answered, with no.
    No,
    /// Exit code 2: a change of the config table is not made; nothing has changed.
    Refused,
}

impl Answer {
    /// Yes or no.
    pub(crate) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// A sentence for the person in front of the program. Exit code 2; of a word that changes the config table
/// it is 1, which tells it from a refusal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Trouble(String);

impl Trouble {
    /// This sentence.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self(error.to_string())
    }
}

/// Says a line on stderr. Nobody listening there is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "eraftctl: {text}");
}

/// Prints a text, and the end of the line.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_ref()).and_then(|()| out.write_all(b"\n"));
    said(written.and_then(|()| out.flush()))
}

/// Prints one JSON document.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(document);
    print(text.map_err(|error| Trouble::new(format!("cannot print: {error}")))?)
}

/// What became of writing to stdout. A reader that has gone (`| head`) has seen enough.
pub(crate) fn said(written: io::Result<()>) -> Result<(), Trouble> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Trouble::new(format!("cannot print: {error}"))),
    }
}
