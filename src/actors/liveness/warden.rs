//! The warden's shell: brings pulses to the peers, and what the watches find out to the replicas.
//!
//! It runs on a thread of group actors, so a node whose actors hang does not vouch for itself either.
//! Mailbox: nobody sends it anything.

use super::disk::DiskWatch;
use super::watch::{Ended, WatchTurn};
use crate::actors::group::event::Event;
use crate::actors::metrics::{self, LivenessMetrics};
use crate::actors::shared::Shared;
use crate::actors::supervision::{Restarts, guarded};
use crate::actors::threads::LogHandle;
use crate::ids::{BootId, GroupId, NodeId};
use crate::limits;
use crate::net::message::{Pulse, RaftFrame};
use crate::net::wire::Lane;
use crate::shard::TableStamp;
use actix::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Elections of one node's groups begin within so many ticks …
const SPREAD_TICKS: usize = 2;
/// … and one more for each so many groups that it led.
const GROUPS_PER_SPREAD_TICK: usize = 200;

/// Replicas told in one tick of what makes all of them act at once.
const TOLD_PER_TICK: usize = 40;

/// What the warden is built from.
#[derive(Clone)]
pub(crate) struct WardenSeed {
    /// The node.
    pub shared: Arc<Shared>,
    /// The log thread, to be asked to sync.
    pub log: LogHandle,
    /// The life of this process.
    pub boot: BootId,
}

/// See the module's first lines.
pub(crate) struct Warden {
    seed: WardenSeed,
    disk: DiskWatch,
    /// Who is still to be told how the nodes are.
    untold: VecDeque<GroupId>,
    spread_ticks: u32,
    portion: usize,
    ticks: u32,
    metrics: LivenessMetrics,
    restarts: Restarts,
}

impl Warden {
    /// Starts the warden, supervised, on this thread.
    pub(crate) fn start_here(seed: WardenSeed) -> Addr<Self> {
        Supervisor::start(move |_| Self {
            seed,
            disk: DiskWatch::default(),
            untold: VecDeque::new(),
            spread_ticks: 1,
            portion: usize::MAX,
            ticks: 0,
            metrics: LivenessMetrics::new(),
            restarts: Restarts::default(),
        })
    }

    fn step(&mut self) {
        let shared = &self.seed.shared;
        let now = shared.mono();
        let disk = self.disk.step(now, shared.log_pulse.look(now));
        if disk.probe {
            self.seed.log.probe();
        }
        self.metrics.slow.set(f64::from(u8::from(disk.slow)));
        let peers = shared.peers.all();
        let (turn, ended) = {
            let mut watch = shared.watch();
            (watch.step(now, &peers, disk.slow, disk.stuck), watch.told_ended())
        };
        self.take(turn);
        let shared = &self.seed.shared;
        for group in shared.alarms.due(now) {
            // Full: then it is awake, and looks by itself.
            let _ = shared.try_send(group, Event::Alarm);
        }
        if self.ticks.is_multiple_of(limits::PULSE_TICKS) {
            let pulse = Pulse {
                boot: self.seed.boot,
                beat: disk.beat,
                disk_slow: disk.slow,
                disk_low: shared.disk_low.load(Relaxed),
                clock: shared.wall(),
                table: shared.routing().map_or(TableStamp::default(), |r| r.table().stamp()),
                ended,
            };
            let frame = RaftFrame { groups: Vec::new(), pulse: Some(pulse) };
            for peer in shared.peers.connected() {
                self.metrics.sent.increment(1);
                // Lost: the next one says the same.
                let _ = shared.peers.send(peer, Lane::Raft, &frame);
            }
        }
        if self.ticks.is_multiple_of(limits::METRICS_TICKS) {
            self.metrics.awake.set(metrics::as_f64(shared.awake.load(Relaxed)));
            self.metrics.leases.set(f64::from(u8::from(shared.lease_reads.load(Relaxed))));
            self.metrics.leased.absolute(shared.lease_reads_served.load(Relaxed));
        }
        self.ticks = self.ticks.wrapping_add(1);
    }

    fn take(&mut self, turn: WatchTurn) {
        let shared = self.seed.shared.clone();
        if let Some(health) = turn.health {
            let old = shared.set_health(health.clone());
            for (peer, now) in &health.peers {
                if old.peers.get(peer).map(|old| old.state) != Some(now.state) {
                    tracing::info!(%peer, state = ?now.state, "liveness");
                }
            }
            if old.slow != health.slow {
                tracing::warn!(slow = health.slow, "this node's disk keeps its log waiting");
            }
            // Each replica takes the one that concerns it; of several nodes at once, the largest.
            let led = |node| shared.boards().values().filter(|b| b.leader() == Some(node)).count();
            let most = health.peers.keys().map(|&peer: &NodeId| led(peer)).max().unwrap_or(0);
            self.spread_ticks = spread(most);
            self.untold = shared.boards().into_keys().collect();
            // Elections take their turns by themselves; leads that are given up do not.
            self.portion = if old.slow == health.slow { usize::MAX } else { TOLD_PER_TICK };
        }
        let health = shared.health();
        for group in self.untold.drain(..self.portion.min(self.untold.len())) {
            let (health, spread_ticks) = (health.clone(), self.spread_ticks);
            // Full: then it is awake. It looks for itself when it would fall asleep.
            let _ = shared.try_send(group, Event::Health { health, spread_ticks });
        }
        for Ended { group, leader, term } in turn.ended {
            let _ = shared.try_send(group, Event::LeadEnded { leader, term });
        }
    }
}

/// Within how many ticks the elections of so many groups begin.
fn spread(groups: usize) -> u32 {
    u32::try_from(SPREAD_TICKS + groups / GROUPS_PER_SPREAD_TICK).unwrap_or(u32::MAX)
}

impl Actor for Warden {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(limits::TICK, |warden, context| {
            if let Err(panicked) = guarded(|| warden.step()) {
                tracing::error!("the warden panicked and starts again: {}", panicked.0);
                if warden.restarts.died(warden.seed.shared.mono()).is_some() {
                    context.stop();
                }
            }
        });
    }
}

impl Supervised for Warden {}
