//! Starts replicas and reaches peers: what the poller needs done and does not do itself.

use crate::actors::apply::{ApplyInbox, Birth};
use crate::actors::group::actor::{GroupActor, GroupSeed};
use crate::actors::group::payload::PayloadKind;
use crate::actors::secretary::SecretaryActor;
use crate::actors::shared::{Board, Replica, Shared};
use crate::actors::threads::LogHandle;
use crate::ids::{Bucket, ClusterId, GroupId, Incarnation, NodeId};
use crate::kv::{Genesis, SessionLimits};
use crate::net::quic::Endpoint;
use crate::raft::Membership;
use crate::shard::{GroupInfo, Table};
use crate::store::home::Home;
use crate::time::UnixMillis;
use actix_rt::ArbiterHandle;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module's first lines.
pub struct Host {
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint: Arc<Mutex<Option<Endpoint>>>,
    pub(super) log: LogHandle,
    pub(super) apply: ApplyInbox,
    /// The workers' arbiters; groups are spread over them.
    pub(super) arbiters: Vec<ArbiterHandle>,
    pub(super) incarnation: Incarnation,
    pub(super) home: Arc<Mutex<Home>>,
    /// Groups that live in the log, until their replicas have been started.
    pub(super) living: Mutex<BTreeSet<GroupId>>,
    /// Groups of which a replica is here, or was, as far as the log remembers.
    pub(super) began: Mutex<Arc<BTreeSet<GroupId>>>,
    /// Something is lost in the log, and nobody knows whose.
    pub(crate) unsure: AtomicBool,
}

impl Host {
    /// Keeps a connection to a node from now on.
    pub fn reach(&self, node: NodeId, address: &str) {
        if node == self.shared.node {
            return;
        }
        let endpoint = lock(&self.endpoint);
        if let Some(endpoint) = endpoint.as_ref() {
            self.shared.peers.add(node, endpoint.peer(node, address));
        }
    }

    /// A node was removed from the cluster: nobody here speaks with it any more.
    pub fn part_from(&self, node: NodeId) {
        let endpoint = lock(&self.endpoint);
        if let Some(endpoint) = endpoint.as_ref() {
            endpoint.remove_peer(node);
        }
        self.shared.peers.remove(node);
    }

    /// The node belongs to this cluster from now on.
    pub(super) fn set_cluster(&self, cluster: ClusterId) {
        let endpoint = lock(&self.endpoint);
        if let Some(endpoint) = endpoint.as_ref() {
            endpoint.set_cluster(cluster);
        }
    }

    /// Passes entries of a group on from now on.
    pub fn employ(&self, group: GroupId) {
        let addr = SecretaryActor::start_on(self.arbiter(group), self.shared.clone(), group);
        self.shared.secretaries.add(group, addr);
    }

    fn arbiter(&self, group: GroupId) -> &ArbiterHandle {
        &self.arbiters[group.0 as usize % self.arbiters.len()]
    }

    /// Keeps the table on disk, and with it which cluster this is. Nothing waits for that: whoever forgets it
    /// asks for it again.
    pub fn remember(&self, table: Arc<Table>) {
        let (home, log, endpoint) = (self.home.clone(), self.log.clone(), self.endpoint.clone());
        actix_rt::spawn(async move {
            let known = lock(&home).table().map(Table::stamp);
            if known.is_some_and(|known| known >= table.stamp()) {
                return;
            }
            let is_new = lock(&home).cluster().is_none();
            let cluster = table.cluster;
            if is_new && let Err(trouble) = log.set_cluster(cluster).await {
                tracing::error!("the log does not take the cluster's id: {trouble}");
                return;
            }
            let kept = tokio::task::spawn_blocking(move || {
                let mut home = lock(&home);
                let newer = home.table().is_none_or(|known| known.stamp() < table.stamp());
                if newer { home.remember(Table::clone(&table)) } else { Ok(()) }
            });
            match kept.await {
                Ok(Ok(())) if is_new => {
                    tracing::info!(%cluster, "this node belongs to the cluster");
                    if let Some(endpoint) = lock(&endpoint).as_ref() {
                        endpoint.set_cluster(cluster);
                    }
                }
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("the config table is not kept on disk: {error}"),
                Err(error) => tracing::warn!("the config table is not kept on disk: {error}"),
            }
        });
    }

    /// Groups that live in the log and have no replica running yet.
    pub fn living<T>(&self, running: &BTreeMap<GroupId, T>) -> BTreeSet<GroupId> {
        let mut living = lock(&self.living);
        living.retain(|group| !running.contains_key(group));
        living.clone()
    }

    /// Groups of which a replica is here, or was.
    pub fn began(&self) -> Arc<BTreeSet<GroupId>> {
        lock(&self.began).clone()
    }

    /// Every group that should be here is, and none of them has forgotten anything.
    pub fn mend(self: &Arc<Self>) {
        let host = self.clone();
        actix_rt::spawn(async move {
            match host.log.mend().await {
                Ok(true) => {
                    if host.unsure.swap(false, Relaxed) {
                        tracing::info!("the log is whole again: every replica here was born anew");
                    }
                }
                Ok(false) => {}
                Err(trouble) => tracing::warn!("the log is not whole yet: {trouble}"),
            }
        });
    }

    /// Starts this node's replica of a group. On a disk that the group was founded with, it is a voter from
    /// the beginning; else it waits for its group to let it in. What a founder starts from is in the table
    /// for ever: every founder finds the same there, whichever version it has.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn start(&self, group: GroupId, table: &Table) -> Result<(), String> {
        let Some(info) = table.groups.get(&group) else {
            return Err("the table does not know the group".into());
        };
        let founds = table.may_found(group, self.shared.node, self.incarnation);
        let founders = if founds {
            Membership::of_disks(info.founders.iter().copied())
        } else {
            Membership::default()
        };
        let observer = info.observers.contains(&self.shared.node);
        let request = getrandom::u64().map_err(|error| error.to_string())?;
        let board = Arc::new(Board::new(request));
        board.observer.store(observer, Relaxed);
        let (kind, birth) = if group == GroupId::CONFIG {
            (PayloadKind::Config, Birth::Config)
        } else {
            (PayloadKind::Keys, Birth::Keys(Box::new(genesis(table, info, founds))))
        };
        let seed = GroupSeed {
            group,
            kind,
            birth,
            preferred: info.preferred_leader == self.shared.node,
            founders,
            disk: self.incarnation,
            shared: self.shared.clone(),
            log: self.log.clone(),
            apply: self.apply.clone(),
            board: board.clone(),
            observer,
        };
        let addr = GroupActor::start_on(self.arbiter(group), seed);
        self.shared.add_replica(group, Replica { addr, board });
        Arc::make_mut(&mut lock(&self.began)).insert(group);
        Ok(())
    }
}

/// The state of a data group at its birth: where it is founded, it owns its first buckets. Elsewhere it owns
/// nothing, and all it has comes with a snapshot.
fn genesis(table: &Table, info: &GroupInfo, founds: bool) -> Genesis {
    let limits = &info.first_limits;
    let buckets = if founds { info.first_buckets.as_slice() } else { &[] };
    Genesis {
        hash_key: table.hash_key,
        buckets: buckets
            .iter()
            .flat_map(|range| (range.first.0..=range.last.0).map(Bucket))
            .collect(),
        // The first leader's first stamp sets it.
        time: UnixMillis(0),
        value_bytes_max: limits.value_bytes_max,
        sessions: SessionLimits {
            sessions: limits.sessions_max,
            replies: limits.session_replies_max,
            bytes: limits.session_bytes_max,
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
