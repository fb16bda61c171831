//! Which migrators of a node are awake, and what the config group is told of the owners of buckets.

use super::actor::{MigratorSeed, ShardMigrator, Wake, takes};
use super::ask::steps;
use crate::actors::config;
use crate::actors::router::{Mode, Router};
use crate::actors::shared::{Board, Shared};
use crate::ids::GroupId;
use crate::kv::migration::{MoveId, MoveRecord};
use crate::shard::{Author, ConfigCommand, ConfigReply, ConfigRequest, OwnerClaim, Table};
use actix::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Ranges of one report; the rest is told with the next.
const CLAIMS_MAX: usize = 4_096;

/// See the module's first lines. Looks at everything when something has changed, and at nothing else.
pub(crate) struct Stewards {
    shared: Arc<Shared>,
    router: Router,
    running: BTreeMap<GroupId, Addr<ShardMigrator>>,
    seen: Option<(u64, u64, u64)>,
    /// A report is on its way.
    reporting: Rc<Cell<bool>>,
}

impl Stewards {
    /// Of a node on which nothing moves yet.
    pub(crate) fn new(shared: Arc<Shared>, router: Router) -> Self {
        let running = BTreeMap::new();
        Self { shared, router, running, seen: None, reporting: Rc::default() }
    }

    /// Wakes who is needed, and tells the config group what it does not know.
    pub(crate) fn step(&mut self) {
        let shared = self.shared.clone();
        // Read before the rest: what changes meanwhile is seen the next time.
        let now = (
            shared.revision(),
            shared.lead_changes.load(Relaxed),
            shared.holdings_changes.load(Relaxed),
        );
        if self.seen == Some(now) {
            return;
        }
        let Some(routing) = shared.routing() else { return };
        let table = routing.table();
        let boards = shared.boards();
        self.running.retain(|group, _| boards.contains_key(group));
        let led =
            boards.iter().filter(|(group, board)| **group != GroupId::CONFIG && board.leads());
        let mut claims = Vec::new();
        for (group, board) in led {
            let comes = board.holdings().moves.incoming().next().is_some();
            if comes || takes(*group, table) {
                self.wake(*group, board);
            }
            claims.extend(board.holdings().claims(*group, table));
        }
        // Also of moves that are over, by a leader that did not see them: others send clients here already.
        for claim in &claims {
            for bucket in claim.range.buckets() {
                shared.hints.learn(bucket, claim.group, claim.epoch, table);
            }
        }
        self.give_up(&boards, table);
        claims.truncate(CLAIMS_MAX);
        if claims.is_empty() {
            self.seen = Some(now);
        } else if !self.reporting.replace(true) {
            self.report(claims);
        }
    }

    fn wake(&mut self, group: GroupId, board: &Arc<Board>) {
        let (shared, router) = (self.shared.clone(), self.router.clone());
        let migrator = self.running.entry(group).or_insert_with(|| {
            let board = board.clone();
            ShardMigrator::start_here(MigratorSeed { group, shared, board, router })
        });
        // Full: it is awake.
        let _ = migrator.try_send(Wake);
    }

    /// Ends moves that the table does not want any more and whose destination may never have heard of them.
    /// After a hand-off that is refused.
    fn give_up(&self, boards: &BTreeMap<GroupId, Arc<Board>>, table: &Table) {
        for (group, board) in boards.iter().filter(|(_, board)| board.leads()) {
            let desired = |bucket| table.owners.get(bucket).desired;
            for number in board.holdings().moves.unwanted(table.stamp(), desired) {
                let id = MoveId { source: *group, number };
                let router = self.router.clone();
                actix_rt::spawn(async move {
                    // Lost: at the next change of anything.
                    steps(&router, id.source, vec![MoveRecord::Cancel { id }], Mode::Here).await;
                });
            }
        }
    }

    fn report(&self, claims: Vec<OwnerClaim>) {
        let (router, reporting) = (self.router.clone(), self.reporting.clone());
        let by = Author::Node(self.shared.node);
        actix_rt::spawn(async move {
            let request = ConfigRequest { by, command: ConfigCommand::OwnerReport(claims) };
            match config::change(&router, &request).await {
                Ok(ConfigReply::Refused(refusal)) => {
                    tracing::error!("the config group does not take who owns what: {refusal}");
                }
                Ok(_) => {}
                // It is told again.
                Err(trouble) => tracing::info!("who owns what is not told yet: {trouble}"),
            }
            reporting.set(false);
        });
    }
}
