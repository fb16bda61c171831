//! The power goes off on all nodes at once.

use super::checks::Violation;
use super::parts::Acknowledge;
use super::plan::Plan;
use super::run::{must, run, seeds, stride};
use eraft::store::disk::Crash;

/// Tasks of each client in the runs that are cut off.
const TASKS: u32 = 12;

/// The ways in which a disk may be found after the power was cut at this step.
fn crashes(seed: u64, step: u64) -> [Crash; 3] {
    [Crash::Drop, Crash::Keep, Crash::Mixed(seed << 32 | step)]
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for plan in [
        Plan::calm(7, TASKS),
        Plan::calm(7, TASKS).and_cut(200, Crash::Mixed(5)).and_cut(90, Crash::Drop),
        Plan { faults: true, ..Plan::calm(7, 40) },
    ] {
        let report = must(&plan);
        assert_eq!(report, must(&plan), "{}", plan.replay());
        assert_ne!(report.trace, must(&Plan { seed: 8, ..plan }).trace);
    }
}

#[test]
fn no_acknowledged_write_is_lost_when_the_power_goes_off_at_any_step() {
    let (mut cuts, mut acknowledged, mut unknown) = (0, 0, 0);
    let (mut fetches, mut compactions) = (0, 0);
    for seed in 1..=seeds(1) {
        let steps = must(&Plan::calm(seed, TASKS)).steps;
        assert!(steps > 300, "only {steps} steps of I/O are too little to find anything");
        for step in (1..=steps).step_by(stride()) {
            for crash in crashes(seed, step) {
                let report = must(&Plan::calm(seed, TASKS).and_cut(step, crash));
                cuts += 1;
                acknowledged += report.acknowledged_before;
                unknown += report.unknown;
                fetches += report.fetches;
                compactions += report.compactions;
            }
        }
    }
    println!("{cuts} cuts, {acknowledged} writes acknowledged before them, {unknown} under way");
    println!("{fetches} reads of old entries, {compactions} compactions");
    assert!(acknowledged > 10 * cuts && unknown > cuts / 2, "the runs were too quiet");
    assert!(fetches > cuts && compactions > cuts, "the logs were too short");
}

#[test]
fn the_power_may_go_off_again_while_the_cluster_recovers() {
    for seed in 101..=100 + seeds(300) {
        let mut plan = Plan::calm(seed, TASKS);
        let (first, crash) = (40 + seed * 7 % 380, crashes(seed, 1)[seed as usize % 3]);
        plan = plan.and_cut(first, crash);
        // Opening the three logs takes some 30 steps, the elections a few more.
        plan = plan.and_cut(1 + seed * 13 % 60, Crash::Mixed(seed));
        plan = plan.and_cut(1 + seed * 17 % 90, crashes(seed, 2)[seed as usize / 3 % 3]);
        assert_eq!(must(&plan).cuts, 3);
    }
}

/// A check that never fails proves nothing: without the sync, these must.
#[test]
fn without_the_sync_acknowledged_writes_are_lost() {
    for acknowledge in [Acknowledge::WithoutSync, Acknowledge::BeforeWrite] {
        let mut lost = 0;
        let mut other = Vec::new();
        // Only what clients see is judged; the logs would show it sooner.
        let plan = Plan { acknowledge, watch_log: false, ..Plan::calm(1, TASKS) };
        let steps = must(&plan).steps;
        let cuts: Vec<u64> = (steps / 4..steps).step_by(steps as usize / 120).collect();
        for step in &cuts {
            let plan = plan.clone().and_cut(*step, Crash::Drop);
            match run(&plan) {
                Err(Violation::Lost(_)) => lost += 1,
                Err(violation) => other.push(format!("{violation} ({})", plan.replay())),
                Ok(_) => {}
            }
        }
        let others = other.len();
        println!("{acknowledge:?}: {} cuts, {lost} lost writes, {others} other", cuts.len());
        assert!(lost > 0, "{acknowledge:?}: nobody noticed; {other:?}");
    }
}

/// For people: runs what the environment says. See `Plan::replay`.
#[test]
fn replay() {
    if let Some(plan) = Plan::from_environment() {
        println!("{:?}", must(&plan));
    }
}
