//! `moves pause`: ranges of buckets go to and fro between two groups under load, while one key of each range is
//! written again and again. What counts is for how long no node takes it when it changes hands. A plain client's longest
//! wait during the whole of a move is shown beside that of times in which nothing moves, so that what the machine does
//! by itself is seen.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use super::probe;
use crate::Place;
use crate::eraft::{Dev, NODES, Programs};
use crate::load::{self, Load};
use crate::report::{rate, table};
use crate::session::Op;
use crate::system::Work;

/// Options of `moves pause`.
#[derive(Args)]
pub struct Options {
    /// Hand-offs at half the rate that saturates the cluster
    #[arg(long, default_value_t = 200)]
    handoffs: usize,
    /// Hand-offs at that rate itself; these have no bar
    #[arg(long, default_value_t = 50)]
    saturated: usize,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The 99th percentile that is still good, milliseconds
    #[arg(long, default_value_t = 50.0)]
    bar: f64,
}

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 128;
/// One load lasts so long; more follow until all hand-offs are done.
const WINDOW: Duration = Duration::from_secs(20);
/// No hand-off begins in the last part of a load.
const MARGIN: Duration = Duration::from_secs(3);
/// After so many hand-offs, as long a time without a move is looked at.
const STILL_EVERY: usize = 2;

/// What moves: a key, 64 buckets around its own, and the group that has them.
struct Range {
    key: &'static str,
    buckets: &'static str,
    group: u64,
}

/// What was seen under one load.
#[derive(Default)]
struct Tally {
    /// For how long no node took the key, milliseconds.
    paused: Vec<f64>,
    /// A plain client's longest waits, milliseconds.
    moving: Vec<f64>,
    still: Vec<f64>,
    errors: u64,
    trouble: Option<String>,
    rates: Vec<f64>,
}

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let dev = Dev::start(&Programs::find(place)?, work.path(), false).await?;
    dev.wait_until_whole(Duration::from_secs(30)).await?;
    let (protocol, addresses) = (dev.system.protocol, &dev.system.addresses);
    load::fill(protocol, addresses, 0..KEYS, VALUE_BYTES, 64).await?;
    dev.wait_until_led_apart().await?;
    let mut load = Load {
        op: Op::Set,
        connections: options.connections,
        pipeline: 1,
        keys: KEYS,
        value_bytes: VALUE_BYTES,
        warm_up: Duration::from_secs(2),
        time: Duration::from_secs(8),
        threads: 1,
        rate: None,
    };
    let (alone, ..) = load::drive(protocol, addresses, &load, || ()).await?;
    eprintln!("{} writes/s saturate it", rate(alone.rate()));
    // Buckets of {a}, {b} and {c}, and who has them at first.
    let mut ranges = [
        Range { key: "{a}", buckets: "15488-15551", group: 2 },
        Range { key: "{b}", buckets: "3264-3327", group: 1 },
        Range { key: "{c}", buckets: "7360-7423", group: 1 },
    ];
    load.time = WINDOW;
    load.rate = Some(alone.rate() / 2.0);
    let half = hand_over(&dev, &load, &mut ranges, options.handoffs).await?;
    load.rate = None;
    let full = hand_over(&dev, &load, &mut ranges, options.saturated).await?;
    print(place, &half, &full);
    Ok(percentile(&half.paused, 0.99) <= options.bar && half.errors + full.errors == 0)
}

/// So many hand-offs under this load.
async fn hand_over(dev: &Dev, load: &Load, ranges: &mut [Range], handoffs: usize) -> Result<Tally> {
    let mut tally = Tally::default();
    while tally.paused.len() < handoffs {
        let end = Instant::now() + load.warm_up + load.time - MARGIN;
        let moving = async {
            tokio::time::sleep(load.warm_up).await;
            while tally.paused.len() < handoffs && Instant::now() < end {
                one(dev, ranges, &mut tally).await?;
            }
            anyhow::Ok(())
        };
        let driving = load::drive(dev.system.protocol, &dev.system.addresses, load, || ());
        let (driven, moved) = tokio::join!(driving, moving);
        moved?;
        let (outcome, ..) = driven?;
        tally.errors += outcome.errors;
        tally.trouble = tally.trouble.or(outcome.trouble.clone());
        tally.rates.push(outcome.rate());
        eprintln!(
            "{} of {handoffs} hand-offs at {} writes/s",
            tally.paused.len(),
            rate(outcome.rate())
        );
    }
    Ok(tally)
}

/// One hand-off, and now and then a time without one.
async fn one(dev: &Dev, ranges: &mut [Range], tally: &mut Tally) -> Result<()> {
    let number = tally.paused.len();
    let range = &mut ranges[number % 3];
    let address = &dev.system.addresses[number % dev.system.addresses.len()];
    range.group = 3 - range.group;
    let to = range.group.to_string();
    let begun = Instant::now();
    let words = ["move", range.buckets, &to, "--wait"];
    let cluster: Vec<String> = (1..=NODES).map(|node| dev.cluster_address(node)).collect();
    let (seen, _) = probe::during(address, &cluster, range.key, dev.ctl(&words)).await?;
    let took = begun.elapsed();
    let paused =
        seen.switch.context("the key was taken by one node all the time: it leads both groups")?;
    tally.paused.push(millis(paused));
    tally.moving.push(millis(seen.wait));
    tally.note(seen);
    if number.is_multiple_of(STILL_EVERY) {
        let nothing = async {
            tokio::time::sleep(took).await;
            Ok(())
        };
        let (seen, ()) = probe::during(address, &cluster, range.key, nothing).await?;
        tally.still.push(millis(seen.wait));
        tally.note(seen);
    }
    Ok(())
}

impl Tally {
    fn note(&mut self, seen: probe::Seen) {
        self.errors += seen.errors;
        self.trouble = self.trouble.take().or(seen.trouble);
    }

    fn rate(&self) -> f64 {
        self.rates.iter().sum::<f64>() / self.rates.len().max(1) as f64
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn print(place: &Place, half: &Tally, full: &Tally) {
    let all = [("half the rate", half), ("saturated", full)];
    if place.json {
        let part = |tally: &Tally| {
            serde_json::json!({
                "writes_per_second": tally.rate(),
                "paused_ms": tally.paused,
                "wait_moving_ms": tally.moving,
                "wait_still_ms": tally.still,
                "errors": tally.errors,
                "trouble": tally.trouble,
            })
        };
        println!("{}", serde_json::json!({ "half": part(half), "saturated": part(full) }));
        return;
    }
    let head = ["load", "writes/s", "what", "times", "p50 ms", "p99 ms", "max ms", "errors"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, tally) in all {
        let figures = [
            ("no node takes the key", &tally.paused),
            ("longest wait during a move", &tally.moving),
            ("longest wait, nothing moves", &tally.still),
        ];
        for (what, figures) in figures {
            let mut row = vec![name.to_owned(), rate(tally.rate()), what.to_owned()];
            row.push(figures.len().to_string());
            row.extend([0.5, 0.99, 1.0].map(|share| format!("{:.1}", percentile(figures, share))));
            row.push(tally.errors.to_string());
            rows.push(row);
        }
        if let Some(trouble) = &tally.trouble {
            eprintln!("{name}: {trouble}");
        }
    }
    print!("{}", table(&rows));
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_figures_that_were_seen() {
        let figures: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&figures, 0.5), 100.0);
        assert_eq!(percentile(&figures, 0.99), 198.0);
        assert_eq!(percentile(&figures, 1.0), 200.0);
        assert_eq!(percentile(&[], 0.99), 0.0);
    }
}
