//! All metrics of a node, in one table, and the handles that the parts keep.
//!
//! Handles are made once (a look-up by name costs ten times an increment). `TABLE` is what
//! `docs/metrics.md` is made from, and a test holds both to it.

use crate::ids::{GroupId, NodeId};
use crate::kv::migration::drive::{MovePhase, MoveReport};
use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

macro_rules! table {
    ($( $konst:ident = $name:literal, $kind:ident, $unit:ident, $labels:literal, $help:literal; )*) => {
        $( const $konst: &str = $name; )*
        /// Name, kind, unit, labels, meaning.
        pub const TABLE: &[(&str, Kind, Unit, &str, &str)] = &[
            $( ($name, Kind::$kind, Unit::$unit, $labels, $help), )*
        ];
    };
}

table! {
    TERM = "eraft_raft_term", Gauge, Count, "group", "The newest term this replica has seen.";
    LEADS = "eraft_raft_leader", Gauge, Count, "group", "1 if this replica leads its group, else 0.";
    COMMIT = "eraft_raft_commit_index", Gauge, Count, "group", "The newest entry known to be committed.";
    APPLIED = "eraft_raft_applied_index", Gauge, Count, "group", "The newest entry applied to the state.";
    LAST = "eraft_raft_last_index", Gauge, Count, "group", "The newest entry in this replica's log.";
    LAG = "eraft_raft_replication_lag_entries", Gauge, Count, "group, peer", "As a leader: entries that the peer is not known to have on disk.";
    ELECTIONS = "eraft_raft_lead_changes_total", Counter, Count, "group", "Times this replica learned of a new leader or lost one.";
    PROPOSALS = "eraft_raft_proposals_total", Counter, Count, "group", "Entries proposed by this replica.";
    PROPOSED_UNITS = "eraft_raft_proposed_batches_total", Counter, Count, "group", "Client batches that went into these entries.";
    RAFT_OUT = "eraft_raft_messages_sent_total", Counter, Count, "group", "Raft messages sent.";
    APPEND_BYTES = "eraft_raft_append_sent_bytes_total", Counter, Bytes, "group", "As a leader: bytes of entries sent, to followers and to secretaries.";
    RELAYED_BYTES = "eraft_raft_relayed_bytes_total", Counter, Bytes, "group", "As a secretary: bytes of entries passed on to followers.";
    OBSERVERS = "eraft_raft_observers", Gauge, Count, "group", "As a leader: observers that are fed.";
    SECRETARIES = "eraft_raft_secretaries", Gauge, Count, "group", "As a leader: secretaries that answer.";
    RELAYED_PEERS = "eraft_raft_relayed_peers", Gauge, Count, "group", "As a leader: peers whose entries go by a secretary.";
    RAFT_DROPPED = "eraft_raft_messages_dropped_total", Counter, Count, "group", "Peers' messages dropped because the group's mailbox was full.";
    RAFT_REJECTED = "eraft_raft_messages_rejected_total", Counter, Count, "group", "Peers' messages that did not fit: stale, strange, or for another.";
    RAFT_OTHER_ERAS = "eraft_raft_messages_of_other_eras_total", Counter, Count, "group", "Batches of peers' messages refused because a recovery came between them and this replica.";
    SNAPSHOTS_SENT = "eraft_snapshots_sent_total", Counter, Count, "group", "Snapshots that a peer installed from here.";
    SNAPSHOTS_FAILED = "eraft_snapshots_failed_total", Counter, Count, "group", "Snapshot transfers that broke off.";
    SNAPSHOTS_INSTALLED = "eraft_snapshots_installed_total", Counter, Count, "group", "Snapshots installed here.";
    SNAPSHOTS_RESUMED = "eraft_snapshots_resumed_total", Counter, Count, "group", "Times a snapshot sent from here went on in the middle, after a broken link, a lost chunk or a new term.";
    SNAPSHOTS_ACTIVE = "eraft_snapshots_active", Gauge, Count, "", "Snapshots on their way from here.";
    SNAPSHOT_BYTES_OUT = "eraft_snapshot_sent_bytes_total", Counter, Bytes, "group", "Bytes of rows sent in snapshots.";
    SNAPSHOT_BYTES_IN = "eraft_snapshot_received_bytes_total", Counter, Bytes, "group", "Bytes of rows taken from snapshots.";
    RESTARTS = "eraft_actor_restarts_total", Counter, Count, "group", "Restarts of the group's actor after a panic.";
    KEYS = "eraft_keys", Gauge, Count, "group", "Keys stored.";
    DATA_BYTES = "eraft_data_bytes", Gauge, Bytes, "group", "Bytes of keys and values stored.";
    SESSIONS = "eraft_sessions", Gauge, Count, "group", "Client sessions remembered.";
    WAL_SYNC = "eraft_wal_sync_seconds", Histogram, Seconds, "", "Time of one sync of the log.";
    WAL_WRITE = "eraft_wal_write_seconds", Histogram, Seconds, "", "Time of one write to the log, without its sync.";
    WAL_RECORDS = "eraft_wal_batch_records", Histogram, Count, "", "Records written by one sync.";
    WAL_BYTES = "eraft_wal_written_bytes_total", Counter, Bytes, "", "Bytes written to the log.";
    WAL_SYNCS = "eraft_wal_syncs_total", Counter, Count, "", "Syncs of the log.";
    APPLY_ENTRIES = "eraft_apply_entries_total", Counter, Count, "", "Entries applied.";
    APPLY_COMMANDS = "eraft_apply_commands_total", Counter, Count, "", "Commands applied or read.";
    OVERLAY_BYTES = "eraft_state_overlay_bytes", Gauge, Bytes, "", "Rows applied and not yet written to the state store.";
    STATE_WRITES = "eraft_state_batches_total", Counter, Count, "", "Batches written to the state store.";
    FORWARDED = "eraft_proxy_forwarded_total", Counter, Count, "", "Client batches forwarded to another node.";
    REDIRECTED = "eraft_proxy_redirected_total", Counter, Count, "", "Client batches sent on to another group, because their buckets had moved.";
    RETRIED = "eraft_proxy_retried_total", Counter, Count, "", "Client batches sent again.";
    SERVED = "eraft_proxy_served_total", Counter, Count, "", "Client batches received from other nodes.";
    MOVES = "eraft_moves", Gauge, Count, "group", "As a leader: moves of buckets to this group that are under way.";
    MOVES_WAITING = "eraft_moves_buckets_waiting", Gauge, Count, "group", "As a leader: buckets that should come and are in no move yet.";
    MOVES_RATE = "eraft_moves_bytes_per_second", Gauge, Bytes, "group", "As a leader: bytes of moving buckets taken in per second, lately.";
    MOVES_TAKEN = "eraft_moves_taken_bytes", Gauge, Bytes, "group", "As a leader: bytes taken in by the moves that are under way.";
    MOVES_SIZE = "eraft_moves_size_bytes", Gauge, Bytes, "group", "As a leader: bytes of these moves in all, as their sources said last; what has come, of a move whose source has not said it yet.";
    MOVES_IN_PHASE = "eraft_moves_in_phase", Gauge, Count, "group, phase", "As a leader: moves that are this far, in the words of `eraftctl moves`.";
    MOVE_PAUSE = "eraft_move_pause_seconds", Histogram, Seconds, "group", "For how long nobody could write the buckets of one move to this group, at most: from the question for the hand-off to the acceptance.";
    CONNECTIONS = "eraft_connections", Gauge, Count, "port", "Open client connections.";
    CONNECTED = "eraft_connections_total", Counter, Count, "port", "Client connections accepted.";
    REJECTED = "eraft_connections_rejected_total", Counter, Count, "port", "Client connections refused by the limit.";
    PROTOCOL_ERRORS = "eraft_protocol_errors_total", Counter, Count, "port", "Connections closed for a protocol error.";
    COMMANDS = "eraft_command_seconds", Histogram, Seconds, "command", "Time from a command's arrival to its reply, its pipeline's wait included.";
    PEER_CONNECTED = "eraft_peer_connected", Gauge, Count, "peer", "1 if this node is connected to the peer, else 0.";
    PEER_STRANGER = "eraft_peer_stranger", Gauge, Count, "peer", "1 while that node is connected with another disk than the one that belongs to the cluster: it counts for nothing.";
    MEMORY = "eraft_memory_resident_bytes", Gauge, Bytes, "", "Resident memory of the process.";
    DISK_FREE = "eraft_disk_free_bytes", Gauge, Bytes, "", "Free space on the data directory's disk.";
    DISK_LOW = "eraft_disk_low", Gauge, Count, "", "1 while writes that grow data are refused for want of disk.";
    PULSES = "eraft_liveness_messages_sent_total", Counter, Count, "", "Signs of life sent to other nodes.";
    AWAKE = "eraft_groups_awake", Gauge, Count, "", "Replicas here that do not sleep.";
    DISK_SLOW = "eraft_disk_slow", Gauge, Count, "", "1 while this node's disk keeps its log waiting, so that it should lead nothing.";
    LEASES = "eraft_lease_reads_enabled", Gauge, Count, "", "1 if this node serves reads on leases.";
    LEASED = "eraft_lease_reads_total", Counter, Count, "", "Client batches of reads served on a lease, without asking a quorum.";
    LEASES_LATE = "eraft_lease_reads_late_total", Counter, Count, "", "Of these, batches whose lease had ended when their answers were ready, so that they were refused and tried again.";
    TABLE_VERSION = "eraft_config_version", Gauge, Count, "", "The newest config table this node knows.";
}

