//! The commands on the node and the cluster.

use super::arguments::{Answer, integer, is, key};
use super::keyspace::page;
use super::parsed::{Parsed, ServerCommand};
use super::resolve::Resolved;
use crate::ids::Bucket;
use crate::kv::spec::{Name, help};
use crate::kv::{Command, Describe, Reply, ReplyError, number};
use crate::limits::BUCKETS;
use crate::shard::bucket_of;
use bytes::Bytes;

pub(super) fn parse(found: Resolved, arguments: &[Bytes]) -> Answer<Parsed> {
    let name = found.subcommand.map_or("", |subcommand| subcommand.name);
    let rest = &arguments[arguments.len().min(2)..];
    let command = match found.command.id {
        Name::Time => ServerCommand::Time,
        Name::Info => ServerCommand::Info(arguments[1..].iter().map(|word| lower(word)).collect()),
        Name::Wait => wait(arguments)?,
        Name::Shutdown => shutdown(&arguments[1..])?,
        Name::Config => match config(name, rest)? {
            Some(command) => command,
            None => return Ok(Parsed::Answer(help(found.command))),
        },
        Name::Memory => {
            return match rest {
                [word, options @ ..] if name == "usage" => memory_usage(word, options),
                _ => Ok(Parsed::Answer(help(found.command))),
            };
        }
        Name::Cluster => match (name, rest) {
            ("keyslot", [word]) => {
                let slot = Reply::Integer(bucket_of(word).0.into());
                return Ok(Parsed::Answer(slot));
            }
            _ => match cluster(name, rest)? {
                Some(command) => command,
                None => return Ok(Parsed::Answer(help(found.command))),
            },
        },
        Name::ShardGroup if name == "query" => match rest {
            [] => ServerCommand::ShardGroupQuery { version: None },
            [version] => {
                let version =
                    u64::try_from(integer(version)?).map_err(|_| ReplyError::not_an_integer())?;
                ServerCommand::ShardGroupQuery { version: Some(version) }
            }
            _ => return Err(ReplyError::syntax()),
        },
        Name::ShardGroup => match shardgroup(name, rest)? {
            Some(command) => command,
            None => return Ok(Parsed::Answer(help(found.command))),
        },
        _ => return Ok(Parsed::Answer(help(found.command))),
    };
    Ok(Parsed::Server(command))
}

/// A SHARDGROUP subcommand that changes something; `None` for the help.
fn shardgroup(name: &str, rest: &[Bytes]) -> Answer<Option<ServerCommand>> {
    let group = |word: &Bytes| {
        let number = u32::try_from(integer(word)?);
        number.map_err(|_| ReplyError::err("a group's id is a number from 1"))
    };
    Ok(Some(match (name, rest) {
        ("join", [id, nodes @ ..]) => {
            let words = nodes.iter().map(|word| lower(word));
            let nodes =
                words.flat_map(|word| word.split(',').map(str::to_owned).collect::<Vec<_>>());
            ServerCommand::ShardGroupJoin { group: group(id)?, nodes: nodes.collect() }
        }
        ("leave", [id]) => ServerCommand::ShardGroupLeave { group: group(id)? },
        ("leave", _) => return Err(ReplyError::syntax()),
        ("move", [id, ranges @ ..]) => ServerCommand::ShardGroupMove {
            group: group(id)?,
            ranges: ranges.iter().map(slots).collect::<Answer<_>>()?,
        },
        _ => return Ok(None),
    }))
}

/// `5` or `0-4095`.
fn slots(word: &Bytes) -> Answer<(Bucket, Bucket)> {
    let text = std::str::from_utf8(word).map_err(|_| ReplyError::err("slot invalid_argument"))?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let slot = |digits: &str| {
        let number: i64 = digits.parse().map_err(|_| ReplyError::err("slot invalid_argument"))?;
        slot_of(number).ok_or_else(|| ReplyError::err("slot out_of_range"))
    };
    Ok((slot(first)?, slot(last)?))
}

