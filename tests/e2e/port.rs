//! Free ports on loopback, never the same twice within this process. All lie below the range that the kernel gives to
//! outgoing connections, so that a client's own port never takes a server's place.
//!
//! The kernel's tables are read for it. A socket that is bound to find out would go into every program that another
//! test starts in that moment, and the port stay taken until that program has begun.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

const FIRST: u16 = 11_000;
const LAST: u16 = 29_000;
/// Ports of one dev cluster lie in blocks of this size (plain and QUIC; cluster, 1000 above; HTTP, 500 above), which
/// divides 500.
const BLOCK: u16 = 10;

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
    let bound = bound();
    let free = |port: u16| !bound.contains(&port);
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

/// The local ports of all sockets, except of connections that only wait for late packets: they are in nobody's way.
fn bound() -> BTreeSet<u16> {
    const TIME_WAIT: &str = "06";
    let mut ports = BTreeSet::new();
    let read = |table: &str| fs::read_to_string(format!("/proc/self/net/{table}"));
    let mut tables: Vec<String> =
        ["tcp", "udp"].map(|table| read(table).expect("a table of sockets")).into();
    // Without IPv6 there are no tables of it.
    tables.extend(["tcp6", "udp6"].into_iter().filter_map(|table| read(table).ok()));
    for text in tables {
        for line in text.lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) =
                (words.next().expect("an address"), words.nth(1).expect("a state"));
            let port = local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
            if state != TIME_WAIT {
                ports.insert(port.expect("a port"));
            }
        }
    }
    ports
}

#[test]
fn a_bound_port_is_seen() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let seen = bound();
    for address in [tcp.local_addr(), udp.local_addr()] {
        assert!(seen.contains(&address.expect("an address").port()));
    }
}
