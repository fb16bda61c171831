//! Every acknowledged write is behind real syncs: counted by strace, from outside, and held against the metric. A
//! node whose sync fails acknowledges nothing more.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::process;
use crate::tracer::Tracer;

const WRITES: usize = 300;

#[test]
fn a_majority_syncs_for_every_single_write() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traces: Vec<_> = (1..=NODES).map(|node| folder.path().join(node.to_string())).collect();
    let attach = |node: u16| {
        let trace = traces[usize::from(node - 1)].to_str().expect("a plain path");
        let options = ["-e", "trace=fdatasync,fsync,sync_file_range", "-o", trace];
        Tracer::attach(cluster.process(node), &options)
    };
    let Some(tracers) = (1..=NODES).map(attach).collect::<Option<Vec<_>>>() else {
        return;
    };

    let counted = |cluster: &Nodes| -> f64 {
        (1..=NODES).map(|n| samples(cluster, n)["eraft_wal_syncs_total"]).sum()
    };
    let (lines_before, metric_before) = (lines(&traces), counted(&cluster));
    // One connection, one write at a time: no two writes can share a sync.
    let mut client = cluster.client(1);
    for n in 0..WRITES {
        assert!(client.command(&["SET", "sync:k", &n.to_string()]).is_ok());
    }
    thread::sleep(Duration::from_millis(500));
    let (lines_after, metric_after) = (lines(&traces), counted(&cluster));
    drop(tracers);
    let syncs = lines_after - lines_before;
    let metric = (metric_after - metric_before) as usize;
    assert!(syncs >= 2 * WRITES, "{WRITES} acknowledged writes, {syncs} syncs on three nodes");
    assert!(metric >= 2 * WRITES, "the metric counted {metric} syncs for {WRITES} writes");
    assert!(metric <= syncs, "the metric counted {metric} syncs, strace {syncs}");
}

#[test]
fn a_node_whose_sync_fails_stops_and_its_peers_go_on() {
    let cluster = Cluster::start();
    let status = cluster.wait_until_whole(Duration::from_secs(30));
    let leader = status.data_groups().find_map(|group| group.leader).expect("there is a leader");
    let key = cluster.key_led_by(leader).expect("it answers for something");
    let mut client = cluster.client(leader % NODES + 1);
    assert!(client.command(&["SET", &key, "before"]).is_ok());
    let process = cluster.process(leader);
    let fails = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
    let Some(fails) = Tracer::attach(process, &fails) else {
        return;
    };
    // It acknowledges nothing more; whoever leads next does.
    assert!(client.command(&["SET", &key, "after"]).is_ok());
    process::wait_until_gone(process, Duration::from_secs(10));
    drop(fails);
    assert_eq!(client.command(&["GET", &key]).text(), "after");
    let logs = cluster.node_logs();
    assert!(logs.contains("the node stops. Its peers go on without it"), "{logs}");
}

/// How many syncs stand in the traces.
fn lines(traces: &[std::path::PathBuf]) -> usize {
    let texts = traces.iter().map(|path| fs::read_to_string(path).unwrap_or_default());
    // A call that another thread interrupts stands in two lines, of which only the first has the open bracket.
    texts.map(|text| text.lines().filter(|line| line.contains("sync(")).count()).sum()
}
