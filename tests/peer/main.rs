//! Others' answers: cases that other projects have published, judged by our code.
//!
//! `PEER_DATA=DIR cargo test --release --test peer -- --nocapture` replays what it finds in DIR; see the
//! README beside this file for what that is and where it comes from. Without the variable there is
//! nothing to do.

mod confchange;
mod folder;
mod interaction;
mod porcupine;
mod quorum;
mod script;
mod tally;

#[path = "../support/linearizability/mod.rs"]
mod linearizability;
