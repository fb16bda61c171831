//! `eraftd dev`: a cluster on this machine, each node a process of its own, all on loopback.
//!
//! Must always hold: whatever ends this process, its nodes end too; a node that dies leaves the others alone.

use crate::child::{Node, Passed, make_folder};
use crate::lock::{self, Lock};
use crate::plan::Plan;
use crate::trouble::{Trouble, say};
use crate::{certs, ports, ready};
use eraft::shard::GROUPS_MAX;
use nix::sys::signal::Signal;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};

/// Data groups of a new cluster, unless told otherwise.
const GROUPS: u32 = 2;
/// How often it is looked whether a dead node is to be started again.
const LOOK: Duration = Duration::from_millis(250);
/// How long the nodes may take to end before they are killed.
const ENDING: Duration = Duration::from_secs(8);

/// Starts a cluster of several nodes on this machine, for development and tests.
///
/// Real processes, real disks, mutual TLS between them, all on 127.0.0.1. Node i has
///   Redis          --redis-port + i - 1          the whole cluster as one server
///   Redis Cluster  --redis-port + 1000 + i - 1   for clients that follow -MOVED
///   QUIC (UDP)     --redis-port + i - 1          eraftctl and the other nodes
///   HTTP           --http-port + i - 1           /metrics, /healthz, /readyz
/// The line `ready` says that every group has a leader. Ctrl-C ends all.
///
/// Then:
///   redis-cli -p 6379 set greeting hello
///   eraftctl --dir eraft-data status
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DevArguments {
    /// Where everything is kept; made if missing. A later start with the same folder goes on with its data.
    #[arg(long, default_value = "./eraft-data", value_name = "DIR")]
    dir: PathBuf,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,
    /// How many data groups the keys are spread over; matters only at the first start [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=GROUPS_MAX as i64))]
    groups: Option<u32>,
    /// How many replicas each group has; matters only at the first start [default: one on every node].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    replication: Option<u32>,
    /// The first Redis port.
    #[arg(long, default_value_t = 6379, value_name = "PORT")]
    redis_port: u16,
    /// The first HTTP port.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    http_port: u16,
    /// Start a node again when it dies.
    #[arg(long)]
    restart: bool,
    /// The nodes take commands that break things on purpose (`eraftctl debug …`).
    #[arg(long)]
    debug_commands: bool,
    /// The nodes serve reads without asking a quorum each time (see `eraftd run --help`).
    #[arg(long)]
    lease_reads: bool,
    /// What all snapshots that a node sends to others may take together, MiB per second [default: 128].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    snapshot_rate: Option<u32>,
}

/// A checked and prepared dev cluster.
struct Dev {
    dir: PathBuf,
    plan: Plan,
    restart: bool,
    passed: Passed,
    _lock: Lock,
}

/// Runs a cluster until SIGINT or SIGTERM.
pub(crate) fn run(arguments: DevArguments, log: &str) -> Result<(), Trouble> {
    let dev = prepare(arguments, log)?;
    // One thread: the system ties the nodes to the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::new(format!("cannot start: {error}")))?;
    runtime.block_on(dev.serve())
}

/// Nothing is made before it is known that the ports are free and the folder is nobody else's.
fn prepare(arguments: DevArguments, log: &str) -> Result<Dev, Trouble> {
    let dir = std::path::absolute(&arguments.dir)
        .map_err(|error| Trouble::file("find", &arguments.dir, error))?;
    if dir.exists() && !dir.is_dir() {
        return Err(Trouble::new(format!("--dir {} is a file, not a folder", dir.display())));
    }
    let groups = arguments.groups.unwrap_or(GROUPS);
    let mut plan = Plan::new(arguments.nodes, groups, arguments.redis_port, arguments.http_port)?;
    plan.replication = arguments.replication;
    if let Some(more) = plan.replication.filter(|more| *more > u32::from(arguments.nodes)) {
        return Err(Trouble::new(format!(
            "--replication {more} needs as many nodes, and there are {}; give more --nodes",
            arguments.nodes
        )));
    }
    let lock_path = dir.join("lock");
    let mut held = if lock_path.exists() { Some(take(&lock_path, &dir)?) } else { None };
    if let Some(before) = Plan::read(&dir)? {
        if before.nodes.len() != plan.nodes.len() {
            return Err(Trouble::new(format!(
                "{} was made with --nodes {}, which cannot change; start it with that, or choose another --dir",
                dir.display(),
                before.nodes.len()
            )));
        }
        if before.born && arguments.groups.is_some_and(|groups| groups != before.groups) {
            say(&format!(
                "--groups matters at the first start only; this cluster was made with {}",
                before.groups
            ));
        }
        if before.born && arguments.replication.is_some_and(|more| Some(more) != before.replication)
        {
            let made = before.replication.map_or("one on every node".into(), |n| n.to_string());
            say(&format!(
                "--replication matters at the first start only; this cluster was made with {made}"
            ));
        }
        if before.born {
            (plan.groups, plan.replication, plan.born) = (before.groups, before.replication, true);
        }
    }
    ports::check(&plan)?;
    std::fs::create_dir_all(&dir).map_err(|error| Trouble::file("make", &dir, error))?;
    let lock = match held.take() {
        Some(lock) => lock,
        None => take(&lock_path, &dir)?,
    };
    for node in &plan.nodes {
        make_folder(&dir, node)?;
    }
    certs::make(&dir, &plan)?;
    plan.write(&dir)?;
    let passed = Passed {
        debug_commands: arguments.debug_commands,
        snapshot_rate: arguments.snapshot_rate,
        lease_reads: arguments.lease_reads,
        log: log.to_owned(),
    };
    Ok(Dev { dir, plan, restart: arguments.restart, passed, _lock: lock })
}

