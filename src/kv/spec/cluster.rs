//! The commands on the cluster as a whole.

use super::facts::{Name, Spec, category, flag};
use category::CONNECTION;
use flag::{ADMIN, FAST, LOADING, STALE};

const CHANGING: &[&str] = &["nondeterministic_output"];

const fn connection(id: Name, name: &'static str, flags: u32) -> Spec {
    Spec::new(id, name, 1, flags).of("cluster", CONNECTION)
}
const fn cluster(name: &'static str, arity: i8, flags: u32) -> Spec {
    Spec::new(Name::Cluster, name, arity, flags | STALE).of("cluster", 0)
}

#[rustfmt::skip]
const CLUSTER: &[Spec] = &[
    cluster("countkeysinslot", 3, 0).since("3.0.0", "Counts the keys of a slot."),
    cluster("getkeysinslot", 4, 0).since("3.0.0", "Lists keys of a slot.")
        .costs("O(N) for N keys asked for").tips(CHANGING),
    cluster("help", 2, LOADING).since("5.0.0", "Lists the subcommands."),
    cluster("info", 2, 0).since("3.0.0", "The state of the cluster.").tips(CHANGING),
    cluster("keyslot", 3, 0).since("3.0.0", "The slot of a key.")
        .costs("O(N) for N bytes of the key"),
    cluster("links", 2, 0).since("7.0.0", "This node's connections to the others.")
        .costs("O(N) for N nodes").tips(CHANGING),
    cluster("myid", 2, 0).since("3.0.0", "The id of this node."),
    cluster("nodes", 2, 0).since("3.0.0", "The nodes and their slots, as a table in text.")
        .costs("O(N) for N nodes").tips(CHANGING),
    cluster("replicas", 3, ADMIN).since("5.0.0", "The nodes that follow a node.").tips(CHANGING),
    cluster("shards", 2, 0).since("7.0.0", "The slots and the nodes that serve them.")
        .costs("O(N) for N nodes").tips(CHANGING),
    cluster("slaves", 3, ADMIN).since("3.0.0", "The nodes that follow a node.").tips(CHANGING)
        .replaced("5.0.0", "`CLUSTER REPLICAS`"),
    cluster("slots", 2, 0).since("3.0.0", "The slots and the nodes that serve them.")
        .costs("O(N) for N nodes").tips(CHANGING).replaced("7.0.0", "`CLUSTER SHARDS`"),
];

#[rustfmt::skip]
const SHARDGROUP: &[Spec] = &[
    Spec::new(Name::ShardGroup, "help", 2, LOADING | STALE).of("cluster", 0)
        .since("0.1.0", "Lists the subcommands."),
    Spec::new(Name::ShardGroup, "join", -3, ADMIN).of("cluster", 0)
        .since("0.1.0", "A group takes its share of the buckets; it is made if it is not there.")
        .costs("O(N) for N buckets"),
    Spec::new(Name::ShardGroup, "leave", 3, ADMIN).of("cluster", 0)
        .since("0.1.0", "A group gives all its buckets to the others.")
        .costs("O(N) for N buckets"),
    Spec::new(Name::ShardGroup, "move", -4, ADMIN).of("cluster", 0)
        .since("0.1.0", "Buckets, given as slot or first-last, go to a group.")
        .costs("O(N) for N buckets"),
    Spec::new(Name::ShardGroup, "query", -2, STALE).of("cluster", 0)
        .since("0.1.0", "The groups with their servers and bucket ranges.")
        .costs("O(G) for G groups").tips(CHANGING),
];

#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    connection(Name::Asking, "asking", FAST)
        .since("3.0.0", "Lets the next command into a slot that is moving here."),
    Spec::new(Name::Cluster, "cluster", -2, 0).of("cluster", 0).subcommands(CLUSTER)
        .since("3.0.0", "The nodes and the slots.").costs("depends on the subcommand"),
    connection(Name::ReadOnly, "readonly", LOADING | STALE | FAST)
        .since("3.0.0", "Allows this connection reads from replicas."),
    connection(Name::ReadWrite, "readwrite", LOADING | STALE | FAST)
        .since("3.0.0", "Sends this connection's reads to the leader again."),
    Spec::new(Name::ShardGroup, "shardgroup", -2, 0).of("cluster", 0).subcommands(SHARDGROUP)
        .since("0.1.0", "The groups of the cluster.").costs("depends on the subcommand"),
];
