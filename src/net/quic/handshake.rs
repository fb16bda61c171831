//! The hellos: what each side says of itself, and what it checks of the other before anything else.
//!
//! The order of checks is the order of trust: the certificate first (TLS), then whether it names the
//! role claimed, then whether we are meant, then the cluster, then what the node itself knows (`admit`).

use super::inbound::Inbound;
use crate::ids::{BootId, ClusterId, Incarnation, NodeId};
use crate::net::tls::{Role, certificate_names};
use crate::net::wire::{
    CloseCode, FrameError, FrameReader, HELLO_BYTES_MAX, Hello, Kind, PROTOCOL_NEWEST,
    PROTOCOL_OLDEST, Purpose, Refusal, header,
};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use rustls::pki_types::CertificateDer;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Who we are, for our hellos.
#[derive(Debug)]
pub(crate) struct Me {
    pub(crate) role: Role,
    pub(crate) incarnation: Incarnation,
    pub(crate) boot: BootId,
    cluster: watch::Sender<Option<ClusterId>>,
    dials: AtomicU64,
}

impl Me {
    pub(crate) fn new(
        role: Role,
        incarnation: Incarnation,
        boot: BootId,
        cluster: Option<ClusterId>,
    ) -> Self {
        let (cluster, dials) = (watch::Sender::new(cluster), AtomicU64::new(0));
        Self { role, incarnation, boot, cluster, dials }
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        *self.cluster.borrow()
    }

    /// Tells of later births.
    pub(crate) fn watch_cluster(&self) -> watch::Receiver<Option<ClusterId>> {
        self.cluster.subscribe()
    }

    pub(crate) fn set_cluster(&self, cluster: ClusterId) {
        self.cluster.send_replace(Some(cluster));
    }

    fn hello(&self, to: Option<NodeId>, purpose: Purpose) -> Hello {
        Hello {
            oldest: PROTOCOL_OLDEST,
            newest: PROTOCOL_NEWEST,
            cluster: self.cluster(),
            from: self.role,
            to,
            incarnation: self.incarnation,
            boot: self.boot,
            dial: self.dials.fetch_add(1, Ordering::Relaxed) + 1,
            purpose,
        }
    }
}

/// A connection whose both hellos were found good.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) connection: Connection,
    /// What the other side said.
    pub(crate) hello: Hello,
    /// The cluster that we told it.
    pub(crate) told: Option<ClusterId>,
    /// The protocol version in force.
    pub(crate) version: u16,
    /// Our own dial's number or theirs: which of two connections is newer.
    pub(crate) dial: u64,
}

/// Why there is no [`Greeted`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    /// We refuse the other side. It was told.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The other side refuses us.
    #[error("the other side refused: {0}")]
    RefusedByPeer(Refusal),
    /// The connection failed.
    #[error("{0}")]
    Lost(String),
}

impl GreetError {
    fn lost(error: impl Into<LostStream>) -> Self {
        let error = error.into();
        match error.0.as_ref().and_then(closed_by_peer) {
            Some(refusal) => Self::RefusedByPeer(refusal),
            None => Self::Lost(match error.0 {
                Some(error) => describe(&error),
                None => "the stream was reset".to_owned(),
            }),
        }
    }
}

impl From<ConnectionError> for GreetError {
    fn from(error: ConnectionError) -> Self {
        Self::lost(error)
    }
}

/// The connection error behind a stream error, if there is one.
struct LostStream(Option<ConnectionError>);

impl From<ConnectionError> for LostStream {
    fn from(error: ConnectionError) -> Self {
        Self(Some(error))
    }
}

impl From<ReadError> for LostStream {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self(Some(error)),
            _ => Self(None),
        }
    }
}

impl From<WriteError> for LostStream {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self(Some(error)),
            _ => Self(None),
        }
    }
}

/// What the other side gave as its reason to close, if it did so itself.
pub(crate) fn closed_by_peer(error: &ConnectionError) -> Option<Refusal> {
    let ConnectionError::ApplicationClosed(close) = error else {
        return None;
    };
    let text = String::from_utf8_lossy(&close.reason).into_owned();
    match CloseCode::from_number(close.error_code.into_inner()) {
        Some(code) => Some(Refusal { code, text }),
        None => {
            let text = format!("{text} (code {} of a later version)", close.error_code);
            Some(Refusal { code: CloseCode::Protocol, text })
        }
    }
}

/// A connection error in a sentence.
pub(crate) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Reset => "the other side restarted".to_owned(),
        ConnectionError::TimedOut => "nothing was heard for too long".to_owned(),
        ConnectionError::LocallyClosed => "closed by this side".to_owned(),
        other => match closed_by_peer(other) {
            Some(refusal) => format!("closed by the other side: {refusal}"),
            None => other.to_string(),
        },
    }
}

/// Closes a connection so that the other side learns why.
pub(crate) fn close(connection: &Connection, refusal: &Refusal) {
    connection.close(VarInt::from_u32(refusal.code.number()), refusal.wire_text());
}

