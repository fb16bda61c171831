//! A cluster that nobody uses costs next to nothing.

use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::nodes::NODES;
use crate::process;
use crate::scale;

#[test]
fn an_idle_cluster_uses_little_and_its_config_log_does_not_grow() {
    let cluster = Cluster::start_alone();
    // Until leads have been handed to where they belong, and what the start left over is done.
    thread::sleep(Duration::from_secs(10));
    let before = cluster.status();
    let seconds = scale::pick(60, 10);
    let processes: Vec<u32> = (1..=NODES).map(|node| cluster.process(node)).collect();
    let cpu: Vec<f64> = processes.iter().map(|&p| process::cpu_seconds(p)).collect();
    thread::sleep(Duration::from_secs(seconds));
    for (node, (&process, before)) in processes.iter().zip(cpu).enumerate() {
        let percent = (process::cpu_seconds(process) - before) / seconds as f64 * 100.0;
        assert!(percent < 2.0, "node {} used {percent:.2} % of a core", node + 1);
        let resident = process::resident_bytes(process);
        assert!(resident <= 120_000_000, "node {} holds {resident} bytes", node + 1);
    }
    let after = cluster.status();
    assert_eq!(before.group(0).commit(), after.group(0).commit(), "the config log grew");
    assert_eq!(before.leaders(), after.leaders());
}
