//! What a client may ask for, by who has to answer.

use super::split::Split;
use crate::ids::Bucket;
use crate::kv::{Command, Reply};
use bytes::Bytes;

/// A command that has been understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// For the leader of one bucket.
    Data(Command),
    /// For the leaders of several buckets; their answers make one.
    Split(Split),
    /// For all groups.
    Cluster(ClusterWide),
    /// For the connection itself.
    Connection(ConnectionCommand),
    /// For this node.
    Server(ServerCommand),
    /// For nobody: the answer follows from the question.
    Answer(Reply),
}

/// What concerns the keys of all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterWide {
    /// DBSIZE.
    DbSize,
    /// SCAN.
    Scan {
        /// Where to go on; 0 is the start.
        cursor: u64,
        /// About how many keys to look at, from 1 to [`crate::kv::scan::PAGE_KEYS_MAX`].
        count: u32,
        /// Only keys that match this glob.
        pattern: Option<Bytes>,
        /// Only keys of this type.
        kind: Option<Bytes>,
    },
    /// KEYS.
    Keys {
        /// Only keys that match this glob.
        pattern: Bytes,
    },
    /// FLUSHALL, FLUSHDB.
    FlushAll,
    /// RANDOMKEY.
    RandomKey,
}

/// What concerns the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionCommand {
    /// HELLO.
    Hello(Hello),
    /// AUTH.
    Auth {
        /// `default`, unless named.
        user: Option<Bytes>,
        /// The password.
        password: Bytes,
    },
    /// QUIT: answer OK, then close.
    Quit,
    /// RESET: make it as new, answer the status RESET.
    Reset,
    /// READONLY (on a replica, serve reads that may be stale) and READWRITE.
    ReadOnly(bool),
    /// ASKING: the next command may use a slot that is moving here.
    Asking,
    /// CLIENT.
    Client(ClientCommand),
}

/// HELLO with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// 2 or 3; without it the version stays.
    pub version: Option<u8>,
    /// User and password.
    pub auth: Option<(Bytes, Bytes)>,
    /// The connection's name; valid, possibly empty.
    pub name: Option<Bytes>,
}

/// CLIENT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCommand {
    /// The name, or nil.
    GetName,
    /// A valid name; empty takes it away.
    SetName(Bytes),
    /// The connection's number.
    Id,
    /// One line about this connection.
    Info,
    /// One line about each.
    List(ClientFilter),
    /// Closes connections.
    Kill(Kill),
    /// The client library's name.
    SetLibraryName(Bytes),
    /// The client library's version.
    SetLibraryVersion(Bytes),
    /// Which replies to send from now on.
    Reply(ReplyMode),
    /// NO-EVICT: answer OK.
    NoEvict(bool),
    /// NO-TOUCH: answer OK.
    NoTouch(bool),
}

/// Which connections CLIENT LIST shows. All ours are "normal".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFilter {
    /// Every one.
    All,
    /// None: of a type that we do not have.
    None,
    /// Those with these numbers.
    Ids(Vec<u64>),
}

/// CLIENT KILL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The old form: the one connection from this address. Answers OK or `ERR No such client`.
    Address(Bytes),
    /// The new form. Answers how many it was.
    Filter(KillFilter),
}

/// Which connections CLIENT KILL closes: those that fit everything given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillFilter {
    /// The connection's number.
    pub id: Option<u64>,
    /// The client's address, `host:port`.
    pub address: Option<Bytes>,
    /// Our address, `host:port`.
    pub local_address: Option<Bytes>,
    /// The user.
    pub user: Option<Bytes>,
    /// False: a type that we do not have, so none fits.
    pub normal: bool,
    /// The connection that asks is spared.
    pub skip_me: bool,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// All replies; this is answered OK.
    On,
    /// None, not even to this.
    Off,
    /// Neither to this nor to the next command.
    Skip,
}

/// What concerns this node, or is told by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerCommand {
    /// INFO: the sections asked for, in lower case; none means the usual ones.
    Info(Vec<String>),
    /// CONFIG GET: globs, in lower case.
    ConfigGet(Vec<Bytes>),
    /// CONFIG SET: names in lower case, and values.
    ConfigSet(Vec<(String, Bytes)>),
    /// CONFIG RESETSTAT.
    ConfigResetStat,
    /// TIME.
    Time,
    /// WAIT: every acknowledged write is on a majority already.
    Wait {
        /// Replicas to wait for.
        replicas: i64,
        /// Milliseconds; 0 means without end.
        timeout_ms: u64,
    },
    /// SHUTDOWN.
    Shutdown {
        /// `ABORT`: take an earlier one back.
        abort: bool,
    },
    /// CLUSTER SLOTS.
    ClusterSlots,
    /// CLUSTER SHARDS.
    ClusterShards,
    /// CLUSTER NODES.
    ClusterNodes,
    /// CLUSTER INFO.
    ClusterInfo,
    /// CLUSTER MYID.
    ClusterMyId,
    /// CLUSTER REPLICAS of the node with this id.
    ClusterReplicas(Bytes),
    /// CLUSTER LINKS.
    ClusterLinks,
    /// CLUSTER COUNTKEYSINSLOT.
    CountKeysInSlot(Bucket),
    /// CLUSTER GETKEYSINSLOT.
    GetKeysInSlot {
        /// The slot.
        bucket: Bucket,
        /// At most so many; at most [`crate::kv::scan::PAGE_KEYS_MAX`].
        count: u32,
    },
    /// SHARDGROUP QUERY, of an older table if a version is given.
    ShardGroupQuery {
        /// The version.
        version: Option<u64>,
    },
    /// SHARDGROUP JOIN.
    ShardGroupJoin {
        /// The group.
        group: u32,
        /// Nodes by id or by address; empty: the cluster chooses.
        nodes: Vec<String>,
    },
    /// SHARDGROUP LEAVE.
    ShardGroupLeave {
        /// The group.
        group: u32,
    },
    /// SHARDGROUP MOVE.
    ShardGroupMove {
        /// Who should own them.
        group: u32,
        /// Slots: first and last of each range.
        ranges: Vec<(Bucket, Bucket)>,
    },
}
