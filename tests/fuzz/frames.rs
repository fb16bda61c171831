//! Frames between nodes, and what opens a connection.

use super::codec;
use super::mutate::{Chance, damage, pieces};
use bytes::Bytes;
use eraft::net::wire::{FrameReader, Hello, Kind, header};

const LIMIT: usize = 2_048;

pub(crate) fn frames(chance: &mut Chance) {
    let mut bytes = Vec::new();
    for _ in 0..=chance.below(3) {
        let kind = [Kind::Hello, Kind::Lane, Kind::Data, Kind::Cluster][chance.below(4)];
        let payload = codec::valid(chance);
        bytes.extend(header(kind, payload.len()));
        bytes.extend(payload);
    }
    damage(chance, &mut bytes);
    let mut reader = FrameReader::new(LIMIT);
    for piece in pieces(chance, &bytes) {
        reader.push(&[Bytes::copy_from_slice(piece)]);
        loop {
            match reader.next_frame() {
                Ok(Some((kind, payload))) => {
                    assert!(payload.len() <= LIMIT);
                    match kind {
                        Kind::Hello => drop(Hello::decode(&payload)),
                        _ => codec::decode_all(&payload),
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
    }
}
