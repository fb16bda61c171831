//! A node that was not there when the cluster was born, and `eraftctl` from outside the cluster's folder.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::PROGRAM;
use crate::ctl;
use crate::nodes::Nodes;
use crate::outside;
use crate::port::{self, Ports};
use crate::resp::Client;

/// For whatever has to wait for an election or for data, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A node that was not there when the cluster was born.
pub(crate) struct Newcomer {
    pub(crate) id: u16,
    ports: Ports,
    folder: PathBuf,
    certs: PathBuf,
    /// The node that it asks.
    asked: String,
    pub(crate) child: Option<Child>,
}

impl Newcomer {
    /// With a certificate of the cluster's authority and an empty disk, running.
    pub(crate) fn start(nodes: &Nodes, id: u16) -> Self {
        let certs = nodes.folder.join("certs");
        if !certs.join(format!("node-{id}.pem")).exists() {
            let place = certs.to_str().expect("a plain name");
            let issued = ctl::run(&["cert", "issue", place, "--node", &id.to_string()]);
            assert!(issued.status.success(), "{}", outside::text(&issued));
        }
        let folder = nodes.folder.join(format!("newcomer-{id}"));
        fs::create_dir_all(&folder).expect("a folder");
        let (ports, asked) = (port::dev(), nodes.plain(1));
        let mut newcomer = Self { id, ports, folder, certs, asked, child: None };
        newcomer.run();
        newcomer
    }

    pub(crate) fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("a log file");
        let address = |port: u16| format!("127.0.0.1:{port}");
        let child = Command::new(PROGRAM)
            .arg("run")
            .args(["--node-id", &self.id.to_string(), "--join", &self.asked])
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .arg("--certs")
            .arg(&self.certs)
            .args(["--quic", &address(self.ports.redis), "--redis", &address(self.ports.redis)])
            .args(["--http", &address(self.ports.http)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("a node starts"));
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Address of its plain port.
    pub(crate) fn plain(&self) -> String {
        format!("127.0.0.1:{}", self.ports.redis)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.plain()).expect("it accepts connections")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            outside::say(&format!("node {}:\n{}", self.id, self.log()));
        }
        self.kill();
    }
}

/// `eraftctl` that is told one node and finds the others.
pub(crate) fn asked(nodes: &Nodes, args: &[&str]) -> Output {
    let certs = nodes.folder.join("certs");
    let certs = certs.to_str().expect("a plain name");
    let address = nodes.plain(1);
    let mut all = vec!["--endpoint", &address, "--certs", certs, "--json"];
    all.extend(args);
    ctl::run(&all)
}

/// The same, which must work.
pub(crate) fn ran(nodes: &Nodes, args: &[&str]) -> Value {
    let output = asked(nodes, args);
    assert!(output.status.success(), "{args:?}: {}\n{}", outside::text(&output), nodes.node_logs());
    serde_json::from_slice(&output.stdout).expect("one document")
}

/// Waits until the table satisfies.
pub(crate) fn wait_for_table(nodes: &Nodes, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let output = asked(nodes, &["query"]);
        let table: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() && holds(&table) {
            return table;
        }
        assert!(Instant::now() < deadline, "{what}: {table}\n{}", nodes.node_logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}
