//! Asking the config group: one change or one question, through a router like any client's command.

use crate::actors::router::{Mode, Router, Target};
use crate::codec;
use crate::ids::GroupId;
use crate::kv::Reply;
use crate::net::message::{Outcome, Work};
use crate::shard::{ConfigQuery, ConfigReply, ConfigRequest};

/// Asks for a change of the table.
///
/// # Errors
/// When the config group did not answer; in words.
pub async fn change(router: &Router, request: &ConfigRequest) -> Result<ConfigReply, String> {
    ask(router, Work::Change(codec::encode(request).into())).await
}

/// Asks about the table.
///
/// # Errors
/// When the config group did not answer; in words.
pub async fn query(router: &Router, query: &ConfigQuery) -> Result<ConfigReply, String> {
    ask(router, Work::Query(codec::encode(query).into())).await
}

async fn ask(router: &Router, work: Work) -> Result<ConfigReply, String> {
    let mut settled =
        router.submit(vec![(Target::Group(GroupId::CONFIG), work)], Mode::Cluster).await;
    match settled.pop().map(|one| one.outcome) {
        Some(Outcome::Done(mut replies)) => match replies.pop() {
            Some(Reply::Bulk(bytes)) => codec::decode(&bytes).map_err(|error| error.to_string()),
            Some(Reply::Error(error)) => Err(error.to_string()),
            _ => Err("the config group gave no answer".into()),
        },
        Some(Outcome::NotDone(refusal)) => Err(format!("the config group: {refusal}")),
        _ => Err("the config group did not answer in time (outcome unknown)".into()),
    }
}
