//! Our own side: building and starting `eraftd dev`, and what `eraftctl status --json` says about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::Place;
use crate::port;
use crate::process::{self, Server};
use crate::session::{Protocol, ask};
use crate::system::{Kind, START_LIMIT, System};

/// Nodes of a dev cluster.
pub const NODES: u16 = 3;
/// A cluster that took less than so much of a core, all its processes together, for so long is idle.
const IDLE_CORES: f64 = 0.1;
const LOOK: Duration = Duration::from_secs(3);

/// Where the two programs are.
#[derive(Clone)]
pub struct Programs {
    /// The node.
    pub eraftd: PathBuf,
    /// The command line beside it.
    pub eraftctl: PathBuf,
}

impl Programs {
    /// Those named by `--eraftd`, or the workspace's release build, which is brought up to date first: a stale
    /// binary must not be measured.
    pub fn find(place: &Place) -> Result<Programs> {
        let eraftd = match &place.eraftd {
            Some(path) => path.canonicalize().with_context(|| format!("no {}", path.display()))?,
            None => built()?,
        };
        let eraftctl = eraftd.with_file_name("eraftctl");
        ensure!(eraftd.is_file(), "no {}: cargo build --release", eraftd.display());
        ensure!(eraftctl.is_file(), "no {}: cargo build --release", eraftctl.display());
        Ok(Programs { eraftd, eraftctl })
    }
}

fn built() -> Result<PathBuf> {
    if let Some(cargo) = std::env::var_os("CARGO") {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let status = std::process::Command::new(cargo)
            .args(["build", "--release", "-p", "eraft", "--bins", "--manifest-path"])
            .arg(manifest)
            .status()?;
        ensure!(status.success(), "building eraftd failed");
    }
    // cargo puts the programs of one profile side by side.
    Ok(std::env::current_exe()?.with_file_name("eraftd"))
}

/// A running dev cluster.
pub struct Dev {
    /// Its servers, for the generator.
    pub system: System,
    /// Its folder (`--dir`).
    pub folder: PathBuf,
    /// The programs it was started from.
    pub programs: Programs,
    /// The first plain port.
    pub port: u16,
}

