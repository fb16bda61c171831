//! Redis' own programs and the Python client, in scripted sessions.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::outside::{self, find, finish, python_with_redis, run};

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients").join(name)
}

/// Feeds a session to redis-cli; returns what it prints.
fn redis_cli(args: &[&str], session: &str) -> Option<String> {
    let program = find("redis-cli")?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli starts");
    child.stdin.take().expect("it is piped").write_all(session.as_bytes()).expect("it reads");
    let output = finish(child, "redis-cli", Duration::from_secs(30));
    assert!(output.status.success(), "{}", outside::text(&output));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn redis_cli_on_the_plain_port() {
    let cluster = Cluster::shared();
    let port = cluster.ports.redis.to_string();
    let session = "SET cli:a 1\nGET cli:a\nINCR cli:a\nGET cli:none\nSET cli:a\nMSET cli:b 2 cli:c 3\n\
                   MGET cli:a cli:b cli:c\nEXPIRE cli:b 100\nTTL cli:b\nDEL cli:a cli:b cli:c\nTYPE cli:a\n";
    let Some(printed) = redis_cli(&["-p", &port], session) else {
        return;
    };
    let expected = "OK\n1\n2\n\nERR wrong number of arguments for 'set' command\n\nOK\n2\n2\n3\n1\n100\n3\nnone\n";
    assert_eq!(printed, expected);
}

#[test]
fn redis_cli_with_protocol_3() {
    let cluster = Cluster::shared();
    let port = (cluster.ports.redis + 1).to_string();
    let Some(printed) = redis_cli(
        &["-3", "--no-auth-warning", "-p", &port],
        "SET cli:3 x\nGET cli:3\nGET cli:none\n",
    ) else {
        return;
    };
    assert_eq!(printed, "OK\nx\n\n");
}

#[test]
fn redis_cli_follows_redirects() {
    let cluster = Cluster::shared();
    let port = (cluster.ports.redis + 1000).to_string();
    let mut session = String::new();
    let mut expected = String::new();
    for n in 0..20 {
        session.push_str(&format!("SET cli:moved:{n} {n}\nGET cli:moved:{n}\n"));
        expected.push_str(&format!("OK\n{n}\n"));
    }
    let Some(printed) = redis_cli(&["-c", "-p", &port], &session) else {
        return;
    };
    let (redirects, replies): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| line.starts_with("-> "));
    assert!(!redirects.is_empty(), "no redirect in {printed}");
    assert_eq!(replies, expected.lines().collect::<Vec<_>>());
}

#[test]
fn redis_cli_checks_the_cluster() {
    let cluster = Cluster::shared();
    let Some(program) = find("redis-cli") else {
        return;
    };
    let output = run(
        Command::new(program).args(["--cluster", "info", &cluster.cluster(1)]),
        Duration::from_secs(20),
    );
    assert!(output.status.success(), "{}", outside::text(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("slots"), "{text}");
}

#[test]
fn redis_benchmark() {
    let cluster = Cluster::shared();
    let Some(program) = find("redis-benchmark") else {
        return;
    };
    let port = cluster.ports.redis.to_string();
    let output = run(
        Command::new(program)
            .args(["-p", &port, "-t", "set,get,incr,mset", "-n", "5000", "-c", "20", "-r", "1000"])
            .args(["-P", "4", "-q", "--csv"]),
        Duration::from_secs(60),
    );
    benchmarked(&output, &["SET", "GET", "INCR", "MSET (10 keys)"]);
}

#[test]
fn redis_benchmark_with_cluster() {
    let cluster = Cluster::shared();
    let Some(program) = find("redis-benchmark") else {
        return;
    };
    let port = (cluster.ports.redis + 1000).to_string();
    let output = run(
        Command::new(program)
            .args(["--cluster", "-p", &port, "-t", "set,get", "-n", "5000", "-c", "20", "-q"])
            .args(["-r", "1000"]),
        Duration::from_secs(60),
    );
    benchmarked(&output, &["SET", "GET"]);
}

fn benchmarked(output: &std::process::Output, tests: &[&str]) {
    assert!(output.status.success(), "{}", outside::text(output));
    let text = outside::text(output);
    for test in tests {
        assert!(text.contains(test), "no {test} in {text}");
    }
    assert!(!text.contains("Error from server"), "{text}");
    // It fetches these first and grumbles if it cannot.
    assert!(!text.contains("Could not fetch server CONFIG"), "{text}");
}

#[test]
fn redis_py() {
    python("plain.py", |cluster| cluster.ports.redis);
}

#[test]
fn redis_py_with_cluster() {
    python("cluster.py", |cluster| cluster.ports.redis + 1000);
}

fn python(name: &str, port: impl Fn(&crate::nodes::Nodes) -> u16) {
    let cluster = Cluster::shared();
    let Some(python) = python_with_redis() else {
        return;
    };
    let first = port(&cluster);
    let output =
        run(Command::new(python).arg(script(name)).arg(first.to_string()), Duration::from_secs(60));
    assert!(output.status.success(), "{}", outside::text(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "all good",
        "{}",
        outside::text(&output)
    );
}
