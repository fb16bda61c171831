//! Single nodes go down, by power, by a kill or by a failed sync, and come back.

use super::checks::Violation;
use super::cluster::{Cluster, Stop};
use super::parts::Death;
use super::plan::Plan;
use super::run::{Report, finish, must, seeds};
use super::shape::GROUPS;
use eraft::store::disk::Crash;

#[test]
fn single_nodes_die_and_come_back() {
    let count = seeds(60);
    let all: Vec<_> = (1001..=1000 + count)
        .map(|seed| must(&Plan { faults: true, ..Plan::calm(seed, 150) }))
        .collect();
    let sum = |number: fn(&Report) -> u64| all.iter().map(number).sum::<u64>();
    let (deaths, disks) = (sum(|report| report.deaths), sum(|report| report.broken_disks));
    let (leads, silences) = (sum(|report| report.leads as u64), sum(|report| report.silences));
    let (writes, unknown) = (sum(|report| report.acknowledged), sum(|report| report.unknown));
    let compactions = sum(|report| report.compactions);
    println!("{deaths} deaths, {disks} broken disks, {silences} silences, {leads} leads");
    println!("{writes} writes, {unknown} unknown, {compactions} compactions");
    assert!(deaths > 2 * count && disks > count && silences > count, "too little went wrong");
    assert!(leads > 3 * count && compactions > 10 * count && writes > 300 * count);
}

#[test]
fn a_failed_sync_ends_its_node_and_the_others_go_on() {
    for seed in 2001..=2000 + seeds(30) {
        let plan = Plan::calm(seed, 60);
        let replay = plan.replay();
        let told = failed_sync(
            plan,
            if seed % 2 == 0 { Death::Process } else { Death::Power(Crash::Mixed(seed)) },
        );
        told.unwrap_or_else(|violation| panic!("{violation}\nto see it again: {replay}"));
    }
}

/// The sync of a leader's disk fails. Its node is dead from then on; the others serve; and what the
/// failed sync should have saved is no promise of anybody, whatever the disk shows afterwards.
fn failed_sync(plan: Plan, death: Death) -> Result<(), Violation> {
    let mut cluster = Cluster::new(plan);
    cluster.power_up(None)?;
    cluster.run(|cluster| cluster.clients.acknowledged > 20)?;
    cluster.run(|cluster| cluster.leader(GROUPS[0]).is_some())?;
    let leader = cluster.leader(GROUPS[0]).expect("just seen");
    let node = cluster.node_mut(leader);
    node.disks.log.fail_sync_at(node.disks.log.syncs() + 1);
    node.is_doomed = true;
    cluster.faults.next_death = Some(death);
    cluster.faults.next_rest = Some(8_000_000);
    cluster.run(|cluster| cluster.node(leader).process.is_none())?;
    let before = cluster.clients.acknowledged;
    cluster.run(|cluster| cluster.clients.acknowledged > before + 20)?;
    assert!(cluster.node(leader).process.is_none(), "the others went on without it");
    cluster.run(|cluster| cluster.node(leader).process.is_some())?;
    cluster.run(|cluster| cluster.clients.acknowledged > before + 40)?;
    cluster.power_down(Crash::Drop);
    assert_eq!(cluster.power_up(None)?, Stop::Reached);
    cluster.run(|cluster| cluster.clients.are_idle())?;
    finish(&mut cluster)
}
