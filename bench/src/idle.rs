//! `idle`: what a cluster costs that nobody uses: processor time of each node, and log entries that appear by
//! themselves (the config log must not grow).

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::Place;
use crate::eraft::{Dev, NODES, Programs};
use crate::process::cpu_seconds;
use crate::system::Work;

/// Options of `idle`.
#[derive(Args)]
pub struct Options {
    /// Seconds measured
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Seconds before, for start-up work to end
    #[arg(long, default_value_t = 10.0)]
    settle: f64,
    /// The most that a node may use, per cent of a core
    #[arg(long, default_value_t = 2.0)]
    bar: f64,
}

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let dev = Dev::start(&Programs::find(place)?, work.path(), false).await?;
    tokio::time::sleep(Duration::from_secs_f64(options.settle)).await;
    let processes: Vec<u32> = (1..=NODES).map(|node| dev.process(node)).collect::<Result<_>>()?;
    let commits = async || -> Result<Vec<(u64, u64)>> {
        Ok(dev.status().await?.groups.iter().map(|group| (group.id, group.commit())).collect())
    };
    let logs = commits().await?;
    let before: Vec<f64> = processes.iter().map(|&p| cpu_seconds(p)).collect();
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let after: Vec<f64> = processes.iter().map(|&p| cpu_seconds(p)).collect();
    let logs_after = commits().await?;

    let percent: Vec<f64> =
        before.iter().zip(&after).map(|(b, a)| (a - b) / options.seconds * 100.0).collect();
    let grown: Vec<(u64, u64)> =
        logs.iter().zip(&logs_after).map(|((id, b), (_, a))| (*id, a.saturating_sub(*b))).collect();
    if place.json {
        println!(
            "{}",
            serde_json::json!({ "percent_of_a_core": percent, "entries_by_group": grown })
        );
    } else {
        for (node, percent) in percent.iter().enumerate() {
            println!("node {}: {percent:.2} % of a core", node + 1);
        }
        for (group, entries) in &grown {
            println!("group {group}: {entries} new log entries in {} s", options.seconds);
        }
    }
    let config_quiet = grown.iter().all(|&(id, entries)| id != 0 || entries == 0);
    Ok(config_quiet && percent.iter().all(|&p| p < options.bar))
}
