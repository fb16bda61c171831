//! The command line.

use crate::number;
use crate::words::{Cancel, Group, History, Join, Leave, Move, Node, Only, Rate, Rebalance};
use clap::{Args, Parser, Subcommand, ValueEnum};
use eraft::ids::{GroupId, NodeId, TableVersion};
use std::path::PathBuf;

/// Asks and operates an eraft cluster.
///
/// Of a dev cluster, say where its folder is (--dir, default ./eraft-data). Of any
/// other, say the QUIC address of at least one node (--endpoint) and where your
/// certificate is (--certs).
///
/// Exit code 0: fine, also when nothing had to change. 1: a negative answer (no such key).
/// 2: trouble, also when the time is over. Words that change the config table: 2 if the
/// change is refused (nothing was changed), 1 for trouble. A command line that cannot be
/// read: 2, whatever the word.
#[derive(Debug, Parser)]
#[command(name = "eraftctl", version, verbatim_doc_comment, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What may stand before or behind the command.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The folder of a dev cluster: its nodes and its certificates.
    #[arg(
        long,
        env = "ERAFT_DIR",
        default_value = "./eraft-data",
        global = true,
        value_name = "DIR"
    )]
    pub(crate) dir: PathBuf,
    /// Nodes to ask, by their QUIC addresses; goes before --dir.
    #[arg(
        long,
        env = "ERAFT_ENDPOINT",
        global = true,
        value_delimiter = ',',
        value_name = "HOST:PORT,…"
    )]
    pub(crate) endpoint: Vec<String>,
    /// The folder with ca.pem and admin.pem (or client.pem, which may only read and write keys).
    #[arg(long, env = "ERAFT_CERTS", global = true, value_name = "DIR")]
    pub(crate) certs: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long the command may take (scan and bench: each of their requests). 10, with --wait 600.
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) timeout: Option<f64>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows nodes, groups, who leads, how far each replica is.
    Status,
    /// Makes a cluster of nodes that run for the first time; harmless if that was done before.
    Init(Init),
    /// Prints a key's value; exit code 1 if there is no such key.
    Get(Get),
    /// Sets a key.
    Put(Put),
    /// Appends to a key's value and prints the new length; applied once, however often it is retried.
    Append(Put),
    /// Removes keys and prints how many were there; exit code 1 if none was.
    Del(Del),
    /// Prints the keys, one per line, in no order that means anything.
    Scan(Scan),
    /// Shows a version of the config table: which group owns which buckets, and where its servers are.
    Query(Query),
    /// Shows what changed in the config table, who asked for it, and when.
    History(History),
    /// Shows how far the moves of buckets are, and what is still to move.
    Moves,
    /// Shows the same, again and again, until every bucket is where it should be: bars on a terminal, else a
    /// document a second (one line each with --json).
    Watch,
    /// Lets groups take their share of the buckets; a group that is not there is made.
    Join(Join),
    /// Lets groups give all their buckets to those that stay. They are kept, and may join again.
    Leave(Leave),
    /// Moves buckets to a group, just these. It counts as joined from then on.
    Move(Move),
    /// Evens the shares of the groups that have joined, with the fewest moves.
    Rebalance(Rebalance),
    /// Lets moves stand still, all or some; those that begin later too.
    Pause(Only),
    /// Lets moves go on.
    Resume(Only),
    /// Takes moves back: buckets that have not moved yet stay where they are.
    Cancel(Cancel),
    /// Limits how fast data moves, or shows the limit.
    Rate(Rate),
    /// Nodes that come and go.
    #[command(subcommand)]
    Node(Node),
    /// Data groups.
    #[command(subcommand)]
    Group(Group),
    /// Measures reads or writes of this cluster, each connection waiting for its answer.
    Bench(Bench),
    /// Makes certificates: a cluster's authority, and what it signs.
    #[command(subcommand)]
    Cert(Cert),
    /// Moves the lead of a group.
    #[command(subcommand)]
    Leader(Leader),
    /// Nodes that hold a copy of a group for reading, without belonging to it.
    ///
    /// An observer serves linearizable reads of the group's keys on its own node: it asks
    /// the leader how far it must be (one small message for many reads) and answers from
    /// its copy. It has no vote and counts for nothing: writes never wait for it, and to
    /// lose it, or to remove it, costs nothing. Its copy is a snapshot at first, and then
    /// follows the log. Good for: more reads, or reads close to clients far away.
    #[command(subcommand, verbatim_doc_comment)]
    Observer(HelperChange),
    /// Nodes that pass a group's entries on, so that its leader sends each once.
    ///
    /// A leader with four followers sends every entry four times. With two secretaries it
    /// sends it twice, and they pass it on and report who has it on disk. A secretary keeps
    /// nothing on disk and has no vote; when it dies the leader serves its followers
    /// itself, within a fraction of a second, and nothing is lost. Each serves at least two
    /// followers (for one it would save nothing); those that are left over wait unused.
    #[command(subcommand, verbatim_doc_comment)]
    Secretary(HelperChange),
    /// Says on which nodes a group should have replicas; its leader sees to it.
    #[command(subcommand)]
    Replica(Replica),
    /// Lets one replica of a group go on alone that has lost its majority for good.
    ///
    /// Without --confirm it changes nothing: it shows what that replica has, what may
    /// be lost, and a token. With the token it is done. Stop or wipe the other nodes'
    /// replicas first. If group 0 has lost its majority too, it comes first.
    #[command(verbatim_doc_comment)]
    Recover(Recover),
    /// Breaks things on purpose; the nodes must run with --debug-commands.
    #[command(subcommand, hide = true)]
    Debug(Debug),
}

