//! The simulator; see `mod.rs`.
//!
//! `cargo test --release` runs 2,000 seeds. `SIM_FIRST_SEED=… SIM_SEEDS=… cargo test --release --test sim`
//! runs just those, and with `SIM_TRACE=1` tells everything that happens in them.

#[path = "mod.rs"]
mod sim;

use sim::run::run;
use sim::runner::{Total, range, replay, run_all};
use sim::seeds;
use std::io::Write;
use std::time::Instant;

/// Without a wish.
const SEEDS: u64 = 2_000;
/// From so many seeds on, everything must have happened …
const SEEDS_FOR_COVERAGE: u64 = 2_000;
/// … so often.
const TIMES_MIN: u64 = 50;

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 4, 5, 1_000_000] {
        let (one, two) = (run(seed, false), run(seed, false));
        assert_eq!((one.trace, one.events), (two.trace, two.events), "{}", replay(seed));
    }
    assert_ne!(run(3, false).trace, run(4, false).trace);
}

#[test]
fn seeds_keep_all_promises() {
    let number = |name| {
        let wish = std::env::var(name).ok()?;
        Some(wish.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number, not {wish}")))
    };
    let (first, count) = (number("SIM_FIRST_SEED"), number("SIM_SEEDS"));
    let wished = first.is_some() || count.is_some();
    let mut all = range(first.unwrap_or(1), count.unwrap_or(SEEDS));
    if std::env::var_os("SIM_TRACE").is_some() {
        for seed in &all {
            let report = run(*seed, true);
            println!("seed {seed}: {:?}", report.violation);
        }
    }
    if !wished {
        for (seed, why) in seeds::ALWAYS {
            assert!(!why.is_empty());
            all.push(*seed);
        }
    }
    let began = Instant::now();
    let total = run_all(&all, false, || {});
    report(&total, began);
    let missing = total.coverage.rarer_than(TIMES_MIN);
    assert!(total.violations.is_empty(), "{} violations", total.violations.len());
    let covered = total.seeds < SEEDS_FOR_COVERAGE || missing.is_empty();
    assert!(covered, "these happened less than {TIMES_MIN} times: {missing:?}");
}

/// Past the test harness, which keeps what a test that passes prints.
fn report(total: &Total, began: Instant) {
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").expect("standard output is open");
    for report in &total.violations {
        let violation = report.violation.as_ref().expect("it has one");
        say(format!(
            "seed {}: {violation}\n  to see it again: {}",
            report.seed,
            replay(report.seed)
        ));
    }
    say(total.coverage.to_string());
    let (seconds, busy) = (began.elapsed().as_secs_f64(), total.busy.as_secs_f64());
    let rate = total.events as f64 / busy;
    say(format!("{seconds:.1} s, {busy:.1} s of processor, {rate:.0} events per second and core"));
    let Total { seeds, events, operations, violations, .. } = total;
    let violations = violations.len();
    let line = format!(
        "sim: {seeds} seeds, {events} events, {operations} operations, {violations} violations"
    );
    say(line);
}