/// Time buckets, seconds: a tenth of a millisecond to ten seconds.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];
/// Batch-size buckets.
const RECORDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];

/// Installs the recorder of the process; `/metrics` renders the handle.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".into()), RECORDS)?
        .install_recorder()?;
    for (name, kind, unit, _, help) in TABLE {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
    Ok(handle)
}

/// One replica's handles.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is explained in TABLE")]
pub struct GroupMetrics {
    group: String,
    pub term: Gauge,
    pub leads: Gauge,
    pub commit: Gauge,
    pub applied: Gauge,
    pub last: Gauge,
    pub lead_changes: Counter,
    pub proposals: Counter,
    pub proposed_units: Counter,
    pub messages_out: Counter,
    pub messages_rejected: Counter,
    pub messages_of_other_eras: Counter,
    pub append_bytes: Counter,
    pub observers: Gauge,
    pub secretaries: Gauge,
    pub relayed_peers: Gauge,
    pub snapshots_sent: Counter,
    pub snapshots_failed: Counter,
    pub snapshots_installed: Counter,
    pub snapshots_resumed: Counter,
    pub snapshot_bytes_out: Counter,
    pub snapshot_bytes_in: Counter,
    pub restarts: Counter,
    pub keys: Gauge,
    pub bytes: Gauge,
    pub sessions: Gauge,
}

