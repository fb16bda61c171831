//! Reading a view piece by piece: the chunks of a snapshot or of a bucket that moves.
//!
//! A reader that lost its place asks again from the key it was given, on the same view; the chunks do
//! not depend on each other.

use super::store::{StateError, StateView};
use bytes::Bytes;

/// A piece of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Rows in key order.
    pub rows: Vec<(Vec<u8>, Bytes)>,
    /// The key of the first row that did not fit: where the next chunk starts. `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// Reads the rows of `from..to` up to about `bytes_max` bytes of keys and values; a single larger row
/// comes alone.
///
/// # Errors
/// When the store cannot be read.
pub fn next_chunk(
    view: &dyn StateView,
    from: &[u8],
    to: &[u8],
    bytes_max: usize,
) -> Result<Chunk, StateError> {
    let mut chunk = Chunk::default();
    let mut bytes = 0;
    view.range(from, to, &mut |key, value| {
        let row = key.len() + value.len();
        if !chunk.rows.is_empty() && bytes + row > bytes_max {
            chunk.next = Some(key.to_vec());
            return false;
        }
        bytes += row;
        chunk.rows.push((key.to_vec(), Bytes::copy_from_slice(value)));
        true
    })?;
    Ok(chunk)
}
