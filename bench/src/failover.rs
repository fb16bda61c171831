//! `failover`: how long nobody can write after the leader's machine is gone.
//!
//! Each round picks the leader of the first data group and a key in a bucket that it leads, kills its process with
//! SIGKILL, and writes that key through both survivors, each on new connections, until one answers OK. `eraftd dev
//! --restart` brings the node back; the next round begins when all replicas have caught up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::Place;
use crate::eraft::{Dev, NODES, Programs};
use crate::report::median;
use crate::session::ask;
use crate::system::Work;

/// Options of `failover`.
#[derive(Args)]
pub struct Options {
    /// How many times the leader is killed
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// The median that is still good, seconds
    #[arg(long, default_value_t = 2.0)]
    bar: f64,
}

const ROUND_LIMIT: Duration = Duration::from_secs(60);

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let dev = Dev::start(&Programs::find(place)?, work.path(), true).await?;
    let mut times = Vec::new();
    for round in 0..options.rounds {
        dev.wait_until_whole(ROUND_LIMIT).await?;
        let leader = dev.leader().await?;
        let keys = dev.keys_led_by(leader, 1).await?;
        let key = keys.first().with_context(|| format!("node {leader} leads no bucket"))?.clone();
        let killed = Instant::now();
        dev.kill(leader)?;
        let survivors: Vec<u16> = (1..=NODES).filter(|&node| node != leader).collect();
        let first = tokio::time::timeout(ROUND_LIMIT, async {
            tokio::select! {
                () = write_until_ok(&dev, survivors[0], &key) => {}
                () = write_until_ok(&dev, survivors[1], &key) => {}
            }
        });
        first.await.context("no write succeeded")?;
        let seconds = killed.elapsed().as_secs_f64();
        eprintln!("round {}: node {leader} killed, first write after {seconds:.2} s", round + 1);
        times.push(seconds);
    }
    ensure!(!times.is_empty(), "no rounds");
    let (middle, worst) = (median(times.clone()), times.iter().copied().fold(0.0, f64::max));
    if place.json {
        println!("{}", serde_json::json!({ "seconds": times, "median": middle, "worst": worst }));
    } else {
        println!(
            "first successful write after: median {middle:.2} s, worst {worst:.2} s of {}",
            times.len()
        );
    }
    Ok(middle <= options.bar)
}

async fn write_until_ok(dev: &Dev, node: u16, key: &str) {
    let address = format!("127.0.0.1:{}", dev.port + node - 1);
    let command = format!("SET {key} x");
    loop {
        let attempt = tokio::time::timeout(Duration::from_secs(3), ask(&address, &command)).await;
        if matches!(attempt, Ok(Ok(line)) if line == "+OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
