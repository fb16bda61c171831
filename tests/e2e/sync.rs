//! Every acknowledged write is behind real syncs: counted by strace, from outside, and held against the metric.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::metrics::samples;
use crate::nodes::{NODES, Nodes};
use crate::outside;
use crate::process;

const WRITES: usize = 300;

#[test]
fn a_majority_syncs_for_every_single_write() {
    let cluster = Cluster::start();
    let Some(strace) = outside::find("strace") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traces: Vec<_> = (1..=NODES).map(|node| folder.path().join(node.to_string())).collect();
    let mut tracers: Vec<_> = (1..=NODES)
        .map(|node| {
            Command::new(&strace)
                .args(["-f", "-q", "-e", "trace=fdatasync,fsync,sync_file_range", "-o"])
                .arg(&traces[usize::from(node - 1)])
                .args(["-p", &cluster.process(node).to_string()])
                .stdin(Stdio::null())
                .stderr(
                    fs::File::create(folder.path().join(format!("err-{node}"))).expect("a file"),
                )
                .spawn()
                .expect("strace starts")
        })
        .collect();
    // Until they are attached nothing is counted.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !(1..=NODES).all(|node| traced(cluster.process(node))) {
        if tracers.iter_mut().any(|tracer| tracer.try_wait().is_ok_and(|ended| ended.is_some())) {
            outside::skipped("permission to trace processes with strace");
            return;
        }
        assert!(Instant::now() < deadline, "strace does not attach");
        thread::sleep(Duration::from_millis(20));
    }

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
    for mut tracer in tracers {
        process::signal(tracer.id(), Signal::SIGINT);
        let _ = tracer.wait();
    }
    let syncs = lines_after - lines_before;
    let metric = (metric_after - metric_before) as usize;
    assert!(syncs >= 2 * WRITES, "{WRITES} acknowledged writes, {syncs} syncs on three nodes");
    assert!(metric >= 2 * WRITES, "the metric counted {metric} syncs for {WRITES} writes");
    assert!(metric <= syncs, "the metric counted {metric} syncs, strace {syncs}");
}

/// How many syncs stand in the traces.
fn lines(traces: &[std::path::PathBuf]) -> usize {
    let texts = traces.iter().map(|path| fs::read_to_string(path).unwrap_or_default());
    // A call that another thread interrupts stands in two lines, of which only the first has the open bracket.
    texts.map(|text| text.lines().filter(|line| line.contains("sync(")).count()).sum()
}

/// Whether a tracer is attached to all its threads.
fn traced(process: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    tasks.flatten().all(|task| {
        fs::read_to_string(task.path().join("status")).is_ok_and(|status| {
            status.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0"))
        })
    })
}
