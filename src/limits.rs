//! Every bound of the system, by name. Over it a caller gets an error and the node stays up.
//!
//! Limits that depend on each other say so in the `const` block at the end, which the compiler checks.

use std::time::Duration;

/// Hash slots, as in Redis Cluster.
pub const BUCKETS: u16 = 16_384;

/// The largest key, bytes. The store's own key limit is 65,535 with the row prefix included.
pub const KEY_BYTES_MAX: usize = 32 * 1024;
/// The largest value by default, bytes; the one in force is replicated state.
pub const VALUE_BYTES_MAX_DEFAULT: usize = 8 * 1024 * 1024;
/// The largest value that may be configured, bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A frame between nodes, bytes: one entry of the largest size, and room for its wrapping.
pub const FRAME_BYTES_MAX: usize = VALUE_BYTES_MAX + 4 * 1024 * 1024;
/// The payload of one Raft entry, bytes.
pub const ENTRY_BYTES_MAX: usize = VALUE_BYTES_MAX + 1024 * 1024;
/// Where the driver stops putting further commands into one entry, bytes.
pub const ENTRY_BYTES_TARGET: usize = 256 * 1024;
/// Commands in one entry.
pub const ENTRY_COMMANDS_MAX: usize = 1024;
/// Entries of one append message, bytes (a single larger entry goes alone).
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;
/// Append messages in flight to one peer of one group.
pub const INFLIGHT_MESSAGES_MAX: usize = 256;
/// Append bytes in flight to one peer of one group.
pub const INFLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Proposed and not yet committed bytes of one group; over it proposals are refused as "not done".
pub const UNCOMMITTED_BYTES_MAX: usize = VALUE_BYTES_MAX + 64 * 1024 * 1024;
/// Entries of one group's log kept in memory, bytes; older ones are read from disk.
pub const LOG_TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Committed entries handed out by one `Ready`, bytes.
pub const APPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much log a group keeps for followers that lag, bytes; behind that they get a snapshot.
pub const LOG_KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One WAL segment, bytes.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Recycled segments kept in reserve.
pub const SEGMENTS_SPARE_MAX: usize = 4;
/// One WAL batch (one write, one sync), bytes, unless a single record is larger.
pub const WAL_BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A chunk of a snapshot or a migration, bytes of rows (a single larger row goes alone).
pub const CHUNK_BYTES: usize = 512 * 1024;
/// Chunks of a snapshot sent and not yet in the receiver's store, which takes no more at a time.
pub const SNAPSHOT_WINDOW_CHUNKS: u64 = 3;
/// The rate limit of all snapshots that a node sends, by default, bytes per second.
pub const SNAPSHOT_BYTES_PER_SECOND_DEFAULT: u64 = 128 * 1024 * 1024;
/// A receiver of a snapshot that says nothing for this long is asked where it stands.
pub const SNAPSHOT_QUIET: Duration = Duration::from_secs(2);
/// A view of the state is kept for a receiver that takes nothing for this long: until a link that broke
/// stands again, or a node has restarted. A view holds back the store's compaction.
pub const SNAPSHOT_VIEW_KEPT: Duration = Duration::from_secs(60);
/// The same while this node does not lead: it may be elected again at once, or somebody else soon.
pub const SNAPSHOT_VIEW_KEPT_WITHOUT_LEAD: Duration = Duration::from_secs(10);
/// A receiver may lose all it has taken, by a restart, so many times in one transfer.
pub const SNAPSHOT_RESTARTS_MAX: u32 = 8;
/// What one transfer has heard and not yet read: answers and changes of the link. Full: dropped, asked
/// again after [`SNAPSHOT_QUIET`].
pub const SNAPSHOT_ANSWERS_MAX: usize = 64;
/// Rows applied and not yet written to the state store, bytes; over it apply pauses.
pub const OVERLAY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Where the state writer stops collecting one batch, bytes.
pub const STATE_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Rows kept ready in front of the state store, bytes.
pub const ROW_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// A memtable of the state store, bytes; it is rotated by us, not by fjall.
pub const MEMTABLE_BYTES: u64 = 64 * 1024 * 1024;
/// The state store's block cache, bytes.
pub const BLOCK_CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Client connections of one node on its two Redis ports together.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Commands of one pipeline taken as one batch; the rest waits in the socket.
pub const PIPELINE_COMMANDS_MAX: usize = 1024;
/// Bytes of one pipeline taken as one batch, unless a single command is larger.
pub const PIPELINE_BYTES_MAX: usize = 1024 * 1024;
/// Arguments of one command.
pub const ARGUMENTS_MAX: usize = 1024 * 1024;
/// An inline command or a protocol header line, bytes (as in Redis).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Arguments of a command sent before the connection has authenticated (as in Redis).
pub const ARGUMENTS_UNAUTHENTICATED_MAX: usize = 10;
/// Bytes of one argument sent before the connection has authenticated (as in Redis).
pub const BULK_BYTES_UNAUTHENTICATED_MAX: usize = 16 * 1024;
/// All bytes of requests that a node has taken and not yet answered.
pub const REQUEST_BYTES_IN_FLIGHT_MAX: usize = 512 * 1024 * 1024;
/// Requests that one group has taken and not yet answered.
pub const GROUP_REQUESTS_MAX: usize = 65_536;

