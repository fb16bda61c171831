//! `catchup`: a follower that was down while a lot was written, and comes back under load.
//!
//! Measured are the time until it has applied all that was committed when it came back, its peak memory, and whether
//! any group changed its leader meanwhile (it must not).

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::Place;
use crate::eraft::{Dev, NODES, Programs, Status};
use crate::load::{self, Load};
use crate::process::{Server, resident_bytes};
use crate::report::{mib, rate};
use crate::session::Op;
use crate::system::Work;

/// Options of `catchup`.
#[derive(Args)]
pub struct Options {
    /// MiB written while the follower is down
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Size of a value, bytes
    #[arg(long, default_value_t = 1024)]
    value: usize,
    /// Connections that go on writing while it catches up
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// The most memory the follower may take, MB (10^6 bytes)
    #[arg(long, default_value_t = 700)]
    bar: u64,
}

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    let work = Work::create(place)?;
    let programs = Programs::find(place)?;
    let dev = Dev::start(&programs, work.path(), false).await?;
    dev.wait_until_whole(Duration::from_secs(30)).await?;
    let leaders = leaders(&dev.status().await?);
    let leads = |node: u16| leaders.iter().filter(|(_, leader)| *leader == Some(node)).count();
    let victim = (1..=NODES).min_by_key(|&node| leads(node)).expect("there are nodes");
    let line = dev.command_line(victim)?;
    dev.kill(victim)?;
    let addresses: Vec<String> = (1..=NODES)
        .filter(|&node| node != victim)
        .map(|node| dev.system.addresses[usize::from(node - 1)].clone())
        .collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let keys = options.mib * 1024 * 1024 / options.value as u64;
    let writing = Instant::now();
    load::fill(dev.system.protocol, &addresses, 0..keys, options.value, 16).await?;
    eprintln!(
        "{} MiB written in {:.0} s without node {victim}",
        options.mib,
        writing.elapsed().as_secs_f64()
    );

    let before = dev.status().await?;
    let load = Load {
        op: Op::Set,
        connections: options.connections,
        pipeline: 1,
        keys,
        value_bytes: options.value,
        warm_up: Duration::ZERO,
        time: Duration::from_secs(options.limit),
        threads: 1,
        rate: None,
    };
    let back = Instant::now();
    let follower = Server::start(line[0].as_ref(), &line[1..], &work.path().join("follower.log"))?;
    let process = follower.pid();
    let mut peak = 0;
    let caught_up = async {
        loop {
            peak = peak.max(resident_bytes(process));
            if let Ok(now) = dev.status().await
                && caught_up(&before, &now, victim)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    // The load goes on until the follower is back, then it is dropped with the select.
    tokio::select! {
        () = caught_up => {}
        outcome = load::drive(dev.system.protocol, &addresses, &load, || ()) => {
            let (outcome, ..) = outcome?;
            ensure!(false, "not caught up in {} s ({} writes/s meanwhile)", options.limit, rate(outcome.rate()));
        }
    }
    let seconds = back.elapsed().as_secs_f64();
    let after = dev.status().await?;
    let deposed = self::leaders(&before) != self::leaders(&after);
    if place.json {
        println!(
            "{}",
            serde_json::json!({ "seconds": seconds, "peak_bytes": peak, "leaders_changed": deposed })
        );
    } else {
        println!(
            "caught up with {} MiB in {seconds:.1} s under load, peak memory {}, leaders {}",
            options.mib,
            mib(peak),
            if deposed { "CHANGED" } else { "unchanged" },
        );
    }
    Ok(!deposed && peak <= options.bar * 1_000_000)
}

fn leaders(status: &Status) -> Vec<(u64, Option<u16>)> {
    status.groups.iter().map(|group| (group.id, group.leader)).collect()
}

fn caught_up(before: &Status, now: &Status, victim: u16) -> bool {
    before.groups.iter().all(|old| {
        now.groups
            .iter()
            .find(|group| group.id == old.id)
            .and_then(|group| group.replicas.iter().find(|replica| replica.node == victim))
            .is_some_and(|replica| replica.applied >= old.commit())
    })
}
