//! How far the moves are that are driven from this node.

use crate::ids::GroupId;
use crate::kv::migration::drive::{MoveReport, Stall};
use crate::net::message::MoveProgress;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of one group that takes buckets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intake {
    /// Its moves.
    pub(crate) moves: Vec<MoveReport>,
    /// Buckets that it waits for, and that are in no move yet.
    pub(crate) waiting: u32,
}

/// See the module's first line. Written by the migrators.
#[derive(Debug, Default)]
pub(crate) struct MoveReports(Mutex<BTreeMap<GroupId, Intake>>);

impl MoveReports {
    /// How far those to a group are.
    pub(crate) fn set(&self, group: GroupId, intake: Intake) {
        self.lock().insert(group, intake);
    }

    /// None to this group are driven from here any more.
    pub(crate) fn remove(&self, group: GroupId) {
        self.lock().remove(&group);
    }

    /// All of them, for people.
    pub(crate) fn told(&self) -> Vec<MoveProgress> {
        let intakes = self.lock();
        let each = intakes
            .iter()
            .flat_map(|(group, intake)| intake.moves.iter().map(move |one| progress(*group, one)));
        each.collect()
    }

    /// Moves that are under way, buckets that wait, and bytes taken in per second, all together.
    pub(crate) fn sum(&self) -> (usize, u64, u64) {
        let intakes = self.lock();
        let moves = || intakes.values().flat_map(|intake| &intake.moves);
        let waiting = intakes.values().map(|intake| u64::from(intake.waiting)).sum();
        (moves().count(), waiting, moves().map(|one| one.rate).sum())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupId, Intake>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn progress(to: GroupId, report: &MoveReport) -> MoveProgress {
    MoveProgress {
        from: report.id.source,
        number: report.id.number,
        to,
        ranges: report.ranges.as_slice().to_vec(),
        phase: report.phase.words().into(),
        stands_still: report.stall.as_ref().map(|stall| match stall {
            Stall::Paused => "paused".into(),
            Stall::Source => "the source does not answer".into(),
            Stall::Refused(refusal) => refusal.to_string(),
        }),
        bytes: report.bytes,
        total: report.total,
        bytes_per_second: report.rate,
        millis_left: report.eta_millis,
    }
}
