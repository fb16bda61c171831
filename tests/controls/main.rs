//! Positive controls: known bugs are put back into the product, one at a time, and the simulator has to find
//! each of them. One that it does not find is a hole in the simulator.
//!
//! `cargo test --release --features controls --test controls -- --nocapture`; with `CONTROL=name` only that
//! one, and with `SIM_TRACE=1` as well all that happens in the run that finds it.

#[path = "../sim/mod.rs"]
mod sim;

use eraft::controls::{Control, activate};
use sim::runner::{range, run_all};
use std::fmt::Write;

/// Within so many seeds each must be found.
const SEEDS: u64 = 2_000;
/// Other seeds than those of the simulator's own test.
const FIRST: u64 = 1_000_000;

#[test]
fn every_known_bug_is_found() {
    let wanted = std::env::var("CONTROL").ok();
    let seeds = range(FIRST, SEEDS);
    let (mut table, mut missed) = (String::new(), Vec::new());
    for control in Control::ALL {
        let name = format!("{control:?}");
        if wanted.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let total = run_all(&seeds, true, || activate(Some(*control)));
        let found = total.violations.first();
        let after = found.map_or(SEEDS, |report| report.seed - FIRST + 1);
        let property = found.and_then(|report| report.violation.as_ref());
        let property = property.map_or("NOT FOUND", |violation| violation.property);
        if found.is_none() {
            missed.push(control.words());
        }
        writeln!(table, "{after:>6} seeds  {:<60} {property}", control.words())
            .expect("a string takes everything");
        if let (Some(report), Some(_)) = (found, &wanted) {
            if std::env::var_os("SIM_TRACE").is_some() {
                activate(Some(*control));
                sim::run::run(report.seed, true);
            }
            writeln!(table, "seed {}: {:?}", report.seed, report.violation).expect("as above");
        }
    }
    println!("{table}");
    assert!(missed.is_empty(), "the simulator does not find: {missed:?}\n{table}");
}

/// The same program without a bug has none.
#[test]
fn without_a_bug_nothing_is_found() {
    let total = run_all(&range(FIRST, 50), true, || activate(None));
    assert!(total.violations.is_empty(), "{:?}", total.violations[0].violation);
}
