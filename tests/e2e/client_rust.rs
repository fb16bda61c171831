//! The Rust client `redis`, plain and cluster.

use redis::{Commands, ConnectionLike, RedisResult};

use crate::cluster::Cluster;
use crate::nodes::NODES;

#[test]
fn plain() {
    let cluster = Cluster::shared();
    for node in 1..=NODES {
        for protocol in ["resp2", "resp3"] {
            let url = format!("redis://{}/?protocol={protocol}", cluster.plain(node));
            let client = redis::Client::open(url).expect("a valid address");
            let mut connection = client.get_connection().expect("it connects");
            session(&mut connection, &format!("rs:{node}:{protocol}:")).expect("no error");

            let mut pipe = redis::pipe();
            for n in 0..100 {
                pipe.set(format!("rs:pipe:{n}"), n).ignore();
                pipe.get(format!("rs:pipe:{n}"));
            }
            let got: Vec<i64> = pipe.query(&mut connection).expect("no error");
            assert_eq!(got, (0..100).collect::<Vec<i64>>());
        }
    }
}

#[test]
fn with_cluster() {
    let cluster = Cluster::shared();
    let addresses: Vec<String> =
        (1..=NODES).map(|node| format!("redis://{}", cluster.cluster(node))).collect();
    let client = redis::cluster::ClusterClient::new(addresses).expect("valid addresses");
    let mut connection = client.get_connection().expect("it connects");
    session(&mut connection, "rs:cluster:").expect("no error");
    for n in 0..300 {
        let key = format!("rs:spread:{n}");
        let _: () = connection.set(&key, n).expect("no error");
        let got: i64 = connection.get(&key).expect("no error");
        assert_eq!(got, n);
    }
    let mut pipe = redis::cluster::cluster_pipe();
    for n in 0..100 {
        pipe.get(format!("rs:spread:{n}"));
    }
    let got: Vec<i64> = pipe.query(&mut connection).expect("no error");
    assert_eq!(got, (0..100).collect::<Vec<i64>>());
}

/// What both kinds of connection can do.
fn session<C: ConnectionLike>(c: &mut C, prefix: &str) -> RedisResult<()> {
    let key = |name: &str| format!("{{{prefix}}}{name}");
    let _: () = c.set(key("a"), "1")?;
    let got: String = c.get(key("a"))?;
    assert_eq!(got, "1");
    let none: Option<String> = c.get(key("none"))?;
    assert_eq!(none, None);
    let n: i64 = c.incr(key("n"), 5)?;
    assert_eq!(n, 5);
    let _: () = c.mset(&[(key("x"), 1), (key("y"), 2)])?;
    let both: Vec<i64> = c.mget(vec![key("x"), key("y")])?;
    assert_eq!(both, [1, 2]);
    let set: bool = c.expire(key("x"), 100)?;
    assert!(set);
    let left: i64 = c.ttl(key("x"))?;
    assert!((95..=100).contains(&left));
    let blob: Vec<u8> = (0..=255).collect();
    let _: () = c.set(key("blob"), &blob)?;
    let got: Vec<u8> = c.get(key("blob"))?;
    assert_eq!(got, blob);
    let removed: i64 = c.del(vec![key("a"), key("n"), key("none")])?;
    assert_eq!(removed, 2);
    Ok(())
}
