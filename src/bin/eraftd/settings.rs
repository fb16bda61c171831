//! From a merged configuration to the settings of a node: what is missing or makes no sense is said here, with
//! the flag's name, before anything is opened.

use crate::config::Config;
use crate::host_port::{Cluster, HostPort};
use crate::trouble::Trouble;
use eraft::actors::node::{NodeSettings, RedisTls};
use eraft::ids::NodeId;
use eraft::limits;
use eraft::shard::Address;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Above the plain port by this much is the cluster port, unless another is given.
pub(crate) const CLUSTER_PORT_ABOVE: u16 = 1000;

/// Where the cluster port is, given or not.
pub(crate) fn cluster_port(config: &Config) -> Result<Option<HostPort>, Trouble> {
    let (None, Some(redis)) = (&config.redis_cluster, &config.redis) else {
        return Ok(config.redis_cluster.clone());
    };
    let port = redis.port.checked_add(CLUSTER_PORT_ABOVE).ok_or_else(|| {
        Trouble::new(format!(
            "--redis {redis} leaves no port {CLUSTER_PORT_ABOVE} above it; give --redis-cluster"
        ))
    })?;
    Ok(Some(HostPort { host: redis.host.clone(), port }))
}

/// Checks a configuration and resolves its names.
pub(crate) fn check(config: Config) -> Result<NodeSettings, Trouble> {
    let missing = |flag: &str, what: &str| {
        let name = flag.trim_start_matches('-').replace('-', "_");
        Trouble::new(format!(
            "{flag} is missing ({what}); give the flag, the environment variable ERAFT_{}, or a file by --config",
            name.to_uppercase()
        ))
    };
    let redis_cluster = cluster_port(&config)?;
    let node = config.node_id.ok_or_else(|| missing("--node-id", "which node this is"))?;
    if node == 0 {
        return Err(Trouble::new("node ids count from 1"));
    }
    let data_dir =
        config.data_dir.ok_or_else(|| missing("--data-dir", "where the data is kept"))?;
    let certs_dir =
        config.certs.ok_or_else(|| missing("--certs", "the folder with the certificates"))?;
    let join: Vec<String> =
        config.join.unwrap_or_default().iter().map(ToString::to_string).collect();
    let cluster = match config.cluster {
        Some(_) if !join.is_empty() => {
            return Err(Trouble::new(
                "--cluster is for nodes that found a cluster, --join for those that come later; give one of them",
            ));
        }
        Some(cluster) => cluster,
        None if !join.is_empty() => Cluster(BTreeMap::new()),
        None => {
            let what = "the nodes that found the cluster; a node that comes later takes --join";
            return Err(missing("--cluster", what));
        }
    };
    let own = if join.is_empty() { Some(own_entry(&cluster, node)?) } else { None };

    let redis_tls = match (config.redis_tls_cert, config.redis_tls_key, config.redis_tls_ca) {
        (Some(certificate), Some(key), client_ca) => Some(RedisTls { certificate, key, client_ca }),
        (None, None, None) => None,
        _ => {
            return Err(Trouble::new(
                "--redis-tls-cert and --redis-tls-key go together, and --redis-tls-ca with them",
            ));
        }
    };
    let password = config.requirepass;
    if password.as_deref() == Some("") {
        return Err(Trouble::new("--requirepass is empty; leave it out for no password"));
    }

    let asked = [
        ("--quic", config.quic),
        ("--redis", config.redis),
        ("--redis-cluster", redis_cluster),
        ("--http", config.http),
    ];
    let mut listen = Vec::new();
    let mut announce = Vec::new();
    for (flag, asked) in asked {
        let asked = asked.ok_or_else(|| missing(flag, "where to listen"))?;
        let address =
            asked.resolve().map_err(|error| Trouble::new(format!("{flag} {asked}: {error}")))?;
        announce.push(announced(flag, &asked, address, own, config.advertise.as_deref())?);
        listen.push(address);
    }
    let listen: [SocketAddr; 4] = listen.try_into().expect("four of four");
    if config.insecure_public != Some(true) && !(password.is_some() && redis_tls.is_some()) {
        refuse_public(listen[1])?;
        refuse_public(listen[2])?;
    }
    refuse_same(&listen)?;
    Ok(NodeSettings {
        node: NodeId(node),
        data_dir,
        certs_dir,
        listen,
        announce: announce.try_into().expect("four of four"),
        cluster: cluster
            .0
            .into_iter()
            .map(|(node, address)| (NodeId(node), address.to_string()))
            .collect(),
        join,
        password,
        redis_tls,
        workers: config.workers.unwrap_or(1).max(1),
        zone: config.zone,
        snapshot_bytes_per_second: snapshot_rate(config.snapshot_rate)?,
        lease_reads: config.lease_reads == Some(true),
        debug_commands: config.debug_commands == Some(true),
    })
}

