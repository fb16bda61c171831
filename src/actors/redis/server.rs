//! Commands about the node: INFO, CONFIG, CLUSTER, SHARDGROUP, WAIT, TIME, SHUTDOWN.

use super::connection::Connection;
use super::{cluster, info, shardgroup};
use crate::kv::parse::ServerCommand;
use crate::kv::{Command, Reply, ReplyError};
use crate::shard::{ConfigQuery, ConfigReply, Table};

/// What CONFIG GET knows. Everything else is not a setting here.
fn settings(connection: &Connection) -> Vec<(&'static str, String)> {
    let limits = crate::limits::CONNECTIONS_MAX;
    let value_bytes_max =
        connection.router.routing().map_or(0, |r| r.table().limits.value_bytes_max);
    let cluster = connection.context.kind.is_cluster();
    vec![
        ("appendonly", "yes".into()),
        ("appendfsync", "always".into()),
        ("save", String::new()),
        ("databases", "1".into()),
        ("maxclients", limits.to_string()),
        ("maxmemory", "0".into()),
        ("maxmemory-policy", "noeviction".into()),
        ("proto-max-bulk-len", value_bytes_max.to_string()),
        ("timeout", "0".into()),
        ("cluster-enabled", if cluster { "yes" } else { "no" }.into()),
    ]
}

pub(super) async fn run(connection: &Connection, command: ServerCommand) -> Reply {
    let shared = connection.router.shared();
    let view = || cluster::view(&shared);
    let of_view = |answer: &dyn Fn(&crate::shard::ClusterView) -> Reply| match view() {
        Ok(view) => answer(&view),
        Err(error) => error.into(),
    };
    match command {
        ServerCommand::Info(sections) => Reply::Verbatim(info::text(connection, &sections)),
        ServerCommand::ConfigGet(globs) => {
            let found = settings(connection).into_iter().filter(|(name, _)| {
                globs.iter().any(|glob| crate::kv::glob::matches(glob, name.as_bytes()))
            });
            Reply::Map(found.map(|(name, value)| (Reply::text(name), Reply::text(value))).collect())
        }
        ServerCommand::ConfigSet(pairs) => {
            let name = pairs.first().map_or("", |pair| pair.0.as_str());
            ReplyError::err(format!(
                "CONFIG SET failed - '{name}' cannot be set here; see 'eraftd run --help'"
            ))
            .into()
        }
        ServerCommand::ConfigResetStat => Reply::Ok,
        ServerCommand::Time => {
            let now = shared.wall().0;
            let micros = (now % 1_000) * 1_000;
            Reply::Array(vec![
                Reply::text((now / 1_000).to_string()),
                Reply::text(micros.to_string()),
            ])
        }
        // Every write that was answered is on a majority: there is nothing to wait for.
        ServerCommand::Wait { .. } => of_view(&|view| {
            let replicas = view.table().data_groups().map(|(_, group)| group.replicas.len()).min();
            Reply::Integer(i64::try_from(replicas.unwrap_or(1) / 2).unwrap_or(0))
        }),
        ServerCommand::Shutdown { abort: true } => {
            ReplyError::err("No shutdown in progress.").into()
        }
        ServerCommand::Shutdown { abort: false } => {
            connection.context.shutdown();
            // As in Redis, the client sees the connection close.
            std::future::pending().await
        }
        ServerCommand::ClusterSlots => {
            let version = connection.version;
            of_view(&|view| cluster::slots(view, version))
        }
        ServerCommand::ClusterShards => of_view(&cluster::shards),
        ServerCommand::ClusterNodes => of_view(&|view| Reply::Verbatim(view.nodes_text())),
        ServerCommand::ClusterInfo => of_view(&|view| cluster::info(&shared, view)),
        ServerCommand::ClusterMyId => of_view(&|view| Reply::text(view.my_id())),
        ServerCommand::ClusterReplicas(id) => of_view(&|view| cluster::replicas(view, &id)),
        ServerCommand::ClusterLinks => Reply::Array(Vec::new()),
        ServerCommand::CountKeysInSlot(bucket) => {
            cluster::of_bucket(connection, bucket, Command::CountKeys { bucket }).await
        }
        ServerCommand::GetKeysInSlot { bucket, count } => {
            cluster::of_bucket(connection, bucket, Command::KeysInBucket { bucket, count }).await
        }
        ServerCommand::ShardGroupQuery { version: None } => {
            of_view(&|view| words(view.shardgroup_words()))
        }
        ServerCommand::ShardGroupQuery { version: Some(version) } => {
            old_version(connection, version).await
        }
        change @ (ServerCommand::ShardGroupJoin { .. }
        | ServerCommand::ShardGroupLeave { .. }
        | ServerCommand::ShardGroupMove { .. }) => shardgroup::change(connection, change).await,
    }
}

fn words(words: Vec<String>) -> Reply {
    Reply::Array(words.into_iter().map(Reply::text).collect())
}

/// SHARDGROUP QUERY of one version of the table.
async fn old_version(connection: &Connection, version: u64) -> Reply {
    let query = ConfigQuery::Version(crate::ids::TableVersion(version));
    let reply = crate::actors::config::query(&connection.router, &query).await;
    match reply {
        Ok(ConfigReply::Table { table, .. }) => match Table::decode(&table) {
            Ok(table) => {
                let shared = connection.router.shared();
                let alive = shared.peers.connected().into_iter().collect();
                let groups = std::collections::BTreeMap::new();
                let view = crate::shard::ClusterView::new(table.into(), shared.node, alive, groups);
                words(view.shardgroup_words())
            }
            Err(error) => ReplyError::err(error.to_string()).into(),
        },
        Ok(ConfigReply::NoSuchVersion { oldest, newest }) => {
            ReplyError::err(format!("no version {version}; kept are {oldest} to {newest}")).into()
        }
        Ok(_) => ReplyError::err("an unexpected answer").into(),
        Err(trouble) => ReplyError::err(trouble).into(),
    }
}