impl GroupMetrics {
    /// The handles of one group.
    #[must_use]
    pub fn new(group: GroupId) -> Self {
        let name = group.0.to_string();
        let g = |metric| gauge!(metric, "group" => name.clone());
        let c = |metric| counter!(metric, "group" => name.clone());
        Self {
            term: g(TERM),
            leads: g(LEADS),
            commit: g(COMMIT),
            applied: g(APPLIED),
            last: g(LAST),
            lead_changes: c(ELECTIONS),
            proposals: c(PROPOSALS),
            proposed_units: c(PROPOSED_UNITS),
            messages_out: c(RAFT_OUT),
            messages_rejected: c(RAFT_REJECTED),
            messages_of_other_eras: c(RAFT_OTHER_ERAS),
            append_bytes: c(APPEND_BYTES),
            observers: g(OBSERVERS),
            secretaries: g(SECRETARIES),
            relayed_peers: g(RELAYED_PEERS),
            snapshots_sent: c(SNAPSHOTS_SENT),
            snapshots_failed: c(SNAPSHOTS_FAILED),
            snapshots_installed: c(SNAPSHOTS_INSTALLED),
            snapshots_resumed: c(SNAPSHOTS_RESUMED),
            snapshot_bytes_out: c(SNAPSHOT_BYTES_OUT),
            snapshot_bytes_in: c(SNAPSHOT_BYTES_IN),
            restarts: c(RESTARTS),
            keys: g(KEYS),
            bytes: g(DATA_BYTES),
            sessions: g(SESSIONS),
            group: name,
        }
    }

    /// How far a peer is behind; only while leading.
    pub fn lag(&self, peer: NodeId, entries: u64) {
        gauge!(LAG, "group" => self.group.clone(), "peer" => peer.0.to_string())
            .set(as_f64(entries));
    }
}

/// The log thread's handles.
#[expect(missing_docs, reason = "each is explained in TABLE")]
pub struct LogMetrics {
    pub sync: Histogram,
    pub write: Histogram,
    pub records: Histogram,
    pub bytes: Counter,
    pub syncs: Counter,
}

