//! Hostile bytes for everything that reads bytes from outside: the log, Redis requests and replies, frames
//! between nodes, and the messages in them. Whatever comes, it is an error or a value: never a panic, never
//! more memory than the limits allow, never a loss that goes unnoticed.
//!
//! Each target starts from inputs that are valid, damages them by chance, and feeds them in pieces by chance.
//! All of it comes from a seed: a failure names it. `FUZZ_RUNS=1000000 cargo test --release --test fuzz` runs
//! longer, `FUZZ_SEED=… FUZZ_RUNS=1` one run again.

mod codec;
mod frames;
mod log;
mod mutate;
mod resp;

use mutate::Chance;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs of each target, unless `FUZZ_RUNS` says otherwise.
const RUNS: u64 = 3_000;

/// Runs a target on seed after seed.
fn fuzz(divisor: u64, target: impl Fn(&mut Chance)) {
    let variable = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
    };
    let first = variable("FUZZ_SEED").unwrap_or(1);
    let runs = variable("FUZZ_RUNS").unwrap_or(RUNS / divisor);
    for seed in first..first + runs {
        if catch_unwind(AssertUnwindSafe(|| target(&mut Chance::new(seed)))).is_err() {
            panic!("failed with FUZZ_SEED={seed} FUZZ_RUNS=1");
        }
    }
}

#[test]
fn the_log_is_read() {
    // A run opens a log several times.
    fuzz(10, log::open_damaged);
}

#[test]
fn redis_requests_are_read() {
    fuzz(1, resp::requests);
}

#[test]
fn redis_replies_are_read() {
    fuzz(1, resp::replies);
}

#[test]
fn frames_are_read() {
    fuzz(1, frames::frames);
}

#[test]
fn messages_are_decoded() {
    fuzz(1, codec::messages);
}
