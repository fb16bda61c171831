//! What a story shows of a replica, and how the difference between two moments is told.

use crate::ids::{Index, NodeId, Term};
use crate::raft::{Membership, ProgressState, Raft, Role, Status};
use std::fmt::Write;

/// What can be seen of a replica from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    role: Role,
    term: Term,
    leader: Option<NodeId>,
    durable: Index,
    commit: Index,
    membership: Membership,
    transfer: Option<NodeId>,
    quiet: bool,
}

impl View {
    pub(super) fn of(raft: &Raft) -> Self {
        let status = raft.status();
        Self {
            role: status.role,
            term: status.term,
            leader: status.leader,
            durable: status.persisted,
            commit: status.commit,
            membership: status.membership,
            transfer: status.transfer,
            quiet: raft.is_quiet(),
        }
    }

    /// What is new since `before`, a line for each thought.
    pub(super) fn tell(&self, id: NodeId, before: Option<&View>, out: &mut String) {
        let lead = |view: &View| (view.role, view.term, view.leader);
        if before.map(lead) != Some(lead(self)) {
            let leader = match (self.role, self.leader) {
                (Role::Follower, Some(leader)) => format!(" of {leader}"),
                _ => String::new(),
            };
            let _ = writeln!(out, "{id} {}{leader} in {}", self.role, self.term);
        }
        let mut news = Vec::new();
        if before.map(|view| view.durable) != Some(self.durable) {
            news.push(format!("has {}", self.durable));
        }
        if before.map(|view| view.commit) != Some(self.commit) {
            news.push(format!("commits {}", self.commit));
        }
        if !news.is_empty() && before.is_some() {
            let _ = writeln!(out, "{id} {}", news.join(", "));
        }
        if before.is_some_and(|view| view.membership != self.membership) {
            let _ = writeln!(out, "{id} members {}", members(&self.membership));
        }
        if before.is_some_and(|view| view.quiet != self.quiet) {
            let _ = writeln!(out, "{id} {}", if self.quiet { "sleeps" } else { "wakes" });
        }
        match (before.and_then(|view| view.transfer), self.transfer) {
            (None, Some(to)) => {
                let _ = writeln!(out, "{id} hands over to {to}");
            }
            (Some(to), None) if self.role == Role::Leader => {
                let _ = writeln!(out, "{id} no longer hands over to {to}");
            }
            _ => {}
        }
    }
}

/// A membership on one line: voters, then what is special.
pub(super) fn members(membership: &Membership) -> String {
    let list = |ids: &[NodeId]| ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ");
    let mut text = list(&membership.voters);
    for (name, ids) in [
        ("outgoing", &membership.outgoing),
        ("learners", &membership.learners),
        ("learners next", &membership.learners_next),
    ] {
        if !ids.is_empty() {
            let _ = write!(text, ", {name} {}", list(ids));
        }
    }
    for (node, disk) in &membership.disks {
        let _ = write!(text, ", {node} on {disk}");
    }
    if membership.era.number > 0 {
        let _ = write!(text, ", {}", membership.era);
    }
    if membership.auto_leave {
        text.push_str(", leaves by itself");
    }
    text
}

/// A leader's peers, a line each.
pub(super) fn peers(status: &Status, out: &mut String) {
    for peer in &status.peers {
        let state = match peer.state {
            ProgressState::Probe => "probe".to_owned(),
            ProgressState::Replicate => "replicate".to_owned(),
            ProgressState::Snapshot(index) => format!("snapshot {index}"),
        };
        let _ = write!(out, "{} {state} match {} next {}", peer.id, peer.matched, peer.next);
        for (word, holds) in [
            ("observer", peer.observer),
            ("learner", peer.learner && !peer.observer),
            ("paused", peer.paused),
            ("window full", peer.window_full),
            ("silent", !peer.active),
        ] {
            if holds {
                let _ = write!(out, " {word}");
            }
        }
        if let Some(by) = peer.relayed_by {
            let _ = write!(out, " by {by}");
        }
        let _ = writeln!(out, " inflight {}", peer.inflight);
    }
    for secretary in &status.secretaries {
        let state = if secretary.present { "present" } else { "absent" };
        let _ = writeln!(out, "{} secretary {state}", secretary.id);
    }
}
