//! Answers as tables for people. Plain text without borders, so that the usual tools cut it.

use crate::status::{Document, Group, Node};
use comfy_table::{Table, presets};

/// `status`.
pub(crate) fn status(document: &Document) -> String {
    let mut nodes = plain(&[
        "NODE",
        "ALIVE",
        "REDIS",
        "CLUSTER PORT",
        "HTTP",
        "QUIC",
        "PID",
        "UP",
        "MEMORY",
        "DISK",
        "TABLE",
    ]);
    for node in &document.nodes {
        nodes.add_row(node_row(node));
    }
    let mut groups = plain(&[
        "GROUP", "LEADER", "TERM", "COMMIT", "APPLIED", "KEYS", "BYTES", "BUCKETS", "REPLICAS",
    ]);
    for group in &document.groups {
        groups.add_row(group_row(group));
    }
    let cluster = document.cluster.as_deref().unwrap_or("none yet");
    let mut text = format!("cluster {cluster}\n\n{}\n\n{}", nodes.trim_fmt(), groups.trim_fmt());
    for node in document.nodes.iter().filter(|node| !node.alive) {
        let reason = node.reason.as_deref().unwrap_or("it did not answer");
        text.push_str(&format!("\n\nnode {}: {reason}", number(node.id)));
    }
    for node in &document.nodes {
        for trouble in node.told.iter().flat_map(|told| &told.troubles) {
            text.push_str(&format!("\n\nnode {}: {trouble}", number(node.id)));
        }
        if let Some(told) = node.told.as_ref().filter(|told| told.lease_reads) {
            let (id, served) = (number(node.id), told.lease_reads_served);
            text.push_str(&format!("\n\nnode {id}: reads on leases, {served} so far"));
        }
    }
    text
}

/// A table without lines.
pub(crate) fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

fn node_row(node: &Node) -> Vec<String> {
    let id = number(node.id);
    let Some(told) = &node.told else {
        let mut row = vec![id, "no".into(), "-".into(), "-".into(), "-".into(), node.quic.clone()];
        row.resize(11, "-".into());
        return row;
    };
    let disk = match (told.disk_low, told.disk_slow) {
        (true, _) => " (nearly full)",
        (false, true) => " (slow)",
        (false, false) => "",
    };
    vec![
        id,
        "yes".into(),
        told.redis.clone(),
        told.cluster_port.clone(),
        told.http.clone(),
        node.quic.clone(),
        told.pid.to_string(),
        duration(told.uptime_seconds),
        bytes(told.memory_bytes),
        format!("{}{disk}", bytes(told.disk_bytes)),
        told.table.to_string(),
    ]
}

fn group_row(group: &Group) -> Vec<String> {
    let replicas = group.replicas.iter().map(|replica| {
        let mut text = format!("n{} {}", replica.node, replica.role);
        if replica.lag > 0 {
            text.push_str(&format!(" (lag {})", replica.lag));
        }
        if let Some(percent) = replica.snapshot_percent {
            text.push_str(&format!(" (snapshot {percent} %)"));
        }
        if let Some(secretary) = replica.relayed_by {
            text.push_str(&format!(" (by n{secretary})"));
        }
        if replica.restarts > 0 {
            text.push_str(&format!(" (restarted {}x)", replica.restarts));
        }
        text
    });
    let secretaries = group.secretaries.iter().map(|secretary| {
        let absent = if secretary.present { "" } else { " (absent)" };
        format!("n{} secretary{absent}", secretary.node)
    });
    vec![
        if group.id == 0 { "0 (config)".into() } else { group.id.to_string() },
        group.leader.map_or("none".into(), |leader| format!("n{leader}")),
        group.term.to_string(),
        group.commit.to_string(),
        group.applied.to_string(),
        group.keys.to_string(),
        bytes(group.bytes),
        group.buckets.to_string(),
        replicas.chain(secretaries).collect::<Vec<_>>().join(", "),
    ]
}

fn number(id: Option<u32>) -> String {
    id.map_or("?".into(), |id| id.to_string())
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A size in short.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64 / 1024.0;
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_the_dead_and_the_leader() {
        let text = status(&crate::status::tests::example());
        assert!(text.contains("n2 leader (lag 10)"), "{text}");
        assert!(text.contains("node 3: no answer"), "{text}");
        assert!(text.contains("1.0 MiB"), "{text}");
    }

    #[test]
    fn leases_are_told_where_they_are_on() {
        let mut document = crate::status::tests::example();
        assert!(!status(&document).contains("leases"));
        let told = document.nodes[0].told.as_mut().expect("it lives");
        (told.lease_reads, told.lease_reads_served) = (true, 7);
        assert!(status(&document).contains("node 1: reads on leases, 7 so far"));
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([bytes(7), bytes(1536), bytes(5 << 30)], ["7 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([duration(59), duration(61), duration(7300)], ["59s", "1m1s", "2h1m"]);
        assert_eq!(duration(90_000), "1d1h");
    }
}
