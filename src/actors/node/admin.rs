//! What `eraftctl` and native clients ask, answered.

use super::birth::Birthplace;
use super::recover::recover;
use crate::actors::config;
use crate::actors::group::actor::GroupMessage;
use crate::actors::group::event::Event;
use crate::actors::identity::Kinship;
use crate::actors::process;
use crate::actors::router::{Mode, Router, Target};
use crate::actors::shared::Shared;
use crate::codec;
use crate::ids::{GroupId, Incarnation, NodeId, TableVersion};
use crate::kv::Command;
use crate::limits;
use crate::net::message::{
    AdminRequest, AdminResponse, Ask, GroupStatus, NodeStatus, TableAnswer, Work,
};
use crate::net::quic::{Requester, Responder};
use crate::net::tls::Role;
use crate::shard::{Author, ConfigCommand, ConfigQuery, ConfigReply, ConfigRequest, Table};
use crate::store::home::free_bytes;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Questions that need a router, which lives on one thread, and who asks.
type Routed = (Box<AdminRequest>, Author, oneshot::Sender<AdminResponse>);

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
            Ok(request) => match allowed(&from, &request) {
                Ok(author) => self.respond(request, author).await,
                Err(why) => AdminResponse::Failed(why.into()),
            },
        };
        // The asker may have gone.
        let _ = respond.finish(codec::encode(&response));
    }

    async fn respond(&self, request: AdminRequest, author: Author) -> AdminResponse {
        match request {
            AdminRequest::Status => AdminResponse::Status(Box::new(self.status().await)),
            AdminRequest::Init { data_groups, replication } => {
                match self.birthplace.init(data_groups, replication).await {
                    Ok((cluster, existed)) => AdminResponse::Initialised { cluster, existed },
                    Err(trouble) => AdminResponse::Failed(trouble),
                }
            }
            AdminRequest::Transfer { group, to } => self.transfer(group, to),
            AdminRequest::Panic { group } => self.panic(group),
            routed @ (AdminRequest::Table(_)
            | AdminRequest::Execute(_)
            | AdminRequest::Recover { .. }
            | AdminRequest::Scan { .. }
            | AdminRequest::Change(_)
            | AdminRequest::History { .. }) => {
                let (send, receive) = oneshot::channel();
                let full =
                    || AdminResponse::Failed("the node has too many questions waiting".into());
                let asked = |router: &mpsc::Sender<Routed>| {
                    router.try_send((Box::new(routed), author, send)).is_ok()
                };
                if self.routed.get().is_some_and(asked) {
                    receive.await.unwrap_or_else(|_| full())
                } else {
                    full()
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
            groups.push(known.unwrap_or_else(|| {
                GroupStatus {
                    group,
                    role: match (board.left_behind.load(Relaxed), board.failed.load(Relaxed)) {
                        (true, _) => "left-behind",
                        (false, true) => "failed",
                        (false, false) => "starting",
                    }
                    .into(),
                    restarts: u32::try_from(board.restarts.load(Relaxed)).unwrap_or(u32::MAX),
                    ..GroupStatus::default()
                }
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
            zone: identity.info.zone,
            table: shared.routing().map_or(TableVersion(0), |routing| routing.table().version),
            memory_bytes: process::resident_bytes(),
            disk_bytes: self.disk_bytes(),
            disk_free_bytes: free_bytes(&self.dir),
            disk_low: shared.disk_low.load(Relaxed),
            disk_slow: shared.health().slow,
            lease_reads: shared.lease_reads.load(Relaxed),
            lease_reads_served: shared.lease_reads_served.load(Relaxed),
            groups_awake: shared.awake.load(Relaxed),
            connected: shared.peers.connected(),
            troubles: self.troubles(identity.info.incarnation),
            groups,
            secretary_of: shared.secretaries.groups(),
            moves: shared.move_reports.told(),
        }
    }

    /// What is wrong with who this node is, or who others say they are.
    fn troubles(&self, disk: Incarnation) -> Vec<String> {
        let shared = &self.shared;
        let mut troubles = Vec::new();
        match shared.kinship(shared.node, disk) {
            Kinship::Stranger => troubles.push(
                "its disk is not the one that belongs to the cluster: it counts for nothing until the \
                 cluster has taken it back"
                    .into(),
            ),
            Kinship::Barred => troubles.push(
                "its disk was replaced by another one, and is barred for ever: stop this process".into(),
            ),
            Kinship::Unknown | Kinship::Peer => {}
        }
        for (peer, disk) in shared.links.all() {
            if !shared.kinship(peer, disk).counts() {
                troubles.push(format!("{peer} is connected with a disk that does not belong here"));
            }
        }
        for (group, board) in shared.boards() {
            if board.forgotten.load(Relaxed) {
                troubles.push(format!(
                    "the log is damaged: the replica of {group} counts for nothing until its group has \
                     let it in anew"
                ));
            }
        }
        troubles
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

/// Whether this role may ask that, and as whom.
fn allowed(from: &Requester, request: &AdminRequest) -> Result<Author, &'static str> {
    let for_keys = matches!(
        request,
        AdminRequest::Execute(_) | AdminRequest::Scan { .. } | AdminRequest::Status
    );
    let by_itself = match request {
        AdminRequest::Change(
            ConfigCommand::Init(_)
            | ConfigCommand::NodeAddress { .. }
            | ConfigCommand::AdoptDisk { .. }
            | ConfigCommand::Recover { .. }
            | ConfigCommand::OwnerReport(_),
        ) => return Err("nodes and groups say that of themselves; nobody says it for them"),
        AdminRequest::Change(ConfigCommand::AddNode { node, .. }) => Some(*node),
        AdminRequest::Change(_) | AdminRequest::Recover { .. } => None,
        _ => Some(NodeId(0)),
    };
    let person = || Author::person(from.role, from.address.ip().to_canonical());
    match from.role {
        Role::Admin => Ok(person()),
        Role::Node(node) if by_itself.is_some_and(|one| one.0 == 0 || one == node) => {
            Ok(Author::Node(node))
        }
        Role::Node(_) => {
            Err("a node may add itself and change nothing else; use an admin's certificate")
        }
        Role::Client if for_keys => Ok(person()),
        Role::Client => {
            Err("this certificate may only read and write keys; use one with the admin role")
        }
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
pub(super) async fn serve_routed(
    mut questions: mpsc::Receiver<Routed>,
    router: Router,
    shared: Arc<Shared>,
) {
    while let Some((request, author, reply)) = questions.recv().await {
        let (router, shared) = (router.clone(), shared.clone());
        tokio::task::spawn_local(async move {
            let response = match *request {
                AdminRequest::Table(version) => table(&router, version).await,
                AdminRequest::Recover { group, token } => {
                    recover(&shared, &router, group, token).await
                }
                AdminRequest::Execute(asks) => execute(&router, asks).await,
                AdminRequest::Change(command) => {
                    let request = ConfigRequest { by: author, command };
                    said(config::change(&router, &request).await)
                }
                AdminRequest::History { until, count } => {
                    let query = ConfigQuery::History { until, count };
                    said(config::query(&router, &query).await)
                }
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

fn said(reply: Result<ConfigReply, String>) -> AdminResponse {
    reply.map_or_else(AdminResponse::Failed, AdminResponse::Config)
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
