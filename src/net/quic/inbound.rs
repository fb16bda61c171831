//! What the endpoint gives to the rest of the node.

use super::respond::Responder;
use crate::ids::NodeId;
use crate::net::tls::Role;
use crate::net::wire::{Hello, Lane, Refusal};
use bytes::Bytes;
use std::net::SocketAddr;

/// Who asks, over a connection for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// What its certificate names.
    pub role: Role,
    /// From where.
    pub address: SocketAddr,
}

/// The node's side of an endpoint. Everything is called on the endpoint's runtime and must not block:
/// hand it on. For one peer, the calls come in this order: `connected`, any number of `frames`,
/// `disconnected`; a lane's frames come in the order sent.
pub trait Inbound: Send + Sync + 'static {
    /// Whether somebody whose certificate, cluster and address of the hello were found right may stay. This is the
    /// place to compare incarnations and to bar the removed. Called on both sides, for peers and clients.
    ///
    /// # Errors
    /// The refusal, which the other side is told.
    fn admit(&self, hello: &Hello) -> Result<(), Refusal>;

    /// A connection to a peer stands; frames may be sent.
    fn connected(&self, peer: NodeId, hello: &Hello, version: u16);

    /// Frames that arrived together.
    fn frames(&self, from: NodeId, lane: Lane, frames: Vec<Bytes>);

    /// The connection is gone, and with it what was queued for it.
    fn disconnected(&self, peer: NodeId, reason: &str);

    /// A request; answer through `respond`, now or later, from any thread.
    fn request(&self, from: Requester, frame: Bytes, respond: Responder);
}
