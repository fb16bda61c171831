//! The node's plain threads (log, state, apply) as the actors see them: handles to send work by, and the
//! callbacks that bring completions back.

use crate::actors::apply::{ApplyCommand, ApplyInbox, ApplySink, Holdings, Stats};
use crate::actors::group::actor::GroupMessage;
use crate::actors::group::event::{Applied, Event, ReplyTo};
use crate::actors::metrics::{ApplyMetrics, LogMetrics};
use crate::actors::migrator;
use crate::actors::shared::Shared;
use crate::ids::{ClusterId, Generation, GroupId, Incarnation, Index, ReadyNumber};
use crate::net::message::Answer;
use crate::raft::{Entry, HardState, Membership, SnapshotMeta};
use crate::shard::Table;
use crate::store::disk::RealDisk;
use crate::store::state::{
    BatchNumber, Command, StateError, StateEvents, StateHandle, SubmitError,
};
use crate::store::wal::{
    self, BatchStats, Done, Log, LogError, LogEvents, LogOp, LogReader, LogWrite, RecoveredGroup,
    Standing,
};
use crate::time::MonoMillis;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What ends the process: the text says why.
pub(super) type Fatal = mpsc::UnboundedSender<String>;

/// The way to the log thread.
#[derive(Clone)]
pub struct LogHandle(wal::LogHandle<RealDisk>);

impl LogHandle {
    /// Wraps the thread's own handle.
    #[must_use]
    pub fn new(handle: wal::LogHandle<RealDisk>) -> Self {
        Self(handle)
    }

    /// Writes in order, behind what was submitted before. After a failure of the log nothing is
    /// written any more, nobody is told of it, and the process is ending.
    pub fn submit(&self, write: LogWrite) {
        let _ = self.0.submit(write);
    }

    /// For reading old entries back.
    #[must_use]
    pub fn reader(&self) -> LogReader<RealDisk> {
        self.0.reader()
    }

    /// What the log holds of a group whose state has applied everything up to `applied`, with everything
    /// submitted before.
    ///
    /// # Errors
    /// When it cannot be read, or the thread has stopped.
    pub async fn recover(
        &self,
        group: GroupId,
        applied: Index,
    ) -> Result<Option<RecoveredGroup>, String> {
        self.call(move |log| log.recover_group(group, applied).map_err(|error| error.to_string()))
            .await?
    }

    /// What the log knows of a group's life here, and the disk by which the replica is known if that is not
    /// the node's.
    ///
    /// # Errors
    /// When the thread has stopped.
    pub async fn standing(
        &self,
        group: GroupId,
    ) -> Result<(Standing, Option<Incarnation>), String> {
        self.call(move |log| log.standing(group)).await
    }

