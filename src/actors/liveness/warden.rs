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
use crate::ids::{BootId, NodeId, TableVersion};
use crate::limits;
use crate::net::message::{Pulse, RaftFrame};
use crate::net::wire::Lane;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Ticks between two pulses.
const PULSE_TICKS: u32 = 2;
/// Ticks between two looks at what the metrics say.
const METRICS_TICKS: u32 = 20;
/// Elections of one node's groups begin within so many ticks …
const SPREAD_TICKS: usize = 2;
/// … and one more for each so many groups that it led.
const GROUPS_PER_SPREAD_TICK: usize = 40;

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
        let peers = shared.peers.all();
        let (turn, ended) = {
            let mut watch = shared.watch();
            (watch.step(now, &peers, disk.slow, disk.stuck), watch.told_ended())
        };
        self.tell(turn);
        for group in shared.alarms.due(now) {
            // Full: then it is awake, and looks by itself.
            let _ = shared.try_send(group, Event::Tick);
        }
        if self.ticks.is_multiple_of(PULSE_TICKS) {
            let pulse = Pulse {
                boot: self.seed.boot,
                beat: disk.beat,
                disk_slow: disk.slow,
                disk_low: shared.disk_low.load(Relaxed),
                clock: shared.wall(),
                table: shared.routing().map_or(TableVersion(0), |r| r.table().version),
                ended,
            };
            let frame = RaftFrame { groups: Vec::new(), pulse: Some(pulse) };
            for peer in shared.peers.connected() {
                self.metrics.sent.increment(1);
                // Lost: the next one says the same.
                let _ = shared.peers.send(peer, Lane::Raft, &frame);
            }
        }
        if self.ticks.is_multiple_of(METRICS_TICKS) {
            self.metrics.awake.set(metrics::as_f64(shared.awake.load(Relaxed)));
            self.metrics.slow.set(f64::from(u8::from(disk.slow)));
        }
        self.ticks = self.ticks.wrapping_add(1);
    }

    fn tell(&self, turn: WatchTurn) {
        let shared = &self.seed.shared;
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
            let spread_ticks = spread(most);
            for group in shared.boards().into_keys() {
                let event = Event::Health { health: health.clone(), spread_ticks };
                // Full: then it is awake. It looks for itself when it would fall asleep.
                let _ = shared.try_send(group, event);
            }
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
