//! The others: etcd as three nodes, Redis with a sync for every write. Both as their makers ship them, except for
//! what the comparison demands: loopback, their own folders, and for Redis the append-only file synced each time.

use std::path::Path;

use anyhow::Result;

use crate::port;
use crate::process::Server;
use crate::session::Protocol;
use crate::system::{Kind, System, find_program};

const ETCD_NODES: u16 = 3;

/// Starts three nodes of etcd under `work`.
pub fn etcd(work: &Path) -> Result<System> {
    let program = find_program("etcd", "etcd-server")?;
    let base = port::row(ETCD_NODES * 2)?;
    let client = |i: u16| format!("http://127.0.0.1:{}", base + i);
    let peer = |i: u16| format!("http://127.0.0.1:{}", base + ETCD_NODES + i);
    let cluster: Vec<String> = (0..ETCD_NODES).map(|i| format!("e{i}={}", peer(i))).collect();
    let cluster = cluster.join(",");
    let mut servers = Vec::new();
    for i in 0..ETCD_NODES {
        let log = work.join(format!("etcd-{i}.log"));
        let args = [
            format!("--name=e{i}"),
            format!("--data-dir={}", work.join(format!("etcd-{i}")).display()),
            format!("--listen-client-urls={}", client(i)),
            format!("--advertise-client-urls={}", client(i)),
            format!("--listen-peer-urls={}", peer(i)),
            format!("--initial-advertise-peer-urls={}", peer(i)),
            format!("--initial-cluster={cluster}"),
            "--initial-cluster-state=new".into(),
            "--initial-cluster-token=eraft-bench".into(),
            "--logger=zap".into(),
            "--log-level=warn".into(),
            // Its default of 2 GiB would end a long run with "database space exceeded".
            "--quota-backend-bytes=8589934592".into(),
        ];
        servers.push((Server::start(&program, args, &log)?, log));
    }
    Ok(System {
        kind: Kind::Etcd,
        protocol: Protocol::Etcd,
        addresses: (0..ETCD_NODES).map(|i| format!("127.0.0.1:{}", base + i)).collect(),
        processes: servers.iter().map(|(server, _)| server.pid()).collect(),
        servers,
    })
}

/// Starts one Redis under `work`.
pub fn redis(work: &Path) -> Result<System> {
    let program = find_program("redis-server", "redis-server")?;
    let port = port::row(1)?;
    let folder = work.join("redis");
    std::fs::create_dir(&folder)?;
    let log = work.join("redis.log");
    let (port_text, folder_text) = (port.to_string(), folder.display().to_string());
    let args = [
        "--port",
        &port_text,
        "--bind",
        "127.0.0.1",
        "--dir",
        &folder_text,
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        // No snapshots beside the append-only file.
        "--save",
        "",
    ];
    let server = Server::start(&program, args, &log)?;
    Ok(System {
        kind: Kind::Redis,
        protocol: Protocol::Resp,
        addresses: vec![format!("127.0.0.1:{port}")],
        processes: vec![server.pid()],
        servers: vec![(server, log)],
    })
}
