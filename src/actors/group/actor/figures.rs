//! How a replica stands, for people and for metrics.

use super::GroupActor;
use crate::net::message::{GroupStatus, ReplicaProgress, SecretaryState};
use crate::raft::{ProgressState, Role};

impl GroupActor {
    pub(super) fn status(&self) -> Option<GroupStatus> {
        let core = self.core.as_ref()?;
        let status = core.driver.status();
        let stats = self.seed.board.stats();
        let own = self.seed.shared.node;
        let role = match status.role {
            Role::Follower if status.membership.is_learner(own) => "learner".to_owned(),
            Role::Follower if !status.membership.contains(own) => "joining".to_owned(),
            role => role.to_string(),
        };
        let joint = status.membership.outgoing.iter();
        let mut voters = status.membership.voters.clone();
        voters.extend(joint.filter(|node| !status.membership.voters.contains(node)));
        Some(GroupStatus {
            group: self.seed.group,
            role: if self.seed.observer { "observer".into() } else { role },
            term: status.term,
            leader: status.leader,
            voters,
            learners: status.membership.learners.clone(),
            commit: status.commit,
            applied: status.applied,
            last: status.last,
            first: status.base.next(),
            keys: stats.keys,
            bytes: stats.bytes,
            buckets: stats.buckets,
            restarts: self.restarts.total(),
            secretaries: status
                .secretaries
                .iter()
                .map(|one| SecretaryState { node: one.id, present: one.present })
                .collect(),
            progress: status
                .peers
                .iter()
                .map(|peer| ReplicaProgress {
                    node: peer.id,
                    matched: peer.matched,
                    state: match peer.state {
                        ProgressState::Probe => "probe",
                        ProgressState::Replicate => "replicate",
                        ProgressState::Snapshot(_) => "snapshot",
                    }
                    .into(),
                    active: peer.active,
                    observer: peer.observer,
                    relayed_by: peer.relayed_by,
                    snapshot_percent: self.seed.shared.transfers.percent(self.seed.group, peer.id),
                })
                .collect(),
        })
    }

    pub(super) fn publish_metrics(&self) {
        let Some(core) = &self.core else { return };
        let status = core.driver.status();
        let gauge = crate::actors::metrics::as_f64;
        self.metrics.term.set(gauge(status.term.0));
        self.metrics.leads.set(f64::from(u8::from(status.role == Role::Leader)));
        self.metrics.commit.set(gauge(status.commit.0));
        self.metrics.applied.set(gauge(status.applied.0));
        self.metrics.last.set(gauge(status.last.0));
        let stats = self.seed.board.stats();
        self.metrics.keys.set(gauge(stats.keys));
        self.metrics.bytes.set(gauge(stats.bytes));
        self.metrics.sessions.set(gauge(stats.sessions));
        let count = |count: usize| gauge(count as u64);
        let peers = || status.peers.iter();
        self.metrics.observers.set(count(peers().filter(|peer| peer.observer).count()));
        self.metrics.relayed_peers.set(count(peers().filter(|p| p.relayed_by.is_some()).count()));
        let present = status.secretaries.iter().filter(|secretary| secretary.present);
        self.metrics.secretaries.set(count(present.count()));
        for peer in &status.peers {
            self.metrics.lag(peer.id, status.last.0.saturating_sub(peer.matched.0));
        }
    }
}