/// A CONFIG subcommand; `None` for its help.
fn config(name: &str, rest: &[Bytes]) -> Answer<Option<ServerCommand>> {
    Ok(Some(match name {
        "get" => ServerCommand::ConfigGet(
            rest.iter().map(|word| word.to_ascii_lowercase().into()).collect(),
        ),
        "set" => {
            let (pairs, odd) = rest.as_chunks::<2>();
            if !odd.is_empty() {
                return Err(ReplyError::syntax());
            }
            ServerCommand::ConfigSet(
                pairs.iter().map(|[name, value]| (lower(name), value.clone())).collect(),
            )
        }
        "resetstat" => ServerCommand::ConfigResetStat,
        "rewrite" => {
            return Err(ReplyError::err("The server is running without a config file"));
        }
        _ => return Ok(None),
    }))
}

/// A CLUSTER subcommand; `None` for its help.
fn cluster(name: &str, rest: &[Bytes]) -> Answer<Option<ServerCommand>> {
    Ok(Some(match (name, rest) {
        ("slots", _) => ServerCommand::ClusterSlots,
        ("shards", _) => ServerCommand::ClusterShards,
        ("nodes", _) => ServerCommand::ClusterNodes,
        ("info", _) => ServerCommand::ClusterInfo,
        ("myid", _) => ServerCommand::ClusterMyId,
        ("links", _) => ServerCommand::ClusterLinks,
        ("countkeysinslot", [slot]) => {
            let bucket = slot_of(integer(slot)?).ok_or_else(|| ReplyError::err("Invalid slot"))?;
            ServerCommand::CountKeysInSlot(bucket)
        }
        ("getkeysinslot", [slot, count]) => {
            let (slot, count) = (integer(slot)?, integer(count)?);
            let (Some(bucket), 0..) = (slot_of(slot), count) else {
                return Err(ReplyError::err("Invalid slot or number of keys"));
            };
            ServerCommand::GetKeysInSlot { bucket, count: page(count) }
        }
        ("replicas" | "slaves", [node]) => ServerCommand::ClusterReplicas(node.clone()),
        _ => return Ok(None),
    }))
}

fn slot_of(number: i64) -> Option<Bucket> {
    u16::try_from(number).ok().filter(|slot| *slot < BUCKETS).map(Bucket)
}

fn wait(arguments: &[Bytes]) -> Answer<ServerCommand> {
    let [_, replicas, timeout] = arguments else { return Err(ReplyError::arity("wait")) };
    let replicas = integer(replicas)?;
    let timeout = number::integer(timeout)
        .ok_or_else(|| ReplyError::err("timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| ReplyError::err("timeout is negative"))?;
    Ok(ServerCommand::Wait { replicas, timeout_ms })
}

fn shutdown(options: &[Bytes]) -> Answer<ServerCommand> {
    let (mut save, mut nosave, mut other, mut abort) = (false, false, false, false);
    for word in options {
        match word {
            word if is(word, "NOSAVE") => nosave = true,
            word if is(word, "SAVE") => save = true,
            word if is(word, "NOW") || is(word, "FORCE") => other = true,
            word if is(word, "ABORT") => abort = true,
            _ => return Err(ReplyError::syntax()),
        }
    }
    if (save && nosave) || (abort && (save || nosave || other)) {
        return Err(ReplyError::syntax());
    }
    Ok(ServerCommand::Shutdown { abort })
}

fn memory_usage(name: &Bytes, options: &[Bytes]) -> Answer<Parsed> {
    match options {
        [] => {}
        [word, samples] if is(word, "SAMPLES") => {
            if integer(samples)? < 0 {
                return Err(ReplyError::syntax());
            }
        }
        _ => return Err(ReplyError::syntax()),
    }
    Ok(Parsed::Data(Command::Describe { key: key(name)?, what: Describe::Memory }))
}

fn lower(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_lowercase()
}
