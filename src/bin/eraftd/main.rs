//! `eraftd`: a node, or a whole cluster of them on this machine.
//!
//! ```text
//! flags, environment, file ─► config ─► settings (checked) ─► run ─► eraft::actors::node
//! dev ─► plan (ports, folders) ─► certs ─► child × N (each `eraftd run …`) ─► ready
//! ```
//!
//! Results go to stdout, trouble goes once to stderr as `eraftd: …`, with exit code 2.

mod certs;
mod child;
mod config;
mod dev;
mod host_port;
mod lock;
mod parent;
mod pid;
mod plan;
mod ports;
mod ready;
mod run;
mod settings;
mod trouble;

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use trouble::Trouble;

// Many small, short-lived buffers, made on one thread and dropped on another: see "Dependencies" in
// ARCHITECTURE.md for what this saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A sharded, linearizable key-value store that speaks the Redis protocol.
///
/// To try it out:  eraftd dev         (three nodes on this machine)
///                 redis-cli -p 6379
/// For real:       eraftd run --help  (one node of several)
#[derive(Debug, Parser)]
#[command(name = "eraftd", version, verbatim_doc_comment, max_term_width = 110)]
struct Arguments {
    /// What is logged to stderr: error, warn, info, debug or trace, also by module
    /// (`info,eraft::raft=debug`).
    #[arg(long, env = "ERAFT_LOG", default_value = "info", global = true, value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::DevArguments),
    Run(Box<run::RunArguments>),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = log_to_stderr(&arguments.log).and_then(|()| match arguments.command {
        Command::Dev(dev) => dev::run(dev, &arguments.log),
        Command::Run(run) => run::run(*run),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            trouble::say(&trouble.to_string());
            ExitCode::from(2)
        }
    }
}

fn log_to_stderr(filter: &str) -> Result<(), Trouble> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Trouble::new(format!("--log {filter:?} is no filter ({error}); try \"info\" or \"debug\""))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