    /// Records a newborn replica, and the disk by which it is known if that is not the node's; synced.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn born(
        &self,
        group: GroupId,
        generation: Generation,
        founders: Membership,
        identity: Option<Incarnation>,
    ) -> Result<(), String> {
        let ops = [Some(LogOp::Born(founders)), identity.map(LogOp::Identity)];
        let ops = ops.into_iter().flatten();
        let write = |op| LogWrite { op: Some(op), ..empty(group, generation) };
        self.write(ops.map(write).collect()).await
    }

    /// Records that the replica is no more, synced.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn died(&self, group: GroupId, generation: Generation) -> Result<(), String> {
        self.operate(group, generation, LogOp::Dead).await
    }

    /// Every group that should be here is. If something was lost once, and nobody knew whose, that is over as
    /// soon as nobody is left who may have lost it: answers whether it is.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn mend(&self) -> Result<bool, String> {
        self.call(|log| log.mend().map_err(|error| error.to_string())).await?
    }

    /// Records that a group's state is an installed snapshot, synced.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn mark_installed(
        &self,
        group: GroupId,
        generation: Generation,
        meta: SnapshotMeta,
    ) -> Result<(), String> {
        self.operate(group, generation, LogOp::SnapshotInstalled(meta)).await
    }

    /// Makes a replica its group's only voter, synced; all that it has is committed then.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn decree(
        &self,
        group: GroupId,
        generation: Generation,
        entry: Entry,
        hard_state: HardState,
    ) -> Result<(), String> {
        let (entries, hard_state) = (vec![entry], Some(hard_state));
        self.write(vec![LogWrite { entries, hard_state, ..empty(group, generation) }]).await
    }

    /// Has the log thread ask the disk for a sync. If that fails, the log fails, and says so.
    pub fn probe(&self) {
        let _ = self.0.call(Box::new(|log| drop(log.probe())));
    }

    /// The node belongs to this cluster from now on; the log carries it, synced.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn set_cluster(&self, cluster: ClusterId) -> Result<(), String> {
        self.call(move |log| log.set_cluster(cluster).map_err(|error| error.to_string())).await?
    }

    /// Records a turn in a group's life, synced.
    ///
    /// # Errors
    /// When it cannot be written, or the thread has stopped.
    pub async fn operate(
        &self,
        group: GroupId,
        generation: Generation,
        op: LogOp,
    ) -> Result<(), String> {
        self.write(vec![LogWrite { op: Some(op), ..empty(group, generation) }]).await
    }

    async fn write(&self, batch: Vec<LogWrite>) -> Result<(), String> {
        self.call(move |log| log.write(&batch).map(|_| ()).map_err(|error| error.to_string()))
            .await?
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log<RealDisk>) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (send, receive) = oneshot::channel();
        let work = Box::new(move |log: &mut Log<RealDisk>| {
            let _ = send.send(work(log));
        });
        self.0.call(work).map_err(|_| "the log thread has stopped".to_owned())?;
        receive.await.map_err(|_| "the log thread has stopped".to_owned())
    }
}

/// A write of nothing, to be synced.
fn empty(group: GroupId, generation: Generation) -> LogWrite {
    LogWrite {
        group,
        generation,
        number: ReadyNumber(0),
        entries: Vec::new(),
        hard_state: None,
        op: None,
        must_sync: true,
    }
}

/// What the log thread tells.
pub(super) struct NodeLogEvents {
    shared: Arc<Shared>,
    metrics: LogMetrics,
    fatal: Fatal,
}

impl NodeLogEvents {
    /// Completions go to the actors of `shared`.
    #[must_use]
    pub(super) fn new(shared: Arc<Shared>, fatal: Fatal) -> Self {
        Self { shared, metrics: LogMetrics::new(), fatal }
    }
}

impl LogEvents for NodeLogEvents {
    fn done(&mut self, done: Vec<Done>) {
        // Of several completions of one group the newest says it all.
        let mut newest: BTreeMap<GroupId, (Generation, ReadyNumber)> = BTreeMap::new();
        for one in done.iter().filter(|one| one.number != ReadyNumber(0)) {
            newest.insert(one.group, (one.generation, one.number));
        }
        for (group, (generation, number)) in newest {
            if let Some(replica) = self.shared.replica(group) {
                replica.addr.do_send(Event::Persisted(generation, number).into());
            }
        }
    }

    fn begins(&mut self) {
        self.shared.log_pulse.begin(self.shared.mono());
    }

    fn ends(&mut self) {
        self.shared.log_pulse.end(self.shared.mono());
    }

    fn wrote(&mut self, stats: &BatchStats) {
        self.metrics.write.record(stats.write_time.as_secs_f64());
        self.metrics.records.record(crate::actors::metrics::as_f64(stats.records as u64));
        self.metrics.bytes.increment(stats.bytes as u64);
        if let Some(sync) = stats.sync_time {
            self.metrics.sync.record(sync.as_secs_f64());
            self.metrics.syncs.increment(1);
        }
    }

    fn fatal(&mut self, error: LogError) {
        let _ = self.fatal.send(format!("the write-ahead log failed: {error}"));
    }
}

/// What the state thread tells: all of it goes to the apply thread.
pub(super) struct NodeStateEvents {
    inbox: ApplyInbox,
    fatal: Fatal,
}

impl NodeStateEvents {
    /// Completions go to this inbox.
    #[must_use]
    pub(super) fn new(inbox: ApplyInbox, fatal: Fatal) -> Self {
        Self { inbox, fatal }
    }
}