impl Dev {
    /// Starts three nodes under `work` and waits for `ready`. `restart` brings dead nodes back by themselves.
    pub async fn start(programs: &Programs, work: &Path, restart: bool) -> Result<Dev> {
        let folder = work.join("eraft");
        let log = work.join("eraft.log");
        let (port, http) = (port::eraft(NODES)?, port::row(NODES)?);
        let mut args = vec![
            "dev".into(),
            "--dir".into(),
            folder.display().to_string(),
            "--redis-port".into(),
            port.to_string(),
            "--http-port".into(),
            http.to_string(),
        ];
        args.extend(restart.then(|| "--restart".to_owned()));
        let mut server = Server::start(&programs.eraftd, args, &log)?;
        let deadline = Instant::now() + START_LIMIT;
        while !fs::read_to_string(&log)?.lines().any(|line| line == "ready") {
            server.check(&log)?;
            ensure!(
                Instant::now() < deadline,
                "eraftd dev is not ready after 30 s; see {}",
                log.display()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut system = System {
            kind: Kind::Eraft,
            protocol: Protocol::Resp,
            addresses: (0..NODES).map(|i| format!("127.0.0.1:{}", port + i)).collect(),
            processes: vec![server.pid()],
            servers: vec![(server, log)],
        };
        for node in 1..=NODES {
            system.processes.push(node_process(&folder, node)?);
        }
        Ok(Dev { system, folder, programs: programs.clone(), port })
    }

    /// The process of a node, as its pid file says now.
    pub fn process(&self, node: u16) -> Result<u32> {
        node_process(&self.folder, node)
    }

    /// Kills a node the hard way.
    pub fn kill(&self, node: u16) -> Result<()> {
        process::kill_hard(self.process(node)?);
        Ok(())
    }

    /// The command line that a living node was started with, to start it again the same way after it was killed.
    pub fn command_line(&self, node: u16) -> Result<Vec<String>> {
        let process = self.process(node)?;
        let bytes = fs::read(format!("/proc/{process}/cmdline"))?;
        let words = bytes.split(|&b| b == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let words: Vec<String> = words.collect();
        ensure!(words.len() > 2, "node {node} has no command line (is it dead?)");
        Ok(words[..words.len() - 1].to_vec())
    }

    /// A node's cluster port.
    pub fn cluster_address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.port + 1000 + node - 1)
    }

    /// Keys of the form `kN` in buckets that `node` leads: its cluster port answers them itself.
    pub async fn keys_led_by(&self, node: u16, count: usize) -> Result<Vec<String>> {
        let address = self.cluster_address(node);
        let mut keys = Vec::new();
        for number in 0..200 {
            let key = format!("k{number}");
            if !ask(&address, &format!("GET {key}")).await?.starts_with('-') {
                keys.push(key);
            }
            if keys.len() == count {
                break;
            }
        }
        Ok(keys)
    }

    /// Waits until every group has a leader and a replica on every node that has applied what was committed when
    /// this was called.
    pub async fn wait_until_whole(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut goals: Vec<(u64, u64)> = Vec::new();
        loop {
            if let Ok(status) = self.status().await {
                if goals.is_empty() {
                    goals = status.groups.iter().map(|g| (g.id, g.commit())).collect();
                }
                let whole = status.groups.iter().all(|group| {
                    let goal = goals
                        .iter()
                        .find(|(id, _)| *id == group.id)
                        .map_or(0, |(_, commit)| *commit);
                    group.leader.is_some()
                        && group.replicas.iter().filter(|r| r.applied >= goal).count()
                            == usize::from(NODES)
                });
                if whole && !status.groups.is_empty() {
                    return Ok(());
                }
            }
            ensure!(
                Instant::now() < deadline,
                "the cluster is not whole after {} s",
                limit.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until its processes have next to nothing to do: what was written is flushed and compacted, what moved away
    /// is collected.
    pub async fn wait_until_idle(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let before = process::cpu_seconds_all(&self.system.processes);
            tokio::time::sleep(LOOK).await;
            let busy = process::cpu_seconds_all(&self.system.processes) - before;
            if busy < LOOK.as_secs_f64() * IDLE_CORES {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the cluster still has something to do after {} s",
                limit.as_secs()
            );
        }
    }

    /// Asks the cluster.
    pub async fn status(&self) -> Result<Status> {
        let document = self.ctl(&["--timeout", "10", "status"]).await?;
        serde_json::from_value(document).context("eraftctl status --json")
    }

    /// `eraftctl ARGS`, which must work: its document.
    pub async fn ctl(&self, args: &[&str]) -> Result<serde_json::Value> {
        let output = tokio::process::Command::new(&self.programs.eraftctl)
            .arg("--dir")
            .arg(&self.folder)
            .arg("--json")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("eraftctl {}: {}", args.join(" "), said.trim());
        }
        serde_json::from_slice(&output.stdout).context("eraftctl --json")
    }

    /// Waits until groups 1 and 2 are led by different nodes, as the config table places them.
    pub async fn wait_until_led_apart(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let groups = self.status().await?.groups;
            let leader = |id| groups.iter().find(|group| group.id == id)?.leader;
            if let (Some(one), Some(two)) = (leader(1), leader(2))
                && one != two
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "groups 1 and 2 have no leaders on two nodes");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The node that leads the first data group.
    pub async fn leader(&self) -> Result<u16> {
        let status = self.status().await?;
        let group = status.groups.iter().find(|group| group.id != 0).context("no data group")?;
        group.leader.context("the data group has no leader")
    }
}

fn node_process(folder: &Path, node: u16) -> Result<u32> {
    let file = folder.join(format!("node-{node}")).join("pid");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    text.trim().parse().with_context(|| format!("no process id in {}", file.display()))
}

/// What we read of `eraftctl status --json`.
#[derive(Deserialize)]
pub struct Status {
    /// All groups, the config group (0) among them.
    pub groups: Vec<Group>,
}

/// One group.
#[derive(Deserialize)]
pub struct Group {
    /// Its number; 0 is the config group.
    pub id: u64,
    /// The node that leads it.
    pub leader: Option<u16>,
    /// Its replicas, as far as their nodes answered.
    pub replicas: Vec<Replica>,
}

impl Group {
    /// The highest commit index that any replica knows.
    pub fn commit(&self) -> u64 {
        self.replicas.iter().map(|replica| replica.commit).max().unwrap_or(0)
    }
}

/// One group's replica on one node.
#[derive(Deserialize)]
pub struct Replica {
    /// The node it is on.
    pub node: u16,
    /// Its commit index.
    #[serde(default)]
    pub commit: u64,
    /// Its applied index.
    #[serde(default)]
    pub applied: u64,
}
