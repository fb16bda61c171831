//! What a run is to do: everything that chance, the power and the control experiments decide, as one
//! value, so that the same plan always gives the same run.

use super::parts::Acknowledge;
use eraft::store::disk::Crash;

/// The power goes off on all nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// At this step of I/O, counted over all nodes since the power came on.
    pub(crate) step: u64,
    /// What happens to everything that was not synced.
    pub(crate) crash: Crash,
}

/// See the module's first lines.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Feeds everything that is left to chance.
    pub(crate) seed: u64,
    /// The power goes off so many times, each time after the nodes were started.
    pub(crate) cuts: Vec<Cut>,
    /// See [`Acknowledge`].
    pub(crate) acknowledge: Acknowledge,
    /// Commands of each client.
    pub(crate) tasks: u32,
    /// Single nodes die and come back while the clients work.
    pub(crate) faults: bool,
    /// Whether the replicas' logs are compared as they are committed. Without it only what clients see
    /// is judged.
    pub(crate) watch_log: bool,
}

impl Plan {
    /// A run without a fault.
    pub(crate) fn calm(seed: u64, tasks: u32) -> Self {
        let acknowledge = Acknowledge::AfterSync;
        Self { seed, cuts: Vec::new(), acknowledge, tasks, faults: false, watch_log: true }
    }

    /// The same with this cut as well.
    pub(crate) fn and_cut(mut self, step: u64, crash: Crash) -> Self {
        self.cuts.push(Cut { step, crash });
        self
    }
}

impl Plan {
    /// How to run it again by hand.
    pub(crate) fn replay(&self) -> String {
        let cut = |cut: &Cut| match cut.crash {
            Crash::Drop => format!("{}:drop", cut.step),
            Crash::Keep => format!("{}:keep", cut.step),
            Crash::Mixed(seed) => format!("{}:{seed}", cut.step),
        };
        let cuts: Vec<_> = self.cuts.iter().map(cut).collect();
        let faults = if self.faults { " POWER_FAULTS=1" } else { "" };
        let control = match self.acknowledge {
            Acknowledge::AfterSync => "",
            Acknowledge::WithoutSync => " POWER_CONTROL=without-sync",
            Acknowledge::BeforeWrite => " POWER_CONTROL=before-write",
        };
        format!(
            "POWER_SEED={} POWER_TASKS={} POWER_CUT={}{faults}{control} cargo test --test power replay",
            self.seed,
            self.tasks,
            cuts.join(",")
        )
    }

    /// The plan that the environment describes, as [`Plan::replay`] prints it.
    pub(crate) fn from_environment() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let seed = variable("POWER_SEED")?.parse().expect("POWER_SEED is a number");
        let tasks = variable("POWER_TASKS").and_then(|tasks| tasks.parse().ok()).unwrap_or(12);
        let mut plan = Self::calm(seed, tasks);
        plan.faults = variable("POWER_FAULTS").is_some();
        plan.acknowledge = match variable("POWER_CONTROL").as_deref() {
            None => Acknowledge::AfterSync,
            Some("without-sync") => Acknowledge::WithoutSync,
            Some("before-write") => Acknowledge::BeforeWrite,
            Some(other) => panic!("POWER_CONTROL is without-sync or before-write, not {other}"),
        };
        plan.watch_log = plan.acknowledge == Acknowledge::AfterSync;
        for cut in variable("POWER_CUT").iter().flat_map(|cuts| cuts.split(',')) {
            let Some((step, crash)) = cut.split_once(':') else { continue };
            let crash = match crash {
                "drop" => Crash::Drop,
                "keep" => Crash::Keep,
                seed => Crash::Mixed(seed.parse().expect("POWER_CUT is step:drop|keep|number")),
            };
            plan = plan.and_cut(step.parse().expect("POWER_CUT begins with a step"), crash);
        }
        Some(plan)
    }
}
