//! Starting and stopping a node, in order.

use super::admin::{Admin, serve_routed};
use super::birth::Birthplace;
use super::host::Host;
use super::inbound::{NodeInbound, watch_gone};
use super::join::join;
use super::scheduling;
use super::settings::NodeSettings;
use crate::actors::apply::{Applier, ApplyCommand, ApplyInbox, ApplyThread, Live};
use crate::actors::gc::{GcSeed, GcWorker};
use crate::actors::group::event::Event;
use crate::actors::liveness::{Warden, WardenSeed};
use crate::actors::metrics;
use crate::actors::poller::{Poller, PollerSeed};
use crate::actors::redis::{PortKind, PortSettings, Registry, bind};
use crate::actors::router::Router;
use crate::actors::shared::Shared;
use crate::actors::supervision::guarded;
use crate::actors::threads::{LogHandle, NodeLogEvents, NodeSink, NodeStateEvents};
use crate::ids::{BootId, GroupId};
use crate::limits;
use crate::net::http::{HttpServer, Pages, Readiness};
use crate::net::message::Answer;
use crate::net::quic::{Endpoint, Node, NodeSecret, Options};
use crate::net::tls::{Identity, Role, redis_acceptor};
use crate::rows::RowGeneration;
use crate::shard::NodeInfo;
use crate::store::disk::RealDisk;
use crate::store::home::Home;
use crate::store::state::{FjallOptions, FjallStore, Overlay, StateStore, StateThread};
use crate::store::wal::{Damage, Log, LogIdentity, LogOptions, LogThread};
use actix_rt::{Arbiter, System};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// Questions of admins that wait for a router.
const QUESTIONS_MAX: usize = 1024;
/// How long a stopping node tries to hand its leads over.
const HAND_OVER: Duration = Duration::from_millis(1_500);
/// How long a stopping node waits for its peers to hear of it.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a node does not run (any more).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

fn trouble(error: impl std::fmt::Display) -> StartError {
    StartError(error.to_string())
}

/// Runs a node until SIGTERM, SIGINT or SHUTDOWN. Blocks.
///
/// # Errors
/// When it cannot start, or its disk fails; in words for the person in front of it.
pub fn run(settings: NodeSettings) -> Result<(), StartError> {
    if let Err(error) = scheduling::in_batches() {
        tracing::info!("the threads are scheduled as any other: {error}");
    }
    let render = metrics::install().map_err(trouble)?;
    let home = Home::open(&settings.data_dir, settings.node).map_err(trouble)?;
    let identity =
        Identity::load(&settings.certs_dir, Role::Node(settings.node)).map_err(trouble)?;
    let storage = Storage::open(&home, &settings)?;
    System::with_tokio_rt(scheduling::runtime)
        .block_on(serve(settings, home, identity, storage, render))
}

/// What was found on the disk.
struct Storage {
    log: Log<RealDisk>,
    /// Groups that live in the log, and those that died there.
    living: BTreeSet<GroupId>,
    dead: BTreeSet<GroupId>,
    /// Something is lost, and nobody knows whose.
    unsure: bool,
    state: Arc<dyn StateStore>,
    live: Arc<Live>,
}

impl Storage {
    fn open(home: &Home, settings: &NodeSettings) -> Result<Self, StartError> {
        let identity = LogIdentity {
            cluster: home.cluster().unwrap_or_default(),
            node: settings.node,
            incarnation: home.identity().incarnation,
        };
        let (log, recovered) =
            Log::open(RealDisk, &home.log_dir(), identity, LogOptions::default())
                .map_err(trouble)?;
        if recovered.created && home.cluster().is_some() {
            return Err(StartError(format!(
                "the log in {} is gone, but this node belongs to a cluster: it has forgotten what it \
                 promised. Bring the log back, or start this node with an empty data directory: then the \
                 cluster takes it back and gives it all data again",
                home.log_dir().display()
            )));
        }
        if recovered.torn_tail_bytes > 0 {
            tracing::warn!(bytes = recovered.torn_tail_bytes, "cut a torn tail off the log");
        }
        let damaged = recovered.damage;
        if damaged != Damage::None {
            for place in &recovered.damaged_places {
                tracing::error!(
                    segment = place.segment,
                    offset = place.offset,
                    "the log is damaged: {}",
                    place.what
                );
            }
            let whose = match &damaged {
                Damage::Groups(groups) => {
                    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                }
                _ => "all groups".to_owned(),
            };
            tracing::error!(
                "the replicas of {whose} here may have forgotten what they promised and stay silent, until \
                 their groups have let them in anew. Look after this disk"
            );
        }
        let live = Arc::new(Live::default());
        let judge = live.clone();
        let options = FjallOptions {
            forgotten: Arc::new(move |key| judge.forgotten(key)),
            ..FjallOptions::default()
        };
        let state = FjallStore::open(&home.state_dir(), &options).map_err(trouble)?;
        if let Some(cut) = state.journal_cut() {
            tracing::warn!("the state store's journal was cut, the log replays the rest: {cut:?}");
        }
        let (mut living, dead) =
            (recovered.groups.into_keys().collect::<BTreeSet<_>>(), recovered.dead);
        if let Damage::Groups(groups) = &damaged {
            // Also those of which nothing is left: they have to ask to be let go.
            living.extend(groups);
        }
        let unsure = damaged == Damage::All;
        Ok(Self { log, living, dead, unsure, state: Arc::new(state), live })
    }
}