impl LogMetrics {
    /// The handles.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sync: histogram!(WAL_SYNC),
            write: histogram!(WAL_WRITE),
            records: histogram!(WAL_RECORDS),
            bytes: counter!(WAL_BYTES),
            syncs: counter!(WAL_SYNCS),
        }
    }
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The apply thread's handles.
#[expect(missing_docs, reason = "each is explained in TABLE")]
pub struct ApplyMetrics {
    pub entries: Counter,
    pub commands: Counter,
    pub overlay: Gauge,
    pub batches: Counter,
    pub leases_late: Counter,
}

impl ApplyMetrics {
    /// The handles.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: counter!(APPLY_ENTRIES),
            commands: counter!(APPLY_COMMANDS),
            overlay: gauge!(OVERLAY_BYTES),
            batches: counter!(STATE_WRITES),
            leases_late: counter!(LEASES_LATE),
        }
    }
}

impl Default for ApplyMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The warden's handles.
#[expect(missing_docs, reason = "each is explained in TABLE")]
pub struct LivenessMetrics {
    pub sent: Counter,
    pub awake: Gauge,
    pub slow: Gauge,
    pub leases: Gauge,
    pub leased: Counter,
}

impl LivenessMetrics {
    /// The handles.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sent: counter!(PULSES),
            awake: gauge!(AWAKE),
            slow: gauge!(DISK_SLOW),
            leases: gauge!(LEASES),
            leased: counter!(LEASED),
        }
    }
}

impl Default for LivenessMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What the leader of a group says of moves to it.
pub fn moves(group: GroupId, moves: &[MoveReport], waiting: u32) {
    let name = group.0.to_string();
    let set = |metric: &'static str, value: u64| {
        gauge!(metric, "group" => name.clone()).set(as_f64(value));
    };
    set(MOVES, moves.len() as u64);
    set(MOVES_WAITING, waiting.into());
    set(MOVES_RATE, moves.iter().map(|one| one.rate).sum());
    set(MOVES_TAKEN, moves.iter().map(|one| one.bytes).sum());
    set(MOVES_SIZE, moves.iter().map(|one| one.total.unwrap_or(one.bytes)).sum());
    for phase in MovePhase::ALL {
        let count = moves.iter().filter(|one| one.phase == phase).count();
        gauge!(MOVES_IN_PHASE, "group" => name.clone(), "phase" => phase.words())
            .set(as_f64(count as u64));
    }
}

/// Buckets have come to a group, and nobody could write them for so many milliseconds, if that is known.
pub fn move_pause(group: GroupId, millis: Option<u64>) {
    if let Some(millis) = millis {
        let pause = histogram!(MOVE_PAUSE, "group" => group.0.to_string());
        pause.record(as_f64(millis) / 1_000.0);
    }
}

/// A router's handles.
pub struct RouterMetrics {
    forwarded: Counter,
    retried: Counter,
    redirected: Counter,
}

impl std::fmt::Debug for RouterMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RouterMetrics")
    }
}

impl RouterMetrics {
    /// The handles.
    #[must_use]
    pub fn new() -> Self {
        Self {
            forwarded: counter!(FORWARDED),
            retried: counter!(RETRIED),
            redirected: counter!(REDIRECTED),
        }
    }

    /// Units were forwarded.
    pub fn forwarded(&self, units: usize) {
        self.forwarded.increment(units as u64);
    }

    /// A unit was sent on, because its bucket had moved.
    pub fn redirected(&self) {
        self.redirected.increment(1);
    }

    /// A unit was sent again.
    pub fn retried(&self) {
        self.retried.increment(1);
    }
}

impl Default for RouterMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// One Redis port's handles.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is explained in TABLE")]
pub struct PortMetrics {
    pub open: Gauge,
    pub accepted: Counter,
    pub rejected: Counter,
    pub protocol_errors: Counter,
}

impl PortMetrics {
    /// The handles of the port named `plain` or `cluster`.
    #[must_use]
    pub fn new(port: &'static str) -> Self {
        Self {
            open: gauge!(CONNECTIONS, "port" => port),
            accepted: counter!(CONNECTED, "port" => port),
            rejected: counter!(REJECTED, "port" => port),
            protocol_errors: counter!(PROTOCOL_ERRORS, "port" => port),
        }
    }
}