/// A group actor's mailbox, messages (each is a batch). Full: peer traffic is dropped and counted
/// (Raft sends again), a client's batch is answered "not done".
pub const GROUP_MAILBOX: usize = 4096;
/// Frames waiting to be sent to one peer on the raft lane. Full: further ones are dropped.
pub const RAFT_LANE_FRAMES_MAX: usize = 1024;
/// Bytes waiting to be sent to one peer on one lane. Full: dropped (raft) or "not done" (control).
pub const LANE_BYTES_MAX: usize = 64 * 1024 * 1024 + FRAME_BYTES_MAX;

/// Sessions (clients) that one group remembers.
pub const SESSIONS_MAX: usize = 10_000;
/// Unacknowledged replies that one session may hold.
pub const SESSION_REPLIES_MAX: usize = 16_384;
/// Bytes of unacknowledged replies that one group may hold.
pub const SESSION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How far ahead of replicated time a session's request may expire, milliseconds: it is remembered for
/// as long.
pub const SESSION_LIFE_MAX_MILLIS: u64 = 10 * 60 * 1000;

/// One tick of the Raft clock.
pub const TICK: Duration = Duration::from_millis(50);
/// Ticks between heartbeats.
pub const HEARTBEAT_TICKS: u32 = 2;
/// Ticks without a leader before an election; the real time-out is random in [n, 2n).
pub const ELECTION_TICKS: u32 = 16;
/// How long a leader may serve reads on the word of a quorum, from the sending of the heartbeat that the
/// quorum answered. Those who gave their word keep it for an election time-out of their own clocks.
pub const LEASE: Duration = Duration::from_millis(600);
/// Ticks between two signs of life from one node to another.
pub const PULSE_TICKS: u32 = 2;
/// Ticks between two looks at what the metrics say.
pub const METRICS_TICKS: u32 = 20;
/// Ticks in which nothing happens after which a group goes to sleep.
pub const QUIET_TICKS: u32 = 40;

/// Ticks that a secretary may leave a question unanswered, or a peer that it serves without progress.
pub const RELAY_TICKS: u32 = 4;
/// Peers that one secretary serves for one group.
pub const RELAY_TARGETS_MAX: usize = 64;
/// Observers of one group, and likewise its secretaries.
pub const HELPERS_MAX: usize = 32;

/// Replicas of one group, learners and those on their way in or out among them.
pub const MEMBERS_MAX: usize = 64;
/// A learner that lacks more entries than this is not made a voter: it would only be missing from the quorum.
pub const PROMOTION_LAG_MAX: u64 = 2_000;
/// Lives of disks that a cluster has barred, of all its nodes together.
pub const BARRED_MAX: usize = 16_384;

/// How long a node goes on retrying a client's command before it answers with an error.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Deaths of one actor within [`RESTART_WINDOW`] after which its replica is marked failed.
pub const RESTARTS_MAX: u32 = 8;
/// See [`RESTARTS_MAX`].
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// Free disk space below which leaders refuse writes that grow the data, bytes.
pub const DISK_LOW_BYTES: u64 = 256 * 1024 * 1024;
/// The reserve file, bytes: given up when the disk is full, so that deletes and compaction still run.
pub const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;

const _: () = {
    // A largest value must fit an entry, an entry a frame, a frame the lane, an entry the log's budget.
    assert!(VALUE_BYTES_MAX + KEY_BYTES_MAX < ENTRY_BYTES_MAX);
    assert!(ENTRY_BYTES_MAX < FRAME_BYTES_MAX);
    assert!(FRAME_BYTES_MAX < LANE_BYTES_MAX);
    assert!(ENTRY_BYTES_MAX < UNCOMMITTED_BYTES_MAX);
    // The prefix of a row, the hash and the key together stay below the store's 65,535.
    assert!(KEY_BYTES_MAX + 64 < 65_535);
    // A receiver is asked many times before its view is let go.
    assert!(SNAPSHOT_QUIET.as_secs() * 8 <= SNAPSHOT_VIEW_KEPT.as_secs());
    // A follower hears several heartbeats before it may become impatient.
    assert!(HEARTBEAT_TICKS * 4 <= ELECTION_TICKS);
    // What a lost secretary holds up is on its way again well before anybody becomes impatient.
    assert!(RELAY_TICKS + HEARTBEAT_TICKS < ELECTION_TICKS);
    // Whoever is bound may have been at the end of a tick that came half a tick late, and its clock may
    // run a fifth faster.
    assert!(
        LEASE.as_millis() * 6 / 5
            <= TICK.as_millis() * (ELECTION_TICKS as u128 - 2) + TICK.as_millis() / 2
    );
    // A lease is renewed several times before it ends.
    assert!(TICK.as_millis() * HEARTBEAT_TICKS as u128 * 4 <= LEASE.as_millis());
    // Before a group falls asleep it is known who of its members is there.
    assert!(ELECTION_TICKS < QUIET_TICKS);
};
