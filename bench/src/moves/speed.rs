//! `moves speed`: all data of one group moves to the other, as fast as it can, beside the rate at which the same data
//! was written; and once more under a limit, while clients write as fast as they can. What these notice is found by
//! pausing that move again and again: each time in which it goes on is compared with the two around it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::Place;
use crate::eraft::{Dev, Programs};
use crate::load::{self, Load};
use crate::report::{median, rate};
use crate::session::Op;
use crate::system::Work;

/// Options of `moves speed`.
#[derive(Args)]
pub struct Options {
    /// MiB that move
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Size of a value, bytes
    #[arg(long, default_value_t = 1024)]
    value: usize,
    /// The speed that is good, MB (10^6 bytes) per second
    #[arg(long, default_value_t = 50.0)]
    bar: f64,
    /// The share of the rate of writing that is good as well
    #[arg(long, default_value_t = 0.6)]
    share: f64,
    /// The limit of the second move, MB per second
    #[arg(long, default_value_t = 20)]
    limit: u64,
    /// How often the second move goes on and pauses
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds that it goes on, and that it pauses
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The share of throughput that must be left during it
    #[arg(long, default_value_t = 0.8)]
    left: f64,
}

/// Keys that clients write during the second move; the rest is what moves.
const FOREGROUND: u64 = 10_000;
const ALL: &str = "0-16383";

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let dev = Dev::start(&Programs::find(place)?, work.path(), false).await?;
    dev.wait_until_whole(Duration::from_secs(30)).await?;
    dev.ctl(&["move", ALL, "1", "--wait"]).await?;
    let keys = options.mib * 1024 * 1024 / options.value as u64;
    let megabytes = (keys * options.value as u64) as f64 / 1e6;
    let begun = Instant::now();
    let fill = FOREGROUND..FOREGROUND + keys;
    load::fill(dev.system.protocol, &dev.system.addresses, fill, options.value, 16).await?;
    let written = megabytes / begun.elapsed().as_secs_f64();
    eprintln!("{megabytes:.0} MB written at {written:.1} MB/s");
    dev.wait_until_whole(Duration::from_secs(120)).await?;

    let begun = Instant::now();
    dev.ctl(&["move", ALL, "2", "--wait"]).await?;
    let moved = megabytes / begun.elapsed().as_secs_f64();
    eprintln!("moved at {moved:.1} MB/s");
    // What this move left to compact must not be taken for the cost of the next one.
    dev.wait_until_idle(Duration::from_secs(300)).await?;
    // Dead nodes are idle too.
    dev.wait_until_whole(Duration::from_secs(120)).await?;

    let (moving, still) = under_a_limit(&dev, options).await?;
    let ratios = moving
        .iter()
        .zip(still.windows(2))
        .map(|(moving, around)| moving / ((around[0] + around[1]) / 2.0).max(0.001));
    let left = median(ratios.collect());
    if place.json {
        let figures = serde_json::json!({
            "megabytes": megabytes, "written_mb_per_second": written, "moved_mb_per_second": moved,
            "moving_writes_per_second": moving, "still_writes_per_second": still, "left": left,
        });
        println!("{figures}");
    } else {
        println!(
            "{megabytes:.0} MB: written at {written:.1} MB/s, moved at {moved:.1} MB/s ({:.0} %)",
            100.0 * moved / written
        );
        let line =
            |figures: &[f64]| figures.iter().map(|one| rate(*one)).collect::<Vec<_>>().join(", ");
        println!(
            "writes/s while a move goes on at {} MB/s: {}; while it pauses: {}; {:.0} % are left",
            options.limit,
            line(&moving),
            line(&still),
            100.0 * left
        );
    }
    let fast = moved >= options.bar || moved >= options.share * written;
    Ok(fast && left >= options.left)
}

/// Writes per second in each time in which a move goes on that keeps to the limit, and before, between and after these.
async fn under_a_limit(dev: &Dev, options: &Options) -> Result<(Vec<f64>, Vec<f64>)> {
    let limit = format!("{}MB", options.limit);
    dev.ctl(&["rate", &limit]).await?;
    dev.ctl(&["pause"]).await?;
    dev.ctl(&["move", ALL, "1"]).await?;
    let (mut moving, mut still) = (Vec::new(), vec![foreground(dev, options).await?]);
    for _ in 0..options.rounds {
        dev.ctl(&["resume"]).await?;
        moving.push(foreground(dev, options).await?);
        let moves = dev.ctl(&["moves"]).await?;
        ensure!(
            moves["pending"].as_array().is_some_and(|pending| !pending.is_empty()),
            "the move was over before the load; more --mib, or less --seconds"
        );
        dev.ctl(&["pause"]).await?;
        still.push(foreground(dev, options).await?);
    }
    dev.ctl(&["rate", "unlimited"]).await?;
    dev.ctl(&["resume"]).await?;
    dev.ctl(&["move", ALL, "1", "--wait"]).await?;
    Ok((moving, still))
}

async fn foreground(dev: &Dev, options: &Options) -> Result<f64> {
    let load = Load {
        op: Op::Set,
        connections: 64,
        pipeline: 1,
        keys: FOREGROUND,
        value_bytes: 128,
        warm_up: Duration::from_secs(1),
        time: Duration::from_secs_f64(options.seconds),
        threads: 1,
        rate: None,
    };
    let (outcome, ..) =
        load::drive(dev.system.protocol, &dev.system.addresses, &load, || ()).await?;
    ensure!(outcome.errors == 0, "{} errors: {:?}", outcome.errors, outcome.trouble);
    Ok(outcome.rate())
}
