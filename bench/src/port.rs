//! Free ports on loopback. All come from below the range that the kernel hands to outgoing connections, so that a
//! client's own port never takes the place of a server's.

use std::net::{TcpListener, UdpSocket};

use anyhow::{Context, Result};

const FIRST: u16 = 15_000;
const LAST: u16 = 30_000;

/// `count` free TCP ports in a row.
pub fn row(count: u16) -> Result<u16> {
    search(|base| (0..count).all(|i| free_tcp(base + i)))
}

/// The first Redis port for `eraftd dev`: its plain ports (TCP, and UDP for QUIC) and its cluster ports, 1000 above,
/// are free for `nodes` nodes.
pub fn eraft(nodes: u16) -> Result<u16> {
    search(|base| {
        (0..nodes).all(|i| {
            free_tcp(base + i)
                && free_tcp(base + 1000 + i)
                && UdpSocket::bind(("127.0.0.1", base + i)).is_ok()
        })
    })
}

fn search(free: impl Fn(u16) -> bool) -> Result<u16> {
    (0..200)
        .map(|_| fastrand::u16(FIRST..LAST))
        .find(|&base| free(base))
        .context("no free ports on loopback")
}

fn free_tcp(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
