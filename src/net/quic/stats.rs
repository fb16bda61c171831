//! What the endpoint counts. Plain numbers that only grow; whoever exports metrics reads them.

use crate::net::wire::{CloseCode, Lane};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one lane, over all peers. Bytes are those of payloads.
#[derive(Debug, Default)]
pub struct LaneStats {
    /// Frames that QUIC took over.
    pub frames_sent: Counter,
    /// Their bytes.
    pub bytes_sent: Counter,
    /// Calls that wrote them: many frames per call is good.
    pub writes: Counter,
    /// Frames given to the sink.
    pub frames_received: Counter,
    /// Their bytes.
    pub bytes_received: Counter,
    /// Calls of the sink that gave them.
    pub deliveries: Counter,
    /// Frames refused because the lane was full.
    pub dropped_full: Counter,
    /// Frames refused or forgotten because there was no connection.
    pub dropped_disconnected: Counter,
}

/// The counts of an endpoint.
#[derive(Debug, Default)]
pub struct Stats {
    lanes: [LaneStats; Lane::ALL.len()],
    refused: [Counter; CloseCode::ALL.len()],
    /// Connections between nodes that came to stand.
    pub connected: Counter,
    /// Connections between nodes that ended.
    pub disconnected: Counter,
    /// Dials that failed, for whatever reason.
    pub dials_failed: Counter,
    /// Incoming connections that failed before the hello: no valid certificate, or silence.
    pub handshakes_failed: Counter,
    /// Times that another node refused us or closed the connection for a fault it saw.
    pub refused_by_peer: Counter,
    /// Connections of admins and clients that came to stand.
    pub clients_connected: Counter,
    /// Connections of admins and clients that ended.
    pub clients_disconnected: Counter,
    /// Requests given to the sink.
    pub requests: Counter,
    /// Requests that broke off before they were whole, or were malformed.
    pub requests_broken: Counter,
}

impl Stats {
    /// The counts of a lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &LaneStats {
        &self.lanes[lane.index()]
    }

    /// Connections that this side refused or closed for `code`.
    #[must_use]
    pub fn refused(&self, code: CloseCode) -> &Counter {
        &self.refused[code.index()]
    }
}
