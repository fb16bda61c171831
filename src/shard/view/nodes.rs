//! `CLUSTER NODES`, `CLUSTER REPLICAS` and `CLUSTER INFO`: the texts that Redis' own tools read.

use super::roles::{ClusterView, Role, Traffic};
use crate::ids::NodeId;
use crate::limits::BUCKETS;
use crate::shard::address::Address;
use std::fmt::Write;

impl ClusterView {
    /// `CLUSTER NODES`: one line per node, ended by line feeds, by node id.
    ///
    /// The port behind the `@` is the one of QUIC, over which nodes talk to each other.
    #[must_use]
    pub fn nodes_text(&self) -> String {
        self.table
            .nodes
            .keys()
            .filter_map(|&node| self.line(node))
            .map(|line| line + "\n")
            .collect()
    }

    /// `CLUSTER REPLICAS id`: the lines of the slaves of `master`.
    #[must_use]
    pub fn replica_lines(&self, master: NodeId) -> Vec<String> {
        self.slaves_of(Some(master)).filter_map(|node| self.line(node)).collect()
    }

    /// `CLUSTER INFO`: `name:value` lines, ended by CR LF.
    #[must_use]
    pub fn info_text(&self, traffic: Traffic) -> String {
        let (mut assigned, mut served) = (0, 0);
        for &(range, group) in &self.owned {
            assigned += range.count();
            if self.leader(group).is_some() {
                served += range.count();
            }
        }
        let state = if served == u32::from(BUCKETS) { "ok" } else { "fail" };
        let masters = self.roles.values().filter(|role| **role == Role::Master).count();
        let mut text = String::new();
        for (name, value) in [
            ("cluster_slots_assigned", u64::from(assigned)),
            ("cluster_slots_ok", u64::from(served)),
            ("cluster_slots_pfail", 0),
            ("cluster_slots_fail", u64::from(assigned - served)),
            ("cluster_known_nodes", self.table.nodes.len() as u64),
            ("cluster_size", masters as u64),
            ("cluster_current_epoch", self.current_epoch()),
            ("cluster_my_epoch", self.epoch_of(self.me)),
            ("cluster_stats_messages_sent", traffic.sent),
            ("cluster_stats_messages_received", traffic.received),
            ("total_cluster_links_buffer_limit_exceeded", 0),
        ] {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}:{value}\r\n");
        }
        format!("cluster_state:{state}\r\n{text}")
    }

    fn line(&self, node: NodeId) -> Option<String> {
        let endpoint = self.endpoint(node)?;
        let bus = Address::parse(&self.table.nodes.get(&node)?.quic).ok()?.port;
        let myself = if node == self.me { "myself," } else { "" };
        let (flag, master) = match self.role(node) {
            Role::Master => ("master", None),
            Role::Slave(master) => ("slave", master),
        };
        let master = master.map_or_else(|| "-".to_owned(), |master| self.id(master));
        let alive = self.alive.contains(&node);
        let fail = if alive { "" } else { ",fail" };
        let link = if alive { "connected" } else { "disconnected" };
        let epoch = self.epoch_of(node);
        let mut line = format!(
            "{} {endpoint}@{bus} {myself}{flag}{fail} {master} 0 0 {epoch} {link}",
            endpoint.id
        );
        for range in self.led_by(node) {
            let _ = write!(line, " {range}");
        }
        Some(line)
    }

    /// Grows with every version of the table and every election, and is nowhere exceeded.
    fn current_epoch(&self) -> u64 {
        let terms = self.groups.values().map(|group| group.term.0);
        terms.fold(self.table.version.0, u64::saturating_add)
    }

    /// A master's epoch grows when it wins an election; a slave shows its master's, as in Redis.
    fn epoch_of(&self, node: NodeId) -> u64 {
        let leader = match self.role(node) {
            Role::Slave(Some(master)) => master,
            _ => node,
        };
        let led = self.groups.iter().filter(|(group, _)| self.leader(**group) == Some(leader));
        let term = led.map(|(_, state)| state.term.0).max().unwrap_or(0);
        self.table.version.0.saturating_add(term)
    }
}
