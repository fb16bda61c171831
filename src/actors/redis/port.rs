//! A Redis port: binds, accepts, and runs a task per connection, on every worker thread.

use super::connection::Connection;
use super::registry::{Entry, Registry};
use crate::actors::metrics::{self, PortMetrics};
use crate::actors::router::{Mode, Router};
use crate::net::tls::TlsAcceptor;
use ::metrics::Histogram;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// The pause after a failed accept, which most often means that descriptors have run out.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortKind {
    /// Speaks for the whole cluster.
    Plain,
    /// Serves what is led here and redirects otherwise.
    Cluster,
}

impl PortKind {
    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Plain => Mode::Cluster,
            Self::Cluster => Mode::Here,
        }
    }

    pub(super) fn is_cluster(self) -> bool {
        self == Self::Cluster
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Cluster => "cluster",
        }
    }
}

/// What both ports of a node have in common.
#[derive(Clone)]
pub(crate) struct PortSettings {
    /// What AUTH must give, if anything.
    pub password: Option<String>,
    /// TLS, if wanted.
    pub tls: Option<TlsAcceptor>,
    /// Stops the node (SHUTDOWN).
    pub shutdown: watch::Sender<bool>,
}

/// What the connections of a port share.
pub(super) struct PortContext {
    pub(super) kind: PortKind,
    pub(super) settings: PortSettings,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: PortMetrics,
    random: AtomicU64,
}

thread_local! {
    /// The latency histogram of each command, made when first needed.
    static LATENCIES: RefCell<BTreeMap<&'static str, Histogram>> = const { RefCell::new(BTreeMap::new()) };
}

impl PortContext {
    pub(super) fn latency(&self, command: &'static str, seconds: f64) {
        LATENCIES.with_borrow_mut(|latencies| {
            latencies.entry(command).or_insert_with(|| metrics::command(command)).record(seconds);
        });
    }

    pub(super) fn shutdown(&self) {
        self.settings.shutdown.send_replace(true);
    }

    /// A number that nobody can foresee well enough to matter (which random key to give).
    pub(super) fn random(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A bound port.
pub(crate) struct Port {
    listener: TcpListener,
    context: Arc<PortContext>,
}

/// Binds a Redis port.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn bind(
    address: SocketAddr,
    kind: PortKind,
    settings: PortSettings,
    registry: Arc<Registry>,
) -> io::Result<Port> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let random = AtomicU64::new(random);
    let metrics = PortMetrics::new(kind.name());
    let context = Arc::new(PortContext { kind, settings, registry, metrics, random });
    Ok(Port { listener: socket.into(), context })
}

impl Port {
    /// Another handle on the same port, for another worker thread.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self { listener: self.listener.try_clone()?, context: self.context.clone() })
    }

    /// Accepts connections on this worker thread, for ever.
    ///
    /// # Errors
    /// When the listener cannot be used on this thread.
    pub(crate) async fn serve(self, router: Router) -> io::Result<()> {
        let local = self.listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("cannot accept a client: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // A small answer must not wait for the next one.
            let _ = stream.set_nodelay(true);
            let Some(entry) = self.context.registry.open(address, local) else {
                self.context.metrics.rejected.increment(1);
                let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
                continue;
            };
            let (context, router) = (self.context.clone(), router.clone());
            tokio::task::spawn_local(async move {
                let open = Open::new(context.clone(), entry.clone());
                let mut connection = Connection::new(context.clone(), router, entry);
                let ended = match &context.settings.tls {
                    None => run(&mut connection, stream).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => run(&mut connection, stream).await,
                        Err(error) => Err(error),
                    },
                };
                if let Err(error) = ended {
                    tracing::debug!(%address, "client connection ended: {error}");
                }
                drop(open);
            });
        }
    }
}

async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection,
    mut stream: S,
) -> io::Result<()> {
    connection.serve(&mut stream).await
}

/// Counts a connection for as long as it lives, however it ends.
struct Open {
    context: Arc<PortContext>,
    entry: Arc<Entry>,
}

impl Open {
    fn new(context: Arc<PortContext>, entry: Arc<Entry>) -> Self {
        context.metrics.accepted.increment(1);
        context.metrics.open.increment(1.0);
        Self { context, entry }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.context.metrics.open.decrement(1.0);
        self.context.registry.close(self.entry.id);
    }
}
