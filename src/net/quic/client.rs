//! The asking side of connections for requests: admins, native clients, and nodes that ask as such.
//!
//! One connection, made when first needed and again when lost. Errors keep "certainly not done" and
//! "outcome unknown" apart: a request is acted upon only once its whole frame has arrived.

use super::handshake::{GreetError, Me, close, describe, greet};
use super::options::{Allows, HANDSHAKE_TIMEOUT, Options};
use super::peer::resolve;
use super::socket;
use super::stream::{FrameStream, ReadFault};
use crate::ids::{BootId, ClusterId, Incarnation, NodeId};
use crate::limits::FRAME_BYTES_MAX;
use crate::net::tls::{self, Identity, Role};
use crate::net::wire::{CloseCode, FrameError, Kind, Purpose, Refusal, header};
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, EndpointConfig, TokioRuntime, VarInt};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

/// The name asked for when it is not known which node will answer; no certificate is held against it.
const ANY_NODE: &str = "node.eraft";

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No UDP socket could be had.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// The certificates cannot be used.
    #[error("cannot use the certificates: {0}")]
    Tls(String),
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The node could not be reached. The request was not sent.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// The node's address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The node refused the connection, or is not who it should be. The request was not sent.
    #[error("{address} refused: {refusal}")]
    Refused {
        /// The node's address.
        address: String,
        /// Why.
        refusal: Refusal,
    },
    /// The request is larger than any node would take. It was not sent.
    #[error("a request of {0} bytes is larger than {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// The time was over before the request was sent.
    #[error("no connection to {0} in time")]
    TimedOutUnsent(String),
    /// The time was over before the answer came. Whether the request was done is unknown.
    #[error("no answer from {0} in time")]
    TimedOut(String),
    /// The connection was lost before the answer came. Whether the request was done is unknown.
    #[error("the connection to {address} was lost: {reason}")]
    Lost {
        /// The node's address.
        address: String,
        /// Why.
        reason: String,
    },
    /// What came is no answer. Whether the request was done is unknown.
    #[error("{address} sent a broken answer: {reason}")]
    Broken {
        /// The node's address.
        address: String,
        /// What was wrong with it.
        reason: String,
    },
}

impl RequestError {
    /// Whether the request may have been done all the same.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TooLong(_)
            | Self::TimedOutUnsent(_) => false,
            Self::TimedOut(_) | Self::Lost { .. } | Self::Broken { .. } => true,
        }
    }
}

#[derive(Clone)]
struct Standing {
    connection: Connection,
    node: NodeId,
}

/// Asks one node. Must be made and used on a tokio runtime.
pub struct Client {
    address: String,
    expect: Option<NodeId>,
    me: Me,
    dialing: ClientConfig,
    /// One per address family, made when needed.
    quinn: [Mutex<Option<quinn::Endpoint>>; 2],
    standing: Mutex<Option<Standing>>,
}

