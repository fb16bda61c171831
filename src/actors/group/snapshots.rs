//! What the group's actor does about snapshots: it carries offers, chunks and views between the peers, the
//! driver, the intake and the apply thread.

use super::actor::{Arrival, GroupActor, GroupMessage};
use super::event::{Applied, Event, Offer};
use super::intake::IntakeStep;
use crate::actors::apply::ApplyCommand;
use crate::actors::snapshots;
use crate::ids::NodeId;
use crate::net::message::SnapshotFrame;
use crate::raft::{self, SnapshotMeta};
use crate::rows::RowGeneration;
use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;

impl GroupActor {
    /// A peer needs a snapshot. One that is on its way to it goes on; else, when it is the peer's turn, a
    /// view of the state is asked for, and comes back as [`GroupMessage::View`].
    pub(super) fn send_snapshot(&self, needed: raft::SnapshotNeeded, context: &mut Context<Self>) {
        let Some(core) = &self.core else { return };
        let (shared, apply) = (self.seed.shared.clone(), self.seed.apply.clone());
        let (group, generation, peer) = (self.seed.group, self.generation, needed.to);
        let term = core.driver.status().term;
        if shared.transfers.renew(group, peer, term, needed.index_min) {
            return;
        }
        let addr = context.address();
        actix_rt::spawn(async move {
            let turn = shared.transfers.turn(peer).await;
            let reply = Box::new(move |view| {
                addr.do_send(GroupMessage::View(needed, generation, view, turn));
            });
            apply.push(ApplyCommand::View { group, reply });
        });
    }

    /// The view is there, to be sent if the peer needs it still.
    pub(super) fn transfer(
        &mut self,
        needed: raft::SnapshotNeeded,
        view: Result<snapshots::View, String>,
        turn: OwnedSemaphorePermit,
        context: &mut Context<Self>,
    ) {
        let Some(core) = &self.core else { return };
        let (group, peer) = (self.seed.group, needed.to);
        if !core.driver.owes_snapshot(peer) {
            return;
        }
        let ready = view.and_then(|view| {
            if view.applied < needed.index_min {
                return Err(format!("the state is at {} only", view.applied));
            }
            let meta = core.driver.snapshot_meta(view.applied, view.membership.clone());
            let meta = meta.ok_or_else(|| "the log has moved on".to_owned())?;
            let name = getrandom::u64().map_err(|error| error.to_string())?;
            Ok((view, meta, name))
        });
        match ready {
            Ok((view, meta, name)) => {
                let transfer = snapshots::Transfer {
                    shared: self.seed.shared.clone(),
                    group,
                    peer,
                    term: core.driver.status().term,
                    name,
                    meta,
                    view: Some(view),
                    bytes_expected: self.seed.board.stats().bytes,
                    metrics: self.metrics.clone(),
                    _turn: turn,
                };
                let (addr, metrics) = (context.address(), self.metrics.clone());
                actix_rt::spawn(async move {
                    let Some(installed) = transfer.run().await else { return };
                    if installed {
                        metrics.snapshots_sent.increment(1);
                    } else {
                        metrics.snapshots_failed.increment(1);
                    }
                    addr.do_send(Event::SnapshotSent { peer, installed }.into());
                });
            }
            Err(trouble) => {
                tracing::warn!(%group, %peer, "no snapshot to send: {trouble}");
                self.metrics.snapshots_failed.increment(1);
                self.run(Event::SnapshotSent { peer, installed: false }, context);
            }
        }
    }

    /// A frame of a snapshot for this replica.
    pub(super) fn snapshot_frame(
        &mut self,
        from: NodeId,
        frame: SnapshotFrame,
        context: &mut Context<Self>,
    ) {
        let (SnapshotFrame::Offer { meta, .. } | SnapshotFrame::Chunk { meta, .. }) = &frame else {
            return;
        };
        let era = meta.membership.era;
        if !self.is_of_era(from, era, context) {
            return;
        }
        // The core is asked before anything is fetched; its answer comes back to `offered`.
        if let SnapshotFrame::Offer { term, view, meta, .. } = frame {
            return self.run(Event::SnapshotOffered(Offer { from, term, view, meta }), context);
        }
        let Some(core) = &mut self.core else { return };
        let (driver, live) = (&core.driver, core.opened.row_generation);
        let of_use = |term, meta: &SnapshotMeta| driver.use_of_snapshot(from, term, meta);
        let step = core.intake.handle(from, frame, live, of_use);
        self.take_in(from, step, context);
    }

