//! Starts replicas and reaches peers: what the poller needs done and does not do itself.

use crate::actors::apply::{ApplyInbox, Birth};
use crate::actors::group::actor::{GroupActor, GroupSeed};
use crate::actors::group::payload::PayloadKind;
use crate::actors::shared::{Board, Replica, Shared};
use crate::actors::threads::LogHandle;
use crate::ids::{Bucket, ClusterId, GroupId, Incarnation, NodeId};
use crate::kv::{Genesis, SessionLimits};
use crate::net::quic::Endpoint;
use crate::raft::Membership;
use crate::shard::{Bounds, InitPlan, Table};
use crate::store::wal::Damage;
use crate::time::UnixMillis;
use actix_rt::ArbiterHandle;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// See the module's first lines.
pub struct Host {
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint: Mutex<Option<Endpoint>>,
    pub(super) log: LogHandle,
    pub(super) apply: ApplyInbox,
    /// The workers' arbiters; groups are spread over them.
    pub(super) arbiters: Vec<ArbiterHandle>,
    pub(super) incarnation: Incarnation,
    /// What the log has lost: the replicas concerned must neither vote nor serve.
    pub(super) damaged: Damage,
}

impl Host {
    /// Keeps a connection to a node from now on.
    pub fn reach(&self, node: NodeId, address: &str) {
        if node == self.shared.node {
            return;
        }
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = endpoint.as_ref() {
            self.shared.peers.add(node, endpoint.peer(node, address));
        }
    }

    /// The node belongs to this cluster from now on.
    pub(super) fn set_cluster(&self, cluster: ClusterId) {
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = endpoint.as_ref() {
            endpoint.set_cluster(cluster);
        }
    }

    /// Starts this node's replica of a group that was founded with the cluster.
    ///
    /// # Errors
    /// When this node's disk is none of the group's founders.
    pub fn start(&self, group: GroupId, plan: &InitPlan) -> Result<(), String> {
        let table = Table::found(plan).map_err(|error| error.to_string())?;
        let Some(info) = table.groups.get(&group) else {
            return Err("it is not one of the cluster's first groups".into());
        };
        if !table.may_found(group, self.shared.node, self.incarnation) {
            return Err(
                "this disk is not the one that the cluster was founded with; a node that lost its disk \
                 must be removed and added again under a new id"
                    .into(),
            );
        }
        let board = Arc::new(Board::default());
        let silent = match &self.damaged {
            Damage::None => false,
            Damage::Groups(groups) => groups.contains(&group),
            // Also of groups that the log knows nothing of any more.
            Damage::All => true,
        };
        board.failed.store(silent, Relaxed);
        let (kind, birth) = if group == GroupId::CONFIG {
            (PayloadKind::Config, Birth::Config)
        } else {
            (PayloadKind::Keys, Birth::Keys(Box::new(genesis(&table, group))))
        };
        let seed = GroupSeed {
            group,
            kind,
            birth,
            preferred: info.preferred_leader == self.shared.node,
            founders: Membership::of_disks(info.founders.iter().copied()),
            shared: self.shared.clone(),
            log: self.log.clone(),
            apply: self.apply.clone(),
            board: board.clone(),
            silent,
        };
        let arbiter = &self.arbiters[group.0 as usize % self.arbiters.len()];
        let addr = GroupActor::start_on(arbiter, seed);
        self.shared.add_replica(group, Replica { addr, board });
        Ok(())
    }
}

/// The state of a data group at the cluster's birth.
fn genesis(table: &Table, group: GroupId) -> Genesis {
    let ranges = table.owners.ranges_of(group, Bounds::Actual);
    let limits = &table.limits;
    Genesis {
        hash_key: table.hash_key,
        buckets: ranges
            .into_iter()
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
