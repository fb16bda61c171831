//! The harness: a dev cluster of three processes, on free ports, in a temporary folder.
//!
//! Whatever a test does to it, it is ended and its folder removed: by `Drop`, or by the `keeper` when the test process
//! itself is killed.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::gate::{self, Permit};
use crate::keeper::Keeper;
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::port;
use crate::process::{self, Started};

/// The built program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_eraftd");

/// Where clusters keep their data: in the target folder, because it is on a disk, which /tmp often is not, and syncs
/// must be real.
const TARGET: &str = env!("CARGO_TARGET_TMPDIR");

/// `ready` must come within this time.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(30);

/// A running (or killed) dev cluster.
pub(crate) struct Cluster {
    nodes: Nodes,
    flags: Vec<String>,
    running: Option<Running>,
    /// How each node was started, to start it again after it was killed.
    lines: BTreeMap<u16, Started>,
    revived: Vec<Child>,
    starts: u32,
    _folder: tempfile::TempDir,
    _permit: Option<Permit>,
}

struct Running {
    child: Child,
    keeper: Keeper,
}

impl Cluster {
    /// A cluster of its own, beside at most one other test.
    pub(crate) fn start() -> Cluster {
        Cluster::launch(gate::half(), &[])
    }

    /// A cluster of its own while nothing else runs: for tests that measure time.
    pub(crate) fn start_alone() -> Cluster {
        Cluster::launch(gate::whole(), &[])
    }

    /// The same, with more flags for `eraftd dev`.
    pub(crate) fn start_with(permit: Permit, flags: &[&str]) -> Cluster {
        Cluster::launch(permit, flags)
    }

    /// The cluster that tests share which use keys of their own and hurt nobody.
    pub(crate) fn shared() -> Shared {
        static SHARED: OnceLock<Mutex<Option<Cluster>>> = OnceLock::new();
        let permit = gate::half();
        let cell = SHARED.get_or_init(|| Mutex::new(None));
        let mut guard = cell.lock().unwrap_or_else(|broken| broken.into_inner());
        let cluster = guard.get_or_insert_with(|| Cluster::launch_in(None, &[], TARGET.as_ref()));
        Shared { nodes: cluster.nodes.clone(), _permit: permit }
    }

    /// The same, with its data under `place`.
    pub(crate) fn start_in(permit: Permit, place: &Path) -> Cluster {
        Cluster::launch_in(Some(permit), &[], place)
    }

    /// A cluster of so many nodes, each group on so many of them.
    pub(crate) fn start_wide(permit: Permit, nodes: u16, replication: u16) -> Cluster {
        let [count, replicas] = [nodes, replication].map(|number| number.to_string());
        let flags = ["--nodes", &count, "--replication", &replicas, "--groups", "1"];
        Cluster::launch_all(Some(permit), nodes, &flags, TARGET.as_ref())
    }

    fn launch(permit: Permit, flags: &[&str]) -> Cluster {
        Cluster::launch_in(Some(permit), flags, TARGET.as_ref())
    }

    fn launch_in(permit: Option<Permit>, flags: &[&str], place: &Path) -> Cluster {
        Cluster::launch_all(permit, NODES, flags, place)
    }

    fn launch_all(permit: Option<Permit>, count: u16, flags: &[&str], place: &Path) -> Cluster {
        let folder =
            tempfile::Builder::new().prefix("e2e-").tempdir_in(place).expect("a temporary folder");
        let mut cluster = Cluster {
            nodes: Nodes { folder: folder.path().join("data"), ports: port::dev(), count },
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            running: None,
            lines: BTreeMap::new(),
            revived: Vec::new(),
            starts: 0,
            _folder: folder,
            _permit: permit,
        };
        cluster.start_again();
        cluster
    }

