//! The row that says how far all other rows are: without it there is no state.

use super::fault::OpenError;
use super::layout::Layout;
use crate::codec;
use crate::ids::Index;
use crate::kv::session::SessionLimits;
use crate::rows::Rows;
use crate::time::UnixMillis;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const NAME: &[u8] = b"applied";
const VERSION: u8 = 2;

/// See the module's first lines. What apply consults is in here, not in a node's own configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The last entry that was applied.
    pub(super) applied: Index,
    /// The latest stamp of all entries: the time by which everything is judged.
    pub(super) time: UnixMillis,
    pub(super) value_bytes_max: u64,
    pub(super) session_limits: SessionLimits,
    pub(super) hash_key: [u8; 16],
}

impl Meta {
    pub(super) fn write(&self, layout: Layout, rows: &mut impl Rows) {
        let mut row = vec![VERSION];
        codec::encode_into(self, &mut row);
        rows.put(layout.meta(NAME, &[]), Bytes::from(row));
    }

    pub(super) fn read(layout: Layout, rows: &impl Rows) -> Result<Option<Self>, OpenError> {
        let Some(row) = rows.get(&layout.meta(NAME, &[])) else { return Ok(None) };
        match row.split_first() {
            Some((&VERSION, rest)) => match codec::decode(rest) {
                Ok(meta) => Ok(Some(meta)),
                Err(error) => Err(OpenError::Row { row: "applied", error }),
            },
            other => Err(OpenError::Version(other.map_or(0, |(version, _)| *version))),
        }
    }
}
