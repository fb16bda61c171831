//! The disk fills up under a running cluster: writes are refused in words, nothing acknowledged is lost, and when
//! there is room again it goes on.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::gate;
use crate::mount::Mount;
use crate::reply::Reply;
use crate::resp::Client;

const MIB: u32 = 3072;

#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    let permit = gate::half();
    let Some(mount) = Mount::memory(MIB, "rw") else {
        return;
    };
    let mut cluster = Cluster::start_in(permit, mount.path());
    let mut acknowledged = Vec::new();
    for n in 0..50 {
        assert!(write(&cluster.plain(1), n).expect("a reply").is_ok());
        acknowledged.push(n);
    }

    // Take all the room that is left.
    let ballast = mount.path().join("ballast");
    let file = std::fs::File::create(&ballast).expect("a file");
    fill(&file);

    // From now on some write must fail, with an error and not with silence.
    let mut refused = None;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut n = 50;
    while refused.is_none() && Instant::now() < deadline {
        for node in 1..=3 {
            n += 1;
            match write(&cluster.plain(node), n) {
                Ok(reply) if reply.is_ok() => acknowledged.push(n),
                Ok(Reply::Error(text)) => refused = Some(text),
                Ok(other) => panic!("SET answered {other}"),
                // A node may have stopped cleanly instead.
                Err(error) => refused = Some(error.to_string()),
            }
        }
    }
    let refused = refused.expect("a write to a full disk is refused within 30 s");
    assert!(!refused.is_empty());

    // Room again: it goes on by itself, or after a restart.
    drop(file);
    std::fs::remove_file(&ballast).expect("the ballast can be removed");
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut serves = false;
    while !serves && Instant::now() < deadline {
        serves =
            (1..=3).all(|node| write(&cluster.plain(node), 0).is_ok_and(|reply| reply.is_ok()));
        std::thread::sleep(Duration::from_millis(200));
    }
    if !serves {
        cluster.kill_all();
        cluster.start_again();
    }
    let mut client = cluster.client(2);
    for n in acknowledged {
        assert_eq!(
            client.command(&["STRLEN", &format!("full:{n}")]),
            Reply::Integer(64 * 1024),
            "full:{n}"
        );
    }
    assert!(write(&cluster.plain(1), 1).expect("a reply").is_ok());
}

fn write(address: &str, n: u32) -> std::io::Result<Reply> {
    let mut client = Client::connect(address)?;
    client.try_command(&[b"SET", format!("full:{n}").as_bytes(), &vec![b'x'; 64 * 1024]])
}

/// Allocates until nothing is left, in ever smaller pieces.
fn fill(file: &std::fs::File) {
    use nix::fcntl::{FallocateFlags, fallocate};
    let (mut at, mut piece) = (0i64, 64 * 1024 * 1024i64);
    while piece >= 4096 {
        match fallocate(file, FallocateFlags::empty(), at, piece) {
            Ok(()) => at += piece,
            Err(_) => piece /= 2,
        }
    }
    assert!(at > 0, "there was room to take");
}
