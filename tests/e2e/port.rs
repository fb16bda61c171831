//! Free ports on loopback, never the same twice within this process. All lie below the range that the kernel gives to
//! outgoing connections, so that a client's own port never takes a server's place.

use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;

const FIRST: u16 = 11_000;
const LAST: u16 = 29_000;
/// Ports of one dev cluster lie in blocks of this size (plain and QUIC; cluster, 1000 above; HTTP, 500 above).
const BLOCK: u16 = 8;

static USED: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// The ports of one dev cluster.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    /// The first plain port, and the first QUIC port.
    pub(crate) redis: u16,
    /// The first HTTP port.
    pub(crate) http: u16,
}

/// Takes the ports of a dev cluster of at most `BLOCK` nodes.
pub(crate) fn dev() -> Ports {
    let mut used = USED.lock().unwrap_or_else(|broken| broken.into_inner());
    // Where to begin differs from process to process, so that two test runs seldom look at the same ports.
    let mut base = FIRST + (std::process::id() as u16 % 1000) * BLOCK;
    for _ in 0..4000 {
        base += BLOCK;
        if base + 1000 + BLOCK >= LAST {
            base = FIRST;
        }
        // Blocks 500 apart and 1000 apart never overlap if their numbers within a thousand differ.
        let taken = used.iter().any(|u| u % 500 == base % 500);
        if !taken
            && (0..BLOCK).all(|i| free(base + i) && free(base + 500 + i) && free(base + 1000 + i))
        {
            used.push(base);
            if used.len() > 40 {
                used.remove(0);
            }
            return Ports { redis: base, http: base + 500 };
        }
    }
    panic!("no free ports between {FIRST} and {LAST}");
}

/// One free port, TCP and UDP.
pub(crate) fn one() -> u16 {
    dev().redis
}

fn free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}
