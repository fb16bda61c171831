//! What a node is told when it starts, checked.

use crate::ids::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// See the module's first lines. Addresses to listen on are numeric; those told to others are
/// `host:port` as others reach them.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Which node.
    pub node: NodeId,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its certificates.
    pub certs_dir: PathBuf,
    /// Where to listen: QUIC (UDP), Redis plain, Redis cluster, HTTP.
    pub listen: [SocketAddr; 4],
    /// The same, as others reach them.
    pub announce: [String; 4],
    /// The founders' QUIC addresses, this node's among them. None of a node that joins a cluster.
    pub cluster: BTreeMap<NodeId, String>,
    /// Nodes of a running cluster, by their QUIC addresses, that are to take this node in if it belongs to none.
    pub join: Vec<String>,
    /// The password of the Redis ports.
    pub password: Option<String>,
    /// TLS on the Redis ports.
    pub redis_tls: Option<RedisTls>,
    /// Worker threads.
    pub workers: u16,
    /// Where the node stands; nodes of one zone may fail together.
    pub zone: Option<String>,
    /// What all snapshots that this node sends may take together, bytes per second.
    pub snapshot_bytes_per_second: u64,
    /// Serve reads on leases.
    pub lease_reads: bool,
    /// Commands that break things on purpose are taken.
    pub debug_commands: bool,
}

/// Files for TLS on the Redis ports.
#[derive(Clone, Debug)]
pub struct RedisTls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// If given, clients must show a certificate of this CA.
    pub client_ca: Option<PathBuf>,
}
