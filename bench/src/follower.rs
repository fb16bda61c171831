//! `follower-down`: what a dead follower costs.
//!
//! The same load, through the same two nodes, first with all three alive and then with the third dead. The third is
//! the one that leads the fewest data groups; what it leads moves to the survivors before measuring.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::Place;
use crate::eraft::{Dev, NODES, Programs};
use crate::load::{self, Load};
use crate::process;
use crate::report::{median, rate};
use crate::session::Op;
use crate::system::Work;

/// Options of `follower-down`.
#[derive(Args)]
pub struct Options {
    /// Rounds, each on a new cluster
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The share of throughput that must be left
    #[arg(long, default_value_t = 0.8)]
    bar: f64,
}

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let programs = Programs::find(place)?;
    let mut ratios = Vec::new();
    for round in 0..options.rounds {
        let work = Work::create(place)?;
        let dev = Dev::start(&programs, work.path(), false).await?;
        let status = dev.status().await?;
        let leads = |node: u16| {
            status.groups.iter().filter(|g| g.id != 0 && g.leader == Some(node)).count()
        };
        let victim = (1..=NODES).min_by_key(|&node| leads(node)).expect("there are nodes");
        let survivors: Vec<u16> = (1..=NODES).filter(|&node| node != victim).collect();
        let addresses: Vec<String> = survivors
            .iter()
            .map(|node| dev.system.addresses[usize::from(node - 1)].clone())
            .collect();
        let load = Load {
            op: Op::Set,
            connections: options.connections,
            pipeline: 1,
            keys: 100_000,
            value_bytes: 128,
            warm_up: Duration::from_secs(2),
            time: Duration::from_secs_f64(options.seconds),
            threads: 1,
            rate: None,
        };
        let cpu = {
            let processes: Vec<u32> =
                survivors.iter().map(|&node| dev.process(node)).collect::<Result<_>>()?;
            move || process::cpu_seconds_all(&processes)
        };
        let (whole, ..) = load::drive(dev.system.protocol, &addresses, &load, cpu.clone()).await?;
        dev.kill(victim)?;
        // Time for an election, if it led anything.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let idle_before = cpu();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let idle_cores = (cpu() - idle_before) / 3.0;
        let (without, ..) = load::drive(dev.system.protocol, &addresses, &load, cpu).await?;
        let ratio = without.rate() / whole.rate().max(0.001);
        eprintln!(
            "round {}: {} /s with all, {} /s without node {victim}: {ratio:.2}; errors {} and {}; \
             both survivors idle: {:.1} % of a core",
            round + 1,
            rate(whole.rate()),
            rate(without.rate()),
            whole.errors,
            without.errors,
            idle_cores * 100.0,
        );
        ratios.push(ratio);
    }
    let middle = median(ratios.clone());
    if place.json {
        println!("{}", serde_json::json!({ "ratios": ratios, "median": middle }));
    } else {
        println!(
            "throughput with a dead follower: {middle:.2} of that with all (median of {})",
            ratios.len()
        );
    }
    Ok(middle >= options.bar)
}
