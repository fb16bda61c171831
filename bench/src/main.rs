//! `eraft-bench`: what eraft costs and gives, beside etcd and Redis, on this machine, in this minute.
//!
//! Each subcommand starts the servers it measures, in a work directory of its own, and removes both when it ends,
//! also after Ctrl-C. Figures of different runs must not be compared: the sync rate of a disk varies by a factor of
//! ten between two minutes, which is why every run measures all systems in turn, and the raw sync rate beside them.

mod catchup;
mod compare;
mod disk;
mod eraft;
mod failover;
mod follower;
mod idle;
mod load;
mod memory;
mod moves;
mod outside;
mod port;
mod process;
mod report;
mod session;
mod system;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measurements of eraft; `compare` puts it beside etcd and Redis.
#[derive(Parser)]
#[command(name = "eraft-bench", version)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where things are and go; the same for every subcommand.
#[derive(Args, Clone)]
pub struct Place {
    /// Where the work directory is made (its disk is what is measured)
    #[arg(long, global = true, default_value = "target/eraft-bench")]
    dir: PathBuf,
    /// Leave the work directory (data and logs of all servers) behind
    #[arg(long, global = true)]
    keep: bool,
    /// The eraftd to measure; without it, the workspace's release build is made first and used
    #[arg(long, global = true)]
    eraftd: Option<PathBuf>,
    /// Print one JSON document on stdout (progress stays on stderr)
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// eraft, etcd and Redis in turn under the same load: rates, latencies, CPU, and the raw sync rate
    Compare(compare::Options),
    /// kill -9 of the leader, again and again: time to the first successful write
    Failover(failover::Options),
    /// Throughput with one follower dead, beside the throughput with all alive
    FollowerDown(follower::Options),
    /// Memory of each node, idle and while gigabytes are written
    Memory(memory::Options),
    /// CPU of each idle node, and whether any log grows meanwhile
    Idle(idle::Options),
    /// How long a follower that missed a gigabyte takes to catch up while writes go on
    Catchup(catchup::Options),
    /// Moves of buckets between groups under load
    Moves(moves::Options),
    /// The disk's own rate of 4 KiB write + fdatasync
    Sync(disk::Options),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(async {
            // Dropping the measurement drops its guards, and these end every server it started.
            tokio::select! {
                outcome = run(cli) => outcome,
                () = interrupted() => Err(anyhow::anyhow!("interrupted")),
            }
        });
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::from(1),
        Err(trouble) => {
            eprintln!("eraft-bench: {trouble:#}");
            std::process::ExitCode::from(2)
        }
    }
}

/// Runs one measurement; `false` means that it ran and missed its bar.
async fn run(cli: Cli) -> anyhow::Result<bool> {
    match cli.command {
        Command::Compare(options) => compare::run(&cli.place, &options).await,
        Command::Failover(options) => failover::run(&cli.place, &options).await,
        Command::FollowerDown(options) => follower::run(&cli.place, &options).await,
        Command::Memory(options) => memory::run(&cli.place, &options).await,
        Command::Idle(options) => idle::run(&cli.place, &options).await,
        Command::Catchup(options) => catchup::run(&cli.place, &options).await,
        Command::Moves(options) => moves::run(&cli.place, &options).await,
        Command::Sync(options) => disk::run(&cli.place, &options),
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
