//! Starts that cannot work: each a clear error soon, the running ones unharmed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::cluster::{Cluster, PROGRAM};
use crate::gate;
use crate::outside;
use crate::port;
use crate::process::Started;

const LIMIT: Duration = Duration::from_secs(35);

fn dev(folder: &Path, redis: u16, http: u16) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("dev").arg("--dir").arg(folder);
    command.args(["--redis-port", &redis.to_string(), "--http-port", &http.to_string()]);
    outside::run(&mut command, LIMIT)
}

/// It failed, and says why in words that hold one of `words`.
fn failed_saying(output: &Output, words: &[&str]) {
    assert!(!output.status.success(), "it should have failed: {}", outside::text(output));
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    let said = said.to_lowercase();
    assert!(
        words.iter().any(|word| said.contains(word)),
        "none of {words:?} in: {}",
        outside::text(output)
    );
    assert!(!said.contains("panicked"), "{}", outside::text(output));
}

#[test]
fn a_second_process_on_the_same_folder() {
    let cluster = Cluster::start();
    assert!(cluster.client(1).line("SET second:k v").is_ok());
    let pids: Vec<u32> = (1..=3).map(|node| cluster.process(node)).collect();
    let other = port::dev();
    let output = dev(&cluster.folder, other.redis, other.http);
    failed_saying(&output, &["in use", "lock", "already", "another"]);
    let still: Vec<u32> = (1..=3).map(|node| cluster.process(node)).collect();
    assert_eq!(pids, still, "the pid files are those of the running nodes");
    assert_eq!(cluster.client(2).line("GET second:k").text(), "v");
}

#[test]
fn a_second_node_on_the_same_folder() {
    let cluster = Cluster::start();
    let mut command = Started::read(cluster.process(1)).command();
    let output = outside::run(&mut command, LIMIT);
    failed_saying(&output, &["in use", "lock", "already", "another"]);
    assert!(cluster.client(1).line("SET second:k w").is_ok());
}

#[test]
fn a_port_in_use() {
    let _permit = gate::half();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ports = port::dev();
    let _taken = TcpListener::bind(("127.0.0.1", ports.redis + 1)).expect("a free port");
    let output = dev(&folder.path().join("data"), ports.redis, ports.http);
    failed_saying(&output, &[&(ports.redis + 1).to_string()]);
}

#[test]
fn an_unknown_key_in_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("eraftd.toml");
    std::fs::write(&file, "nonsense = 1\n").expect("written");
    let output = outside::run(
        Command::new(PROGRAM).args(["run", "--print-config", "--config"]).arg(&file),
        LIMIT,
    );
    failed_saying(&output, &["nonsense"]);
}

#[test]
fn an_unknown_flag_or_subcommand() {
    let output = outside::run(Command::new(PROGRAM).args(["dev", "--nonsense"]), LIMIT);
    failed_saying(&output, &["--nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    let output = outside::run(Command::new(PROGRAM).arg("nonsense"), LIMIT);
    failed_saying(&output, &["nonsense"]);
}

#[test]
fn a_file_where_the_folder_should_be() {
    let _permit = gate::half();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("data");
    std::fs::write(&file, "not a folder").expect("written");
    let ports = port::dev();
    failed_saying(&dev(&file, ports.redis, ports.http), &["data"]);
}

#[test]
fn a_read_only_mount() {
    let _permit = gate::half();
    let Some(mount) = crate::mount::Mount::memory(64, "ro") else {
        return;
    };
    let ports = port::dev();
    let output = dev(&mount.path().join("data"), ports.redis, ports.http);
    failed_saying(&output, &["read-only"]);
}
