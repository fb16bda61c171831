//! How the nodes of a running dev cluster are reached: addresses, process ids, `eraftctl`.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::ctl;
use crate::outside;
use crate::port::Ports;
use crate::resp::Client;
use crate::status::Status;

/// Nodes of a cluster here, unless it is said otherwise.
pub(crate) const NODES: u16 = 3;

/// Where a dev cluster is.
#[derive(Clone)]
pub(crate) struct Nodes {
    /// Its folder (`--dir`).
    pub(crate) folder: PathBuf,
    /// Its first ports.
    pub(crate) ports: Ports,
    /// How many nodes it has.
    pub(crate) count: u16,
}

impl Nodes {
    /// Address of a node's plain port.
    pub(crate) fn plain(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.ports.redis + node - 1)
    }

    /// Address of a node's cluster port.
    pub(crate) fn cluster(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.ports.redis + 1000 + node - 1)
    }

    /// Address of a node's HTTP port.
    pub(crate) fn http(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.ports.http + node - 1)
    }

    /// A connection to a node's plain port.
    pub(crate) fn client(&self, node: u16) -> Client {
        Client::connect(&self.plain(node)).expect("a living node accepts connections")
    }

    /// A connection to a node's cluster port.
    pub(crate) fn cluster_client(&self, node: u16) -> Client {
        Client::connect(&self.cluster(node)).expect("a living node accepts connections")
    }

    /// The process of a node, as its pid file says.
    pub(crate) fn process(&self, node: u16) -> u32 {
        self.try_process(node).unwrap_or_else(|| panic!("node {node} has no pid file"))
    }

    /// The same, if there is such a file.
    pub(crate) fn try_process(&self, node: u16) -> Option<u32> {
        let file = self.folder.join(format!("node-{node}")).join("pid");
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// `eraftctl --dir … ARGS`.
    pub(crate) fn ctl(&self, args: &[&str]) -> Output {
        ctl::in_folder(&self.folder, args)
    }

    /// The cluster's state, if `eraftctl status` gives it.
    pub(crate) fn try_status(&self) -> Result<Status, String> {
        let output = self.ctl(&["--json", "--timeout", "5", "status"]);
        if !output.status.success() {
            return Err(outside::text(&output));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}\n{}", outside::text(&output)))
    }

    /// The cluster's state.
    pub(crate) fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|trouble| panic!("eraftctl status: {trouble}"))
    }

    /// Waits until `holds` does.
    pub(crate) fn wait_for_status(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Status) -> bool,
    ) -> Status {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.try_status();
            match &status {
                Ok(status) if holds(status) => return status.clone(),
                _ if Instant::now() > deadline => {
                    panic!("not within {limit:?}: {what}\n{status:?}")
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Waits until every group has a leader and every replica has applied what is committed now.
    pub(crate) fn wait_until_whole(&self, limit: Duration) -> Status {
        let all = usize::from(NODES);
        self.wait_for_status("all replicas have caught up", limit, |status| {
            status.groups.iter().all(|group| {
                group.leader.is_some()
                    && group.replicas.len() == all
                    // Entries may be committed while we look; nearly all is enough to call it whole.
                    && group.replicas.iter().all(|replica| replica.applied + 200 >= group.commit())
            })
        })
    }

    /// A key in a bucket that `node` leads: its cluster port answers for it.
    pub(crate) fn key_led_by(&self, node: u16) -> Option<String> {
        let mut client = self.cluster_client(node);
        (0..400).map(|n| format!("led:{n}")).find(|key| !client.command(&["GET", key]).is_error())
    }

    /// `GET path` on a node's HTTP port: status and body.
    pub(crate) fn http_get(&self, node: u16, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.http(node))
            .expect("the HTTP port accepts connections");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http(node)
        );
        stream.write_all(request.as_bytes()).expect("the request is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the answer is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let code = head
            .split_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status code");
        // Chunk sizes of a chunked body stay in; the tests look for whole lines.
        (code, body.to_owned())
    }

    /// The ends of the nodes' logs, for messages.
    pub(crate) fn node_logs(&self) -> String {
        let mut text = String::new();
        for node in 1..=self.count {
            let log =
                fs::read(self.folder.join(format!("node-{node}")).join("log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!(
                "--- node {node}\n{}\n",
                lines[lines.len().saturating_sub(20)..].join("\n")
            ));
        }
        text
    }
}
