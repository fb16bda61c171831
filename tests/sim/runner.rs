//! Many seeds, spread over the processor's cores, and what they came to.

use super::coverage::Coverage;
use super::run::{Report, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What many runs came to.
#[derive(Default)]
pub(crate) struct Total {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    pub(crate) operations: u64,
    pub(crate) coverage: Coverage,
    pub(crate) violations: Vec<Report>,
    /// Of all threads together.
    pub(crate) busy: Duration,
}

impl Total {
    fn add(&mut self, report: Report, took: Duration) {
        self.seeds += 1;
        self.events += report.events;
        self.operations += report.operations;
        self.coverage += &report.coverage;
        self.busy += took;
        if report.violation.is_some() {
            self.violations.push(report);
        }
    }
}

/// Runs these seeds. With `first_only`, no further ones are begun after a violation.
pub(crate) fn run_all(seeds: &[u64], first_only: bool, prepare: impl Fn() + Sync) -> Total {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Total::default());
    let work = || {
        prepare();
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = usize::try_from(at).ok().and_then(|at| seeds.get(at)) else { return };
            let began = Instant::now();
            let report = run(*seed, false);
            if first_only && report.violation.is_some() {
                stop.store(true, Ordering::Relaxed);
            }
            total.lock().expect("no thread panics").add(report, began.elapsed());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads().min(seeds.len()) {
            scope.spawn(work);
        }
    });
    let mut total = total.into_inner().expect("no thread panics");
    total.violations.sort_by_key(|report| report.seed);
    total
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How to see a seed again.
pub(crate) fn replay(seed: u64) -> String {
    format!(
        "SIM_TRACE=1 SIM_FIRST_SEED={seed} SIM_SEEDS=1 cargo test --release --test sim -- --nocapture"
    )
}

/// So many seeds from this one on, in a circle.
pub(crate) fn range(first: u64, count: u64) -> Vec<u64> {
    (0..count).map(|more| first.wrapping_add(more)).collect()
}
