//! The words that change the config table, as they stand on the command line.

use crate::args::{group, node};
use crate::number;
use clap::{Args, Subcommand};
use eraft::ids::{Bucket, GroupId, NodeId, TableVersion};
use eraft::limits::BUCKETS;
use eraft::shard::{BucketRange, Pair, Placement};

/// What a plan may depend on.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// Show the plan and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only if nodes, groups and desired owners are as they were in this version (see --dry-run).
    #[arg(long, value_name = "VERSION", value_parser = |text: &str| number::parse(text, 'v').map(TableVersion))]
    pub(crate) planned_on: Option<TableVersion>,
}

/// How a plan is carried out.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct How {
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Return when it is done, the data moved and all; without it, when it is decided.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
}

/// Where the replicas of a new group go.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(crate) struct Place {
    /// A new group's nodes.
    #[arg(long, value_name = "NODE,…", value_delimiter = ',', value_parser = |text: &str| node(text))]
    replicas: Vec<NodeId>,
    /// How many replicas a new group gets; the nodes are chosen, in different zones where there are
    /// such. Without it, as many as the other groups have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    replication: Option<u32>,
}

impl Place {
    /// For the config group.
    pub(crate) fn placement(&self) -> Placement {
        match self.replication {
            Some(count) => Placement::Count(count),
            None if self.replicas.is_empty() => Placement::Usual,
            None => Placement::Nodes(self.replicas.clone()),
        }
    }
}

/// `history`.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// The last version shown; without it the newest.
    #[arg(value_parser = |text: &str| number::parse(text, 'v').map(TableVersion))]
    pub(crate) until: Option<TableVersion>,
    /// How many versions, at most 256.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) count: u32,
}

/// `join`.
#[derive(Args, Debug)]
pub(crate) struct Join {
    /// The groups.
    #[arg(required = true, value_name = "GROUP", value_parser = |text: &str| group(text))]
    pub(crate) groups: Vec<GroupId>,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) how: How,
}

/// `leave`.
#[derive(Args, Debug)]
pub(crate) struct Leave {
    /// The groups.
    #[arg(required = true, value_name = "GROUP", value_parser = |text: &str| group(text))]
    pub(crate) groups: Vec<GroupId>,
    #[command(flatten)]
    pub(crate) how: How,
}

/// `move`.
#[derive(Args, Debug)]
pub(crate) struct Move {
    /// The buckets: `0-4095`, or `5,9,100-200`.
    #[arg(value_name = "BUCKETS", value_parser = |text: &str| ranges(text))]
    pub(crate) ranges: Ranges,
    /// Who should own them.
    #[arg(value_parser = |text: &str| group(text))]
    pub(crate) group: GroupId,
    #[command(flatten)]
    pub(crate) how: How,
}

/// Ranges of buckets; whether they make sense together is for the table to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges(pub(crate) Vec<BucketRange>);

/// `rebalance`.
#[derive(Args, Debug)]
pub(crate) struct Rebalance {
    #[command(flatten)]
    pub(crate) how: How,
}

/// Which moves are meant.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Only {
    /// Only moves from this group.
    #[arg(long, value_name = "GROUP", value_parser = |text: &str| group(text))]
    from: Option<GroupId>,
    /// Only moves to this group.
    #[arg(long, value_name = "GROUP", value_parser = |text: &str| group(text))]
    to: Option<GroupId>,
}

impl Only {
    /// For the config group.
    pub(crate) fn pair(self) -> Pair {
        Pair { from: self.from, to: self.to }
    }
}

/// `cancel`.
#[derive(Args, Debug)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) only: Only,
    /// Show the plan and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `rate`.
#[derive(Args, Debug)]
pub(crate) struct Rate {
    /// Bytes per second that the moves of one group may take together at most: `20000000`, `20MB`, `20MiB`, or
    /// `unlimited`. With a limit moves also step back while they keep clients waiting. Without it the limit is
    /// shown.
    #[arg(value_name = "RATE", value_parser = |text: &str| rate(text))]
    pub(crate) rate: Option<Limit>,
}

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<u64>);

/// `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Makes a node that runs already, with an empty disk, part of the cluster.
    Add {
        /// Its QUIC address, as this program reaches it.
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// Show what would change and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Empties a node: other nodes take over its replicas. It goes on serving until they have.
    Drain(DrainNode),
    /// Removes an empty node for good; its id is never used again.
    Remove {
        /// The node.
        #[arg(value_parser = |text: &str| node(text))]
        node: NodeId,
        #[command(flatten)]
        plan: Plan,
    },
}

/// `node drain`.
#[derive(Args, Debug)]
pub(crate) struct DrainNode {
    /// The node.
    #[arg(value_parser = |text: &str| node(text))]
    pub(crate) node: NodeId,
    /// It may hold replicas again. Those that have gone to other nodes stay there.
    #[arg(long)]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

/// `group`.
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Makes a data group. It owns nothing until it joins, or buckets are moved to it.
    Create {
        /// Its id; without it the next one.
        #[arg(value_parser = |text: &str| group(text))]
        group: Option<GroupId>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        how: How,
    },
}

/// `5,9,100-200`.
fn ranges(text: &str) -> Result<Ranges, String> {
    let range = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let bucket = |digits: &str| match number::parse::<u16>(digits, 'b') {
            Ok(bucket) if bucket < BUCKETS => Ok(Bucket(bucket)),
            _ => Err(format!(
                "{word:?} is no range of buckets such as 0-4095; they count from 0 to 16383"
            )),
        };
        Ok::<_, String>(BucketRange { first: bucket(first)?, last: bucket(last)? })
    };
    text.split(',').map(range).collect::<Result<_, _>>().map(Ranges)
}

/// `20MB`, `20MiB/s`, `unlimited`.
fn rate(text: &str) -> Result<Limit, String> {
    if text == "unlimited" {
        return Ok(Limit(None));
    }
    let wrong = || format!("{text:?} is no rate such as 20MB, 20MiB or unlimited");
    let size = text.strip_suffix("/s").unwrap_or(text);
    let digits = size.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = size.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.map(|bytes| Limit(Some(bytes))).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |first, last| BucketRange { first: Bucket(first), last: Bucket(last) };
        assert_eq!(ranges("0-4095"), Ok(Ranges(vec![range(0, 4095)])));
        assert_eq!(ranges("9,b5,1-2"), Ok(Ranges(vec![range(9, 9), range(5, 5), range(1, 2)])));
        for wrong in ["", "1-", "-1", "1,,2", "16384", "a", "1-2-3", "0x1"] {
            assert!(ranges(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("unlimited"), Ok(Limit(None)));
        for (text, bytes) in
            [("5", 5), ("20MB", 20_000_000), ("20MiB/s", 20 << 20), ("1k", 1000), ("2gib", 2 << 30)]
        {
            assert_eq!(rate(text), Ok(Limit(Some(bytes))), "{text}");
        }
        for wrong in ["", "MB", "5x", "-5", "1.5MB", "99999999999GB"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
