//! The lanes of one connection between two nodes: a task per stream and direction.

use super::handshake::frame_refusal;
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::stats::Stats;
use super::stream::{FrameStream, ReadFault, write_frames};
use crate::ids::{ClusterId, NodeId};
use crate::limits::FRAME_BYTES_MAX;
use crate::net::wire::{CloseCode, Kind, Lane, Refusal, header};
use bytes::Bytes;
use quinn::{Connection, RecvStream, WriteError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a stream's task ended.
#[derive(Debug)]
pub(crate) enum LaneEnd {
    /// The connection is gone, or the stream's work is done.
    Gone,
    /// By a fault of the other side.
    Fault(Refusal),
    /// It was no lane: the other side was born into this cluster.
    Cluster(ClusterId),
}

/// Higher is sent first.
fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Raft => 2,
        Lane::Control => 1,
        Lane::Bulk => 0,
    }
}

/// Opens the lane's stream and writes what its queue gets.
pub(crate) async fn send_lane(
    connection: Connection,
    lane: Lane,
    outbox: Arc<Outbox>,
    stats: Arc<Stats>,
) -> LaneEnd {
    let Ok(mut stream) = connection.open_uni().await else {
        return LaneEnd::Gone;
    };
    // Fails only on a closed stream.
    let _ = stream.set_priority(priority(lane));
    let mut opening = header(Kind::Lane, 1).to_vec();
    opening.push(lane.index() as u8);
    let written = match stream.write_chunk(Bytes::from(opening)).await {
        Ok(()) => write_frames(&mut stream, &outbox, Some(stats.lane(lane))).await,
        Err(error) => Err(error),
    };
    match written {
        Err(WriteError::Stopped(_)) => {
            let text = format!("the {lane} lane was stopped");
            LaneEnd::Fault(Refusal::new(CloseCode::Protocol, text))
        }
        Ok(()) | Err(_) => LaneEnd::Gone,
    }
}

/// Tells the other side that this node was born into a cluster.
pub(crate) async fn send_cluster(connection: Connection, cluster: ClusterId) -> LaneEnd {
    if let Ok(mut stream) = connection.open_uni().await {
        // Before any lane's frames: those may be of groups of that cluster.
        let _ = stream.set_priority(priority(Lane::Raft) + 1);
        let mut bytes = header(Kind::Cluster, cluster.0.len()).to_vec();
        bytes.extend_from_slice(&cluster.0);
        if stream.write_chunk(Bytes::from(bytes)).await.is_ok() {
            let _ = stream.finish();
        }
    }
    LaneEnd::Gone
}

/// Which lanes the other side has opened on this connection.
pub(crate) type LanesOpen = Arc<[AtomicBool; Lane::ALL.len()]>;

/// Reads a stream that the other side has opened, and gives its frames to the sink.
pub(crate) async fn receive_lane(
    stream: RecvStream,
    from: NodeId,
    open: LanesOpen,
    inbound: Arc<dyn Inbound>,
    stats: Arc<Stats>,
) -> LaneEnd {
    let mut stream = FrameStream::new(stream, FRAME_BYTES_MAX);
    match receive(&mut stream, from, &open, &*inbound, &stats).await {
        Ok(end) => end,
        Err(ReadFault::Lost) => LaneEnd::Gone,
        Err(ReadFault::Frame(error)) => LaneEnd::Fault(frame_refusal(error)),
    }
}

async fn receive(
    stream: &mut FrameStream,
    from: NodeId,
    open: &LanesOpen,
    inbound: &dyn Inbound,
    stats: &Stats,
) -> Result<LaneEnd, ReadFault> {
    let protocol = |text: &str| Ok(LaneEnd::Fault(Refusal::new(CloseCode::Protocol, text)));
    let mut lane: Option<Lane> = None;
    while stream.fill().await? {
        let mut frames = Vec::new();
        let mut bytes = 0;
        while let Some((kind, payload)) = stream.next_frame()? {
            match (kind, lane) {
                (Kind::Data, Some(_)) => {
                    bytes += payload.len();
                    frames.push(payload);
                }
                (Kind::Lane, None) => {
                    let &[number] = &*payload else {
                        return protocol("a lane is one byte");
                    };
                    let Some(opened) = Lane::from_index(number.into()) else {
                        return protocol("a lane of that number is unknown");
                    };
                    if open[opened.index()].swap(true, Ordering::Relaxed) {
                        return protocol("a lane was opened twice");
                    }
                    lane = Some(opened);
                }
                (Kind::Cluster, None) => {
                    return match payload[..].try_into() {
                        Ok(cluster) => Ok(LaneEnd::Cluster(ClusterId(cluster))),
                        Err(_) => protocol("a cluster's id is 16 bytes"),
                    };
                }
                (Kind::Data, None) => return protocol("a stream must name its lane first"),
                (Kind::Lane | Kind::Hello | Kind::Cluster, _) => {
                    return protocol("a frame of this kind is out of place");
                }
            }
        }
        if let (Some(lane), false) = (lane, frames.is_empty()) {
            let stats = stats.lane(lane);
            stats.frames_received.add(frames.len() as u64);
            stats.bytes_received.add(bytes as u64);
            stats.deliveries.one();
            inbound.frames(from, lane, frames);
        }
    }
    protocol("a lane was ended")
}
