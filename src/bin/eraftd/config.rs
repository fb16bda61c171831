//! What a node is told, before it is checked: flags, environment and file, merged.
//!
//! Every setting is a flag, an environment variable (`ERAFT_` and the flag's name) and a key of the file
//! (the flag's name). A flag goes before the environment, that before the file, that before the default.

use crate::host_port::{Cluster, HostPort};
use crate::trouble::Trouble;
use clap::{ArgAction, Args};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The settings that were given, each perhaps.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Config {
    /// Which node this is: a number from 1 that no other node of the cluster has or ever had.
    #[arg(long, env = "ERAFT_NODE_ID", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_id: Option<u32>,
    /// Where this node keeps its data; made if missing, never shared.
    #[arg(long, env = "ERAFT_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The folder with ca.pem, node-N.pem and node-N-key.pem (`eraftctl cert init` and `cert issue`).
    #[arg(long, env = "ERAFT_CERTS", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certs: Option<PathBuf>,
    /// Where to listen for other nodes and eraftctl (QUIC, UDP) [default: 127.0.0.1:6379].
    #[arg(long, env = "ERAFT_QUIC", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quic: Option<HostPort>,
    /// Where to listen for Redis clients that take the cluster for one server [default: 127.0.0.1:6379].
    #[arg(long, env = "ERAFT_REDIS", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<HostPort>,
    /// Where to listen for Redis Cluster clients, which follow -MOVED [default: the Redis address, port
    /// + 1000].
    #[arg(long, env = "ERAFT_REDIS_CLUSTER", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_cluster: Option<HostPort>,
    /// Where to listen for HTTP: /metrics, /healthz, /readyz [default: 127.0.0.1:8080].
    #[arg(long, env = "ERAFT_HTTP", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HostPort>,
    /// The host that others are told for this node's ports [default: where it listens; if that is every
    /// address, the host of its own entry in --cluster].
    #[arg(long, env = "ERAFT_ADVERTISE", value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advertise: Option<String>,
    /// The password of the Redis ports (better by environment or file: flags can be seen by others).
    #[arg(long, env = "ERAFT_REQUIREPASS", value_name = "PASSWORD", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requirepass: Option<String>,
    /// Speak TLS on the Redis ports, with this certificate chain (PEM).
    #[arg(long, env = "ERAFT_REDIS_TLS_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_tls_cert: Option<PathBuf>,
    /// The key to --redis-tls-cert (PEM).
    #[arg(long, env = "ERAFT_REDIS_TLS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_tls_key: Option<PathBuf>,
    /// Ask Redis clients for a certificate of this authority (PEM).
    #[arg(long, env = "ERAFT_REDIS_TLS_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_tls_ca: Option<PathBuf>,
    /// Listen for Redis clients beyond this machine without both a password and TLS: whoever reaches the
    /// port may read and write everything, in clear text.
    #[arg(long, env = "ERAFT_INSECURE_PUBLIC", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) insecure_public: Option<bool>,
    /// Worker threads [default: half of the processors, at least 1, at most 8].
    #[arg(long, env = "ERAFT_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<u16>,
    /// Where this node stands (a rack, a room); nodes of one zone may fail together.
    #[arg(long, env = "ERAFT_ZONE", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    /// What all snapshots that this node sends to others may take together, MiB per second [default: 128].
    #[arg(long, env = "ERAFT_SNAPSHOT_RATE", value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_rate: Option<u32>,
    /// Serve reads without asking a quorum each time, on its word of a moment ago. Safe as long as no
    /// machine's clock runs faster than another's by a fifth; without it reads depend on no clock.
    #[arg(long, env = "ERAFT_LEASE_READS", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_reads: Option<bool>,
    /// Take commands that break things on purpose (`eraftctl debug …`).
    #[arg(long, env = "ERAFT_DEBUG_COMMANDS", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) debug_commands: Option<bool>,
    /// Write this process's id here, before any port opens.
    #[arg(long, env = "ERAFT_PID_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Nodes of a running cluster that are to take this one in, by their QUIC addresses; instead of
    /// --cluster. Harmless when this node belongs to the cluster already.
    #[arg(long, env = "ERAFT_JOIN", value_name = "HOST:PORT,…", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) join: Option<Vec<HostPort>>,
    /// The nodes that found the cluster, this one among them, by their QUIC addresses. A node that comes
    /// later takes --join instead.
    #[arg(long, env = "ERAFT_CLUSTER", value_name = "1=HOST:PORT,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<Cluster>,
}

