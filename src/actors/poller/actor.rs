//! The poller's shell: gathers what is known, and carries out what [`Follow`] says.
//!
//! Mailbox: actix's default of 16 messages. Full: a peer's word is dropped, it comes again in a second.

use super::follow::{Follow, Helpers, Seen, Step, Told};
use crate::actors::config;
use crate::actors::group::caretaker::Wish;
use crate::actors::group::event::Event;
use crate::actors::identity::Kinship;
use crate::actors::metrics;
use crate::actors::migrator::Stewards;
use crate::actors::node::Host;
use crate::actors::router::Router;
use crate::actors::shared::{Board, Shared, Undelivered};
use crate::actors::supervision::{Restarts, guarded};
use crate::ids::{GroupId, NodeId};
use crate::net::message::PeerMessage;
use crate::shard::{
    Author, ConfigCommand, ConfigReply, ConfigRequest, GroupInfo, InitPlan, NodeInfo, Recovery,
    Routing, Table, TableStamp,
};
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
    Offered(NodeId, TableStamp),
    /// A peer asks for our table, if it is newer than this.
    Asked(NodeId, TableStamp),
    /// A table, from a peer.
    Learned(Arc<Table>),
    /// This node was founded.
    Founded(InitPlan),
    /// A node came back with another disk, and asks to be known by it.
    Enlisted(NodeId, NodeInfo),
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
    /// The newest table that it saw in its earlier lives.
    pub table: Option<Arc<Table>>,
    /// How this node can be reached.
    pub info: NodeInfo,
}

/// The replicas here and who leads them, as of the last time that any of it changed.
#[derive(Debug, Default)]
struct Replicas {
    seen: (u64, u64),
    /// Raised with each change.
    revision: u64,
    running: BTreeMap<GroupId, Seen>,
    leaders: BTreeMap<GroupId, NodeId>,
}

impl Replicas {
    /// Looks at them if anything has changed: there may be thousands.
    fn look(&mut self, shared: &Shared) {
        // Read before the replicas are: what changes meanwhile is seen the next time.
        let now = (shared.revision(), shared.lead_changes.load(Relaxed));
        if self.revision > 0 && self.seen == now {
            return;
        }
        let boards = shared.boards();
        self.seen = now;
        self.revision += 1;
        self.leaders =
            boards.iter().filter_map(|(group, board)| Some((*group, board.leader()?))).collect();
        let seen = |board: &Board| Seen {
            observer: board.observer.load(Relaxed),
            belongs: board.belongs.load(Relaxed),
            forgotten: board.forgotten.load(Relaxed),
            era: board.era(),
            left_behind: board.left_behind.load(Relaxed).then(|| board.era()),
            disk: board.disk(),
        };
        self.running = boards.iter().map(|(group, board)| (*group, seen(board))).collect();
    }
}

/// See the module's first lines.
pub(crate) struct Poller {
    seed: PollerSeed,
    router: Router,
    follow: Follow,
    replicas: Replicas,
    stewards: Stewards,
    steps: u32,
    telling: bool,
    told: bool,
    /// Replicas that were not told yet what the newest table wishes.
    wishes: BTreeSet<GroupId>,
    /// A node's new disk is being told to the config group.
    adopting: bool,
    restarts: Restarts,
}

impl Poller {
    /// Starts the poller, supervised, on this thread.
    #[must_use]
    pub(crate) fn start_here(seed: PollerSeed, router: Router) -> Addr<Self> {
        Supervisor::start(move |_| {
            let follow = Follow::default();
            let restarts = Restarts::default();
            let stewards = Stewards::new(seed.shared.clone(), router.clone());
            Self {
                seed,
                router,
                follow,
                replicas: Replicas::default(),
                stewards,
                steps: 0,
                telling: false,
                told: false,
                wishes: BTreeSet::new(),
                adopting: false,
                restarts,
            }
        })
    }

    /// Seeds the follower with what this node has on disk.
    fn begin(&mut self) {
        self.follow = Follow::default();
        (self.telling, self.adopting) = (false, false);
        let known = self.seed.shared.routing().map(|routing| routing.table().clone());
        if let Some(table) = known.or(self.seed.table.clone()) {
            self.follow.learn(table);
        } else if let Some(plan) = self.seed.plan.clone() {
            self.found(&plan);
        }
    }

    fn found(&mut self, plan: &InitPlan) {
        match Table::found(plan) {
            Ok(table) => self.follow.learn(Arc::new(table)),
            Err(error) => tracing::error!("the plan of this cluster makes no table: {error}"),
        }
    }