fn snapshot_rate(mib: Option<u32>) -> Result<u64, Trouble> {
    match mib {
        None => Ok(limits::SNAPSHOT_BYTES_PER_SECOND_DEFAULT),
        Some(0) => Err(Trouble::new(
            "--snapshot-rate is 0: no follower that fell far behind would ever catch up",
        )),
        Some(mib) => Ok(u64::from(mib) * 1024 * 1024),
    }
}

fn own_entry(cluster: &Cluster, node: u32) -> Result<&HostPort, Trouble> {
    let own = cluster.0.get(&node).ok_or_else(|| {
        let named: Vec<String> = cluster.0.keys().map(ToString::to_string).collect();
        Trouble::new(format!(
            "--cluster does not name this node, {node} (it names {}); add {node}=HOST:PORT, or correct --node-id",
            if named.is_empty() { "nobody".into() } else { named.join(", ") }
        ))
    })?;
    if is_unspecified(&own.host) {
        return Err(Trouble::new(format!(
            "--cluster {node}={own}: others cannot reach {}; give this node's name or address",
            own.host
        )));
    }
    Ok(own)
}

/// How others reach a port of this node.
fn announced(
    flag: &str,
    asked: &HostPort,
    address: SocketAddr,
    own: Option<&HostPort>,
    advertise: Option<&str>,
) -> Result<String, Trouble> {
    let text = match (advertise, own) {
        (Some(host), _) => HostPort { host: host.to_owned(), port: asked.port }.to_string(),
        // The founders' list says how this one is reached, also through a mapped port.
        (None, Some(own)) if flag == "--quic" => own.to_string(),
        (None, Some(own)) if address.ip().is_unspecified() => {
            HostPort { host: own.host.clone(), port: asked.port }.to_string()
        }
        (None, _) => asked.to_string(),
    };
    let refused = |why: &str| {
        Trouble::new(format!("--advertise: {text:?} is no address that others can reach{why}"))
    };
    match Address::parse(&text) {
        Ok(parsed) if is_unspecified(parsed.host) => Err(refused("")),
        Ok(_) => Ok(text),
        Err(error) => Err(refused(&format!(": {error}"))),
    }
}

fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn refuse_public(address: SocketAddr) -> Result<(), Trouble> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Trouble::new(format!(
        "refusing to serve Redis clients on {address}, which is reached from other machines, without both a \
         password (--requirepass) and TLS (--redis-tls-cert, --redis-tls-key); if that network is trusted, say \
         --insecure-public"
    )))
}