impl Client {
    /// A client of the node at `address` (`host:port`), which has to be `expect` if that is given, and
    /// a node of the same authority in any case. Nothing is sent before the first request.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn new(
        address: impl Into<String>,
        identity: &Identity,
        expect: Option<NodeId>,
        cluster: Option<ClusterId>,
    ) -> Result<Self, ClientError> {
        let tls_error = |error: &dyn std::fmt::Display| ClientError::Tls(error.to_string());
        let config = tls::client_config(identity).map_err(|error| tls_error(&error))?;
        let config = QuicClientConfig::try_from(config).map_err(|error| tls_error(&error))?;
        let mut dialing = ClientConfig::new(Arc::new(config));
        dialing.transport_config(Options::default().transport(Allows::Nothing));
        Ok(Self {
            address: address.into(),
            expect,
            me: Me::new(identity.role(), Incarnation(0), BootId(0), cluster),
            dialing,
            quinn: [Mutex::new(None), Mutex::new(None)],
            standing: Mutex::new(None),
        })
    }

    /// The same, of a node that tells which disk it has.
    #[must_use]
    pub fn of_disk(mut self, disk: Incarnation) -> Self {
        self.me.incarnation = disk;
        self
    }

    /// Where it asks.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connects, if that is not done yet, and says which node answered.
    ///
    /// # Errors
    /// When the node cannot be reached or is refused.
    pub async fn connect(&self, within: Duration) -> Result<NodeId, RequestError> {
        let standing = timeout(within, self.stand());
        match standing.await {
            Ok(standing) => standing.map(|standing| standing.node),
            Err(_) => Err(RequestError::TimedOutUnsent(self.address.clone())),
        }
    }

    /// Sends a request and waits for its answer of one frame.
    ///
    /// # Errors
    /// See [`RequestError`]; [`RequestError::outcome_unknown`] says whether it may have been done.
    pub async fn request(
        &self,
        frame: impl Into<Bytes>,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        let mut answers = self.ask(frame, within).await?;
        match answers.next().await? {
            Some(answer) => Ok(answer),
            None => Err(answers.broken("it has no frame")),
        }
    }

    /// Sends a request whose answer may be many frames. `within` is the time for all of it.
    ///
    /// # Errors
    /// When the request was not sent.
    pub async fn ask(
        &self,
        frame: impl Into<Bytes>,
        within: Duration,
    ) -> Result<Answers, RequestError> {
        let frame = frame.into();
        if frame.len() > FRAME_BYTES_MAX {
            return Err(RequestError::TooLong(frame.len()));
        }
        let deadline = Instant::now() + within;
        match timeout_at(deadline, self.send(frame)).await {
            Ok(Ok((stream, connection))) => {
                let address = self.address.clone();
                Ok(Answers { stream, connection, deadline, address })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RequestError::TimedOutUnsent(self.address.clone())),
        }
    }

    /// Closes the connection and waits, `bound` at most, until the node has been told.
    pub async fn close(self, bound: Duration) {
        for quinn in self.quinn {
            if let Some(quinn) = quinn.into_inner() {
                quinn.close(VarInt::from_u32(CloseCode::Closing.number()), b"done");
                let _ = timeout(bound, quinn.wait_idle()).await;
            }
        }
    }

    /// Sends a whole request. Whatever error this gives, or if it is dropped: the node did not get all
    /// of it.
    async fn send(&self, frame: Bytes) -> Result<(FrameStream, Connection), RequestError> {
        let mut last = None;
        // A connection that stood may turn out to be dead; a second one is fresh.
        for _ in 0..2 {
            let connection = self.stand().await?.connection;
            let sent = async {
                let (mut send, receive) =
                    connection.open_bi().await.map_err(|error| describe(&error))?;
                let mut chunks =
                    [Bytes::copy_from_slice(&header(Kind::Data, frame.len())), frame.clone()];
                send.write_all_chunks(&mut chunks).await.map_err(|error| error.to_string())?;
                let _ = send.finish();
                Ok::<_, String>(receive)
            };
            match sent.await {
                Ok(receive) => return Ok((FrameStream::new(receive, FRAME_BYTES_MAX), connection)),
                Err(reason) => last = Some(reason),
            }
        }
        let address = self.address.clone();
        Err(RequestError::Unreachable { address, reason: last.unwrap_or_default() })
    }

    async fn stand(&self) -> Result<Standing, RequestError> {
        let mut standing = self.standing.lock().await;
        if let Some(standing) = &*standing
            && standing.connection.close_reason().is_none()
        {
            return Ok(standing.clone());
        }
        let address = self.address.clone();
        match timeout(HANDSHAKE_TIMEOUT, self.dial()).await {
            Ok(Ok(fresh)) => Ok(standing.insert(fresh).clone()),
            Ok(Err(GreetError::Refused(refusal) | GreetError::RefusedByPeer(refusal))) => {
                Err(RequestError::Refused { address, refusal })
            }
            Ok(Err(GreetError::Lost(reason))) => Err(RequestError::Unreachable { address, reason }),
            Err(_) => Err(RequestError::Unreachable { address, reason: "no answer".to_owned() }),
        }
    }

    async fn dial(&self) -> Result<Standing, GreetError> {
        let lost = |error: &dyn std::fmt::Display| GreetError::Lost(error.to_string());
        let address = resolve(&self.address, false).await.map_err(GreetError::Lost)?;
        let quinn = self.endpoint(address).await.map_err(|error| lost(&error))?;
        let connecting = quinn
            .connect_with(self.dialing.clone(), address, ANY_NODE)
            .map_err(|error| lost(&error))?;
        let connection = connecting.await.map_err(GreetError::from)?;
        let told = connection.clone();
        match greet(connection, &self.me, self.expect, Purpose::Requests, None).await {
            Ok(greeted) => {
                let Role::Node(node) = greeted.hello.from else {
                    unreachable!("checked with the hello")
                };
                Ok(Standing { connection: greeted.connection, node })
            }
            Err(error) => {
                if let GreetError::Refused(refusal) = &error {
                    close(&told, refusal);
                }
                Err(error)
            }
        }
    }

    async fn endpoint(&self, to: SocketAddr) -> io::Result<quinn::Endpoint> {
        let mut place = self.quinn[usize::from(to.is_ipv6())].lock().await;
        if let Some(quinn) = &*place {
            return Ok(quinn.clone());
        }
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = socket::bind(any)?;
        let quinn =
            quinn::Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
        Ok(place.insert(quinn).clone())
    }
}

/// The frames of an answer, as they come.
pub struct Answers {
    stream: FrameStream,
    connection: Connection,
    deadline: Instant,
    address: String,
}

impl Answers {
    /// The next frame, `None` after the last.
    ///
    /// # Errors
    /// When the time is over, the connection is lost, or the answer is malformed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            match self.stream.next_frame() {
                Ok(Some((Kind::Data, payload))) => return Ok(Some(payload)),
                Ok(Some((kind, _))) => return Err(self.broken(&format!("a {kind:?} frame"))),
                Ok(None) => {}
                Err(error) => return Err(self.frame_error(error)),
            }
            match timeout_at(self.deadline, self.stream.fill()).await {
                Err(_) => return Err(RequestError::TimedOut(self.address.clone())),
                Ok(Ok(true)) => {}
                Ok(Ok(false)) if self.stream.is_between_frames() => return Ok(None),
                Ok(Ok(false)) => return Err(self.broken("it ends within a frame")),
                Ok(Err(ReadFault::Frame(error))) => return Err(self.frame_error(error)),
                Ok(Err(ReadFault::Lost)) => {
                    let reason = match self.connection.close_reason() {
                        Some(error) => describe(&error),
                        None => "the request was given up".to_owned(),
                    };
                    return Err(RequestError::Lost { address: self.address.clone(), reason });
                }
            }
        }
    }

    fn broken(&self, reason: &str) -> RequestError {
        RequestError::Broken { address: self.address.clone(), reason: reason.to_owned() }
    }

    fn frame_error(&self, error: FrameError) -> RequestError {
        self.broken(&error.to_string())
    }
}
