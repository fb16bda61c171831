//! What a dev cluster consists of: its folder, and each node's ports and files.
//!
//! ```text
//! DIR/lock            held while a dev cluster runs here
//! DIR/dev.json        what this is: nodes, addresses, groups; `eraftctl --dir` reads it
//! DIR/certs           the authority and all certificates
//! DIR/node-N/data     the node's data directory
//! DIR/node-N/log      what it prints, appended
//! DIR/node-N/pid      its process id
//! ```

use crate::settings::CLUSTER_PORT_ABOVE;
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The largest `dev.json`, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the nodes of a dev cluster are, and what it was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The nodes, by id.
    pub(crate) nodes: Vec<DevNode>,
    /// Data groups that were, or will be, created at its birth.
    pub(crate) groups: u32,
    /// Replicas that each group has, or will have; `None` is one on every node.
    #[serde(default)]
    pub(crate) replication: Option<u32>,
    /// It was born: the groups are what they are.
    pub(crate) born: bool,
}

/// The addresses of a node, all on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevNode {
    /// Its number.
    pub(crate) id: u32,
    /// The plain Redis port.
    pub(crate) redis: String,
    /// The cluster Redis port.
    pub(crate) cluster: String,
    /// HTTP.
    pub(crate) http: String,
    /// QUIC, on UDP.
    pub(crate) quic: String,
}

impl Plan {
    /// Nodes with consecutive ports.
    pub(crate) fn new(nodes: u16, groups: u32, redis: u16, http: u16) -> Result<Self, Trouble> {
        let last = nodes.saturating_sub(1);
        let over = |what: &str, first: u16, room: u16| match first.checked_add(room) {
            Some(_) if first > 0 => Ok(()),
            _ => Err(Trouble::new(format!(
                "{what} {first} leaves no room for {nodes} nodes up to port 65535; choose another"
            ))),
        };
        over("--redis-port", redis, CLUSTER_PORT_ABOVE.saturating_add(last))?;
        over("--http-port", http, last)?;
        let local = |port: u16| format!("127.0.0.1:{port}");
        let node = |step: u16| DevNode {
            id: u32::from(step) + 1,
            redis: local(redis + step),
            cluster: local(redis + CLUSTER_PORT_ABOVE + step),
            http: local(http + step),
            quic: local(redis + step),
        };
        let nodes: Vec<DevNode> = (0..nodes).map(node).collect();
        let mut tcp: Vec<&str> =
            nodes.iter().flat_map(|node| [&*node.redis, &*node.cluster, &*node.http]).collect();
        tcp.sort_unstable();
        if let Some(twice) = tcp.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Trouble::new(format!(
                "{} would be needed twice; choose --redis-port and --http-port further apart",
                twice[0]
            )));
        }
        Ok(Self { nodes, groups, replication: None, born: false })
    }

    /// What an earlier start left in `dir`; `None` if there was none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Trouble> {
        let path = file(dir);
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Trouble::file("read", &path, error)),
            Ok(meta) if meta.len() > FILE_BYTES_MAX => {
                return Err(Trouble::file("read", &path, "too large for what it should be"));
            }
            Ok(_) => {}
        }
        let bytes = std::fs::read(&path).map_err(|error| Trouble::file("read", &path, error))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Trouble::file("understand", &path, error))
    }

    /// Replaces `dev.json`, synced.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Trouble> {
        let (path, fresh) = (file(dir), dir.join("dev.json.new"));
        let mut bytes = serde_json::to_vec_pretty(self).expect("a plain struct serialises");
        bytes.push(b'\n');
        let write = || {
            let mut out = std::fs::File::create(&fresh)?;
            out.write_all(&bytes)?;
            out.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        write().map_err(|error| Trouble::file("write", &path, error))
    }

    /// The value of `--cluster`.
    pub(crate) fn cluster(&self) -> String {
        let entries: Vec<String> =
            self.nodes.iter().map(|node| format!("{}={}", node.id, node.quic)).collect();
        entries.join(",")
    }
}

impl DevNode {
    /// Its folder.
    pub(crate) fn folder(&self, dir: &Path) -> PathBuf {
        dir.join(format!("node-{}", self.id))
    }

    /// Where its output goes.
    pub(crate) fn log(&self, dir: &Path) -> PathBuf {
        self.folder(dir).join("log")
    }

    /// Where its process id is.
    pub(crate) fn pid_file(&self, dir: &Path) -> PathBuf {
        self.folder(dir).join("pid")
    }
}

/// The folder of certificates.
pub(crate) fn certs(dir: &Path) -> PathBuf {
    dir.join("certs")
}

fn file(dir: &Path) -> PathBuf {
    dir.join("dev.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_numbers() {
        let plan = Plan::new(3, 2, 6379, 8080).unwrap();
        let last = &plan.nodes[2];
        assert_eq!(
            (last.id, &*last.redis, &*last.cluster),
            (3, "127.0.0.1:6381", "127.0.0.1:7381")
        );
        assert_eq!((&*last.http, &*last.quic), ("127.0.0.1:8082", "127.0.0.1:6381"));
        assert_eq!(plan.cluster(), "1=127.0.0.1:6379,2=127.0.0.1:6380,3=127.0.0.1:6381");
    }

    #[test]
    fn ports_that_cannot_be_are_refused() {
        let refused = |redis, http| Plan::new(3, 2, redis, http).unwrap_err().to_string();
        assert!(refused(65_000, 8080).contains("--redis-port 65000"));
        assert!(refused(0, 8080).contains("--redis-port 0"));
        assert!(refused(6379, 65_534).contains("--http-port 65534"));
        assert!(refused(6379, 7380).contains("127.0.0.1:7380"));
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Plan::read(dir.path()).unwrap(), None);
        let plan = Plan { born: true, ..Plan::new(3, 2, 6379, 8080).unwrap() };
        plan.write(dir.path()).unwrap();
        assert_eq!(Plan::read(dir.path()).unwrap(), Some(plan));
        std::fs::write(file(dir.path()), "{").unwrap();
        assert!(Plan::read(dir.path()).unwrap_err().to_string().contains("dev.json"));
    }
}
