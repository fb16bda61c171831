//! QUIC: one connection per pair of nodes, and connections of admins and clients, on one UDP port.
//!
//! ```text
//!  node A (lower id)                                   node B
//!  PeerHandle::send ─► outbox ─► raft lane    ════════► Inbound::frames
//!                      outbox ─► control lane ════════►      one stream per lane and direction
//!                      outbox ─► bulk lane    ════════►
//!  Inbound::frames  ◄═══════ raft, control, bulk lane ◄─ outboxes
//!
//!  eraftctl, native client                             node
//!  Client::request  ═════ a stream per request ═══════► Inbound::request, answered by Responder
//! ```
//!
//! Every connection begins with TLS 1.3 (certificates on both sides) and a hello in each direction. Payloads
//! are opaque. What must always hold: nothing is delivered from a connection whose hellos were not both
//! found good; a frame that cannot be sent now is refused now; every queue is bounded; a fault of one
//! connection closes that connection, with the reason, and no other.

mod client;
mod endpoint;
mod handshake;
mod inbound;
mod lane;
mod options;
mod outbox;
mod peer;
mod requests;
mod respond;
mod secret;
mod socket;
mod stats;
mod stream;

#[cfg(test)]
mod tests;

pub use client::{Answers, Client, ClientError, RequestError};
pub use endpoint::{BindError, Endpoint, Node};
pub use inbound::{Inbound, Requester};
pub use options::{
    CLIENT_CONNECTIONS_MAX, DIAL_TIMEOUT, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, Options, REDIAL_MAX,
    REDIAL_MIN, REQUEST_STREAMS_MAX, SOCKET_BUFFER_BYTES,
};
pub use outbox::SendError;
pub use peer::{LANE_FRAMES_MAX, PeerHandle};
pub use requests::REQUESTS_BYTES_MAX;
pub use respond::{ANSWER_BYTES_MAX, ANSWER_FRAMES_MAX, Responder};
pub use secret::NodeSecret;
pub use stats::{Counter, LaneStats, Stats};