/// The dialing side: says hello and checks the answer. `expect` is the node that was meant.
pub(crate) async fn greet(
    connection: Connection,
    me: &Me,
    expect: Option<NodeId>,
    purpose: Purpose,
    inbound: Option<&dyn Inbound>,
) -> Result<Greeted, GreetError> {
    let ours = me.hello(expect, purpose);
    let (dial, told) = (ours.dial, ours.cluster);
    let (mut send, mut receive) = connection.open_bi().await?;
    write_hello(&mut send, &ours).await.map_err(GreetError::lost)?;
    let hello = read_hello(&mut receive).await?;
    let checked = match (hello.from, expect) {
        (Role::Node(id), Some(expected)) if id == expected => Ok(()),
        (Role::Node(_), None) => Ok(()),
        (other, Some(expected)) => Err(Refusal::new(
            CloseCode::WrongNode,
            format!("dialed node {}, and {other} answered: check the addresses", expected.0),
        )),
        (other, None) => {
            Err(Refusal::new(CloseCode::WrongNode, format!("dialed a node, and {other} answered")))
        }
    };
    let version = checked
        .and_then(|()| check(&connection, me, &hello, inbound))
        .map_err(GreetError::Refused)?;
    Ok(Greeted { connection, hello, told, version, dial })
}

/// The accepting side: checks the other side's hello and answers with ours.
pub(crate) async fn answer(
    connection: Connection,
    me: &Me,
    inbound: &dyn Inbound,
) -> Result<Greeted, GreetError> {
    let (mut send, mut receive) = connection.accept_bi().await?;
    let hello = read_hello(&mut receive).await?;
    let version = check(&connection, me, &hello, Some(inbound)).map_err(GreetError::Refused)?;
    let to = match hello.from {
        Role::Node(id) => Some(id),
        Role::Admin | Role::Client => None,
    };
    let ours = me.hello(to, hello.purpose);
    write_hello(&mut send, &ours).await.map_err(GreetError::lost)?;
    let dial = hello.dial;
    Ok(Greeted { connection, hello, told: ours.cluster, version, dial })
}

fn check(
    connection: &Connection,
    me: &Me,
    hello: &Hello,
    inbound: Option<&dyn Inbound>,
) -> Result<u16, Refusal> {
    let refuse = |code, text: String| Err(Refusal::new(code, text));
    let Some(version) = hello.common_version() else {
        return refuse(
            CloseCode::Version,
            format!(
                "this program speaks protocols {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST}, the other {} to {}",
                hello.oldest, hello.newest
            ),
        );
    };
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    if !chain.is_some_and(|chain| certificate_names(&chain, hello.from)) {
        return refuse(
            CloseCode::WrongRole,
            format!("the certificate does not name the {} it is shown for", hello.from),
        );
    }
    if let (Some(meant), Role::Node(id)) = (hello.to, me.role)
        && meant != id
    {
        return refuse(
            CloseCode::WrongNode,
            format!("this is node {}, and node {} was meant: check the addresses", id.0, meant.0),
        );
    }
    if hello.purpose == Purpose::Peer
        && (hello.from == me.role || !matches!(hello.from, Role::Node(_)))
    {
        return refuse(CloseCode::WrongRole, format!("{} is no peer of {}", hello.from, me.role));
    }
    same_cluster(hello.cluster, me.cluster())?;
    if let Some(inbound) = inbound {
        inbound.admit(hello)?;
    }
    Ok(version)
}

/// Two clusters must not meet; who is not born yet may meet any.
pub(crate) fn same_cluster(
    theirs: Option<ClusterId>,
    ours: Option<ClusterId>,
) -> Result<(), Refusal> {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Refusal::new(
            CloseCode::WrongCluster,
            format!("this is cluster {ours}, and the other side belongs to {theirs}"),
        )),
        _ => Ok(()),
    }
}

async fn write_hello(send: &mut SendStream, hello: &Hello) -> Result<(), WriteError> {
    let payload = hello.encode();
    let mut bytes = header(Kind::Hello, payload.len()).to_vec();
    bytes.extend_from_slice(&payload);
    send.write_chunk(Bytes::from(bytes)).await?;
    // It is open: nobody else has it.
    let _ = send.finish();
    Ok(())
}

async fn read_hello(receive: &mut RecvStream) -> Result<Hello, GreetError> {
    let malformed = |text: String| GreetError::Refused(Refusal::new(CloseCode::Malformed, text));
    let mut reader = FrameReader::new(HELLO_BYTES_MAX);
    loop {
        let chunk = receive
            .read_chunk(HELLO_BYTES_MAX, true)
            .await
            .map_err(GreetError::lost)?
            .ok_or_else(|| malformed("the stream ended within the hello".to_owned()))?;
        reader.push(&[chunk.bytes]);
        match reader.next_frame() {
            Ok(None) => {}
            Ok(Some((Kind::Hello, payload))) => {
                return Hello::decode(&payload).map_err(|error| malformed(error.to_string()));
            }
            Ok(Some((kind, _))) => {
                return Err(malformed(format!("a hello was expected, and a {kind:?} frame came")));
            }
            Err(error) => return Err(GreetError::Refused(frame_refusal(error))),
        }
    }
}

/// How a broken frame is told to the other side.
pub(crate) fn frame_refusal(error: FrameError) -> Refusal {
    let code = match error {
        FrameError::TooLong { .. } => CloseCode::FrameTooLong,
        FrameError::Format(_) | FrameError::Kind(_) => CloseCode::Malformed,
    };
    Refusal::new(code, error.to_string())
}
