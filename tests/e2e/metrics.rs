//! `/metrics` is valid Prometheus text with sane names; `/healthz` and `/readyz` answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::nodes::{NODES, Nodes};

/// The samples of one node: name with labels, value.
pub(crate) fn samples(nodes: &Nodes, node: u16) -> BTreeMap<String, f64> {
    let (code, text) = nodes.http_get(node, "/metrics");
    assert_eq!(code, 200);
    text.lines()
        .filter(|line| line.starts_with("eraft_"))
        .map(|line| {
            let (name, value) =
                line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line}"));
            (
                name.to_owned(),
                value.trim().parse().unwrap_or_else(|_| panic!("no number in {line}")),
            )
        })
        .collect()
}

#[test]
fn the_text_is_sane() {
    let cluster = Cluster::shared();
    for n in 0..50 {
        assert!(cluster.client(1).command(&["SET", &format!("metrics:{n}"), "v"]).is_ok());
    }
    let (_, text) = cluster.http_get(1, "/metrics");
    let mut kinds = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(
            kinds.insert(words[2].to_owned(), words[3].to_owned()).is_none(),
            "{line} comes twice"
        );
    }
    assert!(kinds.len() >= 20, "{kinds:?}");
    for (name, kind) in &kinds {
        assert!(name.starts_with("eraft_"), "{name}");
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(["counter", "gauge", "histogram"].contains(&kind.as_str()), "{name} is a {kind}");
    }
    let names: BTreeSet<String> = samples(&cluster, 1)
        .keys()
        .map(|name| name.split('{').next().expect("a name").to_owned())
        .map(|name| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            base.filter(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram"))
                .map_or(name.clone(), Into::into)
        })
        .collect();
    for name in &names {
        assert!(kinds.contains_key(name), "{name} has no type");
    }
    for wanted in [
        "eraft_raft_term",
        "eraft_raft_leader",
        "eraft_raft_commit_index",
        "eraft_raft_applied_index",
        "eraft_raft_proposals_total",
        "eraft_wal_sync_seconds",
        "eraft_wal_batch_records",
        "eraft_connections",
        "eraft_command_seconds",
        "eraft_memory_resident_bytes",
        "eraft_actor_restarts_total",
    ] {
        assert!(names.contains(wanted), "no {wanted} in {names:?}");
    }
}

#[test]
fn the_figures_are_true() {
    let cluster = Cluster::shared();
    let leaders: f64 = (1..=NODES)
        .map(|node| {
            let samples = samples(&cluster, node);
            let leads = samples.iter().filter(|(name, _)| name.starts_with("eraft_raft_leader{"));
            leads.map(|(_, value)| value).sum::<f64>()
        })
        .sum();
    assert_eq!(leaders, 3.0, "three groups have three leaders");
    let memory = samples(&cluster, 2)["eraft_memory_resident_bytes"];
    let real = crate::process::resident_bytes(cluster.process(2)) as f64;
    assert!((memory / real - 1.0).abs() < 0.3, "{memory} in the metrics, {real} in /proc");
    let count = |node| -> f64 {
        let all = samples(&cluster, node);
        let sets = all.iter().filter(|(name, _)| {
            name.starts_with("eraft_command_seconds_count")
                && name.to_lowercase().contains("\"set\"")
        });
        sets.map(|(_, value)| value).sum()
    };
    let before = count(3);
    for n in 0..20 {
        assert!(cluster.client(3).command(&["SET", &format!("metrics:t{n}"), "v"]).is_ok());
    }
    assert!(
        count(3) >= before + 20.0,
        "SET was counted {before} times before and {} after",
        count(3)
    );
}

#[test]
fn health_and_readiness() {
    let cluster = Cluster::start();
    for node in 1..=NODES {
        assert_eq!(cluster.http_get(node, "/healthz").0, 200);
        assert_eq!(cluster.http_get(node, "/readyz").0, 200);
        assert_eq!(cluster.http_get(node, "/nosuch").0, 404);
    }
    // Without a majority a node lives, and is not ready.
    cluster.kill(2);
    cluster.kill(3);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while cluster.http_get(1, "/readyz").0 == 200 {
        assert!(std::time::Instant::now() < deadline, "still ready without a majority");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(cluster.http_get(1, "/healthz").0, 200);
}
