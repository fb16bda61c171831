//! The poller's shell: gathers what is known, and carries out what [`Follow`] says.
//!
//! Mailbox: actix's default of 16 messages. Full: a peer's word is dropped, it comes again in a second.

use super::follow::{Follow, Step, Told};
use crate::actors::config;
use crate::actors::group::event::Event;
use crate::actors::node::Host;
use crate::actors::router::Router;
use crate::actors::shared::Shared;
use crate::actors::supervision::{Restarts, guarded};
use crate::ids::{GroupId, NodeId, TableVersion};
use crate::net::message::PeerMessage;
use crate::shard::{Author, ConfigCommand, ConfigRequest, InitPlan, NodeInfo, Routing, Table};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at everything.
const STEP: Duration = Duration::from_millis(100);
/// Steps between two attempts to tell the config group this node's addresses, or the plan.
const TELL_STEPS: u32 = 10;

/// What the poller is sent.
#[derive(Debug)]
pub(crate) enum PollerMessage {
    /// A peer said which table it has.
    Offered(NodeId, TableVersion),
    /// A peer asks for our table, if it is newer than this.
    Asked(NodeId, TableVersion),
    /// A table, from a peer.
    Learned(Arc<Table>),
    /// This node was founded.
    Founded(InitPlan),
}

impl Message for PollerMessage {
    type Result = ();
}

/// What the poller is built from.
#[derive(Clone)]
pub(crate) struct PollerSeed {
    /// The node.
    pub shared: Arc<Shared>,
    /// Starts replicas.
    pub host: Arc<Host>,
    /// Tables applied by the replica of the config group here.
    pub tables: watch::Receiver<Option<Arc<Table>>>,
    /// The plan this node was founded by.
    pub plan: Option<InitPlan>,
    /// How this node can be reached.
    pub info: NodeInfo,
}

/// See the module's first lines.
pub(crate) struct Poller {
    seed: PollerSeed,
    router: Router,
    follow: Follow,
    steps: u32,
    telling: bool,
    told: bool,
    restarts: Restarts,
}

impl Poller {
    /// Starts the poller, supervised, on this thread.
    #[must_use]
    pub(crate) fn start_here(seed: PollerSeed, router: Router) -> Addr<Self> {
        Supervisor::start(move |_| {
            let follow = Follow::default();
            let restarts = Restarts::default();
            Self { seed, router, follow, steps: 0, telling: false, told: false, restarts }
        })
    }

    /// Seeds the follower with what this node has on disk.
    fn begin(&mut self) {
        self.follow = Follow::default();
        self.telling = false;
        if let Some(plan) = self.seed.plan.clone() {
            self.found(&plan);
        }
    }

    fn found(&mut self, plan: &InitPlan) {
        match Table::found(plan) {
            Ok(table) => self.follow.learn(Arc::new(table)),
            Err(error) => tracing::error!("the plan of this cluster makes no table: {error}"),
        }
    }

    fn guarded(&mut self, context: &mut Context<Self>, work: impl FnOnce(&mut Self)) {
        if let Err(panicked) = guarded(|| work(self)) {
            tracing::error!("the config poller panicked and starts again: {}", panicked.0);
            if self.restarts.died(self.seed.shared.mono()).is_some() {
                context.stop();
            }
        }
    }

    fn step(&mut self, own: Addr<Self>) {
        if let Some(table) = self.seed.tables.borrow().clone() {
            self.follow.learn(table);
        }
        let shared = self.seed.shared.clone();
        let boards = shared.boards();
        let leaders: BTreeMap<GroupId, NodeId> =
            boards.iter().filter_map(|(group, board)| Some((*group, board.leader()?))).collect();
        let running: BTreeSet<GroupId> = boards.keys().copied().collect();
        let connected = shared.peers.connected();
        let health = shared.health();
        let told = Told {
            now: shared.mono(),
            node: shared.node,
            connected: &connected,
            health: &health,
            disk_low: shared.disk_low.load(Relaxed),
            leaders: &leaders,
            replicas: &running,
        };
        for step in self.follow.step(&told) {
            self.carry_out(step);
        }
        if self.steps.is_multiple_of(TELL_STEPS) {
            self.tell_config(own);
        }
        self.steps = self.steps.wrapping_add(1);
    }

