//! A node's state, as the scenarios write it.

use super::node::Node;
use eraft::ids::NodeId;
use eraft::raft::{ProgressState, Role};
use std::fmt::Write as _;

impl Node {
    /// What a leader knows about everybody, as the scenarios write it.
    pub(super) fn describe_status(&self) -> String {
        let status = self.raft.status();
        if status.role != Role::Leader {
            return String::new();
        }
        let mut lines: Vec<(NodeId, String)> = Vec::new();
        if status.membership.contains(status.id) {
            let (matched, next) = (status.persisted, status.persisted.next());
            let line = format!("StateReplicate match={} next={}", matched.0, next.0);
            lines.push((status.id, line));
        }
        for peer in status.peers {
            let mut line = match peer.state {
                ProgressState::Probe => "StateProbe".to_owned(),
                ProgressState::Replicate => "StateReplicate".to_owned(),
                ProgressState::Snapshot(_) => "StateSnapshot".to_owned(),
            };
            _ = write!(line, " match={} next={}", peer.matched.0, peer.next.0);
            line.push_str(if peer.learner { " learner" } else { "" });
            line.push_str(if peer.paused { " paused" } else { "" });
            if let ProgressState::Snapshot(index) = peer.state {
                _ = write!(line, " pendingSnap={}", index.0);
            }
            line.push_str(if peer.active { "" } else { " inactive" });
            if peer.inflight > 0 {
                _ = write!(line, " inflight={}", peer.inflight);
                line.push_str(if peer.window_full { "[full]" } else { "" });
            }
            lines.push((peer.id, line));
        }
        lines.sort();
        let lines: Vec<String> =
            lines.into_iter().map(|(id, line)| format!("{}: {line}", id.0)).collect();
        lines.join("\n")
    }

    pub(super) fn describe_state(&self) -> String {
        let status = self.raft.status();
        let votes = status.membership.is_voter(status.id);
        format!(
            "{}: {} ({}) Term:{} Lead:{}",
            status.id.0,
            state(status.role),
            if votes { "Voter" } else { "Non-Voter" },
            status.term.0,
            status.leader.map_or(0, |leader| leader.0)
        )
    }
}

/// The name of a role.
pub(super) fn state(role: Role) -> &'static str {
    match role {
        Role::Follower => "StateFollower",
        Role::PreCandidate => "StatePreCandidate",
        Role::Candidate => "StateCandidate",
        Role::Leader => "StateLeader",
    }
}
