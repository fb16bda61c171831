//! Strangers on the QUIC port: random datagrams, and certificates of another cluster.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::ctl;
use crate::nodes::NODES;
use crate::outside;

#[test]
fn random_datagrams() {
    let cluster = Cluster::shared();
    let before = cluster.status().leaders();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut state = 0x1234_5678_9abc_def0u64;
    for round in 0..6000u32 {
        let node = round as u16 % NODES + 1;
        let mut bytes = Vec::new();
        let length = [1, 20, 60, 1200, 1252, 1452][round as usize % 6];
        while bytes.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(length);
        // Half of them look like the first packet of a QUIC version 1 connection.
        if round % 2 == 0 && length >= 20 {
            bytes[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        // A full socket buffer is no matter here.
        let _ = socket.send_to(&bytes, cluster.plain(node));
    }
    for node in 1..=NODES {
        assert!(cluster.client(node).line("SET quic:k v").is_ok());
    }
    assert_eq!(before, cluster.status().leaders(), "nobody was deposed");
}

#[test]
fn a_certificate_of_another_cluster() {
    let cluster = Cluster::shared();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let certs = folder.path().join("certs");
    let certs = certs.to_str().expect("a plain name");
    let made = ctl::run(&["cert", "init", "--certs", certs]);
    assert!(made.status.success(), "{}", outside::text(&made));

    let begun = Instant::now();
    let output =
        ctl::run(&["--endpoint", &cluster.plain(1), "--certs", certs, "--timeout", "5", "status"]);
    assert_eq!(output.status.code(), Some(2), "{}", outside::text(&output));
    assert!(!output.stderr.is_empty(), "it says what the trouble is");
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    assert!(cluster.client(1).line("SET quic:k w").is_ok());
}
