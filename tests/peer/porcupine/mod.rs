//! Histories that porcupine (github.com/anishathalye/porcupine) publishes, and whether they are linearizable:
//! our checker has to come to the same verdict on each.
//!
//! Every history counts. One that cannot be read, one without a published verdict and one on which the checker
//! gives up do not agree.

mod jepsen_log;
mod kv_log;
mod session;
mod tests;
mod verdicts;

use std::path::{Path, PathBuf};

use crate::folder::peer_data;
use crate::linearizability::{Map, Model, Operation, Register, Verdict, check};
use crate::tally::Tally;

/// What is said of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    Linearizable,
    Violation,
}

/// Jepsen's logs of an etcd register: `*.log`, with their verdicts in `VERDICTS.txt`.
pub(crate) fn jepsen(folder: &Path) -> Tally {
    let verdicts = read(&folder.join("VERDICTS.txt"));
    tally("porcupine-jepsen", &histories(folder, "log"), |name, text| {
        let published = verdicts::listed(verdicts.as_ref().map_err(String::clone)?, name)?;
        agree::<Register>(&jepsen_log::parse(text)?, published)
    })
}

/// Logs of a key-value map: `*-ok.txt` and `*-bad.txt`.
pub(crate) fn kv(folder: &Path) -> Tally {
    tally("porcupine-kv", &histories(folder, "txt"), |name, text| {
        agree::<Map>(&kv_log::parse(text)?, verdicts::named(name)?)
    })
}

fn tally(
    name: &'static str,
    files: &[PathBuf],
    case: impl Fn(&str, &str) -> Result<(), String>,
) -> Tally {
    let mut tally = Tally::new(name);
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        tally.count(&name, read(file).and_then(|text| case(&name, &text)).err());
    }
    tally
}

fn agree<M: Model>(
    history: &[Operation<M::Input, M::Output>],
    published: Published,
) -> Result<(), String> {
    match (check::<M>(history), published) {
        (Verdict::Linearizable, Published::Linearizable)
        | (Verdict::Violation(_), Published::Violation) => Ok(()),
        (verdict, published) => Err(format!("published as {published:?}, but found {verdict:?}")),
    }
}

/// The histories of a folder in the order of their names. None if it cannot be read.
fn histories(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

#[test]
fn verdicts_on_jepsen_logs_agree() {
    let Some(folder) = peer_data() else { return };
    jepsen(&folder.join("porcupine/jepsen")).report(100);
}

#[test]
fn verdicts_on_key_value_logs_agree() {
    let Some(folder) = peer_data() else { return };
    kv(&folder.join("porcupine/kv")).report(100);
}
