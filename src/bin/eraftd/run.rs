//! `eraftd run`: one node.

use crate::config::Config;
use crate::trouble::Trouble;
use crate::{parent, pid, settings};
use std::io::Write;
use std::path::PathBuf;

/// Runs one node until SIGTERM, SIGINT or the SHUTDOWN command.
///
/// Every setting is a flag, an environment variable (named below) and a key of
/// the TOML file (the flag's name without the dashes in front). A flag goes before
/// the environment, that before the file, that before the default. The nodes of a
/// new cluster, once they all run, wait for one `eraftctl init`.
///
/// Example, a cluster of one node:
///   eraftctl cert init certs
///   eraftctl cert issue certs --node 1
///   eraftctl cert issue certs --admin
///   eraftd run --node-id 1 --data-dir data --certs certs --cluster 1=127.0.0.1:6379
///   eraftctl --endpoint 127.0.0.1:6379 --certs certs init
///
/// A node that comes later, with an empty data directory and a new id:
///   eraftctl cert issue certs --node 2
///   eraftd run --node-id 2 --data-dir data2 --certs certs --join 127.0.0.1:6379 ...
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RunArguments {
    /// Read settings from this TOML file.
    #[arg(long, env = "ERAFT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings that result (but not the password), as a TOML file, and end.
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    given: Config,
}

/// Runs a node, or prints what it would be told.
pub(crate) fn run(arguments: RunArguments) -> Result<(), Trouble> {
    parent::tie()?;
    let mut config = arguments.given;
    if let Some(file) = &arguments.config {
        config = config.or(Config::read(file)?);
    }
    let config = config.with_defaults();
    if arguments.print_config {
        return print(&config);
    }
    let pid_file = config.pid_file.clone();
    let settings = settings::check(config)?;
    let _held = match &pid_file {
        Some(path) => pid::write(path)?,
        None => None,
    };
    eraft::actors::node::run(settings).map_err(|error| Trouble::new(error.to_string()))
}

fn print(config: &Config) -> Result<(), Trouble> {
    let mut text = config.to_toml()?;
    let cluster_port = settings::cluster_port(config)?;
    if let (None, Some(derived)) = (&config.redis_cluster, cluster_port) {
        // In front: behind a table it would belong to it.
        text.insert_str(0, &format!("# redis-cluster = \"{derived}\"  (follows from redis)\n"));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Trouble::new(format!("cannot print: {error}")))
}
