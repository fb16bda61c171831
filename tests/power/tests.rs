//! The tests themselves.

use super::checks::Violation;
use super::plan::{Acknowledge, Plan};
use super::run::{Report, run};
use eraft::store::disk::Crash;

fn must(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|violation| panic!("{violation}\nto see it again: {}", plan.replay()))
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let plan = Plan::calm(7, 12);
    let report = must(&plan);
    println!("{report:?}");
    assert_eq!(report, must(&plan));
    assert_ne!(report.trace, must(&Plan::calm(8, 12)).trace);
}