impl StateEvents for NodeStateEvents {
    fn written(&mut self, up_to: BatchNumber) {
        self.inbox.push(ApplyCommand::Written(up_to));
    }

    fn persisted(&mut self, token: u64, applied: &[(GroupId, Index)]) {
        self.inbox.push(ApplyCommand::Persisted(token, applied.to_vec()));
    }

    fn fenced(&mut self, _: u64) {}

    fn fatal(&mut self, error: StateError) {
        let _ = self.fatal.send(format!("the state store failed: {error}"));
    }
}

/// Where the apply thread's results go.
pub(super) struct NodeSink {
    shared: Arc<Shared>,
    state: StateHandle,
    /// What the state thread had no room for yet, in order.
    waiting: VecDeque<Command>,
    tables: watch::Sender<Option<Arc<Table>>>,
    metrics: ApplyMetrics,
    fatal: Fatal,
}

impl NodeSink {
    /// Results go to the actors and routers of `shared`, writes to `state`, new tables to `tables`.
    #[must_use]
    pub(super) fn new(
        shared: Arc<Shared>,
        state: StateHandle,
        tables: watch::Sender<Option<Arc<Table>>>,
        fatal: Fatal,
    ) -> Self {
        let (waiting, metrics) = (VecDeque::new(), ApplyMetrics::new());
        Self { shared, state, waiting, tables, metrics, fatal }
    }
}

impl ApplySink for NodeSink {
    fn clock(&mut self) -> MonoMillis {
        self.shared.mono()
    }

    fn answers(&mut self, answers: Vec<(ReplyTo, Answer)>) {
        self.shared.deliver_all(answers);
    }

    fn applied(&mut self, group: GroupId, applied: Applied, stats: Stats) {
        if let Some(replica) = self.shared.replica(group) {
            replica.board.set_stats(stats);
            replica.addr.do_send(Event::Applied(applied).into());
        }
    }

    fn holdings(&mut self, group: GroupId, holdings: Holdings) -> bool {
        let replica = self.shared.replica(group);
        if let Some(replica) = &replica {
            if replica.board.leads() {
                let config = self.shared.routing().map_or(0, |routing| routing.table().version.0);
                migrator::tell(group, &replica.board.holdings(), &holdings, config);
            }
            replica.board.set_holdings(holdings);
            self.shared.holdings_changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        replica.is_some()
    }

    fn table(&mut self, table: &Arc<Table>) {
        self.tables.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| newest.stamp() < table.stamp());
            if newer {
                *newest = Some(table.clone());
            }
            newer
        });
    }

    fn persisted(&mut self, groups: Vec<(GroupId, Index)>) {
        for (group, index) in groups {
            if let Some(replica) = self.shared.replica(group) {
                replica.addr.do_send(Event::StatePersisted(index).into());
            }
        }
    }

    fn failed(&mut self, group: GroupId, generation: Generation, why: String) {
        if let Some(replica) = self.shared.replica(group) {
            replica.addr.do_send(GroupMessage::StateFailed(generation, why));
        }
    }

    fn fatal(&mut self, why: String) {
        let _ = self.fatal.send(why);
    }

    fn submit(&mut self, command: Command) {
        if matches!(command, Command::Write(_)) {
            self.metrics.batches.increment(1);
        }
        self.waiting.push_back(command);
        self.pump();
    }

    fn pump(&mut self) {
        while let Some(command) = self.waiting.pop_front() {
            match self.state.submit(command) {
                Ok(()) => {}
                Err(SubmitError::Full(command)) => {
                    self.waiting.push_front(command);
                    return;
                }
                Err(SubmitError::Closed(_)) => {
                    let _ = self.fatal.send("the state thread has stopped".into());
                    return;
                }
            }
        }
    }

    fn leases_ended(&mut self, units: usize) {
        self.metrics.leases_late.increment(units as u64);
    }

    fn worked(&mut self, entries: u64, commands: u64, overlay_bytes: usize) {
        self.shared.work.fetch_add(entries, std::sync::atomic::Ordering::Relaxed);
        self.metrics.entries.increment(entries);
        self.metrics.commands.increment(commands);
        self.metrics.overlay.set(crate::actors::metrics::as_f64(overlay_bytes as u64));
    }
}