    /// Starts `eraftd dev` (again) and waits for `ready`; returns how long that took.
    pub(crate) fn start_again(&mut self) -> Duration {
        assert!(self.running.is_none(), "it is running");
        let begun = Instant::now();
        self.starts += 1;
        let log = self.log();
        let out = fs::File::create(&log).expect("a log file");
        let child = Command::new(PROGRAM)
            .arg("dev")
            .arg("--dir")
            .arg(&self.nodes.folder)
            .args([
                "--redis-port",
                &self.nodes.ports.redis.to_string(),
                "--http-port",
                &self.nodes.ports.http.to_string(),
            ])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("eraftd starts");
        let keeper = Keeper::start(child.id(), self.nodes.folder.parent());
        let mut running = Running { child, keeper };
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.lines().any(|line| line == "ready") {
                break;
            }
            let ended = running.child.try_wait().expect("a child can be waited for");
            if ended.is_some() || begun.elapsed() > READY_LIMIT {
                self.running = Some(running);
                panic!(
                    "eraftd dev is not ready ({ended:?}) after {:?}:\n{text}\n{}",
                    begun.elapsed(),
                    self.node_logs()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.running = Some(running);
        for node in 1..=self.nodes.count {
            self.lines.insert(node, Started::read(self.process(node)));
        }
        begun.elapsed()
    }

    /// What `eraftd dev` itself printed since it was last started.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The process of `eraftd dev` itself.
    pub(crate) fn parent(&self) -> u32 {
        self.running.as_ref().expect("it is running").child.id()
    }

    /// Kills one node the hard way; its command line is kept for `revive`.
    pub(crate) fn kill(&self, node: u16) {
        let process = self.process(node);
        process::signal(process, Signal::SIGKILL);
        process::wait_until_gone(process, Duration::from_secs(5));
    }

    /// Kills all nodes and their parent the hard way, at once.
    pub(crate) fn kill_all(&mut self) {
        let nodes: Vec<u32> =
            (1..=self.nodes.count).filter_map(|node| self.try_process(node)).collect();
        let mut running = self.running.take().expect("it is running");
        process::signal(running.child.id(), Signal::SIGKILL);
        for &process in &nodes {
            process::signal(process, Signal::SIGKILL);
        }
        let _ = running.child.wait();
        running.keeper.dismiss();
        self.end_revived();
        for process in nodes {
            process::wait_until_gone(process, Duration::from_secs(5));
        }
    }

    /// Starts a killed node again, as `eraftd dev` had started it.
    pub(crate) fn revive(&mut self, node: u16) -> u32 {
        self.revive_with(node, &[])
    }

    /// The same with these in its environment besides.
    pub(crate) fn revive_with(&mut self, node: u16, environment: &[(&str, &str)]) -> u32 {
        let log = self.nodes.folder.join(format!("node-{node}")).join("log-revived");
        let out = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let child = self.lines[&node]
            .command()
            .envs(environment.iter().copied())
            // Kept open by us: a node may take the end of its input for the end of its parent.
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("a node starts");
        let process = child.id();
        self.revived.push(child);
        process
    }

    /// Ends it by SIGTERM; returns how long that took.
    pub(crate) fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        let mut running = self.running.take().expect("it is running");
        process::signal(running.child.id(), Signal::SIGTERM);
        let deadline = begun + Duration::from_secs(20);
        while let Ok(None) = running.child.try_wait() {
            if Instant::now() > deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        running.keeper.dismiss();
        begun.elapsed()
    }

    fn log(&self) -> PathBuf {
        let parent = self.nodes.folder.parent().expect("the data folder lies in the temporary one");
        parent.join(format!("dev-{}.log", self.starts))
    }

    fn end_revived(&mut self) {
        for mut child in self.revived.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            outside::say(&self.node_logs());
        }
        if self.running.is_some() {
            self.stop();
        }
        self.end_revived();
    }
}

impl Deref for Cluster {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

/// The cluster that many tests use; see [`Cluster::shared`].
pub(crate) struct Shared {
    nodes: Nodes,
    _permit: Permit,
}

impl Deref for Shared {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}