    /// A table of a cluster that this node does not belong to is none of its business.
    fn learn(&mut self, table: Arc<Table>) {
        let (own, disk) = (self.seed.shared.node, self.seed.info.incarnation);
        let founds = |info: &GroupInfo| info.founders.contains(&(own, disk));
        let begins = self.seed.plan.is_none() && self.follow.known() == TableStamp::default();
        if begins && table.groups.values().any(founds) {
            // A founder begins with the plan, or it would wait for its groups to let it in, as all others
            // might. `init` brings it. Who joined later learns from tables which groups begin with it.
            return;
        }
        if table.nodes.contains_key(&own) {
            self.follow.learn(table);
        } else if self.follow.known() == TableStamp::default() {
            tracing::warn!(cluster = %table.cluster, "the cluster does not know {own}");
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
        self.replicas.look(&shared);
        let secretaries: BTreeSet<GroupId> = shared.secretaries.groups().into_iter().collect();
        let living = self.seed.host.living(&self.replicas.running);
        let began = self.seed.host.began();
        let connected = shared.peers.connected();
        let health = shared.health();
        let told = Told {
            now: shared.mono(),
            node: shared.node,
            disk: self.seed.info.incarnation,
            living: &living,
            began: &began,
            unsure: self.seed.host.unsure.load(Relaxed),
            connected: &connected,
            health: &health,
            disk_low: shared.disk_low.load(Relaxed),
            leaders: &self.replicas.leaders,
            replicas: &self.replicas.running,
            revision: self.replicas.revision,
            secretaries: &secretaries,
        };
        for step in self.follow.step(&told) {
            self.carry_out(step, &connected);
        }
        self.tell_wishes();
        self.stewards.step();
        if self.steps.is_multiple_of(TELL_STEPS) {
            self.tell_config(own);
        }
        self.steps = self.steps.wrapping_add(1);
    }

    fn carry_out(&mut self, step: Step, connected: &[NodeId]) {
        let shared = &self.seed.shared;
        match step {
            Step::Adopt(table) => {
                tracing::info!(version = %table.version, groups = table.groups.len(), "config table");
                for (node, info) in table.nodes.iter().filter(|(node, _)| **node != shared.node) {
                    self.seed.host.reach(*node, &info.quic);
                }
                for node in shared.peers.all() {
                    if table.past_nodes.contains(node.0) {
                        self.seed.host.part_from(node);
                    }
                }
                if Kinship::of(&table, shared.node, self.seed.info.incarnation) == Kinship::Barred {
                    tracing::error!(
                        "this node was removed, or its disk was replaced by another one under the same node \
                         id, and counts for nothing any more: stop this process"
                    );
                }
                self.seed.host.remember(table.clone());
                self.wishes.extend(shared.boards().into_keys());
                shared.set_routing(Arc::new(Routing::new(table)));
                for (peer, disk) in shared.links.all() {
                    metrics::peer_stranger(peer, !shared.kinship(peer, disk).counts());
                }
            }
            Step::Start(group) => {
                if let Some(routing) = shared.routing()
                    && let Err(trouble) = self.seed.host.start(group, routing.table())
                {
                    tracing::error!(%group, "cannot start the replica: {trouble}");
                }
            }
            Step::Join { group, disk, aloud } => {
                self.say(group, aloud, connected, &PeerMessage::Join { group, disk });
            }
            Step::Leave { group, disk, forgotten, aloud } => {
                let Some(replica) = shared.replica(group) else { return };
                let request = replica.board.request();
                let leave = PeerMessage::Leave { group, disk, forgotten, request };
                self.say(group, aloud, connected, &leave);
            }
            Step::Enlist => {
                tracing::warn!(
                    "this data directory is new, but the cluster knows this node by another disk: it counts \
                     for nothing until the cluster has taken this one for it"
                );
                let enlist = PeerMessage::Enlist(self.seed.info.clone());
                for peer in connected {
                    // Lost: it is said again.
                    let _ = shared.peers.control(*peer, &enlist);
                }
            }
            Step::Mend => self.seed.host.mend(),
            Step::Ask(peer) => {
                let known = self.follow.known();
                // Lost questions are asked again.
                let _ = shared.peers.control(peer, &PeerMessage::TableRequest { known });
            }
            Step::Employ(group) => {
                tracing::info!(%group, "secretary from now on");
                self.seed.host.employ(group);
            }
            Step::Dismiss(group) => {
                tracing::info!(%group, "secretary no more");
                shared.secretaries.remove(group);
            }
            Step::TellHelpers(group, helpers) => {
                let Helpers { observers, secretaries } = helpers.clone();
                // Full: the next step wants it again.
                let event = Event::Helpers { observers, secretaries };
                if shared.try_send(group, event).is_ok() {
                    self.follow.told_helpers(group, helpers);
                }
            }
            Step::Transfer(group, to) => {
                tracing::info!(%group, %to, "handing the lead to where it belongs");
                // Full: the next look at everything wants it again.
                let _ = shared.try_send(group, Event::Transfer(to));
            }
        }
    }

    /// To the nodes that may lead the group.
    fn say(&self, group: GroupId, aloud: bool, connected: &[NodeId], word: &PeerMessage) {
        let shared = &self.seed.shared;
        let leader = shared.replica(group).and_then(|replica| replica.board.leader());
        let info = shared.routing().and_then(|r| r.table().groups.get(&group).cloned());
        let named = |node: &NodeId| {
            info.as_ref().is_some_and(|info| {
                info.replicas.contains(node) || info.founders.iter().any(|one| one.0 == *node)
            })
        };
        for peer in connected {
            if aloud || leader == Some(*peer) || named(peer) {
                // Lost: it is said again.
                let _ = shared.peers.control(*peer, word);
            }
        }
    }

    /// Tells the replicas here what the newest table wishes for their groups.
    fn tell_wishes(&mut self) {
        let shared = &self.seed.shared;
        let Some(routing) = shared.routing() else { return };
        self.wishes.retain(|group| {
            let Some(wish) = Wish::of(routing.table(), *group) else { return false };
            // Full: at the next step.
            shared.try_send(*group, Event::Wish(wish)) == Err(Undelivered::Full)
        });
    }

    /// As a node that leads the config group: a node has another disk now.
    fn adopt(&mut self, node: NodeId, info: NodeInfo, poller: Addr<Self>) {
        let shared = &self.seed.shared;
        let leads = shared.replica(GroupId::CONFIG).is_some_and(|replica| replica.board.leads());
        let is_stranger = shared.kinship(node, info.incarnation) == Kinship::Stranger;
        if !leads || !is_stranger || std::mem::replace(&mut self.adopting, true) {
            return;
        }
        tracing::warn!(%node, disk = %info.incarnation, "the node has lost its disk: it is taken back with a new one");
        let command = ConfigCommand::AdoptDisk { node, info };
        let request = ConfigRequest { by: Author::Node(node), command };
        let router = self.router.clone();
        actix_rt::spawn(async move {
            match config::change(&router, &request).await {
                Ok(ConfigReply::Refused(refusal)) => {
                    tracing::error!(%node, "the node's new disk is refused: {refusal}");
                }
                Ok(_) => {}
                // It asks again.
                Err(trouble) => tracing::info!(%node, "not taken back yet: {trouble}"),
            }
            poller.do_send(Adopted);
        });
    }

    /// The config group went on with the replica here alone, and its table does not know.
    fn recovered(&self) -> Option<ConfigCommand> {
        let shared = &self.seed.shared;
        let era = shared.replica(GroupId::CONFIG)?.board.era();
        let table = self.seed.tables.borrow().clone()?;
        let from = table.groups.get(&GroupId::CONFIG)?.era();
        let recovery = Recovery { era, node: shared.node, disk: self.seed.info.incarnation };
        let command = ConfigCommand::Recover { group: GroupId::CONFIG, from, recovery };
        (era.number > from.number).then_some(command)
    }

    /// As the leader of a config group without a table: the plan; of one whose table does not know that it
    /// was recovered: that. Once per start: our addresses.
    fn tell_config(&mut self, poller: Addr<Self>) {
        let shared = &self.seed.shared;
        let leads = shared.replica(GroupId::CONFIG).is_some_and(|replica| replica.board.leads());
        let unborn = self.seed.tables.borrow().is_none();
        let first = TableStamp::of(1);
        let is_there = !unborn || self.follow.known() > first;
        let is_known = shared.kinship(shared.node, self.seed.info.incarnation) == Kinship::Peer;
        let recovered = self.recovered().filter(|_| leads && !unborn);
        let command = match (&self.seed.plan, recovered) {
            (Some(plan), _) if leads && unborn => ConfigCommand::Init(plan.clone()),
            (_, Some(command)) => command,
            (_, None) if is_there && is_known && !self.told => {
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
                if let Some(table) = newest.filter(|table| table.stamp() > known) {
                    let table = PeerMessage::Table(table.encode().into());
                    let _ = shared.peers.control(peer, &table);
                }
            }
            PollerMessage::Learned(table) => poller.learn(table),
            PollerMessage::Enlisted(node, info) => poller.adopt(node, info, own),
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

/// A node's new disk was told to the config group, or could not be.
#[derive(Debug)]
pub(crate) struct Adopted;

impl Message for Adopted {
    type Result = ();
}

impl Handler<Adopted> for Poller {
    type Result = ();

    fn handle(&mut self, _: Adopted, _: &mut Self::Context) {
        self.adopting = false;
    }
}

impl Handler<ToldConfig> for Poller {
    type Result = ();

    fn handle(&mut self, told: ToldConfig, _: &mut Self::Context) {
        self.telling = false;
        self.told |= told.address && told.heard;
    }
}
