//! A snapshot on its way in: what the group's actor does with a frame, in turns.

use super::process::Process;
use super::sink::Mail;
use super::turn::Output;
use eraft::actors::apply::ApplyCommand;
use eraft::actors::group::event::{Applied, Event, Offer};
use eraft::actors::group::intake::IntakeStep;
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::SnapshotFrame;
use eraft::raft::SnapshotMeta;
use eraft::rows::RowGeneration;

/// Which snapshot has come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    from: NodeId,
    view: u64,
    taken: u64,
    rows: RowGeneration,
}

impl Process {
    /// A chunk of a snapshot arrives.
    pub(super) fn chunk(&mut self, from: NodeId, frame: SnapshotFrame, out: &mut Output) {
        let group = frame.group();
        let machinery = &mut self.machinery;
        let (Some(driver), Some(intake)) =
            (machinery.drivers.get(&group), machinery.intakes.get_mut(&group))
        else {
            return;
        };
        let live = machinery.rows[&group];
        let of_use = |term, meta: &SnapshotMeta| driver.use_of_snapshot(from, term, meta);
        let step = intake.handle(from, frame, live, of_use);
        self.take_in(group, from, step, out);
    }

    /// The core has said whether a snapshot that was offered is of use.
    pub(super) fn offered(
        &mut self,
        group: GroupId,
        offer: &Offer,
        wanted: bool,
        out: &mut Output,
    ) {
        let live = self.machinery.rows[&group];
        let Some(intake) = self.machinery.intakes.get_mut(&group) else { return };
        let step = intake.offered(offer, wanted, live);
        self.take_in(group, offer.from, step, out);
    }

    fn take_in(&mut self, group: GroupId, from: NodeId, step: IntakeStep, out: &mut Output) {
        match step {
            IntakeStep::Ignore => {}
            IntakeStep::Refuse { view } => {
                out.frames.push((from, SnapshotFrame::Refused { group, view }));
            }
            IntakeStep::Want { view, next, taken } => {
                out.frames.push((from, SnapshotFrame::Wanted { group, view, next, taken }));
            }
            IntakeStep::Write { sequence, row_generation, rows } => {
                let sink = self.machinery.sink.clone();
                let done =
                    Box::new(move || sink.post(Mail::Stored(group, row_generation, sequence)));
                self.work.push(ApplyCommand::Ingest { group, row_generation, rows, done });
            }
        }
    }

    /// A chunk's rows are in the store.
    pub(super) fn stored(
        &mut self,
        group: GroupId,
        rows: RowGeneration,
        sequence: u64,
        out: &mut Output,
    ) {
        let Some(intake) = self.machinery.intakes.get_mut(&group) else { return };
        let Some(stored) = intake.stored(rows, sequence) else { return };
        let (from, view, taken) = (stored.from, stored.view, stored.taken);
        out.frames.push((from, SnapshotFrame::Received { group, view, taken, installed: false }));
        let Some(meta) = stored.install else { return };
        let sink = self.machinery.sink.clone();
        let generation = self.machinery.generation_of(group);
        let arrival = Arrival { from, view, taken, rows };
        let reply =
            Box::new(move |installed| sink.post(Mail::Installed(group, arrival, installed)));
        let install =
            ApplyCommand::Install { group, generation, row_generation: rows, meta, reply };
        self.work.push(install);
    }

    /// The state store has the snapshot, synced. Answers what the driver is to hear.
    pub(super) fn installed(
        &mut self,
        group: GroupId,
        arrival: Arrival,
        installed: Result<(SnapshotMeta, Applied), String>,
        out: &mut Output,
    ) -> Option<Event> {
        let Arrival { from, view, taken, rows } = arrival;
        // It may have been destroyed meanwhile.
        self.machinery.drivers.get(&group)?;
        if let Some(intake) = self.machinery.intakes.get_mut(&group) {
            intake.ended(rows);
        }
        let Ok((meta, applied)) = installed else {
            out.frames.push((from, SnapshotFrame::Refused { group, view }));
            return None;
        };
        self.machinery.rows.insert(group, rows);
        out.frames.push((from, SnapshotFrame::Received { group, view, taken, installed: true }));
        out.installed.push((group, meta.clone()));
        Some(Event::SnapshotInstalled(meta, applied))
    }
}
