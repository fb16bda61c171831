//! A snapshot on its way in: what the group's actor does with a frame, in turns.

use super::process::Process;
use super::sink::Mail;
use super::turn::Output;
use eraft::actors::apply::ApplyCommand;
use eraft::actors::group::event::{Applied, Event};
use eraft::actors::group::intake::IntakeStep;
use eraft::ids::{GroupId, NodeId};
use eraft::net::message::SnapshotFrame;
use eraft::raft::SnapshotMeta;
use eraft::rows::RowGeneration;

/// Which chunk has come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    from: NodeId,
    view: u64,
    sequence: u64,
    rows: RowGeneration,
}

impl Process {
    /// A chunk of a snapshot arrives.
    pub(super) fn chunk(&mut self, from: NodeId, frame: SnapshotFrame, out: &mut Output) {
        let (SnapshotFrame::Chunk { group, .. }
        | SnapshotFrame::Received { group, .. }
        | SnapshotFrame::Refused { group, .. }) = frame;
        let machinery = &mut self.machinery;
        let (Some(driver), Some(intake)) =
            (machinery.drivers.get(&group), machinery.intakes.get_mut(&group))
        else {
            return;
        };
        let live = machinery.rows[&group];
        let wanted = |term, meta: &SnapshotMeta| driver.wants_snapshot(from, term, meta);
        match intake.handle(from, frame, live, wanted) {
            IntakeStep::Ignore => {}
            IntakeStep::Refuse { view } => {
                out.frames.push((from, SnapshotFrame::Refused { group, view }));
            }
            IntakeStep::Write { view, sequence, row_generation, rows, install } => {
                let arrival = Arrival { from, view, sequence, rows: row_generation };
                let sink = machinery.sink.clone();
                let done = Box::new(move || sink.post(Mail::Ingested(group, arrival, install)));
                self.work.push(ApplyCommand::Ingest { group, row_generation, rows, done });
            }
        }
    }

    /// A chunk's rows are in the store.
    pub(super) fn ingested(
        &mut self,
        group: GroupId,
        arrival: Arrival,
        install: Option<SnapshotMeta>,
        out: &mut Output,
    ) {
        let Arrival { from, view, sequence, rows } = arrival;
        out.frames
            .push((from, SnapshotFrame::Received { group, view, sequence, installed: false }));
        let Some(meta) = install else { return };
        let sink = self.machinery.sink.clone();
        let generation = self.machinery.generation;
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
        let Arrival { from, view, sequence, rows } = arrival;
        if let Some(intake) = self.machinery.intakes.get_mut(&group) {
            intake.ended(rows);
        }
        let Ok((meta, applied)) = installed else {
            out.frames.push((from, SnapshotFrame::Refused { group, view }));
            return None;
        };
        self.machinery.rows.insert(group, rows);
        out.frames.push((from, SnapshotFrame::Received { group, view, sequence, installed: true }));
        out.installed.push((group, meta.clone()));
        Some(Event::SnapshotInstalled(meta, applied))
    }
}
