//! Every number of the drivers.

use crate::limits::CHUNK_BYTES;

/// Moves that are copied to one group at a time, by default. Those that stand still do not count.
pub const MOVES_AT_A_TIME: usize = 8;
/// Of those from one source, by default.
pub const MOVES_PER_SOURCE: usize = 4;
/// Moves to one group that are not accepted, those that stand still included. Below the replicated bound,
/// so that there is room for those that wait for their source to forget.
pub(super) const MOVES_OPEN_MAX: usize = 48;
/// Bytes of the buckets of one move; a larger bucket goes alone, empty ones all at once.
pub(super) const MOVE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of chunks that are asked for, held or proposed by one group, over all its moves; a single larger
/// thing goes alone.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What comes along with the answer of a hand-off, bytes; the rest is asked for.
pub const HANDOFF_BYTES: usize = 1024 * 1024;
/// The least that a page may hold when the rate is low, bytes.
pub(super) const PAGE_BYTES_MIN: u64 = 4 * 1024;

/// The rest is small when so little had changed since the page before: bytes, or things.
pub(super) const REST_BYTES: usize = 256 * 1024;
pub(super) const REST_ITEMS: usize = 50;
/// A round of catching up ends when nothing is left, or after so many bytes.
pub(super) const ROUND_BYTES: u64 = 8 * 1024 * 1024;
/// From this round on the rate is not kept, so that the source's writers cannot be faster for ever.
pub(super) const ROUNDS_THROTTLED: u32 = 4;
/// After so many rounds the ownership is handed off, however much is left.
pub(super) const ROUNDS_MAX: u32 = 8;
/// How long a rest that was small is taken to be.
pub(super) const SMALL_MILLIS: u64 = 1_000;

/// A question without an answer is lost after this.
pub(super) const ANSWER_MILLIS: u64 = 2_000;
/// The same when writers wait.
pub(super) const URGENT_MILLIS: u64 = 250;
/// Each loss of a move's questions in a row doubles these, up to so often.
pub(super) const LOSSES_MAX: u32 = 6;
/// A move that stands still is named to its source so often.
pub(super) const HOLD_MILLIS: u64 = 60_000;
/// What has arrived is not wanted again for this long, while the table does not know.
pub(super) const ARRIVED_MILLIS: u64 = 10_000;

const _: () = {
    assert!(REST_BYTES <= HANDOFF_BYTES && CHUNK_BYTES <= HANDOFF_BYTES);
    // Two pages of each move that runs.
    assert!(MOVES_OPEN_MAX * 2 * CHUNK_BYTES <= HELD_BYTES_MAX);
    assert!(ROUNDS_THROTTLED < ROUNDS_MAX);
};
