//! What `eraftctl` and native clients ask, answered.

use super::birth::Birthplace;
use crate::actors::config;
use crate::actors::group::actor::GroupMessage;
use crate::actors::group::event::Event;
use crate::actors::process;
use crate::actors::router::{Mode, Router, Target};
use crate::actors::shared::Shared;
use crate::codec;
use crate::ids::{GroupId, NodeId, TableVersion};
use crate::kv::Command;
use crate::limits;
use crate::net::message::{
    AdminRequest, AdminResponse, Ask, GroupStatus, NodeStatus, TableAnswer, Work,
};
use crate::net::quic::{Requester, Responder};
use crate::net::tls::Role;
use crate::shard::{ConfigQuery, ConfigReply, Table};
use crate::store::home::free_bytes;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Questions that need a router, which lives on one thread.
type Routed = (AdminRequest, oneshot::Sender<AdminResponse>);

/// See the module's first lines.
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) birthplace: Arc<Birthplace>,
    pub(super) dir: PathBuf,
    pub(super) addresses: [String; 4],
    pub(super) debug_commands: bool,
    /// Towards the thread with the router.
    pub(super) routed: OnceLock<mpsc::Sender<Routed>>,
    /// Disk use, looked up now and then.
    pub(super) disk_bytes: Mutex<(u64, u64)>,
}

impl Admin {
    pub(super) async fn answer(&self, from: Requester, frame: &[u8], respond: Responder) {
        let response = match codec::decode::<AdminRequest>(frame) {
            Err(error) => AdminResponse::Failed(format!(
                "the question cannot be read ({error}); is eraftctl of another version?"
            )),
            Ok(request) if !allowed(from.role, &request) => AdminResponse::Failed(
                "this certificate may only read and write keys; use one with the admin role".into(),
            ),
            Ok(request) => self.respond(request).await,
        };
        // The asker may have gone.
        let _ = respond.finish(codec::encode(&response));
    }

    async fn respond(&self, request: AdminRequest) -> AdminResponse {
        match request {
            AdminRequest::Status => AdminResponse::Status(Box::new(self.status().await)),
            AdminRequest::Init { data_groups } => match self.birthplace.init(data_groups).await {
                Ok((cluster, existed)) => AdminResponse::Initialised { cluster, existed },
                Err(trouble) => AdminResponse::Failed(trouble),
            },
            AdminRequest::Transfer { group, to } => self.transfer(group, to),
            AdminRequest::Panic { group } => self.panic(group),
            routed @ (AdminRequest::Table(_)
            | AdminRequest::Execute(_)
            | AdminRequest::Scan { .. }) => {
                let (send, receive) = oneshot::channel();
                let full =
                    || AdminResponse::Failed("the node has too many questions waiting".into());
                match self.routed.get().map(|router| router.try_send((routed, send))) {
                    Some(Ok(())) => receive.await.unwrap_or_else(|_| full()),
                    _ => full(),
                }
            }
        }
    }

    fn transfer(&self, group: GroupId, to: NodeId) -> AdminResponse {
        match self.shared.replica(group) {
            Some(replica) if replica.board.leads() => {
                match self.shared.try_send(group, Event::Transfer(to)) {
                    Ok(()) => AdminResponse::Started,
                    Err(trouble) => AdminResponse::Failed(format!("{group} here: {trouble}")),
                }
            }
            Some(replica) => AdminResponse::Failed(match replica.board.leader() {
                Some(leader) => format!("{group} is led by {leader}; ask that node"),
                None => format!("{group} has no leader at the moment"),
            }),
            None => AdminResponse::Failed(format!("there is no {group} on this node")),
        }
    }

    fn panic(&self, group: GroupId) -> AdminResponse {
        if !self.debug_commands {
            return AdminResponse::Failed("start the node with --debug-commands for that".into());
        }
        match self.shared.try_send(group, GroupMessage::Panic) {
            Ok(()) => AdminResponse::Started,
            Err(trouble) => AdminResponse::Failed(format!("{group} here: {trouble}")),
        }
    }

