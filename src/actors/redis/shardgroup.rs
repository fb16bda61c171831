//! SHARDGROUP JOIN, LEAVE and MOVE: the original's words for what `eraftctl` does, by the same code.

use super::connection::Connection;
use crate::actors::config;
use crate::ids::{GroupId, NodeId, TableVersion};
use crate::kv::parse::ServerCommand;
use crate::kv::{Reply, ReplyError};
use crate::shard::{Author, BucketRange, ConfigCommand, ConfigReply, Placement, Table};

/// Asks the config group, and says OK when the table says so; the data moves after that.
pub(super) async fn change(connection: &Connection, command: ServerCommand) -> Reply {
    let routing = connection.router.routing();
    let table = routing.as_ref().map(|routing| &**routing.table());
    let command = match command_of(command, table) {
        Ok(command) => command,
        Err(why) => return ReplyError::err(why).into(),
    };
    let by = Author::person("redis", connection.entry.address.ip().to_canonical());
    match config::change_newest(&connection.router, by, command).await {
        Ok(ConfigReply::Changed(_) | ConfigReply::Unchanged(_)) => Reply::Ok,
        Ok(ConfigReply::Refused(refusal)) => ReplyError::err(refusal.to_string()).into(),
        Ok(_) => ReplyError::err("an unexpected answer").into(),
        Err(trouble) => ReplyError::err(trouble).into(),
    }
}

fn command_of(command: ServerCommand, table: Option<&Table>) -> Result<ConfigCommand, String> {
    let planned_on = TableVersion(0);
    Ok(match command {
        ServerCommand::ShardGroupJoin { group, nodes } => {
            let replicas = match nodes.as_slice() {
                [] => Placement::Usual,
                words => {
                    let nodes = words.iter().map(|word| node(word, table));
                    Placement::Nodes(nodes.collect::<Result<_, _>>()?)
                }
            };
            ConfigCommand::Join { groups: vec![GroupId(group)], replicas, planned_on }
        }
        ServerCommand::ShardGroupLeave { group } => {
            ConfigCommand::Leave { groups: vec![GroupId(group)], planned_on }
        }
        ServerCommand::ShardGroupMove { group, ranges } => {
            let ranges = ranges.into_iter().map(|(first, last)| BucketRange { first, last });
            ConfigCommand::Move { ranges: ranges.collect(), to: GroupId(group), planned_on }
        }
        _ => return Err("no change of the groups".into()),
    })
}

/// A node by its id, or by the address of its Redis port, as the original has it.
fn node(word: &str, table: Option<&Table>) -> Result<NodeId, String> {
    if let Ok(id) = word.parse() {
        return Ok(NodeId(id));
    }
    let mut nodes = table.into_iter().flat_map(|table| &table.nodes);
    let found = nodes.find(|(_, info)| info.redis == word);
    found
        .map(|(node, _)| *node)
        .ok_or_else(|| format!("{word:?} is neither a node's id nor the address of its Redis port"))
}