    /// The core has said whether a snapshot that was offered is of use.
    pub(super) fn offered(&mut self, offer: &Offer, wanted: bool, context: &mut Context<Self>) {
        let Some(core) = &mut self.core else { return };
        let step = core.intake.offered(offer, wanted, core.opened.row_generation);
        if let IntakeStep::Want { next, .. } = step {
            let Offer { from, ref meta, .. } = *offer;
            tracing::info!(group = %self.seed.group, %from, index = %meta.index, chunk = next, "taking a snapshot");
        }
        self.take_in(offer.from, step, context);
    }

    fn take_in(&mut self, from: NodeId, step: IntakeStep, context: &mut Context<Self>) {
        let Some(core) = &self.core else { return };
        self.newest_rows = core.intake.newest_rows();
        let (group, generation) = (self.seed.group, self.generation);
        match step {
            IntakeStep::Ignore => {}
            IntakeStep::Refuse { view } => self.tell(from, SnapshotFrame::Refused { group, view }),
            IntakeStep::Want { view, next, taken } => {
                self.tell(from, SnapshotFrame::Wanted { group, view, next, taken });
            }
            IntakeStep::Write { sequence, row_generation, rows } => {
                let bytes = rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
                self.metrics.snapshot_bytes_in.increment(bytes);
                let addr = context.address();
                let done = Box::new(move || {
                    addr.do_send(GroupMessage::Stored(generation, row_generation, sequence));
                });
                self.seed.apply.push(ApplyCommand::Ingest { group, row_generation, rows, done });
            }
        }
    }

    fn tell(&self, to: NodeId, frame: SnapshotFrame) {
        snapshots::answer(&self.seed.shared, to, frame);
    }

    /// A chunk is in the store; after the last the whole becomes the state.
    pub(super) fn stored(
        &mut self,
        rows: RowGeneration,
        sequence: u64,
        context: &mut Context<Self>,
    ) {
        let Some(core) = &mut self.core else { return };
        let Some(stored) = core.intake.stored(rows, sequence) else { return };
        let (group, generation) = (self.seed.group, self.generation);
        let (from, view, taken) = (stored.from, stored.view, stored.taken);
        self.tell(from, SnapshotFrame::Received { group, view, taken, installed: false });
        if let Some(meta) = stored.install {
            let (addr, arrival) = (context.address(), Arrival { from, view, taken, rows });
            let reply = Box::new(move |installed| {
                addr.do_send(GroupMessage::Installed(generation, arrival, installed));
            });
            let install =
                ApplyCommand::Install { group, generation, row_generation: rows, meta, reply };
            self.seed.apply.push(install);
        }
    }

    /// The state store has the snapshot, synced. Now the log must say so, synced, before anybody hears.
    pub(super) fn installed(
        &mut self,
        arrival: Arrival,
        installed: Result<(SnapshotMeta, Applied), String>,
        context: &mut Context<Self>,
    ) {
        let Some(core) = &mut self.core else { return };
        let group = self.seed.group;
        let Arrival { from, view, taken, rows } = arrival;
        core.intake.ended(rows);
        match installed {
            Err(trouble) => {
                tracing::error!(%group, %from, "the snapshot could not be installed: {trouble}");
                self.tell(from, SnapshotFrame::Refused { group, view });
            }
            Ok((meta, applied)) => {
                tracing::info!(%group, index = %meta.index, "snapshot installed");
                self.metrics.snapshots_installed.increment(1);
                core.opened.row_generation = rows;
                self.tell(from, SnapshotFrame::Received { group, view, taken, installed: true });
                // The core's next Ready writes the mark; its acknowledgement leaves after the sync.
                self.run(Event::SnapshotInstalled(meta, applied), context);
            }
        }
    }
}