    fn carry_out(&mut self, step: Step) {
        let shared = &self.seed.shared;
        match step {
            Step::Adopt(table) => {
                tracing::info!(version = %table.version, groups = table.groups.len(), "config table");
                for (node, info) in table.nodes.iter().filter(|(node, _)| **node != shared.node) {
                    self.seed.host.reach(*node, &info.quic);
                }
                shared.set_routing(Arc::new(Routing::new(table)));
            }
            Step::Start(group) => {
                let plan = self.seed.plan.as_ref();
                if let Some(plan) = plan
                    && let Err(trouble) = self.seed.host.start(group, plan)
                {
                    tracing::error!(%group, "cannot start the replica: {trouble}");
                }
            }
            Step::Ask(peer) => {
                let known = self.follow.known();
                // Lost questions are asked again.
                let _ = shared.peers.control(peer, &PeerMessage::TableRequest { known });
            }
            Step::Transfer(group, to) => {
                tracing::info!(%group, %to, "handing the lead to where it belongs");
                // Full: the next look at everything wants it again.
                let _ = shared.try_send(group, Event::Transfer(to));
            }
        }
    }

    /// As the leader of a config group without a table: the plan. Once per start: our addresses.
    fn tell_config(&mut self, poller: Addr<Self>) {
        let shared = &self.seed.shared;
        let leads = shared.replica(GroupId::CONFIG).is_some_and(|replica| replica.board.leads());
        let unborn = self.seed.tables.borrow().is_none();
        let command = match &self.seed.plan {
            Some(plan) if leads && unborn => ConfigCommand::Init(plan.clone()),
            Some(_) if !unborn && !self.told => {
                ConfigCommand::NodeAddress { node: shared.node, info: self.seed.info.clone() }
            }
            _ => return,
        };
        if std::mem::replace(&mut self.telling, true) {
            return;
        }
        let is_address = matches!(command, ConfigCommand::NodeAddress { .. });
        let request = ConfigRequest { by: Author::Node(shared.node), command };
        let router = self.router.clone();
        actix_rt::spawn(async move {
            let reply = config::change(&router, &request).await;
            match &reply {
                Ok(reply) => tracing::debug!(?reply, "config group told: {}", request.command),
                Err(trouble) => tracing::info!("config group not told yet: {trouble}"),
            }
            poller.do_send(ToldConfig { address: is_address, heard: reply.is_ok() });
        });
    }
}

impl Actor for Poller {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.begin();
        context.run_interval(STEP, |poller, context| {
            let own = context.address();
            poller.guarded(context, |poller| poller.step(own));
        });
    }
}

impl Supervised for Poller {}

impl Handler<PollerMessage> for Poller {
    type Result = ();

    fn handle(&mut self, message: PollerMessage, context: &mut Self::Context) {
        let own = context.address();
        self.guarded(context, |poller| match message {
            PollerMessage::Offered(peer, version) => poller.follow.offered(peer, version),
            PollerMessage::Asked(peer, known) => {
                let shared = &poller.seed.shared;
                let newest = shared.routing().map(|routing| routing.table().clone());
                if let Some(table) = newest.filter(|table| table.version > known) {
                    let table = PeerMessage::Table(table.encode().into());
                    let _ = shared.peers.control(peer, &table);
                }
            }
            PollerMessage::Learned(table) => poller.follow.learn(table),
            PollerMessage::Founded(plan) => {
                poller.found(&plan);
                poller.seed.plan = Some(plan);
                poller.step(own);
            }
        });
    }
}

/// What became of telling the config group.
#[derive(Debug)]
pub(crate) struct ToldConfig {
    /// It was our addresses.
    pub address: bool,
    /// It has heard.
    pub heard: bool,
}

impl Message for ToldConfig {
    type Result = ();
}

impl Handler<ToldConfig> for Poller {
    type Result = ();

    fn handle(&mut self, told: ToldConfig, _: &mut Self::Context) {
        self.telling = false;
        self.told |= told.address && told.heard;
    }
}
