//! The ways to the other nodes: one handle per peer, whichever thread asks.

use crate::codec;
use crate::ids::NodeId;
use crate::net::message::PeerMessage;
use crate::net::quic::{PeerHandle, SendError};
use crate::net::wire::Lane;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::RwLock;

/// Where a frame made of many small things ends and the next begins, bytes. A larger thing goes alone.
pub(crate) const FRAME_BYTES_TARGET: usize = 4 * 1024 * 1024;

/// Cuts things that go to one peer into frames, in order, by what each takes in one.
pub(crate) fn frames_of<T>(
    things: Vec<T>,
    bytes_of: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Vec<T>> {
    let mut things = things.into_iter();
    let mut next = things.next();
    std::iter::from_fn(move || {
        let first = next.take()?;
        let mut bytes = bytes_of(&first);
        let mut frame = Vec::with_capacity(things.len() + 1);
        frame.push(first);
        for thing in things.by_ref() {
            bytes += bytes_of(&thing);
            if bytes > FRAME_BYTES_TARGET {
                next = Some(thing);
                break;
            }
            frame.push(thing);
        }
        Some(frame)
    })
}

/// See the module's first lines.
#[derive(Default)]
pub struct Peers(RwLock<BTreeMap<NodeId, PeerHandle>>);

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.read().expect("no panic while held").keys()).finish()
    }
}

impl Peers {
    /// A peer is configured, connected or not.
    pub fn add(&self, peer: NodeId, handle: PeerHandle) {
        self.0.write().expect("no panic while held").insert(peer, handle);
    }

    /// A peer is no more.
    pub fn remove(&self, peer: NodeId) {
        self.0.write().expect("no panic while held").remove(&peer);
    }

    fn handle(&self, peer: NodeId) -> Result<PeerHandle, SendError> {
        let peers = self.0.read().expect("no panic while held");
        peers.get(&peer).cloned().ok_or(SendError::NotConnected)
    }

    /// All configured peers.
    pub fn all(&self) -> Vec<NodeId> {
        self.0.read().expect("no panic while held").keys().copied().collect()
    }

    /// The peers connected now.
    pub fn connected(&self) -> Vec<NodeId> {
        let peers = self.0.read().expect("no panic while held");
        peers.iter().filter(|(_, handle)| handle.is_connected()).map(|(peer, _)| *peer).collect()
    }

    /// Whether a connection to the peer stands at the moment.
    pub fn is_connected(&self, peer: NodeId) -> bool {
        self.handle(peer).is_ok_and(|handle| handle.is_connected())
    }

    /// Queues a frame. Never waits.
    ///
    /// # Errors
    /// When the peer is not connected or the lane is full; the frame is not sent then.
    pub fn send<T: Serialize>(&self, peer: NodeId, lane: Lane, frame: &T) -> Result<(), SendError> {
        let handle = self.handle(peer)?;
        if !handle.is_connected() {
            return Err(SendError::NotConnected);
        }
        handle.send(lane, codec::encode(frame))
    }

    /// Queues a message on the control lane.
    ///
    /// # Errors
    /// See [`Peers::send`].
    pub fn control(&self, peer: NodeId, message: &PeerMessage) -> Result<(), SendError> {
        self.send(peer, Lane::Control, message)
    }

    /// Queues a frame on the bulk lane, and waits until there is room.
    ///
    /// # Errors
    /// When the peer is not connected.
    pub async fn send_bulk(&self, peer: NodeId, frame: Vec<u8>) -> Result<(), SendError> {
        self.handle(peer)?.send_wait(Lane::Bulk, frame).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_by_bytes_and_a_large_thing_goes_alone() {
        let cut = |sizes: &[usize]| -> Vec<Vec<usize>> {
            frames_of(sizes.to_vec(), |size| *size).collect()
        };
        let most = FRAME_BYTES_TARGET;
        assert_eq!(cut(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(cut(&[1, 2, 3]), [vec![1, 2, 3]]);
        assert_eq!(cut(&[most - 1, 1, 1]), [vec![most - 1, 1], vec![1]]);
        assert_eq!(cut(&[1, 9 * most, 1]), [vec![1], vec![9 * most], vec![1]]);
        assert_eq!(cut(&[9 * most, 9 * most]), [vec![9 * most], vec![9 * most]]);
    }
}
