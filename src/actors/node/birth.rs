//! Birth: how nodes with empty disks become a cluster, once, and never by accident.
//!
//! Nobody founds a cluster by itself, or two nodes restarted with wiped disks and their old flags would
//! elect an empty config group. `init` asks one node; that one asks the others who they are, makes the
//! plan, and every founder keeps the plan on its disk before group 0 may start there. Asked again after a
//! failure half way, whoever has a plan already decides.

use super::host::Host;
use crate::actors::poller::{Poller, PollerMessage};
use crate::actors::shared::Shared;
use crate::actors::threads::LogHandle;
use crate::ids::{ClusterId, NodeId};
use crate::net::message::{Identity, PeerMessage};
use crate::shard::{Founder, InitPlan, NodeInfo, ReplicatedLimits, Table};
use crate::store::home::Home;
use actix::Addr;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How long a founder may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions to the same founder.
const AGAIN: Duration = Duration::from_millis(200);

/// See the module's first lines.
pub(super) struct Birthplace {
    pub(super) shared: Arc<Shared>,
    pub(super) home: Arc<Mutex<Home>>,
    pub(super) info: NodeInfo,
    /// The nodes that are to found the cluster, this one among them.
    pub(super) founders: Vec<NodeId>,
    pub(super) log: LogHandle,
    pub(super) host: OnceLock<Arc<Host>>,
    pub(super) poller: OnceLock<Addr<Poller>>,
    /// What founders have told of themselves.
    pub(super) heard: Mutex<BTreeMap<NodeId, Identity>>,
}

impl Birthplace {
    pub(super) fn plan(&self) -> Option<InitPlan> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner).plan().cloned()
    }

    /// Who this node is.
    pub(super) fn identity(&self) -> Identity {
        let plan = self.plan();
        Identity {
            node: self.shared.node,
            info: self.info.clone(),
            cluster: self.home.lock().unwrap_or_else(PoisonError::into_inner).cluster(),
            plan,
        }
    }

    /// A node has told who it is.
    pub(super) fn told(&self, from: NodeId, identity: Identity) {
        if identity.node == from {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(from, identity);
        }
    }

    /// This node is a founder of that cluster: keeps the plan, synced, and begins.
    pub(super) async fn found(&self, plan: InitPlan) -> Result<(), String> {
        if let Some(known) = self.plan() {
            return if known == plan {
                Ok(())
            } else {
                Err(format!("this node belongs to cluster {} already", known.cluster))
            };
        }
        if let Some(cluster) = self.identity().cluster {
            return Err(format!("this node belongs to cluster {cluster} already"));
        }
        Table::found(&plan).map_err(|error| error.to_string())?;
        let me = plan.founders.iter().find(|founder| founder.node == self.shared.node);
        if me.is_none_or(|me| me.info.incarnation != self.info.incarnation) {
            return Err("this node is not among its founders".into());
        }
        // The log first: if the plan is lost, the log says nothing that matters.
        self.log.set_cluster(plan.cluster).await?;
        let (home, kept) = (self.home.clone(), plan.clone());
        tokio::task::spawn_blocking(move || {
            home.lock().unwrap_or_else(PoisonError::into_inner).found(kept)
        })
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
        tracing::info!(cluster = %plan.cluster, founders = plan.founders.len(), "founded");
        if let Some(host) = self.host.get() {
            host.set_cluster(plan.cluster);
        }
        if let Some(poller) = self.poller.get() {
            poller.do_send(PollerMessage::Founded(plan));
        }
        Ok(())
    }

    /// `init`: the cluster's id, and whether it existed before.
    pub(super) async fn init(
        &self,
        data_groups: u32,
        replication: Option<u32>,
    ) -> Result<(ClusterId, bool), String> {
        if self.founders.is_empty() {
            return Err("this node was started to join a cluster (--join), not to found one".into());
        }
        let others: Vec<NodeId> =
            self.founders.iter().copied().filter(|node| *node != self.shared.node).collect();
        let mut identities = self.ask(&others, &PeerMessage::Identify, |_| true).await?;
        identities.insert(self.shared.node, self.identity());
        let mut plans: Vec<InitPlan> = identities.values().filter_map(|i| i.plan.clone()).collect();
        plans.dedup();
        if plans.is_empty()
            && let Some(cluster) = identities.values().find_map(|one| one.cluster)
        {
            return Ok((cluster, true));
        }
        let plan = match plans.as_slice() {
            [] => self.new_plan(&identities, data_groups, replication)?,
            [plan] => plan.clone(),
            _ => return Err("the nodes belong to different clusters; check --cluster".into()),
        };
        // Who came back with a new disk founds nothing any more.
        let lacks = |one: &Identity| {
            let is_one = |founder: &Founder| {
                (founder.node, founder.info.incarnation) == (one.node, one.info.incarnation)
            };
            one.plan.is_none() && plan.founders.iter().any(is_one)
        };
        let mut waiting: Vec<NodeId> =
            identities.values().filter(|one| lacks(one)).map(|one| one.node).collect();
        let existed = waiting.is_empty();
        let is_own = waiting.contains(&self.shared.node);
        waiting.retain(|node| *node != self.shared.node);
        let found = PeerMessage::Found(plan.clone());
        let kept = |identity: &Identity| identity.plan.as_ref() == Some(&plan);
        self.ask(&waiting, &found, kept).await?;
        if is_own {
            self.found(plan.clone()).await?;
        }
        Ok((plan.cluster, existed))
    }

    fn new_plan(
        &self,
        identities: &BTreeMap<NodeId, Identity>,
        data_groups: u32,
        replication: Option<u32>,
    ) -> Result<InitPlan, String> {
        let nodes = identities.len();
        if let Some(more) = replication.filter(|replication| *replication as usize > nodes) {
            return Err(format!(
                "{more} replicas of each group need as many nodes, and there are {nodes}: give a smaller \
                 --replication, or name more nodes in --cluster"
            ));
        }
        let mut hash_key = [0; 16];
        getrandom::fill(&mut hash_key).map_err(|error| error.to_string())?;
        let founders = identities
            .values()
            .map(|identity| Founder { node: identity.node, info: identity.info.clone() })
            .collect();
        let plan = InitPlan {
            cluster: ClusterId::random().map_err(|error| error.to_string())?,
            hash_key,
            founders,
            data_groups,
            replication: replication.unwrap_or(u32::MAX),
            limits: ReplicatedLimits::default(),
        };
        Table::found(&plan).map_err(|error| error.to_string())?;
        Ok(plan)
    }

    /// Asks all of them until each has given an answer that will do.
    async fn ask(
        &self,
        nodes: &[NodeId],
        question: &PeerMessage,
        will_do: impl Fn(&Identity) -> bool,
    ) -> Result<BTreeMap<NodeId, Identity>, String> {
        let heard = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for node in nodes {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        }
        let asking = async {
            loop {
                let answers = heard();
                let missing: Vec<NodeId> = nodes
                    .iter()
                    .copied()
                    .filter(|node| !answers.get(node).is_some_and(&will_do))
                    .collect();
                if missing.is_empty() {
                    return answers.into_iter().filter(|(node, _)| nodes.contains(node)).collect();
                }
                for node in missing {
                    let _ = self.shared.peers.control(node, question);
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| {
            let answers = heard();
            let silent: Vec<String> = nodes
                .iter()
                .filter(|node| !answers.get(node).is_some_and(&will_do))
                .map(ToString::to_string)
                .collect();
            format!(
                "no answer from {}; all founders must run and reach each other: see their logs",
                silent.join(", ")
            )
        })
    }
}
