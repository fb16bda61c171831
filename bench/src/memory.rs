//! `memory`: what each node holds resident, idle and while a lot is written.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::Place;
use crate::eraft::{Dev, NODES, Programs};
use crate::load;
use crate::process::resident_bytes;
use crate::report::{mib, table};
use crate::system::Work;

/// Options of `memory`.
#[derive(Args)]
pub struct Options {
    /// MiB written
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// Size of a value, bytes
    #[arg(long, default_value_t = 1024)]
    value: usize,
    /// The most an idle node may hold, MB (10^6 bytes)
    #[arg(long, default_value_t = 120)]
    idle_bar: u64,
    /// The most a node may hold after writing, MB
    #[arg(long, default_value_t = 700)]
    bar: u64,
}

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let dev = Dev::start(&Programs::find(place)?, work.path(), false).await?;
    let processes: Vec<u32> = (1..=NODES).map(|node| dev.process(node)).collect::<Result<_>>()?;
    let sample = || -> Vec<u64> { processes.iter().map(|&p| resident_bytes(p)).collect() };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = sample();

    // The writing goes on as the sampling does; every key is new.
    let keys = options.mib * 1024 * 1024 / options.value as u64;
    let filling =
        load::fill(dev.system.protocol, &dev.system.addresses, 0..keys, options.value, 16);
    tokio::pin!(filling);
    let mut samples = Vec::new();
    loop {
        tokio::select! {
            done = &mut filling => break done?,
            () = tokio::time::sleep(Duration::from_secs(1)) => samples.push(sample()),
        }
    }
    let end = sample();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let settled = sample();

    let column = |node: usize, range: std::ops::Range<usize>| -> u64 {
        samples[range].iter().map(|s| s[node]).max().unwrap_or(0)
    };
    let n = samples.len();
    let mut rows = vec![
        ["node", "idle", "peak, first half", "peak, second half", "at the end", "10 s later"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for node in 0..usize::from(NODES) {
        rows.push(vec![
            (node + 1).to_string(),
            mib(idle[node]),
            mib(column(node, 0..n / 2)),
            mib(column(node, n / 2..n)),
            mib(end[node]),
            mib(settled[node]),
        ]);
    }
    if place.json {
        println!(
            "{}",
            serde_json::json!({ "idle": idle, "each_second": samples, "end": end, "settled": settled })
        );
    } else {
        print!("{}", table(&rows));
        println!("({} MiB written in about {n} s)", options.mib);
    }
    let mega = 1_000_000;
    Ok(idle.iter().all(|&b| b <= options.idle_bar * mega)
        && end.iter().all(|&b| b <= options.bar * mega))
}