    async fn status(&self) -> NodeStatus {
        let shared = &self.shared;
        let mut groups = Vec::new();
        for (group, board) in shared.boards() {
            let (send, receive) = oneshot::channel();
            let asked = shared.try_send(group, GroupMessage::Status(send)).is_ok();
            let known = if asked { receive.await.ok().flatten() } else { None };
            groups.push(known.unwrap_or_else(|| GroupStatus {
                group,
                role: if board.failed.load(Relaxed) { "failed" } else { "starting" }.into(),
                restarts: u32::try_from(board.restarts.load(Relaxed)).unwrap_or(u32::MAX),
                ..GroupStatus::default()
            }));
        }
        let identity = self.birthplace.identity();
        NodeStatus {
            node: shared.node,
            incarnation: identity.info.incarnation,
            cluster: identity.cluster,
            program: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_seconds: shared.mono().0 / 1_000,
            clock: shared.wall(),
            addresses: self.addresses.clone(),
            table: shared.routing().map_or(TableVersion(0), |routing| routing.table().version),
            memory_bytes: process::resident_bytes(),
            disk_bytes: self.disk_bytes(),
            disk_free_bytes: free_bytes(&self.dir),
            disk_low: shared.disk_low.load(Relaxed),
            connected: shared.peers.connected(),
            groups,
        }
    }

    /// Walks the data directory, at most once in five seconds.
    fn disk_bytes(&self) -> u64 {
        let now = self.shared.mono().0;
        let mut known = self.disk_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1 == 0 || now.saturating_sub(known.1) > 5_000 {
            *known = (size_of(&self.dir), now.max(1));
        }
        known.0
    }
}

fn allowed(role: Role, request: &AdminRequest) -> bool {
    match role {
        Role::Node(_) | Role::Admin => true,
        Role::Client => matches!(
            request,
            AdminRequest::Execute(_) | AdminRequest::Scan { .. } | AdminRequest::Status
        ),
    }
}

/// Bytes of all files below `dir`, as allocated.
fn size_of(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Answers, on the thread of `router`, what needs one.
pub(super) async fn serve_routed(mut questions: mpsc::Receiver<Routed>, router: Router) {
    while let Some((request, reply)) = questions.recv().await {
        let router = router.clone();
        tokio::task::spawn_local(async move {
            let response = match request {
                AdminRequest::Table(version) => table(&router, version).await,
                AdminRequest::Execute(asks) => execute(&router, asks).await,
                AdminRequest::Scan { group, page } => {
                    let ask = Ask { command: Command::Scan(page), session: None };
                    submit(&router, vec![(Target::Group(group), Work::Keys(vec![ask]))]).await
                }
                _ => AdminResponse::Failed("not a question for the router".into()),
            };
            // The asker may have gone.
            let _ = reply.send(response);
        });
    }
}

async fn table(router: &Router, version: Option<TableVersion>) -> AdminResponse {
    let query = match version {
        None => ConfigQuery::Newest { known: TableVersion(0) },
        Some(version) => ConfigQuery::Version(version),
    };
    match config::query(router, &query).await {
        Ok(ConfigReply::Table { table, .. }) => match Table::decode(&table) {
            Ok(table) => AdminResponse::Table(TableAnswer::Found(Box::new(table))),
            Err(error) => AdminResponse::Failed(error.to_string()),
        },
        Ok(ConfigReply::NoSuchVersion { oldest, newest }) => {
            AdminResponse::Table(TableAnswer::NoSuchVersion { oldest, newest })
        }
        Ok(_) => AdminResponse::Failed("the config group gave an unexpected answer".into()),
        Err(trouble) => AdminResponse::Failed(trouble),
    }
}

/// Each command on its own, to the group of its key.
async fn execute(router: &Router, asks: Vec<Ask>) -> AdminResponse {
    if asks.len() > limits::PIPELINE_COMMANDS_MAX {
        return AdminResponse::Failed("too many commands at once".into());
    }
    let mut units = Vec::with_capacity(asks.len());
    for ask in asks {
        let Some(bucket) = ask.command.bucket() else {
            return AdminResponse::Failed("a command without a key".into());
        };
        units.push((Target::Bucket(bucket), Work::Keys(vec![ask])));
    }
    submit(router, units).await
}

async fn submit(router: &Router, units: Vec<(Target, Work)>) -> AdminResponse {
    let settled = router.submit(units, Mode::Cluster).await;
    AdminResponse::Executed(settled.into_iter().map(|one| one.outcome).collect())
}