fn take(lock_path: &Path, dir: &Path) -> Result<Lock, Trouble> {
    lock::take(lock_path)?.ok_or_else(|| {
        Trouble::new(format!(
            "{} is in use by another `eraftd dev`; stop that one first, or choose another --dir",
            dir.display()
        ))
    })
}

impl Dev {
    async fn serve(self) -> Result<(), Trouble> {
        let cannot = |error| Trouble::new(format!("cannot watch for signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut children = signal(SignalKind::child()).map_err(cannot)?;
        let mut nodes: Vec<Node> = Vec::new();
        for node in &self.plan.nodes {
            match Node::start(&self.dir, &self.plan, node, &self.passed) {
                Ok(node) => nodes.push(node),
                Err(trouble) => {
                    end(&mut nodes).await;
                    return Err(trouble);
                }
            }
        }
        nodes.iter().for_each(|node| self.introduce(node));

        let living =
            |nodes: &[Node]| nodes.iter().map(|node| node.pid().is_some()).collect::<Vec<_>>();
        let (alive, watched) = watch::channel(living(&nodes));
        let waiting = ready::wait(self.plan.clone(), self.dir.clone(), watched);
        let mut waiting = std::pin::pin!(waiting);
        let (mut is_ready, mut failed) = (false, None);
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = children.recv() => {}
                _ = look.tick() => {}
                done = &mut waiting, if !is_ready => match done {
                    Ok(()) => {
                        is_ready = true;
                        tell("ready");
                    }
                    Err(trouble) => {
                        failed = Some(trouble);
                        break;
                    }
                },
            }
            self.look_after(&mut nodes);
            alive.send_replace(living(&nodes));
            if !is_ready && !self.restart && nodes.iter().all(|node| node.pid().is_none()) {
                failed = Some(Trouble::new("no node is running, so there is nothing to wait for"));
                break;
            }
        }
        let ending = end(&mut nodes);
        tokio::select! {
            () = ending => {}
            // Asked twice: at once.
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        kill_rest(&mut nodes);
        failed.map_or(Ok(()), Err)
    }

    fn introduce(&self, node: &Node) {
        let plan = &node.plan;
        tell(&format!(
            "node {}  redis {}  cluster {}  http http://{}  quic {}/udp  pid {}  log {}",
            plan.id,
            plan.redis,
            plan.cluster,
            plan.http,
            plan.quic,
            node.pid().unwrap_or_default(),
            plan.log(&self.dir).display()
        ));
    }

    /// Reports the dead, and starts them again if that is wanted.
    fn look_after(&self, nodes: &mut [Node]) {
        for node in nodes {
            if let Some(death) = node.died() {
                let then = if self.restart {
                    format!("starting it again in {:.1} s", node.pause().as_secs_f32())
                } else {
                    "it stays down: with --restart it would be started again".into()
                };
                let log = node.plan.log(&self.dir);
                say(&format!("{death}; {then}. Its log: {}", log.display()));
            }
            if self.restart
                && let Err(trouble) = node.revive(&self.dir, &self.plan, &self.passed)
            {
                say(&format!("node {}: {trouble}", node.plan.id));
            }
        }
    }
}

/// Asks all nodes to end and waits for it, for some time.
async fn end(nodes: &mut [Node]) {
    nodes.iter().for_each(|node| node.signal(Signal::SIGTERM));
    let begun = Instant::now();
    let gone = async {
        while nodes.iter().any(|node| node.pid().is_some()) {
            // Expected now, so not reported.
            nodes.iter_mut().for_each(|node| drop(node.died()));
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(ENDING, gone).await.is_err() {
        say(&format!(
            "some nodes have not ended after {:.0} s; killing them",
            begun.elapsed().as_secs_f32()
        ));
    }
    kill_rest(nodes);
}

fn kill_rest(nodes: &mut [Node]) {
    nodes.iter().for_each(|node| node.signal(Signal::SIGKILL));
    nodes.iter_mut().for_each(Node::wait);
}

/// Says a line on stdout. Nobody listening there is no reason to stop.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
