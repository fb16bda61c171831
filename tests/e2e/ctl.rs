//! Runs `eraftctl`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::outside;

/// The built program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_eraftctl");

/// Runs it with these arguments to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    outside::run(Command::new(PROGRAM).args(args), Duration::from_secs(40))
}

/// Runs it against a dev cluster's folder.
pub(crate) fn in_folder(folder: &Path, args: &[&str]) -> Output {
    let folder = folder.to_str().expect("a temporary folder has a plain name");
    let mut all = vec!["--dir", folder];
    all.extend(args);
    run(&all)
}

/// What it printed on stdout, without the end of the line.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