/// Bytes that a secretary of a group passes on.
pub fn relayed_bytes(group: GroupId) -> Counter {
    counter!(RELAYED_BYTES, "group" => group.0.to_string())
}

/// The latency histogram of one command.
pub fn command(name: &'static str) -> Histogram {
    histogram!(COMMANDS, "command" => name)
}

/// Units that other nodes forwarded to this one.
pub fn served() -> Counter {
    counter!(SERVED)
}

/// Messages of peers that a full mailbox had no room for.
pub fn messages_dropped(group: GroupId, messages: usize) {
    counter!(RAFT_DROPPED, "group" => group.0.to_string()).increment(messages as u64);
}

/// Peers' messages that did not fit.
pub fn messages_rejected(group: GroupId, messages: usize) {
    if messages > 0 {
        counter!(RAFT_REJECTED, "group" => group.0.to_string()).increment(messages as u64);
    }
}

/// Snapshots on their way from here.
pub fn snapshots_active(transfers: usize) {
    gauge!(SNAPSHOTS_ACTIVE).set(as_f64(transfers as u64));
}

/// Whether a peer is connected.
pub fn peer_connected(peer: NodeId, connected: bool) {
    gauge!(PEER_CONNECTED, "peer" => peer.0.to_string()).set(f64::from(u8::from(connected)));
}

/// A peer is (not) connected with another disk than the one that belongs to the cluster.
pub fn peer_stranger(peer: NodeId, stranger: bool) {
    gauge!(PEER_STRANGER, "peer" => peer.0.to_string()).set(f64::from(u8::from(stranger)));
}

/// The process as a whole; called now and then.
pub fn process(memory: u64, disk_free: u64, disk_low: bool, table: u64) {
    gauge!(MEMORY).set(as_f64(memory));
    gauge!(DISK_FREE).set(as_f64(disk_free));
    gauge!(DISK_LOW).set(f64::from(u8::from(disk_low)));
    gauge!(TABLE_VERSION).set(as_f64(table));
}

/// A count as a gauge's value; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
#[must_use]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Bucket;
    use crate::kv::migration::{MoveId, Ranges};

    #[test]
    fn moves_to_a_group_are_told_together() {
        let report = |number, phase, bytes, total| MoveReport {
            id: MoveId { source: GroupId(2), number },
            ranges: Ranges::of([Bucket(7)]).unwrap(),
            phase,
            stall: None,
            bytes,
            total,
            rate: 10,
            eta_millis: None,
        };
        let two = [
            report(1, MovePhase::Copying, 100, Some(400)),
            report(2, MovePhase::CatchingUp, 50, None),
        ];
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let told = |reports: &[MoveReport]| {
            metrics::with_local_recorder(&recorder, || moves(GroupId(1), reports, 3));
            handle.render()
        };
        let text = told(&two);
        for line in [
            "eraft_moves{group=\"1\"} 2",
            "eraft_moves_buckets_waiting{group=\"1\"} 3",
            "eraft_moves_bytes_per_second{group=\"1\"} 20",
            "eraft_moves_taken_bytes{group=\"1\"} 150",
            "eraft_moves_size_bytes{group=\"1\"} 450",
            "eraft_moves_in_phase{group=\"1\",phase=\"copying\"} 1",
            "eraft_moves_in_phase{group=\"1\",phase=\"catching up\"} 1",
            "eraft_moves_in_phase{group=\"1\",phase=\"accepted\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        let text = told(&[]);
        let over = "eraft_moves_in_phase{group=\"1\",phase=\"copying\"} 0";
        assert!(text.lines().any(|found| found == over), "{text}");
    }

    #[test]
    fn names_are_what_prometheus_expects() {
        for (name, kind, _, _, help) in TABLE {
            assert!(name.starts_with("eraft_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
        let mut names: Vec<_> = TABLE.iter().map(|row| row.0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let page = include_str!("../../docs/metrics.md");
        for (name, kind, unit, labels, help) in TABLE {
            let labels = if labels.is_empty() { "–" } else { labels };
            let (kind, unit) =
                (format!("{kind:?}").to_lowercase(), format!("{unit:?}").to_lowercase());
            let row = format!("| `{name}` | {kind} | {unit} | {labels} | {help} |");
            assert!(page.contains(&row), "docs/metrics.md lacks this row:\n{row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, TABLE.len(), "docs/metrics.md lists a metric that is none");
    }
}
