//! `init`: nodes that run for the first time become a cluster.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::args::Init;
use crate::reach::Reach;
use eraft::net::message::{AdminRequest, AdminResponse};
use serde::Serialize;
use tokio::time::Instant;

#[derive(Serialize)]
struct Document {
    cluster: String,
    existed: bool,
}

/// Asks the first node that answers; that one speaks with the others.
pub(crate) async fn run(reach: &Reach, init: &Init) -> Result<Answer, Trouble> {
    let (data_groups, replication) = (init.groups, init.replication);
    let request = AdminRequest::Init { data_groups, replication };
    let deadline = Instant::now() + reach.timeout / 2;
    let said = reach.statuses(reach.endpoints.clone(), deadline).await;
    let mut reasons = Vec::new();
    for (endpoint, status) in said {
        if let Err(reason) = status {
            reasons.push(reason);
            continue;
        }
        let (cluster, existed) = match reach.ask(&endpoint.address, &request).await? {
            AdminResponse::Initialised { cluster, existed } => (cluster.to_string(), existed),
            AdminResponse::Failed(reason) => return Err(Trouble::new(reason)),
            _ => {
                return Err(Trouble::new("the node gave an answer that does not fit the question"));
            }
        };
        if reach.json {
            print_json(&Document { cluster, existed })?;
        } else if existed {
            print(format!("cluster {cluster} exists already; nothing was changed"))?;
        } else {
            print(format!("made cluster {cluster} with {data_groups} data groups"))?;
        }
        return Ok(Answer::Yes);
    }
    Err(Trouble::new(format!("no node answered: {}", reasons.join("; "))))
}