/// `init`.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// How many data groups the keys are spread over.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) groups: u32,
    /// How many replicas each group has [default: one on every node].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) replication: Option<u32>,
}

/// `get`.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The key.
    pub(crate) key: String,
}

/// `put` and `append`.
#[derive(Args, Debug)]
pub(crate) struct Put {
    /// The key.
    pub(crate) key: String,
    /// The value.
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
}

/// `del`.
#[derive(Args, Debug)]
pub(crate) struct Del {
    /// The keys.
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// `scan`.
#[derive(Args, Debug)]
pub(crate) struct Scan {
    /// Only keys that match this glob, as in Redis: `*`, `?`, `[a-z]`.
    #[arg(long = "match", value_name = "GLOB")]
    pub(crate) pattern: Option<String>,
    /// About how many keys each request looks at.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// End after this many keys.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// `query`.
#[derive(Args, Debug)]
pub(crate) struct Query {
    /// The version; without it the newest.
    #[arg(value_parser = |text: &str| number::parse(text, 'v').map(TableVersion))]
    pub(crate) version: Option<TableVersion>,
}

/// What `bench` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// Writes.
    Set,
    /// Linearizable reads.
    Get,
}

/// `bench`.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// How many connections at the same time, spread over the nodes.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) connections: u16,
    /// How long.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub(crate) seconds: u32,
    /// How large each value is.
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    pub(crate) value_bytes: usize,
    /// What is measured.
    #[arg(long, default_value = "set")]
    pub(crate) op: Operation,
    /// How many different keys (eraftctl-bench:0 and so on).
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
}

/// `cert`.
#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Makes a cluster's authority, ca.pem and ca-key.pem. Keep the key where no node runs.
    Init {
        /// The folder (or say --certs).
        folder: Option<PathBuf>,
    },
    /// Signs a certificate with the authority.
    Issue(Issue),
}

/// `cert issue`.
#[derive(Args, Debug)]
pub(crate) struct Issue {
    /// The folder with the authority (or say --certs).
    pub(crate) folder: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) role: IssueRole,
    /// Put the certificate, its key and a copy of ca.pem here; without it, beside the authority.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// For whom.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct IssueRole {
    /// For this node.
    #[arg(long, value_name = "N", value_parser = |text: &str| node(text))]
    pub(crate) node: Option<NodeId>,
    /// For an operator, who may ask everything.
    #[arg(long)]
    pub(crate) admin: bool,
    /// For a program, which may read and write keys.
    #[arg(long)]
    pub(crate) client: bool,
}