#[expect(clippy::too_many_lines, reason = "one step after the other, each once")]
async fn serve(
    settings: NodeSettings,
    home: Home,
    identity: Identity,
    storage: Storage,
    render: metrics_exporter_prometheus::PrometheusHandle,
) -> Result<(), StartError> {
    let node = settings.node;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(trouble)?;
    let number = u128::from_le_bytes(random);
    let boot = BootId(u64::try_from(number >> 64).expect("sixty-four bits"));
    let client = u64::try_from(number & u128::from(u64::MAX)).expect("sixty-four bits");

    match (home.promises_leases(), settings.lease_reads) {
        (false, true) => home.set_promises_leases(true).map_err(trouble)?,
        (true, false) => {
            // Leaders may rely on what replicas here promised just before. From here on nobody does.
            tokio::time::sleep(limits::TICK * limits::ELECTION_TICKS).await;
            home.set_promises_leases(false).map_err(trouble)?;
        }
        (true, true) | (false, false) => {}
    }

    // Threads.
    let shared = Arc::new(Shared::new(node));
    shared.lease_reads.store(settings.lease_reads, Relaxed);
    shared.transfers.set_rate(settings.snapshot_bytes_per_second);
    let (fatal, mut fatalities) = mpsc::unbounded_channel();
    let (tables, newest_table) = watch::channel(None);
    let apply = ApplyInbox::default();
    let state_events = NodeStateEvents::new(apply.clone(), fatal.clone());
    let state_thread =
        StateThread::spawn(storage.state.clone(), Box::new(state_events)).map_err(trouble)?;
    let sink = NodeSink::new(shared.clone(), state_thread.handle(), tables, fatal.clone());
    let applier = Applier::new(Overlay::new(storage.state), storage.live.clone(), sink);
    let apply_thread = ApplyThread::spawn(applier, apply.clone()).map_err(trouble)?;
    let dead = storage.dead;
    for group in dead.iter().copied() {
        // The rows of what died here go, also if the process ended before they did.
        let (newest_rows, reply) = (RowGeneration(0), Box::new(drop));
        apply.push(ApplyCommand::Reset { group, newest_rows, reply });
    }
    let log_events = NodeLogEvents::new(shared.clone(), fatal.clone());
    let log_thread = LogThread::spawn(storage.log, Box::new(log_events)).map_err(trouble)?;
    let log = LogHandle::new(log_thread.handle());

    // Ports. All are bound before anything is promised.
    let (shutdown, mut stopping) = watch::channel(false);
    let tls = settings.redis_tls.as_ref().map(|tls| {
        redis_acceptor(&tls.certificate, &tls.key, tls.client_ca.as_deref()).map_err(trouble)
    });
    let port_settings = PortSettings {
        password: settings.password.clone(),
        tls: tls.transpose()?,
        shutdown: shutdown.clone(),
    };
    let [quic_address, plain_address, cluster_address, http_address] = settings.listen;
    let registry = Arc::new(Registry::default());
    let cannot = |what: &str, address, error| {
        StartError(format!("cannot listen for {what} on {address}: {error}"))
    };
    let plain = bind(plain_address, PortKind::Plain, port_settings.clone(), registry.clone())
        .map_err(|error| cannot("Redis", plain_address, error))?;
    let cluster = bind(cluster_address, PortKind::Cluster, port_settings, registry)
        .map_err(|error| cannot("Redis (cluster port)", cluster_address, error))?;
    let pages = Pages {
        metrics: Arc::new(move || {
            render.run_upkeep();
            render.render()
        }),
        readiness: readiness(shared.clone()),
    };
    let http = HttpServer::bind(http_address, pages).await.map_err(trouble)?;

    // The node among nodes.
    let [quic, redis, cluster_port, http_announced] = settings.announce.clone();
    let info = NodeInfo {
        incarnation: home.identity().incarnation,
        quic,
        redis,
        cluster_port,
        http: http_announced,
        zone: settings.zone.clone(),
    };
    let (plan, table) = (home.plan().cloned(), home.table().cloned().map(Arc::new));
    let of_cluster = home.cluster();
    let secret = NodeSecret(home.identity().secret);
    let dir = home.dir().to_owned();
    let home = Arc::new(Mutex::new(home));
    let birthplace = Arc::new(Birthplace {
        shared: shared.clone(),
        home: home.clone(),
        info: info.clone(),
        founders: settings.cluster.keys().copied().collect(),
        log: log.clone(),
        host: OnceLock::new(),
        poller: OnceLock::new(),
        heard: Mutex::new(BTreeMap::new()),
    });
    let admin = Arc::new(Admin {
        shared: shared.clone(),
        birthplace: birthplace.clone(),
        dir: dir.clone(),
        addresses: settings.announce.clone(),
        debug_commands: settings.debug_commands,
        routed: OnceLock::new(),
        disk_bytes: Mutex::new((0, 0)),
    });
    let (gone, _) = broadcast::channel(64);
    let inbound = Arc::new(NodeInbound {
        shared: shared.clone(),
        birthplace: birthplace.clone(),
        admin: admin.clone(),
        poller: OnceLock::new(),
        gone: gone.clone(),
        served: metrics::served(),
    });
    let this = Node { cluster: of_cluster, incarnation: info.incarnation, boot, secret };
    let endpoint =
        Endpoint::bind(quic_address, &identity, this, Options::default(), inbound.clone())
            .map_err(trouble)?;

    // Workers: this thread is the first.
    let others: Vec<Arbiter> =
        (1..settings.workers).map(|_| Arbiter::with_tokio_rt(scheduling::runtime)).collect();
    let mut arbiters = vec![Arbiter::current()];
    arbiters.extend(others.iter().map(Arbiter::handle));
    let mut inboxes = Vec::new();
    let mut waiting = Vec::new();
    for _ in &arbiters {
        let (inbox, answers) = mpsc::unbounded_channel();
        inboxes.push(inbox);
        waiting.push(answers);
    }
    shared.set_workers(inboxes);
    let host = Arc::new(Host {
        shared: shared.clone(),
        endpoint: Arc::new(Mutex::new(Some(endpoint))),
        log,
        apply: apply.clone(),
        arbiters: arbiters.clone(),
        incarnation: info.incarnation,
        home: home.clone(),
        began: Mutex::new(Arc::new(storage.living.union(&dead).copied().collect())),
        living: Mutex::new(storage.living),
        unsure: AtomicBool::new(storage.unsure),
    });
    for (peer, address) in &settings.cluster {
        host.reach(*peer, address);
    }
    let _ = birthplace.host.set(host.clone());

    let mut waiting = waiting.into_iter();
    let router = Router::new(shared.clone(), 0, client);
    worker(router.clone(), waiting.next().expect("one for each worker"), &gone);
    for (index, arbiter) in (1..).zip(&arbiters[1..]) {
        let answers = waiting.next().expect("one for each worker");
        let (shared, gone) = (shared.clone(), gone.clone());
        let ports = [plain.share(), cluster.share()];
        arbiter.spawn_fn(move || {
            let router = Router::new(shared, index, client.wrapping_add(index.into()));
            worker(router.clone(), answers, &gone);
            for port in ports.into_iter().flatten() {
                actix_rt::spawn(port.serve(router.clone()));
            }
        });
    }
    let seed = PollerSeed {
        shared: shared.clone(),
        host: host.clone(),
        tables: newest_table,
        plan,
        table,
        info,
    };
    Warden::start_here(WardenSeed { shared: shared.clone(), log: host.log.clone(), boot });
    let poller = Poller::start_here(seed, router.clone());
    let _ = birthplace.poller.set(poller.clone());
    let _ = inbound.poller.set(poller);
    if !settings.join.is_empty() {
        actix_rt::spawn(join(birthplace.clone(), identity, settings.join, fatal));
    }
    GcWorker::start_here(GcSeed {
        shared: shared.clone(),
        apply,
        state: state_thread.handle(),
        live: storage.live,
        home,
        dir,
    });
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let _ = admin.routed.set(questions);
    actix_rt::spawn(serve_routed(asked, router.clone(), shared.clone()));
    actix_rt::spawn(plain.serve(router.clone()));
    actix_rt::spawn(cluster.serve(router));
    let mut http_stop = shutdown.subscribe();
    actix_rt::spawn(async move {
        let stop = async move {
            let _ = http_stop.wait_for(|stop| *stop).await;
        };
        if let Err(error) = http.run(stop).await {
            tracing::error!("HTTP: {error}");
        }
    });
    let [quic, redis, cluster, http] = &settings.announce;
    tracing::info!(%node, quic, redis, cluster, http, dir = %settings.data_dir.display(), "node is up");

    // Until somebody says stop.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(trouble)?;
    let ended = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = tokio::signal::ctrl_c() => Ok("SIGINT"),
        _ = stopping.wait_for(|stop| *stop) => Ok("SHUTDOWN"),
        fatality = fatalities.recv() => Err(fatality.unwrap_or_default()),
    };
    match ended {
        Ok(why) => tracing::info!("stopping: {why}"),
        Err(fatality) => {
            // The disk cannot be trusted any more: nothing is flushed, nothing more is promised.
            tracing::error!("{fatality}; the node stops. Its peers go on without it");
            return Err(StartError(fatality));
        }
    }
    shared.stopping.store(true, Relaxed);
    hand_over(&shared).await;
    shutdown.send_replace(true);
    let endpoint = host.endpoint.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(endpoint) = endpoint {
        endpoint.close(FAREWELL).await;
    }
    // From here on no actor runs: this thread is theirs.
    for arbiter in others {
        arbiter.stop();
    }
    apply_thread.stop();
    log_thread.stop();
    state_thread.stop();
    tracing::info!("stopped");
    Ok(())
}

