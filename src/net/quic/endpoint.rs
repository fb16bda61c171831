//! The node's UDP port: dials peers, accepts whoever has a certificate, and keeps one task per peer.
//!
//! Lives on the runtime it was bound on (a current-thread one, usually). Nothing here blocks.

use super::handshake::{GreetError, Greeted, Me, answer, close};
use super::inbound::Inbound;
use super::options::{Allows, CLIENT_CONNECTIONS_MAX, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, Options};
use super::peer::{ACCEPTED_MAX, PeerHandle, PeerTask};
use super::requests;
use super::secret::NodeSecret;
use super::socket;
use super::stats::Stats;
use crate::ids::{BootId, ClusterId, Incarnation, NodeId};
use crate::net::tls::{self, Identity, Role};
use crate::net::wire::{CloseCode, Purpose, Refusal};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Incoming, ServerConfig, TokioRuntime, VarInt};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be had: in use, not ours, or not allowed.
    #[error("cannot listen for QUIC on {address} (UDP): {source}")]
    Socket {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("cannot use the certificates: {0}")]
    Tls(String),
    /// The identity is not a node's.
    #[error("a node needs a node's certificate, and this one is for: {0}")]
    NotANode(Role),
}

/// Who this node is, beside its certificate.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its cluster, once it is born.
    pub cluster: Option<ClusterId>,
    /// The life of its disk.
    pub incarnation: Incarnation,
    /// The life of its process.
    pub boot: BootId,
    /// Kept on its disk.
    pub secret: NodeSecret,
}

/// What all tasks of an endpoint share.
pub(super) struct Shared {
    pub(super) me: Me,
    pub(super) quinn: quinn::Endpoint,
    pub(super) dialing: ClientConfig,
    pub(super) ipv4_only: bool,
    pub(super) inbound: Arc<dyn Inbound>,
    pub(super) stats: Arc<Stats>,
    runtime: tokio::runtime::Handle,
    peers: Mutex<BTreeMap<NodeId, Entry>>,
    handshakes: Arc<Semaphore>,
    clients: Arc<Semaphore>,
}

struct Entry {
    handle: PeerHandle,
    accepted: mpsc::Sender<Greeted>,
    stop: watch::Sender<Option<Refusal>>,
}