/// `leader`.
#[derive(Debug, Subcommand)]
pub(crate) enum Leader {
    /// Gives the lead of a group to a node, and waits until it has it.
    Transfer {
        /// The group; 0 is the config group.
        #[arg(value_parser = |text: &str| group(text))]
        group: GroupId,
        /// The node.
        #[arg(value_parser = |text: &str| node(text))]
        node: NodeId,
    },
}

/// `observer` and `secretary`.
#[derive(Debug, Subcommand)]
pub(crate) enum HelperChange {
    /// Names a node that holds no replica of the group; harmless if that was done before.
    Add {
        /// The group; `eraftctl query` lists them.
        #[arg(value_parser = |text: &str| group(text))]
        group: GroupId,
        /// The node.
        #[arg(value_parser = |text: &str| node(text))]
        node: NodeId,
    },
    /// Names it no more: the group goes on as if it had never been there.
    Remove {
        /// The group.
        #[arg(value_parser = |text: &str| group(text))]
        group: GroupId,
        /// The node.
        #[arg(value_parser = |text: &str| node(text))]
        node: NodeId,
    },
}

/// `replica`.
#[derive(Debug, Subcommand)]
pub(crate) enum Replica {
    /// A group gets a replica on a node: it learns everything, and then votes.
    Add(ReplicaOn),
    /// A group gives up its replica on a node: it loses its vote, and then its data.
    Remove(ReplicaOn),
}

/// `replica add` and `replica remove`.
#[derive(Args, Debug)]
pub(crate) struct ReplicaOn {
    /// The group; 0 is the config group.
    #[arg(value_parser = |text: &str| group(text))]
    pub(crate) group: GroupId,
    /// The node.
    #[arg(value_parser = |text: &str| node(text))]
    pub(crate) node: NodeId,
    /// Return when it is done (see --timeout).
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `recover`.
#[derive(Args, Debug)]
pub(crate) struct Recover {
    /// The group; 0 is the config group.
    #[arg(value_parser = |text: &str| group(text))]
    pub(crate) group: GroupId,
    /// The node whose replica goes on.
    #[arg(long, value_name = "N", value_parser = |text: &str| node(text))]
    pub(crate) node: NodeId,
    /// The token that the same command without this had shown.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) confirm: Option<String>,
}

/// `debug`.
#[derive(Debug, Subcommand)]
pub(crate) enum Debug {
    /// Makes the actor of a group panic on a node, to see it come back.
    Panic {
        /// The group.
        #[arg(value_parser = |text: &str| group(text))]
        group: GroupId,
        /// The node.
        #[arg(value_parser = |text: &str| node(text))]
        node: NodeId,
    },
}

/// A node's id.
pub(crate) fn node(text: &str) -> Result<NodeId, String> {
    match number::parse(text, 'n')? {
        0 => Err("nodes count from 1".into()),
        id => Ok(NodeId(id)),
    }
}

/// A group's id.
pub(crate) fn group(text: &str) -> Result<GroupId, String> {
    number::parse(text, 'g').map(GroupId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn globals_stand_on_either_side() {
        for line in ["eraftctl --json --timeout 3 status", "eraftctl status --json --timeout 3"] {
            let arguments = Arguments::parse_from(line.split(' '));
            assert!(arguments.global.json, "{line}");
            assert_eq!(arguments.global.timeout, Some(3.0), "{line}");
        }
        let minus = Arguments::parse_from(["eraftctl", "put", "k", "-1", "--json"]);
        assert!(matches!(minus.command, Command::Put(Put { value, .. }) if value == "-1"));
        assert!(Arguments::try_parse_from(["eraftctl", "cert", "issue", "d"]).is_err());
        assert!(Arguments::try_parse_from(["eraftctl", "leader", "transfer", "g1", "n0"]).is_err());
    }
}
