//! Other projects' expected answers, as judges of our code.
//!
//! The data is not part of this repository; `PEER_DATA` names the folder that holds it. Each tier prints
//! how many of its cases agree, and fails below all of them, or if there are none.

mod porcupine;
mod tally;

#[path = "../support/linearizability/mod.rs"]
mod linearizability;

use std::io::Write;
use std::path::PathBuf;

/// The folder of the peer data, if there is one.
fn peer_data() -> Option<PathBuf> {
    let folder = std::env::var_os("PEER_DATA").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        // Straight to the terminal: what a passing test prints is otherwise swallowed.
        let _ = writeln!(std::io::stderr(), "\nskipped: no peer data");
    }
    folder
}

#[test]
fn porcupine_jepsen() {
    if let Some(folder) = peer_data() {
        porcupine::jepsen(&folder.join("porcupine/jepsen")).report();
    }
}

#[test]
fn porcupine_kv() {
    if let Some(folder) = peer_data() {
        porcupine::kv(&folder.join("porcupine/kv")).report();
    }
}
