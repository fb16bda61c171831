//! The actor around the driver of moves to one group. It sleeps, without a timer, until [`super::Stewards`]
//! wakes it because the replica here leads and there is something to move.
//!
//! Mailbox: actix's default of 16 messages. What it is sent are its own futures' results, a bounded number;
//! a lost one is asked for again.

use super::ask::{ask, steps, submit};
use crate::actors::apply::Holdings;
use crate::actors::metrics;
use crate::actors::migrator::Intake;
use crate::actors::router::{Mode, Router};
use crate::actors::shared::{Board, Shared};
use crate::actors::supervision::{Restarts, guarded};
use crate::ids::GroupId;
use crate::kv::Command;
use crate::kv::migration::drive::{Action, AskId, Goal, Migrator, ProposalId, Settled};
use crate::kv::migration::{IncomingPhase, MoveAnswer, MoveId, MoveReply, Ranges};
use crate::net::message::{Ask, Work};
use crate::shard::{Table, TableStamp};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the time.
const STEP: Duration = Duration::from_millis(50);

/// What the actor is built from.
#[derive(Clone)]
pub(super) struct MigratorSeed {
    /// The group that takes buckets in.
    pub(super) group: GroupId,
    /// The node.
    pub(super) shared: Arc<Shared>,
    /// What the replica here publishes.
    pub(super) board: Arc<Board>,
    /// The way to the groups.
    pub(super) router: Router,
}

/// See the module's first lines.
pub(crate) struct ShardMigrator {
    seed: MigratorSeed,
    driver: Option<Driver>,
    /// A driver is being made.
    preparing: bool,
    /// Counts the drivers, so that results of an earlier one are told apart.
    lives: u64,
    /// The clock and the ear for holdings, while it is awake.
    awake: Option<[SpawnHandle; 2]>,
    /// The moves that the log was told of.
    known: BTreeMap<MoveId, IncomingPhase>,
    restarts: Restarts,
}

struct Driver {
    migrator: Migrator,
    term: u64,
    /// The table that it was told of.
    table: Option<TableStamp>,
}

/// A result of one of the driver's wishes.
struct Came {
    life: u64,
    what: What,
}

impl Message for Came {
    type Result = ();
}

enum What {
    /// The replica leads, and has applied what was committed before.
    Ready {
        term: u64,
        confirmed: bool,
    },
    Answer(AskId, Option<MoveAnswer>),
    Settled(ProposalId, Option<Vec<MoveReply>>),
}

/// There may be something to move.
#[derive(Debug)]
pub(super) struct Wake;

impl Message for Wake {
    type Result = ();
}

impl ShardMigrator {
    /// Starts the actor, supervised, on this thread.
    pub(super) fn start_here(seed: MigratorSeed) -> Addr<Self> {
        Supervisor::start(move |_| Self {
            seed,
            driver: None,
            preparing: false,
            lives: 0,
            awake: None,
            known: BTreeMap::new(),
            restarts: Restarts::default(),
        })
    }

    fn guarded(
        &mut self,
        context: &mut Context<Self>,
        work: impl FnOnce(&mut Self, &mut Context<Self>),
    ) {
        if let Err(panicked) = guarded(|| work(self, context)) {
            tracing::error!(
                group = %self.seed.group,
                "the migrator panicked and starts again: {}", panicked.0
            );
            if self.restarts.died(self.seed.shared.mono()).is_some() {
                context.stop();
            }
        }
    }

    fn wake(&mut self, context: &mut Context<Self>) {
        if self.awake.is_some() {
            return;
        }
        let clock = context.run_interval(STEP, |actor, context| {
            actor.guarded(context, Self::step);
        });
        let ear = self.listen(context);
        self.awake = Some([clock, ear]);
        self.step(context);
    }

    /// Looks at the group's holdings when they have changed.
    fn listen(&self, context: &mut Context<Self>) -> SpawnHandle {
        let board = self.seed.board.clone();
        let change = async move { board.holdings_changed().await };
        context.spawn(change.into_actor(self).map(|(), actor, context| {
            let next = actor.listen(context);
            if let Some([_, ear]) = &mut actor.awake {
                *ear = next;
            }
            actor.guarded(context, |actor, context| {
                actor.observe();
                actor.carry_out(&context.address());
            });
        }))
    }

    /// There is nothing to do for a leader of this group.
    fn is_idle(&self) -> bool {
        let (shared, group) = (&self.seed.shared, self.seed.group);
        !self.seed.board.leads()
            || (self.seed.board.holdings().moves.incoming().next().is_none()
                && shared.routing().is_none_or(|routing| !takes(group, routing.table())))
    }

    fn sleep(&mut self, context: &mut Context<Self>) {
        for handle in self.awake.take().into_iter().flatten() {
            context.cancel_future(handle);
        }
        (self.driver, self.preparing) = (None, false);
        self.lives += 1;
        self.known.clear();
        self.seed.shared.move_reports.remove(self.seed.group);
        metrics::moves(self.seed.group, &[], 0);
    }

    /// A driver serves one term: what another leader of the group did is only known by the state then.
    fn prepare(&mut self, own: Addr<Self>) {
        let term = self.seed.board.term();
        if self.driver.as_ref().is_some_and(|driver| driver.term == term)
            || std::mem::replace(&mut self.preparing, true)
        {
            return;
        }
        self.driver = None;
        self.lives += 1;
        let (router, group, life) = (self.seed.router.clone(), self.seed.group, self.lives);
        actix_rt::spawn(async move {
            // Any read will do: it is answered only by a leader, from all that was committed before.
            let look = Work::Keys(vec![Ask { command: Command::DbSize, session: None }]);
            let confirmed = submit(&router, group, look, Mode::Here).await.is_some();
            own.do_send(Came { life, what: What::Ready { term, confirmed } });
        });
    }

