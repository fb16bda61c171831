//! `compare`: every system in turn, several rounds, and the ratios.
//!
//! In each round every workload goes over all systems before the next workload starts, and the order of the systems
//! rotates from round to round, so that whatever the machine does over minutes (the disk's burst credit, neighbours)
//! hits all of them alike. The figure of a cell is the median over the rounds; a ratio is the median of the rounds'
//! ratios, each taken within seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::Place;
use crate::disk::Probe;
use crate::eraft::{Dev, Programs};
use crate::load::{self, Load};
use crate::outside;
use crate::process;
use crate::report::{median, rate, table};
use crate::session::Op;
use crate::system::{Kind, System, Work};

/// Options of `compare`.
#[derive(Args)]
pub struct Options {
    /// Rounds; medians are over these
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measured seconds per system, workload and round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Unmeasured seconds before each
    #[arg(long, default_value_t = 0.7)]
    warm_up: f64,
    /// Only the workloads whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Only these systems
    #[arg(long, value_delimiter = ',', default_values_t = [Kind::Eraft, Kind::Etcd, Kind::Redis], value_enum)]
    systems: Vec<Kind>,
    /// Keys that exist, and that requests are drawn from
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Size of a value, bytes
    #[arg(long, default_value_t = 128)]
    value: usize,
    /// Threads of the load generator
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// One row of the comparison.
struct Workload {
    name: &'static str,
    op: Op,
    connections: usize,
    pipeline: usize,
    /// Systems it makes sense for.
    kinds: &'static [Kind],
}

const ALL: &[Kind] = &[Kind::Eraft, Kind::Etcd, Kind::Redis];

const WORKLOADS: &[Workload] = &[
    Workload { name: "set-1", op: Op::Set, connections: 1, pipeline: 1, kinds: ALL },
    Workload { name: "set-32", op: Op::Set, connections: 32, pipeline: 1, kinds: ALL },
    Workload { name: "set-256", op: Op::Set, connections: 256, pipeline: 1, kinds: ALL },
    Workload { name: "get-1", op: Op::Get, connections: 1, pipeline: 1, kinds: ALL },
    Workload { name: "get-256", op: Op::Get, connections: 256, pipeline: 1, kinds: ALL },
    // etcd has no pipelines.
    Workload {
        name: "set-64x16",
        op: Op::Set,
        connections: 64,
        pipeline: 16,
        kinds: &[Kind::Eraft, Kind::Redis],
    },
];

/// One measurement of one system.
#[derive(Clone, Serialize)]
struct Sample {
    round: usize,
    workload: &'static str,
    system: Kind,
    per_second: f64,
    p50_us: u64,
    p99_us: u64,
    errors: u64,
    /// Processor seconds of all its processes per 1,000 requests.
    server_cpu_per_1000: f64,
    /// The same of the load generator.
    generator_cpu_per_1000: f64,
    /// How much of one processor the generator used, per thread of it.
    generator_busy: f64,
    /// The disk's own synced writes per second, measured just before.
    raw_syncs_per_second: f64,
    trouble: Option<String>,
}

/// Runs the comparison.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let chosen: Vec<&Workload> = WORKLOADS
        .iter()
        .filter(|w| options.only.as_deref().is_none_or(|only| w.name.contains(only)))
        .collect();
    ensure!(!chosen.is_empty(), "no workload has that name");
    let begun = Instant::now();
    let work = Work::create(place)?;
    let mut probe = Probe::create(&work.path().join("probe"))?;
    let mut systems = start(place, options, &work).await?;

    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for workload in &chosen {
            let raw = probe.rate(Duration::from_millis(300))?;
            let count = systems.len();
            systems.rotate_left(round % count);
            for system in systems.iter().filter(|s| workload.kinds.contains(&s.kind)) {
                let mut sample = measure(options, workload, system, round).await?;
                sample.raw_syncs_per_second = raw;
                eprintln!(
                    "round {} {:<9} {:<5} {:>9}/s  p50 {:>6} us  p99 {:>7} us  errors {}  (raw {:.0}/s){}",
                    round + 1,
                    workload.name,
                    system.kind.name(),
                    rate(sample.per_second),
                    sample.p50_us,
                    sample.p99_us,
                    sample.errors,
                    raw,
                    sample.trouble.as_deref().map(|t| format!("  {t}")).unwrap_or_default(),
                );
                samples.push(sample);
            }
            systems.rotate_right(round % count);
        }
    }
    drop(systems);

    if place.json {
        println!("{}", serde_json::to_string_pretty(&samples)?);
    } else {
        print!("{}", summary(&chosen, &samples));
        println!("({} rounds, {:.0} s altogether)", options.rounds, begun.elapsed().as_secs_f64());
    }
    Ok(samples.iter().all(|sample| sample.errors == 0))
}

