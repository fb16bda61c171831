//! `eraftd run`: flags, environment and file say the same things, and `--print-config` shows what came of them.

use std::process::{Command, Output};
use std::time::Duration;

use crate::cluster::PROGRAM;
use crate::outside;
use crate::port;

fn print_config(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--print-config"]).args(args).envs(environment.iter().copied());
    outside::run(&mut command, Duration::from_secs(10))
}

/// The printed configuration.
fn printed(args: &[&str], environment: &[(&str, &str)]) -> toml::Table {
    let output = print_config(args, environment);
    assert!(output.status.success(), "{}", outside::text(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.parse().unwrap_or_else(|error| {
        panic!("what --print-config prints is a valid file: {error}\n{text}")
    })
}

const FLAGS: &[&str] = &[
    "--node-id",
    "2",
    "--data-dir",
    "/tmp/eraft-nowhere",
    "--quic",
    "127.0.0.1:7001",
    "--redis",
    "127.0.0.1:7002",
    "--http",
    "127.0.0.1:7003",
    "--cluster",
    "1=127.0.0.1:7101,2=127.0.0.1:7001,3=127.0.0.1:7301",
    "--certs",
    "/tmp/eraft-certs",
];

#[test]
fn flags_environment_and_file_agree() {
    let by_flags = printed(FLAGS, &[]);
    let text = by_flags.to_string();
    for part in ["/tmp/eraft-nowhere", "127.0.0.1:7002", "127.0.0.1:7101", "/tmp/eraft-certs"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let names: Vec<(String, &str)> = FLAGS
        .chunks(2)
        .map(|pair| (format!("ERAFT_{}", pair[0][2..].replace('-', "_").to_uppercase()), pair[1]))
        .collect();
    let environment: Vec<(&str, &str)> =
        names.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(printed(&[], &environment), by_flags, "by environment");

    // What is printed is itself a file.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("eraftd.toml");
    std::fs::write(&file, &text).expect("written");
    let file = file.to_str().expect("a plain name");
    assert_eq!(printed(&["--config", file], &[]), by_flags, "by file");

    // A flag beats the environment, the environment beats the file.
    let mixed = printed(
        &["--config", file, "--http", "127.0.0.1:9999"],
        &[("ERAFT_REDIS", "127.0.0.1:8888")],
    );
    let text = mixed.to_string();
    assert!(text.contains("127.0.0.1:9999") && text.contains("127.0.0.1:8888"), "{text}");
    assert!(!text.contains("127.0.0.1:7003") && !text.contains("127.0.0.1:7002"), "{text}");
}

#[test]
fn nonsense_is_an_error_that_names_it() {
    for (args, word) in [
        (&["--redis", "nonsense"][..], "nonsense"),
        (&["--node-id", "zero"][..], "zero"),
        (&["--config", "/nowhere/eraftd.toml"][..], "/nowhere/eraftd.toml"),
    ] {
        let output = print_config(args, &[]);
        assert_eq!(output.status.code(), Some(2), "{}", outside::text(&output));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(word),
            "{}",
            outside::text(&output)
        );
    }
}

#[test]
fn a_public_redis_port_needs_a_password_and_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let ports = port::dev();
    let redis = format!("0.0.0.0:{}", ports.redis);
    let quic = format!("127.0.0.1:{}", ports.redis);
    let http = format!("127.0.0.1:{}", ports.http);
    let cluster = format!("1={quic}");
    let certs = folder.path().join("certs");
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--node-id", "1", "--data-dir"]).arg(&data);
    command
        .args([
            "--quic",
            &quic,
            "--redis",
            &redis,
            "--http",
            &http,
            "--cluster",
            &cluster,
            "--certs",
        ])
        .arg(&certs);
    let output = outside::run(&mut command, Duration::from_secs(15));
    assert!(!output.status.success(), "{}", outside::text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("insecure-public"), "it names the flag that allows it: {said}");
}
