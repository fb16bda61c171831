//! One run from a plan: work, power cuts, and at the end the judgement.

use super::checks::Violation;
use super::cluster::{Cluster, Stop};
use super::plan::Plan;
use super::shape::GROUPS;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Tasks that each client has after the last fault: the cluster must serve them.
const LAST_TASKS: u32 = 2;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The same for the same plan.
    pub(crate) trace: u64,
    /// Steps of I/O since the power last came on, when the clients' work was done.
    pub(crate) steps: u64,
    /// Times that the power went off.
    pub(crate) cuts: usize,
    /// Writes acknowledged.
    pub(crate) acknowledged: u64,
    /// Of these, before the last cut.
    pub(crate) acknowledged_before: u64,
    /// Commands of which a client never heard.
    pub(crate) unknown: u64,
    /// Commands that were refused.
    pub(crate) refused: u64,
    /// Terms in which somebody led.
    pub(crate) leads: usize,
    /// Entries committed.
    pub(crate) entries: usize,
    /// Reads of old entries from the log.
    pub(crate) fetches: u64,
    /// Cuts of a log's beginning.
    pub(crate) compactions: u64,
    /// Messages lost.
    pub(crate) lost_messages: u64,
    /// Single nodes that went down.
    pub(crate) deaths: u64,
    /// Single disks that failed.
    pub(crate) broken_disks: u64,
    /// Times that a node heard nothing for a while.
    pub(crate) silences: u64,
}

/// Does what the plan says, and judges it. A panic inside is a violation as well.
pub(crate) fn run(plan: &Plan) -> Result<Report, Violation> {
    catch_unwind(AssertUnwindSafe(|| work(plan))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Violation::Failed(format!("a panic: {}", words.unwrap_or("without words"))))
    })
}

fn work(plan: &Plan) -> Result<Report, Violation> {
    let mut cluster = Cluster::new(plan.clone());
    let mut report = Report::default();
    for cut in &plan.cuts {
        let up = cluster.power_up(Some(cut.step))?;
        if up == Stop::Reached
            && cluster.run(|cluster| cluster.clients.are_idle())? == Stop::Reached
        {
            // All was done before. Then it goes off now.
            cluster.power.cut_at = Some(cluster.power.steps);
        }
        cluster.power_down(cut.crash);
        report.cuts += 1;
        report.acknowledged_before = cluster.clients.acknowledged;
    }
    cluster.power_up(None)?;
    cluster.run(|cluster| cluster.clients.are_idle())?;
    report.steps = cluster.power.steps;
    finish(&mut cluster)?;
    Ok(Report {
        trace: cluster.trace.hash(),
        acknowledged: cluster.clients.acknowledged,
        unknown: cluster.clients.unknown,
        refused: cluster.clients.refused,
        leads: cluster.ledger.leads_count(),
        entries: cluster.ledger.entries(),
        fetches: cluster.nodes.iter().map(|node| node.fetches()).sum(),
        compactions: cluster.nodes.iter().map(|node| node.compactions()).sum(),
        lost_messages: cluster.network.lost,
        deaths: cluster.faults.deaths,
        broken_disks: cluster.faults.broken_disks,
        silences: cluster.faults.silences,
        ..report
    })
}

/// Nothing goes wrong any more: the cluster must serve, everything acknowledged must be there, and the
/// replicas must become equal.
pub(crate) fn finish(cluster: &mut Cluster) -> Result<(), Violation> {
    cluster.plan.faults = false;
    cluster.network.heal();
    for node in &mut cluster.nodes {
        node.calm();
    }
    cluster.run(|cluster| cluster.nodes.iter().all(|node| node.process.is_some()))?;
    cluster.clients.close(LAST_TASKS);
    cluster.wake_clients();
    cluster.run(|cluster| cluster.clients.are_idle())?;
    cluster.clients.audit();
    cluster.wake_clients();
    cluster.run(|cluster| cluster.clients.are_idle())?;
    cluster.run(Cluster::is_settled)?;
    for group in GROUPS {
        let mut all = cluster.nodes.iter().map(|node| (node.id, node.rows(group)));
        let (first, rows) = all.next().expect("three nodes");
        for (id, others) in all {
            if others != rows {
                return Err(Violation::Diverged(format!("{group} on {first} and {id}")));
            }
        }
        for (key, value) in rows {
            let row = [key.as_slice(), &value].concat();
            cluster.trace.note(0, || format!("{group} has a row {key:02x?}"), &row);
        }
    }
    Ok(())
}

/// Of many runs only some are made without optimisation.
pub(crate) fn stride() -> usize {
    if cfg!(debug_assertions) { 10 } else { 1 }
}

/// So many seeds; ten times as many with `ERAFT_FULL` set.
pub(crate) fn seeds(count: u64) -> u64 {
    let full = std::env::var_os("ERAFT_FULL").is_some();
    (if full { count * 10 } else { count }).div_ceil(stride() as u64)
}

/// A run that keeps all promises.
pub(crate) fn must(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|violation| panic!("{violation}\nto see it again: {}", plan.replay()))
}