macro_rules! each_setting {
    ($do:ident) => {
        $do!(
            node_id,
            data_dir,
            certs,
            quic,
            redis,
            redis_cluster,
            http,
            advertise,
            requirepass,
            redis_tls_cert,
            redis_tls_key,
            redis_tls_ca,
            insecure_public,
            workers,
            zone,
            snapshot_rate,
            lease_reads,
            debug_commands,
            pid_file,
            join,
            cluster
        )
    };
}

macro_rules! keys {
    ($($name:ident),*) => { &[$(stringify!($name)),*] };
}

/// The name of every setting, with `_`.
const KEYS: &[&str] = each_setting!(keys);

impl Config {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Trouble> {
        let length =
            std::fs::metadata(path).map_err(|error| Trouble::file("read", path, error))?.len();
        if length > FILE_BYTES_MAX {
            return Err(Trouble::file("read", path, "too large for a configuration"));
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| Trouble::file("read", path, error))?;
        Self::parse(&text).map_err(|error| Trouble::new(format!("{}: {error}", path.display())))
    }

    /// Reads the text of a file. `node-id` and `node_id` are the same key.
    fn parse(text: &str) -> Result<Self, String> {
        let given: toml::Table =
            text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut table = toml::Table::new();
        for (key, value) in given {
            let name = key.replace('-', "_");
            if !KEYS.contains(&name.as_str()) {
                let known: Vec<String> = KEYS.iter().map(|key| key.replace('_', "-")).collect();
                return Err(format!("unknown key {key:?}; the keys are {}", known.join(", ")));
            }
            if table.insert(name.replace('_', "-"), value).is_some() {
                return Err(format!("the key {key:?} is there twice"));
            }
        }
        table.try_into().map_err(|error: toml::de::Error| error.to_string().trim().to_owned())
    }

    /// What is given here, and for the rest what is given there.
    pub(crate) fn or(mut self, other: Config) -> Self {
        macro_rules! fill {
            ($($name:ident),*) => { $(self.$name = self.$name.or(other.$name);)* };
        }
        each_setting!(fill);
        self
    }

    /// Fills in the defaults that depend on nothing.
    pub(crate) fn with_defaults(self) -> Self {
        let local = |port| Some(HostPort { host: "127.0.0.1".into(), port });
        self.or(Config {
            quic: local(6379),
            redis: local(6379),
            http: local(8080),
            insecure_public: Some(false),
            lease_reads: Some(false),
            debug_commands: Some(false),
            workers: Some(default_workers()),
            ..Config::default()
        })
    }

    /// As a file that says the same, but for the password.
    pub(crate) fn to_toml(&self) -> Result<String, Trouble> {
        let mut shown = self.clone();
        shown.requirepass = shown.requirepass.map(|_| "(hidden)".into());
        toml::to_string(&shown).map_err(|error| Trouble::new(error.to_string()))
    }
}

fn default_workers() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from((processors / 2).clamp(1, 8)).expect("at most eight")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_a_key_of_the_file() {
        let text = "node-id = 2\ndata-dir = \"/d\"\nredis = \"a:1\"\nrequirepass = \"secret\"\n\
                    insecure_public = true\n[cluster]\n1 = \"a:1\"\n2 = \"b:2\"\n";
        let config = Config::parse(text).unwrap();
        assert_eq!((config.node_id, config.insecure_public), (Some(2), Some(true)));
        assert_eq!(config.cluster, Some("1=a:1,2=b:2".parse().unwrap()));
        let listed = Config::parse("cluster = \"1=a:1,2=b:2\"").unwrap();
        assert_eq!(listed.cluster, config.cluster);

        let shown = config.to_toml().unwrap();
        assert!(!shown.contains("secret"), "{shown}");
        let again = Config::parse(&shown).unwrap();
        assert_eq!(again, Config { requirepass: Some("(hidden)".into()), ..config });
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        for (text, said) in [
            ("nonsense = 1", "\"nonsense\""),
            ("nonsense = 1", "data-dir"),
            ("node-id = \"two\"", "node-id"),
            ("redis = \"nonsense\"", "nonsense"),
            ("node-id = 1\nnode_id = 2", "twice"),
            ("node-id = ", "line 1"),
            ("cluster = 5", "HOST:PORT"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn the_first_to_say_something_is_heard() {
        let config = |redis: &str, zone: Option<&str>| Config {
            redis: Some(redis.parse().unwrap()),
            zone: zone.map(Into::into),
            ..Config::default()
        };
        let merged = config("a:1", None).or(config("b:2", Some("z"))).with_defaults();
        assert_eq!(merged.redis, Some("a:1".parse().unwrap()));
        assert_eq!(merged.zone.as_deref(), Some("z"));
        assert_eq!(merged.http, Some("127.0.0.1:8080".parse().unwrap()));
    }
}