    fn step(&mut self, context: &mut Context<Self>) {
        if self.is_idle() {
            return self.sleep(context);
        }
        let own = context.address();
        self.prepare(own.clone());
        let now = self.seed.shared.mono();
        let Some(driver) = &mut self.driver else { return };
        if let Some(routing) = self.seed.shared.routing() {
            let stamp = Some(routing.table().stamp());
            if std::mem::replace(&mut driver.table, stamp) != stamp {
                driver.migrator.follow(now, Goal::of(self.seed.group, routing.table()));
            }
        }
        driver.migrator.tick(now);
        let (moves, waiting) = (driver.migrator.report(), driver.migrator.waiting_buckets());
        metrics::moves(self.seed.group, &moves, waiting);
        self.seed.shared.move_reports.set(self.seed.group, Intake { moves, waiting });
        self.carry_out(&own);
    }

    fn observe(&mut self) {
        let now = self.seed.shared.mono();
        let holdings = self.seed.board.holdings();
        let Some(driver) = &mut self.driver else { return };
        driver.migrator.observe(now, &holdings.moves);
        let group = self.seed.group;
        let routing = self.seed.shared.routing();
        let version = routing.as_ref().map_or(0, |routing| routing.table().version.0);
        for (id, incoming) in holdings.moves.incoming() {
            if self.known.insert(id, incoming.phase) == Some(incoming.phase) {
                continue;
            }
            let (buckets, bytes) = (incoming.ranges.count(), incoming.bytes);
            match incoming.phase {
                IncomingPhase::Coming => {
                    tracing::info!(%group, %id, buckets, bytes, config = version, "buckets are coming");
                }
                IncomingPhase::Accepted => {
                    let pause = self.driver.as_ref().and_then(|driver| driver.migrator.pause(id));
                    metrics::move_pause(group, pause);
                    tracing::info!(
                        %group, %id, buckets, bytes, pause_ms = pause, config = version,
                        "buckets are served here"
                    );
                    if let Some(routing) = &routing {
                        self.serve(&holdings, &incoming.ranges, routing.table());
                    }
                }
            }
        }
        let moves = &holdings.moves;
        self.known.retain(|id, phase| {
            let stays = moves.coming(*id).is_some();
            if !stays && *phase == IncomingPhase::Coming {
                tracing::info!(%group, %id, config = version, "a move was given up");
            }
            stays
        });
    }

    /// Routers here know at once that these buckets are here: the source sends clients here before the table
    /// says so.
    fn serve(&self, holdings: &Holdings, ranges: &Ranges, table: &Table) {
        for (range, epoch) in &holdings.owned {
            for bucket in range.buckets().filter(|bucket| ranges.contains(*bucket)) {
                self.seed.shared.hints.learn(bucket, self.seed.group, *epoch, table);
            }
        }
    }

    fn came(&mut self, Came { life, what }: Came, context: &mut Context<Self>) {
        if life != self.lives {
            return;
        }
        let now = self.seed.shared.mono();
        if let What::Ready { term, confirmed } = what {
            self.preparing = false;
            if confirmed && self.seed.board.leads() && self.seed.board.term() == term {
                tracing::debug!(group = %self.seed.group, term, "moves are driven from here");
                let migrator = Migrator::new(self.seed.group, now);
                self.driver = Some(Driver { migrator, term, table: None });
                self.observe();
                self.step(context);
            }
            return;
        }
        // What an entry did is seen before its result.
        self.observe();
        let Some(Driver { migrator, .. }) = &mut self.driver else { return };
        match what {
            What::Ready { .. } => {}
            What::Answer(ask, Some(answer)) => migrator.answered(now, ask, answer),
            What::Answer(ask, None) => migrator.lost(now, ask),
            What::Settled(proposal, Some(replies)) => {
                migrator.settled(now, proposal, Settled::Applied(replies));
            }
            What::Settled(proposal, None) => migrator.settled(now, proposal, Settled::NotNow),
        }
        self.carry_out(&context.address());
    }

    fn carry_out(&mut self, own: &Addr<Self>) {
        let Some(driver) = &mut self.driver else { return };
        let (life, group) = (self.lives, self.seed.group);
        for action in driver.migrator.take_actions() {
            let (router, own) = (self.seed.router.clone(), own.clone());
            match action {
                Action::Ask { ask: number, source, question } => {
                    actix_rt::spawn(async move {
                        let answer = ask(&router, source, question).await;
                        own.do_send(Came { life, what: What::Answer(number, answer) });
                    });
                }
                Action::Propose { proposal, records } => {
                    actix_rt::spawn(async move {
                        let replies = steps(&router, group, records, Mode::Here).await;
                        own.do_send(Came { life, what: What::Settled(proposal, replies) });
                    });
                }
            }
        }
    }
}

/// Whether the table wants this group to take buckets in.
pub(super) fn takes(group: GroupId, table: &Table) -> bool {
    table.pending().iter().any(|pending| pending.to == group)
}

impl Actor for ShardMigrator {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.awake = None;
        self.sleep(context);
        // After a panic there may be something to move still, and nothing new to be woken by.
        self.guarded(context, Self::wake);
    }
}

impl Supervised for ShardMigrator {}

impl Handler<Came> for ShardMigrator {
    type Result = ();

    fn handle(&mut self, came: Came, context: &mut Self::Context) {
        self.guarded(context, |actor, context| actor.came(came, context));
    }
}

impl Handler<Wake> for ShardMigrator {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        self.guarded(context, Self::wake);
    }
}
