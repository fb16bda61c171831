//! How the cluster is reached: which nodes, with which certificate, for how long.

use crate::answer::Trouble;
use crate::args::Global;
use eraft::client::{Client, ClientOptions};
use eraft::codec;
use eraft::ids::NodeId;
use eraft::net::message::{AdminRequest, AdminResponse, NodeStatus};
use eraft::net::quic;
use eraft::net::tls::{Identity, Role};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a node may take to accept a connection before it counts as not there.
const CONNECT: Duration = Duration::from_millis(1_500);

/// See the module's first lines.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// The nodes to ask. Of a dev cluster these are all.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) identity: Identity,
    pub(crate) timeout: Duration,
    pub(crate) json: bool,
}

/// A node to ask, by its QUIC address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    /// Its id, if that is known beforehand.
    pub(crate) node: Option<NodeId>,
}

/// What a node says of itself, or why it does not.
pub(crate) type Said = (Endpoint, Result<NodeStatus, String>);

/// What we read of a dev cluster's `dev.json`.
#[derive(Deserialize)]
struct Dev {
    nodes: Vec<DevNode>,
}

#[derive(Deserialize)]
struct DevNode {
    id: u32,
    quic: String,
}

impl Reach {
    /// From the command line; `default` is how long a command may take if that does not say.
    pub(crate) fn new(global: &Global, default: Duration) -> Result<Self, Trouble> {
        let seconds = global.timeout.unwrap_or(default.as_secs_f64());
        let timeout = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        let timeout =
            timeout.filter(|time| *time <= Duration::from_secs(24 * 3600)).ok_or_else(|| {
                Trouble::new(format!(
                    "--timeout {seconds} is no time in seconds, from above 0 to a day"
                ))
            })?;
        let (endpoints, certs) = if global.endpoint.is_empty() {
            let certs = global.certs.clone().unwrap_or_else(|| global.dir.join("certs"));
            (dev_endpoints(&global.dir)?, certs)
        } else {
            let certs = global.certs.clone().ok_or_else(|| {
                Trouble::new(
                    "--endpoint needs --certs DIR, the folder with ca.pem and your certificate",
                )
            })?;
            let endpoint = |address: &String| Endpoint { address: address.clone(), node: None };
            (global.endpoint.iter().map(endpoint).collect(), certs)
        };
        let identity = identity(&certs)?;
        Ok(Self { endpoints, identity, timeout, json: global.json })
    }

    /// A client of all nodes that are known, and that are a cluster.
    pub(crate) async fn client(&self) -> Result<Client, Trouble> {
        let client = self.client_from(0).await?;
        // Nodes without a cluster would let everything wait until the time is over.
        match client.ask(&AdminRequest::Status).await? {
            AdminResponse::Status(status) if status.cluster.is_none() => {
                Err(Trouble::new(format!(
                    "node {} belongs to no cluster yet; make one with `eraftctl init`",
                    status.node.0
                )))
            }
            _ => Ok(client),
        }
    }

    /// A client that asks this one of them first.
    pub(crate) async fn client_from(&self, first: usize) -> Result<Client, Trouble> {
        let addresses = self.endpoints.iter().map(|endpoint| endpoint.address.clone());
        let options = ClientOptions { timeout: self.timeout, first, ..ClientOptions::default() };
        Client::connect(addresses, &self.identity, options).await.map_err(|error| {
            Trouble::new(format!(
                "no node answered: {error}; are they running? Their logs say more"
            ))
        })
    }

    /// Asks all these nodes at once how they are. A node that does not answer costs no more than a moment.
    pub(crate) async fn statuses(&self, endpoints: Vec<Endpoint>, deadline: Instant) -> Vec<Said> {
        let mut asking = JoinSet::new();
        for endpoint in endpoints {
            let identity = self.identity.clone();
            asking.spawn(async move {
                let said = status(&endpoint, &identity, deadline).await;
                (endpoint, said)
            });
        }
        asking.join_all().await
    }

    /// Asks one node one thing.
    pub(crate) async fn ask(
        &self,
        address: &str,
        request: &AdminRequest,
    ) -> Result<AdminResponse, Trouble> {
        let client = quic::Client::new(address, &self.identity, None, None);
        let client = client.map_err(|error| Trouble::new(error.to_string()))?;
        let frame = client.request(codec::encode(request), self.timeout).await;
        let frame = frame.map_err(|error| Trouble::new(error.to_string()))?;
        codec::decode(&frame).map_err(|error| {
            Trouble::new(format!("{address} gave an answer that cannot be read: {error}"))
        })
    }

    /// The time is over.
    pub(crate) fn late(&self) -> Trouble {
        let addresses: Vec<&str> =
            self.endpoints.iter().map(|endpoint| &*endpoint.address).collect();
        Trouble::new(format!(
            "no answer within {} s from {}; see the nodes' logs, or give more --timeout",
            self.timeout.as_secs_f32(),
            addresses.join(", ")
        ))
    }
}

async fn status(
    endpoint: &Endpoint,
    identity: &Identity,
    deadline: Instant,
) -> Result<NodeStatus, String> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let client = quic::Client::new(&endpoint.address, identity, endpoint.node, None);
    let client = client.map_err(|error| error.to_string())?;
    client.connect(CONNECT.min(left() / 2)).await.map_err(|error| error.to_string())?;
    let answer = client.request(codec::encode(&AdminRequest::Status), left()).await;
    match codec::decode(&answer.map_err(|error| error.to_string())?) {
        Ok(AdminResponse::Status(status)) => Ok(*status),
        Ok(AdminResponse::Failed(reason)) => Err(reason),
        Ok(_) => Err("an answer that does not fit the question".into()),
        Err(error) => Err(format!("an answer that cannot be read: {error}")),
    }
}

fn dev_endpoints(dir: &Path) -> Result<Vec<Endpoint>, Trouble> {
    let path = dir.join("dev.json");
    let bytes = std::fs::read(&path).map_err(|error| {
        Trouble::new(format!(
            "cannot read {}: {error}; is {} the folder of an `eraftd dev`? Otherwise say --endpoint HOST:PORT and --certs DIR",
            path.display(),
            dir.display()
        ))
    })?;
    let dev: Dev = serde_json::from_slice(&bytes)
        .map_err(|error| Trouble::new(format!("cannot understand {}: {error}", path.display())))?;
    let endpoint = |node: DevNode| Endpoint { address: node.quic, node: Some(NodeId(node.id)) };
    Ok(dev.nodes.into_iter().map(endpoint).collect())
}

/// The admin's certificate; without one, a client's.
fn identity(certs: &Path) -> Result<Identity, Trouble> {
    let file = |role: Role| -> PathBuf { certs.join(format!("{}.pem", role.file_stem())) };
    let role = if !file(Role::Admin).exists() && file(Role::Client).exists() {
        Role::Client
    } else {
        Role::Admin
    };
    Identity::load(certs, role).map_err(|error| Trouble::new(error.to_string()))
}
