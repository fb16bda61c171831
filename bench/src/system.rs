//! A system under test: running servers, their addresses and their process ids; and the work directory of a run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::Place;
use crate::process::Server;
use crate::session::{Op, Protocol, Session, Values};

/// How long a system may take until it serves.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// The systems that are compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `eraftd dev`: three nodes, each synced per commit.
    Eraft,
    /// Three nodes of etcd.
    Etcd,
    /// One Redis with `appendfsync always`.
    Redis,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Eraft => "eraft",
            Kind::Etcd => "etcd",
            Kind::Redis => "redis",
        }
    }
}

/// Running servers of one system.
pub struct System {
    /// Which.
    pub kind: Kind,
    /// The protocol its clients speak.
    pub protocol: Protocol,
    /// Where clients connect, one address per node.
    pub addresses: Vec<String>,
    /// All its processes.
    pub processes: Vec<u32>,
    /// Kept for their `Drop`.
    pub servers: Vec<(Server, PathBuf)>,
}

impl System {
    /// Waits until every node has taken a write.
    pub async fn wait_until_serving(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let values = Values::new(8);
        for address in self.addresses.clone() {
            loop {
                for (server, log) in &mut self.servers {
                    server.check(log)?;
                }
                let attempt = async {
                    let mut session = Session::connect(self.protocol, &address, 8).await?;
                    anyhow::ensure!(
                        session.call(Op::Set, &[0], &values).await? == 0,
                        "an error reply"
                    );
                    anyhow::Ok(())
                };
                match tokio::time::timeout(Duration::from_secs(2), attempt).await {
                    Ok(Ok(())) => break,
                    last if Instant::now() > deadline => {
                        bail!("{} at {address} does not serve: {last:?}", self.kind.name())
                    }
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        Ok(())
    }
}

/// The folder of one run; removed when dropped, unless it is to be kept.
pub struct Work {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Work {
    /// Makes it under `--dir`.
    pub fn create(place: &Place) -> Result<Work> {
        std::fs::create_dir_all(&place.dir)
            .with_context(|| format!("cannot create {}", place.dir.display()))?;
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&place.dir)?;
        let path = folder.path().canonicalize()?;
        if place.keep {
            eprintln!("data and logs stay in {}", folder.keep().display());
            return Ok(Work { folder: None, path });
        }
        Ok(Work { folder: Some(folder), path })
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && let Err(error) = folder.close()
        {
            eprintln!("could not remove {}: {error}", self.path.display());
        }
    }
}

/// Where a program is, or an error that says how to get it.
pub fn find_program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("no {name} in PATH (Debian: apt-get install {package})"))
}