/// Two TCP ports of one node cannot be the same.
fn refuse_same(listen: &[SocketAddr; 4]) -> Result<(), Trouble> {
    let [_, redis, cluster, http] = listen;
    for (one, a, other, b) in [
        ("--redis", redis, "--redis-cluster", cluster),
        ("--redis", redis, "--http", http),
        ("--redis-cluster", cluster, "--http", http),
    ] {
        if a == b {
            return Err(Trouble::new(format!("{one} and {other} cannot both listen on {a}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            node_id: Some(2),
            data_dir: Some("/d".into()),
            certs: Some("/c".into()),
            cluster: Some("1=one:6379,2=two:7000".parse().unwrap()),
            ..Config::default()
        }
        .with_defaults()
    }

    fn host_port(text: &str) -> Option<HostPort> {
        Some(text.parse().unwrap())
    }

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = config();
        change(&mut config);
        check(config).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn others_are_told_what_they_can_reach() {
        let settings = check(config()).unwrap();
        assert_eq!(settings.listen[2], ([127, 0, 0, 1], 7379).into());
        assert_eq!(settings.announce[0], "two:7000");
        assert_eq!(settings.announce[2], "127.0.0.1:7379");

        let everywhere = Config {
            quic: host_port("0.0.0.0:6379"),
            redis: host_port("0.0.0.0:6379"),
            insecure_public: Some(true),
            ..config()
        };
        let settings = check(everywhere.clone()).unwrap();
        assert_eq!(settings.announce[..3], ["two:7000", "two:6379", "two:7379"]);
        let settings = check(Config { advertise: Some("me".into()), ..everywhere }).unwrap();
        assert_eq!(settings.announce, ["me:6379", "me:6379", "me:7379", "me:8080"]);
    }

    #[test]
    fn a_node_that_joins_needs_no_founders() {
        let join = Some(vec!["one:6379".parse().unwrap()]);
        let settings = check(Config { cluster: None, join, ..config() }).unwrap();
        assert_eq!(settings.join, ["one:6379"]);
        assert!(settings.cluster.is_empty());
        assert_eq!(settings.announce[0], "127.0.0.1:6379");
    }

    #[test]
    fn a_public_port_needs_password_and_tls() {
        let public = |config: &mut Config| config.redis = host_port("0.0.0.0:6379");
        assert!(refused(public).contains("--insecure-public"));
        assert!(
            refused(|config| config.redis_cluster = host_port("[::]:7"))
                .contains("--insecure-public")
        );
        let half = |config: &mut Config| {
            public(config);
            config.requirepass = Some("p".into());
        };
        assert!(refused(half).contains("--insecure-public"));
        let mut whole = config();
        half(&mut whole);
        (whole.redis_tls_cert, whole.redis_tls_key) = (Some("/a".into()), Some("/b".into()));
        assert!(check(whole).is_ok());
        assert!(check(Config { redis: host_port("[::1]:6379"), ..config() }).is_ok());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(refused(|config| config.node_id = None).contains("ERAFT_NODE_ID"));
        assert!(refused(|config| config.cluster = None).contains("--cluster"));
        let join = || Some(vec!["one:6379".parse().unwrap()]);
        assert!(refused(|config| config.join = join()).contains("one of them"));
        let everywhere = |config: &mut Config| {
            (config.cluster, config.join) = (None, join());
            config.quic = host_port("0.0.0.0:6379");
        };
        assert!(refused(everywhere).contains("--advertise"));
        assert!(refused(|config| config.node_id = Some(3)).contains("names 1, 2"));
        assert!(
            refused(|config| config.cluster = Some("2=0.0.0.0:1".parse().unwrap()))
                .contains("0.0.0.0")
        );
        assert!(
            refused(|config| config.redis_tls_key = Some("/k".into())).contains("--redis-tls-cert")
        );
        assert!(
            refused(|config| config.requirepass = Some(String::new())).contains("--requirepass")
        );
        assert!(
            refused(|config| config.http = host_port("127.0.0.1:7379")).contains("--redis-cluster")
        );
        assert!(
            refused(|config| config.redis = host_port("127.0.0.1:65000"))
                .contains("--redis-cluster")
        );
        assert!(refused(|config| config.advertise = Some("a b".into())).contains("--advertise"));
        assert!(
            refused(|config| config.http = host_port("no-such-host.invalid:1")).contains("--http")
        );
    }
}
