//! The HTTP port: `/metrics` for Prometheus, `/healthz` (the process lives) and `/readyz` (it can serve).
//!
//! Stands apart from the rest of the network: it gets closures and knows nothing of groups or stores. Its
//! clients are trusted little: each connection answers one request, lives [`CONNECTION_TIMEOUT`] at most,
//! and there are never more than [`HTTP_CONNECTIONS_MAX`]; further ones wait in the kernel's queue.

use crate::ids::GroupId;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at a time.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// The life of a connection: request, answer and close.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for answers under way.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after a failed accept, which most often means that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the port does not serve.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be had: in use, not ours, or not allowed.
    #[error("cannot listen for HTTP on {address}: {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listener broke.
    #[error("HTTP stopped: {0}")]
    Serve(#[source] io::Error),
}

/// Whether the node can serve, and if not, what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// Groups of which this node knows no leader.
    pub groups_without_leader: Vec<GroupId>,
    /// Other reasons, in words.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// Nothing is missing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.groups_without_leader.is_empty() && self.reasons.is_empty()
    }
}

/// What the port tells. The closures are called on the runtime's thread and must not block.
#[derive(Clone)]
pub struct Pages {
    /// The metrics, in Prometheus's text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether the node can serve.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
}

/// A bound HTTP port.
pub struct HttpServer {
    listener: Bounded,
    address: SocketAddr,
    router: Router,
}

impl HttpServer {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr, pages: Pages) -> Result<Self, HttpError> {
        let bind_error = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .layer(axum::middleware::map_response(close))
            .with_state(pages);
        Ok(Self {
            listener: Bounded { listener, places, life: CONNECTION_TIMEOUT },
            address,
            router,
        })
    }

    /// The address that was bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` completes, and then [`STOP_TIMEOUT`] longer at most.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn run(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), HttpError> {
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let graceful = async move {
            stop.await;
            // Nobody listens any more only if serving has ended already.
            let _ = stopping.send(());
        };
        let serving = axum::serve(self.listener, self.router).with_graceful_shutdown(graceful);
        let deadline = async move {
            match stopped.await {
                Ok(()) => tokio::time::sleep(STOP_TIMEOUT).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            result = serving.into_future() => result.map_err(HttpError::Serve),
            () = deadline => Ok(()),
        }
    }
}

/// Each connection answers once; a scraper opens a new one every few seconds, which costs nothing.
async fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([kind], (pages.metrics)()).into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(pages): State<Pages>) -> Response {
    #[derive(serde::Serialize)]
    struct Body {
        ready: bool,
        #[serde(flatten)]
        readiness: Readiness,
    }
    let readiness = (pages.readiness)();
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&Body { ready, readiness })
        .expect("a struct of numbers and strings is JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// A listener that accepts only as many connections as there are places.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    life: Duration,
}

impl axum::serve::Listener for Bounded {
    type Io = Mortal;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Mortal, SocketAddr) {
        let place =
            self.places.clone().acquire_owned().await.expect("this semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let end = Box::pin(tokio::time::sleep(self.life));
                    return (Mortal { stream, end, _place: place }, peer);
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting an HTTP connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails at the end of its time, whatever its peer does or leaves undone.
struct Mortal {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Mortal {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    fn on_one_thread(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn pages_tell_what_the_closures_say_and_a_stop_frees_the_port() {
        on_one_thread(async {
            let ready = Arc::new(AtomicBool::new(false));
            let seen = ready.clone();
            let pages = Pages {
                metrics: Arc::new(|| "up 1\n".to_owned()),
                readiness: Arc::new(move || match seen.load(Ordering::Relaxed) {
                    true => Readiness::default(),
                    false => {
                        Readiness { groups_without_leader: vec![GroupId(2)], reasons: Vec::new() }
                    }
                }),
            };
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = HttpServer::bind(any, pages.clone()).await.unwrap();
            let address = server.address();
            let (stop, stopped) = oneshot::channel::<()>();
            let running = tokio::task::spawn_local(server.run(async {
                stopped.await.unwrap();
            }));

            let taken = HttpServer::bind(address, pages.clone()).await.err().unwrap().to_string();
            assert!(taken.contains(&address.to_string()) && taken.contains("in use"), "{taken}");

            assert!(get(address, "/metrics").await.ends_with("\r\n\r\nup 1\n"));
            assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
            let unready = get(address, "/readyz").await;
            assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
            assert!(
                unready.contains(r#"{"ready":false,"groups_without_leader":[2],"reasons":[]}"#),
                "{unready}"
            );
            ready.store(true, Ordering::Relaxed);
            assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
            assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
            let posted = ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(posted.starts_with("HTTP/1.1 405"));

            // A silent connection does not keep the server from stopping.
            let silent = TcpStream::connect(address).await.unwrap();
            stop.send(()).unwrap();
            running.await.unwrap().unwrap();
            drop(silent);
            HttpServer::bind(address, pages).await.unwrap();
        });
    }

    #[test]
    fn silent_connections_lose_their_place() {
        on_one_thread(async {
            let pages =
                Pages { metrics: Arc::new(String::new), readiness: Arc::new(Readiness::default) };
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut server = HttpServer::bind(any, pages).await.unwrap();
            server.listener.life = Duration::from_secs(2);
            let address = server.address();
            tokio::task::spawn_local(server.run(std::future::pending()));
            let mut silent = Vec::new();
            for _ in 0..HTTP_CONNECTIONS_MAX {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            let within = |limit| tokio::time::timeout(limit, get(address, "/healthz"));
            let early = within(Duration::from_secs(1)).await;
            assert!(early.is_err(), "there was no place left, but: {early:?}");
            assert!(within(CONNECTION_TIMEOUT * 2).await.unwrap().starts_with("HTTP/1.1 200"));
        });
    }
}