/// What runs on every worker thread besides its actors and connections.
fn worker(
    router: Router,
    mut answers: mpsc::UnboundedReceiver<Vec<Answer>>,
    gone: &broadcast::Sender<crate::ids::NodeId>,
) {
    actix_rt::spawn(watch_gone(gone.subscribe(), router.clone()));
    actix_rt::spawn(async move {
        while let Some(batch) = answers.recv().await {
            // A panic over one answer must not keep all later ones from their askers.
            if let Err(panicked) = guarded(|| router.answered(batch)) {
                tracing::error!("answers were lost in a panic: {}", panicked.0);
            }
        }
    });
}

fn readiness(shared: Arc<Shared>) -> Arc<dyn Fn() -> Readiness + Send + Sync> {
    Arc::new(move || {
        let mut readiness = Readiness::default();
        if shared.routing().is_none() {
            readiness.reasons.push("not initialised: run 'eraftctl init'".into());
        }
        for (group, replica) in shared.replicas() {
            if replica.board.left_behind.load(Relaxed) {
                readiness.reasons.push(format!("{group} was recovered without the replica here"));
            } else if replica.board.failed.load(Relaxed) {
                readiness.reasons.push(format!("the replica of {group} here has failed"));
            }
            if replica.board.leader().is_none() {
                readiness.groups_without_leader.push(group);
            }
        }
        if shared.stopping.load(Relaxed) {
            readiness.reasons.push("stopping".into());
        }
        readiness
    })
}

/// Gives the leads of this node to peers that are there, so that nobody has to wait for an election.
async fn hand_over(shared: &Shared) {
    let leads = || {
        let replicas = shared.replicas();
        replicas.into_iter().filter(|(_, replica)| replica.board.leads()).collect::<Vec<_>>()
    };
    let peers = shared.peers.connected();
    for ((_, replica), peer) in leads().iter().zip(peers.iter().cycle()) {
        replica.addr.do_send(Event::Transfer(*peer).into());
    }
    let handing = async {
        while !leads().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if !peers.is_empty() {
        let _ = tokio::time::timeout(HAND_OVER, handing).await;
    }
    for (_, replica) in shared.replicas() {
        replica.addr.do_send(Event::Stop.into());
    }
}
