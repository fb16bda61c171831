//! How a node with an empty disk becomes part of a cluster that runs: it asks one of its nodes to be put into the
//! config table, and reads the table.
//!
//! Its certificate is its ticket: the cluster takes whoever the cluster's authority has named, under that name only.
//! Asked again, after a restart half way, the same disk is the same node.

use super::birth::Birthplace;
use crate::actors::poller::PollerMessage;
use crate::codec;
use crate::net::message::{AdminRequest, AdminResponse, TableAnswer};
use crate::net::quic::{Client, RequestError};
use crate::net::tls::Identity;
use crate::net::wire::CloseCode;
use crate::shard::{ConfigCommand, ConfigReply, Refusal};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a node that is asked may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(500);

/// Asks until this node belongs to a cluster. What the cluster refuses for good is told to `fatal`.
pub(super) async fn join(
    birthplace: Arc<Birthplace>,
    identity: Identity,
    addresses: Vec<String>,
    fatal: mpsc::UnboundedSender<String>,
) {
    let mut told = String::new();
    for address in addresses.iter().cycle() {
        if birthplace.identity().cluster.is_some() {
            return;
        }
        match ask(&birthplace, &identity, address).await {
            Ok(()) => {}
            Err(Trouble::Final(why)) => {
                // Nobody listening: the node is stopping already.
                let _ =
                    fatal.send(format!("the cluster at {address} does not take this node: {why}"));
                return;
            }
            Err(Trouble::Again(why)) if why != told => {
                tracing::warn!(address, "not part of the cluster yet: {why}");
                told = why;
            }
            Err(Trouble::Again(_)) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

enum Trouble {
    /// It may be better in a moment.
    Again(String),
    /// It will be so tomorrow.
    Final(String),
}

/// One node: to be let in, then for the table.
async fn ask(birthplace: &Birthplace, identity: &Identity, address: &str) -> Result<(), Trouble> {
    let again = |error: &dyn std::fmt::Display| Trouble::Again(error.to_string());
    let client = Client::new(address, identity, None, None).map_err(|error| again(&error))?;
    let client = client.of_disk(birthplace.info.incarnation);
    let question = async |request: AdminRequest| -> Result<AdminResponse, Trouble> {
        let answer = client.request(codec::encode(&request), PATIENCE).await;
        let answer = answer.map_err(|error| match &error {
            RequestError::Refused { refusal, .. } if refusal.code == CloseCode::Barred => {
                Trouble::Final(refusal.to_string())
            }
            _ => again(&error),
        })?;
        match codec::decode(&answer).map_err(|error| again(&error))? {
            AdminResponse::Failed(why) => Err(Trouble::Again(why)),
            response => Ok(response),
        }
    };
    let (node, info) = (birthplace.shared.node, birthplace.info.clone());
    let add = AdminRequest::Change(ConfigCommand::AddNode { node, info });
    match question(add).await? {
        AdminResponse::Config(ConfigReply::Changed(_) | ConfigReply::Unchanged(_)) => {}
        // It was there with another disk: the table tells what to do about that.
        AdminResponse::Config(ConfigReply::Refused(Refusal::NodeExists(_))) => {}
        AdminResponse::Config(ConfigReply::Refused(refusal)) => {
            return Err(Trouble::Final(refusal.to_string()));
        }
        _ => return Err(Trouble::Again("an answer that does not fit the question".into())),
    }
    match question(AdminRequest::Table(None)).await? {
        AdminResponse::Table(TableAnswer::Found(table)) => {
            if let Some(poller) = birthplace.poller.get() {
                // Full: it is learnt the next time.
                let _ = poller.try_send(PollerMessage::Learned(Arc::new(*table)));
            }
            Ok(())
        }
        _ => Err(Trouble::Again("no table yet".into())),
    }
}