/// Starts and fills every chosen system.
async fn start(place: &Place, options: &Options, work: &Work) -> Result<Vec<System>> {
    let mut systems = Vec::new();
    for &kind in &options.systems {
        let mut system = match kind {
            Kind::Eraft => Dev::start(&Programs::find(place)?, work.path(), false).await?.system,
            Kind::Etcd => outside::etcd(work.path())?,
            Kind::Redis => outside::redis(work.path())?,
        };
        system.wait_until_serving().await?;
        load::fill(system.protocol, &system.addresses, 0..options.keys, options.value, 100).await?;
        eprintln!("{} serves, {} keys", kind.name(), options.keys);
        systems.push(system);
    }
    Ok(systems)
}

async fn measure(
    options: &Options,
    workload: &Workload,
    system: &System,
    round: usize,
) -> Result<Sample> {
    let load = Load {
        op: workload.op,
        connections: workload.connections,
        pipeline: workload.pipeline,
        keys: options.keys,
        value_bytes: options.value,
        warm_up: Duration::from_secs_f64(options.warm_up),
        time: Duration::from_secs_f64(options.seconds),
        threads: options.threads,
        rate: None,
    };
    let processes = system.processes.clone();
    let cpu =
        move || (process::cpu_seconds_all(&processes), process::cpu_seconds(std::process::id()));
    let (outcome, before, after) =
        load::drive(system.protocol, &system.addresses, &load, cpu).await?;
    let thousands = (outcome.done as f64 / 1000.0).max(0.001);
    let generator_cpu = after.1 - before.1;
    Ok(Sample {
        round,
        workload: workload.name,
        system: system.kind,
        per_second: outcome.rate(),
        p50_us: outcome.latency.value_at_quantile(0.5),
        p99_us: outcome.latency.value_at_quantile(0.99),
        errors: outcome.errors,
        server_cpu_per_1000: (after.0 - before.0) / thousands,
        generator_cpu_per_1000: generator_cpu / thousands,
        generator_busy: generator_cpu / outcome.seconds / options.threads as f64,
        raw_syncs_per_second: 0.0,
        trouble: outcome.trouble,
    })
}

/// The table of medians.
fn summary(workloads: &[&Workload], samples: &[Sample]) -> String {
    let heads = [
        "workload",
        "system",
        "per s",
        "p50 us",
        "p99 us",
        "errors",
        "server CPU ms/1000",
        "generator CPU ms/1000",
        "generator busy",
        "raw syncs/s",
        "eraft is",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for workload in workloads {
        let mut by_kind: BTreeMap<Kind, Vec<&Sample>> = BTreeMap::new();
        for sample in samples.iter().filter(|s| s.workload == workload.name) {
            by_kind.entry(sample.system).or_default().push(sample);
        }
        for (kind, cells) in &by_kind {
            let of = |figure: fn(&Sample) -> f64| median(cells.iter().map(|s| figure(s)).collect());
            let ratio = match by_kind.get(&Kind::Eraft) {
                Some(ours) if *kind != Kind::Eraft => {
                    let per_round =
                        ours.iter().zip(cells).map(|(o, t)| o.per_second / t.per_second.max(0.001));
                    format!("{:.2} x", median(per_round.collect()))
                }
                _ => String::new(),
            };
            rows.push(vec![
                workload.name.into(),
                kind.name().into(),
                rate(of(|s| s.per_second)),
                format!("{:.0}", of(|s| s.p50_us as f64)),
                format!("{:.0}", of(|s| s.p99_us as f64)),
                cells.iter().map(|s| s.errors).sum::<u64>().to_string(),
                format!("{:.1}", of(|s| s.server_cpu_per_1000 * 1000.0)),
                format!("{:.1}", of(|s| s.generator_cpu_per_1000 * 1000.0)),
                format!("{:.0} %", of(|s| s.generator_busy) * 100.0),
                format!("{:.0}", of(|s| s.raw_syncs_per_second)),
                ratio,
            ]);
        }
    }
    table(&rows)
}
