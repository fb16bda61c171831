//! Asking the config group: one change or one question, through a router like any client's command.

use crate::actors::router::{Mode, Router, Target};
use crate::codec;
use crate::ids::{GroupId, TableVersion};
use crate::kv::Reply;
use crate::net::message::{Outcome, Work};
use crate::shard::{Author, ConfigCommand, ConfigQuery, ConfigReply, ConfigRequest, Refusal};

/// Asks for a change of the table.
///
/// # Errors
/// When the config group did not answer; in words.
pub async fn change(router: &Router, request: &ConfigRequest) -> Result<ConfigReply, String> {
    ask(router, Work::Change(codec::encode(request).into())).await
}

/// Times that a change is planned anew because the table has changed meanwhile.
const PLANS_MAX: usize = 5;

/// Asks for a change, planned on the newest table that there is.
///
/// # Errors
/// When the config group did not answer; in words.
pub async fn change_newest(
    router: &Router,
    by: Author,
    mut command: ConfigCommand,
) -> Result<ConfigReply, String> {
    let mut plans = 0;
    loop {
        let newest = ConfigQuery::Newest { known: TableVersion(0) };
        let newest = match query(router, &newest).await? {
            ConfigReply::Table { summary, .. } => summary.version,
            _ => return Ok(ConfigReply::Refused(Refusal::NotInitialised)),
        };
        command.plan_on(newest);
        let request = ConfigRequest { by: by.clone(), command: command.clone() };
        match change(router, &request).await? {
            ConfigReply::Refused(Refusal::Stale { .. }) if plans < PLANS_MAX => plans += 1,
            reply => return Ok(reply),
        }
    }
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
            Some(Reply::Error(error)) => Err(error.to_string()),
            Some(reply @ Reply::Bulk(_)) => reply.decode().map_err(|error| error.to_string()),
            _ => Err("the config group gave no answer".into()),
        },
        Some(Outcome::NotDone(refusal)) => Err(format!("the config group: {refusal}")),
        _ => Err("the config group did not answer in time (outcome unknown)".into()),
    }
}
