//! The cluster in the words of the original system: `SHARDGROUP QUERY`, and the servers of each group in
//! `INFO`. The fields and their order are kept; addresses are those of the plain Redis port.

use super::roles::ClusterView;
use crate::ids::{GroupId, NodeId};
use crate::shard::owners::Bounds;
use crate::shard::table::GroupInfo;
use std::fmt::Write;

impl ClusterView {
    /// `SHARDGROUP QUERY`: one flat list of words. For each data group, by id: `shardgroup`, its id,
    /// `servers`, then id and address of each server, `buckets`, then its ranges (none, if it owns
    /// nothing).
    #[must_use]
    pub fn shardgroup_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (group, info) in self.table.data_groups() {
            words.extend(["shardgroup".to_owned(), group.0.to_string(), "servers".to_owned()]);
            for (node, address) in self.servers(info) {
                words.extend([node.0.to_string(), address.to_owned()]);
            }
            words.push("buckets".to_owned());
            let ranges = self.table.owners.ranges_of(group, Bounds::Actual);
            words.extend(ranges.iter().map(ToString::to_string));
        }
        words
    }

    /// The part of `INFO` that lists each server of each group, in lines ended by CR LF. The servers
    /// of the config group come first, each under `meta server: `; then each data group under
    /// `shard group: ` and its id.
    #[must_use]
    pub fn servers_text(&self) -> String {
        let mut text = String::new();
        for (&group, info) in &self.table.groups {
            if group != GroupId::CONFIG {
                let _ = write!(text, "shard group: {}\r\n", group.0);
            }
            let leader = self.leader(group);
            for (node, address) in self.servers(info) {
                if group == GroupId::CONFIG {
                    text.push_str("meta server: \r\n");
                }
                let status = if self.alive.contains(&node) { "Running" } else { "Down" };
                let role = if leader == Some(node) { "Leader" } else { "Follower" };
                let _ = write!(
                    text,
                    "server_id: {},server_address: {address},status: {status},Role: {role}\r\n",
                    node.0
                );
            }
        }
        text
    }

    fn servers<'a>(&'a self, info: &'a GroupInfo) -> impl Iterator<Item = (NodeId, &'a str)> {
        let known = info.replicas.iter();
        known.filter_map(|node| Some((*node, self.table.nodes.get(node)?.redis.as_str())))
    }
}
