//! Bytes on a Redis port that no sane client sends: a clear error or a closed connection, nobody else disturbed,
//! memory bounded.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::nodes::{NODES, Nodes};
use crate::outside::Redis;
use crate::process;
use crate::reply::Reply;
use crate::resp::{Client, request};

/// What is sent, and how the error begins (as a real Redis 7 gives it), after which the connection closes.
const REFUSED: &[(&[u8], &str)] = &[
    (b"*99999999999999999999\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*abc\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*3\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'"),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", "ERR Protocol error: expected '$', got '*'"),
    (b"*1\r\n$abc\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$99999999999999999999\r\n", "ERR Protocol error: invalid bulk length"),
    (b"SET k \"unbalanced\r\n", "ERR Protocol error: unbalanced quotes in request"),
];

/// What only we refuse: Redis would wait for two thousand million arguments.
const REFUSED_BY_US: &[(&[u8], &str)] = &[
    (b"*1048577\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*2147483647\r\n", "ERR Protocol error: invalid multibulk length"),
];

fn refuses(who: &str, address: &str, what: &[(&[u8], &str)]) {
    for (bytes, expected) in what {
        let mut client = Client::connect_with(address, Duration::from_secs(5)).expect("it listens");
        client.send(bytes).expect("the bytes are taken");
        let shown = bytes.escape_ascii().to_string();
        let reply = client.read().unwrap_or_else(|error| panic!("{who}, {shown}: {error}"));
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with(expected)),
            "{who}, {shown}: {reply}, not {expected}"
        );
        assert!(client.closed(), "{who}, {shown}: the connection is still open");
    }
}

#[test]
fn redis_refuses_these_so() {
    let Some(redis) = Redis::start() else { return };
    refuses("Redis", &redis.address, REFUSED);
}

#[test]
fn we_refuse_them_too() {
    let cluster = Cluster::shared();
    for what in [REFUSED, REFUSED_BY_US] {
        refuses("plain port", &cluster.plain(1), what);
        refuses("cluster port", &cluster.cluster(2), what);
    }
    unharmed(&cluster);
}

#[test]
fn a_line_without_end() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    // The server may close while we are still sending.
    let _ = client.send(&vec![b'a'; 200_000]);
    match client.read() {
        Ok(reply) => assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("ERR Protocol error: too big inline request")),
            "{reply}"
        ),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    unharmed(&cluster);
}

#[test]
fn empty_and_inline_requests() {
    let cluster = Cluster::shared();
    let mut client = cluster.client(1);
    // Empty lines and empty arrays are passed over, as Redis does.
    client
        .send(
            b"\r\n\r\n*0\r\n*-1\r\nPING\r\nping  hello \r\nSET inline:k 'a b'\r\nGET inline:k\r\n",
        )
        .expect("taken");
    assert_eq!(client.read().expect("a reply"), Reply::Simple("PONG".into()));
    assert_eq!(client.read().expect("a reply"), Reply::Bulk(b"hello".to_vec()));
    assert!(client.read().expect("a reply").is_ok());
    assert_eq!(client.read().expect("a reply"), Reply::Bulk(b"a b".to_vec()));
}

#[test]
fn cut_at_every_byte() {
    let cluster = Cluster::shared();
    let whole = request(&[b"SET", b"cut:k", b"value"]);
    for length in 0..whole.len() {
        let mut stream = TcpStream::connect(cluster.plain(1)).expect("it listens");
        stream.write_all(&whole[..length]).expect("taken");
    }
    // Half a command was never a command.
    assert_eq!(cluster.client(1).command(&["EXISTS", "cut:k"]), Reply::Integer(0));

    // One byte at a time it is one all the same.
    let mut client = cluster.client(2);
    for byte in &whole {
        client.send(&[*byte]).expect("taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(client.read().expect("a reply").is_ok());
    unharmed(&cluster);
}

#[test]
fn random_bytes() {
    let cluster = Cluster::shared();
    let mut random = Random(0x5eed);
    for round in 0..300 {
        let address = if round % 2 == 0 { cluster.plain(1) } else { cluster.cluster(1) };
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out can be set");
        let length = random.below(4000);
        let bytes: Vec<u8> = (0..length)
            .map(|_| match random.below(4) {
                // Mostly bytes that mean something in the protocol.
                0 => b"*$+-:\r\n0123456789"[random.below(17) as usize],
                1 => b'\n',
                _ => random.next() as u8,
            })
            .collect();
        // It may close at the first wrong byte.
        let _ = stream.write_all(&bytes);
    }
    unharmed(&cluster);
}

#[test]
fn many_who_announce_much_and_send_little() {
    let cluster = Cluster::start();
    let before = process::resident_bytes(cluster.process(1));
    let streams: Vec<TcpStream> = (0..400)
        .map(|n| {
            let mut stream = TcpStream::connect(cluster.plain(1)).expect("it listens");
            let head = format!("*3\r\n$3\r\nSET\r\n$5\r\nk{n:04}\r\n$8388608\r\n");
            stream.write_all(head.as_bytes()).expect("taken");
            stream.write_all(&[b'x'; 1000]).expect("taken");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let grown = process::resident_bytes(cluster.process(1)).saturating_sub(before);
    // 400 times 8 MiB would be 3.3 GB.
    assert!(grown < 200_000_000, "node 1 grew by {grown} bytes");
    unharmed(&cluster);
    drop(streams);
}

#[test]
fn one_who_never_reads_its_replies() {
    let cluster = Cluster::start();
    let value = vec![b'v'; 1024 * 1024];
    assert!(cluster.client(1).try_command(&[b"SET", b"big", &value]).expect("a reply").is_ok());
    let mut deaf = TcpStream::connect(cluster.plain(1)).expect("it listens");
    deaf.set_write_timeout(Some(Duration::from_secs(3))).expect("a time-out can be set");
    // 3 GB of replies are asked for, none is read. The write may block or break; both are answers.
    for _ in 0..3000 {
        if deaf.write_all(&request(&[b"GET", b"big"])).is_err() {
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let resident = process::resident_bytes(cluster.process(1));
    assert!(resident < 700_000_000, "node 1 holds {resident} bytes");
    unharmed(&cluster);
}

/// All nodes serve.
fn unharmed(cluster: &Nodes) {
    for node in 1..=NODES {
        let key = format!("unharmed:{node}");
        let mut client = cluster.client(node);
        assert!(client.command(&["SET", &key, "v"]).is_ok(), "node {node}");
        assert_eq!(client.command(&["GET", &key]), Reply::Bulk(b"v".to_vec()), "node {node}");
    }
}

/// The same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