/// A node's endpoint. Dropping it closes everything without waiting.
pub struct Endpoint {
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Binds `address` (port 0 takes a free one) and begins to accept. Must be called on a tokio
    /// runtime, where all its tasks will run.
    ///
    /// # Errors
    /// When the address cannot be had or the certificates cannot be used.
    pub fn bind(
        address: SocketAddr,
        identity: &Identity,
        node: Node,
        options: Options,
        inbound: Arc<dyn Inbound>,
    ) -> Result<Self, BindError> {
        let Role::Node(_) = identity.role() else {
            return Err(BindError::NotANode(identity.role()));
        };
        let tls_error = |error: &dyn std::fmt::Display| BindError::Tls(error.to_string());
        let server = tls::server_config(identity).map_err(|error| tls_error(&error))?;
        let server = QuicServerConfig::try_from(server).map_err(|error| tls_error(&error))?;
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(options.transport(Allows::Everything));
        server.max_incoming(HANDSHAKES_MAX);
        let client = tls::node_config(identity).map_err(|error| tls_error(&error))?;
        let client = QuicClientConfig::try_from(client).map_err(|error| tls_error(&error))?;
        let mut dialing = ClientConfig::new(Arc::new(client));
        dialing.transport_config(options.transport(Allows::Lanes));

        let socket_error = |source| BindError::Socket { address, source };
        let socket = socket::bind(address).map_err(socket_error)?;
        let quinn = quinn::Endpoint::new(
            node.secret.endpoint_config(),
            Some(server),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(socket_error)?;
        let shared = Arc::new(Shared {
            me: Me::new(identity.role(), node.incarnation, node.boot, node.cluster),
            quinn,
            dialing,
            ipv4_only: address.is_ipv4(),
            inbound,
            stats: Arc::new(Stats::default()),
            runtime: tokio::runtime::Handle::current(),
            peers: Mutex::new(BTreeMap::new()),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            clients: Arc::new(Semaphore::new(CLIENT_CONNECTIONS_MAX)),
        });
        tokio::spawn(accept(shared.clone()));
        Ok(Self { shared })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.shared.quinn.local_addr()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        self.shared.stats.clone()
    }

    /// From now on the node belongs to this cluster. Connected peers are told; those of another
    /// cluster, now or when they tell theirs, are cut off.
    pub fn set_cluster(&self, cluster: ClusterId) {
        self.shared.me.set_cluster(cluster);
    }

    /// Keeps a connection to a node from now on; `address` is `host:port`. For a peer that is known
    /// already this is the way to tell its new address.
    ///
    /// # Panics
    /// When `id` is this node itself.
    pub fn peer(&self, id: NodeId, address: impl Into<String>) -> PeerHandle {
        assert!(Role::Node(id) != self.shared.me.role, "a node is not its own peer");
        let address = address.into();
        let mut peers = self.shared.peers();
        if let Some(entry) = peers.get(&id) {
            entry.handle.set_address(address);
            return entry.handle.clone();
        }
        let handle = PeerHandle::new(id, address, self.shared.stats.clone());
        let (accepted, accepting) = mpsc::channel(ACCEPTED_MAX);
        let (stop, stopping) = watch::channel(None);
        let task = PeerTask {
            shared: self.shared.clone(),
            handle: handle.clone(),
            accepted: accepting,
            stop: stopping,
        };
        peers.insert(id, Entry { handle: handle.clone(), accepted, stop });
        self.shared.runtime.spawn(task.run());
        handle
    }

    /// Forgets a peer: its connection is closed, and it is refused from now on.
    pub fn remove_peer(&self, id: NodeId) {
        if let Some(entry) = self.shared.peers().remove(&id) {
            entry.stop.send_replace(Some(Refusal::new(
                CloseCode::Removed,
                "this node was removed from the other's peers",
            )));
        }
    }

    /// Closes all connections, and waits, `bound` at most, until the others have been told.
    pub async fn close(self, bound: Duration) {
        self.shared.stop();
        // Peers that did not answer are of no concern any more.
        let _ = timeout(bound, self.shared.quinn.wait_idle()).await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Entry>> {
        self.peers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn stop(&self) {
        let stopping = Refusal::new(CloseCode::Closing, "the node stops");
        for entry in std::mem::take(&mut *self.peers()).into_values() {
            entry.stop.send_replace(Some(stopping.clone()));
        }
        self.quinn.close(VarInt::from_u32(stopping.code.number()), stopping.wire_text());
    }
}

async fn accept(shared: Arc<Shared>) {
    while let Some(incoming) = shared.quinn.accept().await {
        match shared.handshakes.clone().try_acquire_owned() {
            // Half the places are for those that have proved their address, so that forged ones
            // cannot take them all.
            Ok(_)
                if shared.handshakes.available_permits() < HANDSHAKES_MAX / 2
                    && !incoming.remote_address_validated()
                    && incoming.may_retry() =>
            {
                let _ = incoming.retry();
            }
            Ok(place) => {
                tokio::spawn(welcome(shared.clone(), incoming, place));
            }
            Err(_) => {
                shared.stats.refused(CloseCode::Busy).one();
                incoming.refuse();
            }
        }
    }
}

/// Takes an incoming connection through TLS and hello to its place.
async fn welcome(shared: Arc<Shared>, incoming: Incoming, place: OwnedSemaphorePermit) {
    let address = incoming.remote_address();
    let greeting = async {
        let connection = incoming.await?;
        let told = connection.clone();
        let greeted = answer(connection, &shared.me, &*shared.inbound).await;
        if let Err(GreetError::Refused(refusal)) = &greeted {
            close(&told, refusal);
        }
        greeted
    };
    let greeted = match timeout(HANDSHAKE_TIMEOUT, greeting).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(GreetError::Refused(refusal))) => {
            tracing::warn!(%address, %refusal, "refused a connection");
            shared.stats.refused(refusal.code).one();
            return;
        }
        Ok(Err(error)) => {
            tracing::info!(%address, %error, "an incoming connection failed");
            shared.stats.handshakes_failed.one();
            return;
        }
        Err(_) => {
            tracing::info!(%address, "an incoming connection did not say hello in time");
            shared.stats.handshakes_failed.one();
            return;
        }
    };
    drop(place);
    let connection = greeted.connection.clone();
    let refusal = match greeted.hello.purpose {
        Purpose::Peer => hand_over(&shared, greeted),
        Purpose::Requests => match shared.clients.clone().try_acquire_owned() {
            Ok(_client) => {
                shared.stats.clients_connected.one();
                requests::serve(shared.clone(), greeted).await;
                shared.stats.clients_disconnected.one();
                Ok(())
            }
            Err(_) => Err(Refusal::new(CloseCode::Busy, "too many clients")),
        },
    };
    if let Err(refusal) = refusal {
        tracing::warn!(%address, %refusal, "refused a connection");
        shared.stats.refused(refusal.code).one();
        close(&connection, &refusal);
    }
}

/// Gives a connection to the task of its peer.
fn hand_over(shared: &Shared, greeted: Greeted) -> Result<(), Refusal> {
    let Role::Node(id) = greeted.hello.from else { unreachable!("checked with the hello") };
    if matches!(shared.me.role, Role::Node(me) if me < id) {
        let text = "the lower id dials, and that is this node";
        return Err(Refusal::new(CloseCode::Protocol, text));
    }
    let unknown = || {
        let text = format!("node {} is no peer of this node", id.0);
        Refusal::new(CloseCode::UnknownNode, text)
    };
    let accepted = shared.peers().get(&id).map(|entry| entry.accepted.clone());
    let outcome = accepted.ok_or_else(unknown)?.try_send(greeted);
    outcome.map_err(|error| match error {
        mpsc::error::TrySendError::Closed(_) => unknown(),
        mpsc::error::TrySendError::Full(_) => {
            Refusal::new(CloseCode::Busy, "too many connections of one peer")
        }
    })
}
