//! A node whose log was damaged while it was off: it says so, serves nothing wrong, the others go on with all the data,
//! and its replicas begin anew. What damage does to each byte of a log is tested in `store/wal`; here it is whole processes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::membership::votes_again;
use crate::nodes::Nodes;
use crate::reply::Reply;
use crate::resp::{Client, request};

const KEYS: usize = 4000;
/// Values with which the log fits one segment.
const SMALL: usize = 1000;
/// Values with which it does not.
const LARGE: usize = 20_000;

/// Writes, lets all replicas catch up, ends everything by `kill -9`, damages node 1, starts again.
fn damaged_by(value_bytes: usize, damage: impl Fn(&[Segment])) -> Cluster {
    let mut cluster = Cluster::start();
    write_all(&cluster, value_bytes);
    cluster.wait_until_whole(Duration::from_secs(30));
    // What is applied everywhere may be synced a moment later on the slowest.
    std::thread::sleep(Duration::from_millis(500));
    cluster.kill_all();
    damage(&segments(&cluster.folder.join("node-1").join("data").join("log")));
    cluster.start_again();
    cluster
}

#[test]
fn a_corrupt_tail() {
    let cluster = damaged_by(SMALL, |segments| {
        let last = segments.last().expect("a used segment");
        overwrite(&last.path, last.end - 200, 200);
    });
    // The last batch looks like one that a power cut tore; it comes back from the others.
    all_is_there(&cluster, 1, SMALL);
    all_is_there(&cluster, 2, SMALL);
    cluster.wait_until_whole(Duration::from_secs(30));
}

#[test]
fn a_corrupt_middle() {
    let cluster = damaged_by(SMALL, |segments| {
        let last = segments.last().expect("a used segment");
        overwrite(&last.path, last.used_after(last.end / 2), 64);
    });
    others_serve(&cluster, SMALL);
    repaired(&cluster, SMALL);
}

#[test]
fn a_missing_segment() {
    let cluster = damaged_by(LARGE, |segments| {
        assert!(segments.len() >= 2, "the log fills only one segment");
        fs::remove_file(&segments[0].path).expect("it can be removed");
    });
    others_serve(&cluster, LARGE);
    repaired(&cluster, LARGE);
}

/// Node 1 is let in again as somebody new, in each group by a majority without it, and its vote counts then; also
/// after a restart.
fn repaired(cluster: &Cluster, value_bytes: usize) {
    let status = votes_again(cluster, 1);
    assert!(status.nodes.iter().all(|node| node.troubles.is_empty()), "{status:?}");
    cluster.wait_until_whole(Duration::from_secs(60));
    cluster.kill(2);
    let served = |reply: &Reply| matches!(reply, Reply::Bulk(_));
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut client = cluster.client(1);
    while !served(&client.command(&["GET", "disk:0"])) && Instant::now() < deadline {}
    all_is_there(cluster, 1, value_bytes);
}

#[test]
fn a_missing_log() {
    let cluster = damaged_by(SMALL, |segments| {
        for segment in segments {
            fs::remove_file(&segment.path).expect("it can be removed");
        }
    });
    others_serve(&cluster, SMALL);
}

/// The other two serve everything without a hitch; node 1 gives right answers or none, and says what is wrong.
fn others_serve(cluster: &Cluster, value_bytes: usize) {
    all_is_there(cluster, 2, value_bytes);
    all_is_there(cluster, 3, value_bytes);

    let mut writer = cluster.client(2);
    let begun = Instant::now();
    for n in 0.. {
        assert!(writer.command(&["SET", &format!("disk:after:{n}"), "v"]).is_ok());
        if begun.elapsed() > Duration::from_secs(6) {
            break;
        }
    }

    if let Ok(mut client) = Client::connect_with(&cluster.plain(1), Duration::from_secs(5)) {
        for n in (0..KEYS).step_by(97) {
            match client.try_command(&[b"GET", format!("disk:{n}").as_bytes()]) {
                Ok(Reply::Bulk(bytes)) => {
                    assert_eq!(bytes, value(n, value_bytes), "disk:{n} from node 1")
                }
                Ok(Reply::Error(_)) => {}
                Ok(other) => panic!("disk:{n} from node 1: {other}"),
                Err(_) => break,
            }
        }
    }
    let log = fs::read(cluster.folder.join("node-1").join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    assert!(
        log.contains("forgotten what"),
        "node 1 does not say what is wrong:\n{}",
        cluster.node_logs()
    );
}

/// Not of one letter, so that a mistake in an offset shows.
fn value(n: usize, bytes: usize) -> Vec<u8> {
    format!("{n}:").bytes().cycle().take(bytes).collect()
}

fn write_all(nodes: &Nodes, value_bytes: usize) {
    let mut client = nodes.client(1);
    for some in (0..KEYS).collect::<Vec<_>>().chunks(50) {
        let mut bytes = Vec::new();
        for &n in some {
            bytes.extend(request(&[
                b"SET",
                format!("disk:{n}").as_bytes(),
                &value(n, value_bytes),
            ]));
        }
        client.send(&bytes).expect("taken");
        for _ in some {
            assert!(client.read().expect("a reply").is_ok());
        }
    }
}

fn all_is_there(nodes: &Nodes, node: u16, value_bytes: usize) {
    let mut client = nodes.client(node);
    for n in 0..KEYS {
        let reply = client.command(&["GET", &format!("disk:{n}")]);
        assert!(reply == Reply::Bulk(value(n, value_bytes)), "disk:{n} through node {node}");
    }
}

/// A file of the log that holds something.
struct Segment {
    path: PathBuf,
    /// The end of what is not zero in it.
    end: u64,
}

impl Segment {
    /// Where records, and not the zeros that fill up a batch, stand behind `at`.
    fn used_after(&self, at: u64) -> u64 {
        let bytes = fs::read(&self.path).expect("a segment");
        let at = usize::try_from(at).expect("it was read");
        let used = bytes[at..].windows(256).position(|window| window.iter().all(|&byte| byte != 0));
        (at + used.expect("a value")) as u64
    }
}

/// Those of the log's files that are in use, the newest last.
fn segments(folder: &Path) -> Vec<Segment> {
    let files = fs::read_dir(folder).expect("the log's folder");
    let mut segments: Vec<Segment> = files
        .flatten()
        .map(|file| {
            let bytes = fs::read(file.path()).expect("a segment");
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at as u64 + 1);
            Segment { path: file.path(), end }
        })
        .filter(|segment| segment.end > 64 * 1024)
        .collect();
    segments.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!segments.is_empty(), "no used segments in {}", folder.display());
    segments
}

fn overwrite(path: &Path, at: u64, bytes: usize) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("a segment");
    file.write_all_at(&vec![0xa5; bytes], at).expect("it can be written");
    file.sync_all().expect("synced");
}
