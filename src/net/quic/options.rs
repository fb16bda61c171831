//! The knobs of an endpoint, and what they become in QUIC's transport settings.
//!
//! Windows stand in an order that keeps a bulk stream from starving the others: what one stream may have
//! unread (`stream_window`) is well below what the connection may have unread or unacknowledged, so the
//! raft lane always finds room.

use quinn::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// Streams that one client may have open: requests that wait for their answers.
pub const REQUEST_STREAMS_MAX: u32 = 128;
/// Streams that a node may open: its lanes, the news of its birth, and one more, so that a stream too many
/// is seen and refused instead of waiting for ever.
const LANE_STREAMS_MAX: u32 = 5;
/// Asked of the system for each direction of the socket, bytes.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Incoming connections whose handshake or hello is not finished.
pub const HANDSHAKES_MAX: usize = 128;
/// Connections of admins and clients at a time.
pub const CLIENT_CONNECTIONS_MAX: usize = 256;
/// TLS handshake and hello together may take this long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// A dial between nodes is given up after this time and made anew.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after the first failed dial; it doubles up to [`REDIAL_MAX`], each time with jitter.
pub const REDIAL_MIN: Duration = Duration::from_millis(50);
/// See [`REDIAL_MIN`]. Together with [`DIAL_TIMEOUT`] this bounds how long a node that came back waits
/// for its peers. A dial costs about 0.1 ms of CPU, so a dead peer is cheap all the same.
pub const REDIAL_MAX: Duration = Duration::from_millis(500);
/// A peer acknowledges after so many packets or after this time, whichever is first: Raft's answers travel
/// the other way anyway and carry the acknowledgements, so that packets of their own would only cost.
const ACK_PACKETS: u32 = 20;
/// See [`ACK_PACKETS`].
const ACK_DELAY: Duration = Duration::from_millis(5);

/// How an endpoint behaves. `Default` is meant for a LAN.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A connection on which nothing is heard for this long is dead.
    pub idle_timeout: Duration,
    /// A quiet connection sends something this often; this also bounds how late a restarted peer is
    /// noticed, if it kept its secret.
    pub keep_alive: Duration,
    /// The round trip assumed before one was measured: how soon a lost first packet is sent again.
    pub initial_rtt: Duration,
    /// Bytes that one stream may have received and not read.
    pub stream_window: u32,
    /// Bytes that one connection may have received and not read.
    pub connection_window: u32,
    /// Bytes that one connection may have sent and not seen acknowledged.
    pub send_window: u64,
    /// Let the system cut large buffers into packets (GSO); without it a frame costs twice the CPU.
    pub segmentation_offload: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(4),
            keep_alive: Duration::from_millis(500),
            initial_rtt: Duration::from_millis(100),
            stream_window: 4 * 1024 * 1024,
            connection_window: 32 * 1024 * 1024,
            send_window: 32 * 1024 * 1024,
            segmentation_offload: true,
        }
    }
}

/// Which streams the other side may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allows {
    /// Lanes and requests: the accepting side does not know yet who comes.
    Everything,
    /// Lanes: the side that dials a node.
    Lanes,
    /// Nothing: a client.
    Nothing,
}

impl Options {
    pub(crate) fn transport(&self, allows: Allows) -> Arc<TransportConfig> {
        let (uni, bidi) = match allows {
            Allows::Everything => (LANE_STREAMS_MAX, REQUEST_STREAMS_MAX),
            Allows::Lanes => (LANE_STREAMS_MAX, 0),
            Allows::Nothing => (0, 0),
        };
        let idle = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(VarInt::from_u32(ACK_PACKETS)).max_ack_delay(Some(ACK_DELAY));
        let mut config = TransportConfig::default();
        config
            .ack_frequency_config(Some(acks))
            .max_concurrent_uni_streams(VarInt::from_u32(uni))
            .max_concurrent_bidi_streams(VarInt::from_u32(bidi))
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
            .keep_alive_interval(Some(self.keep_alive))
            .initial_rtt(self.initial_rtt)
            .stream_receive_window(VarInt::from_u32(self.stream_window))
            .receive_window(VarInt::from_u32(self.connection_window))
            .send_window(self.send_window)
            .datagram_receive_buffer_size(None)
            .enable_segmentation_offload(self.segmentation_offload);
        Arc::new(config)
    }
}
