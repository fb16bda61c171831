//! Chunks of snapshots as they may come: in order, late, again, of another view, or damaged.

use super::*;
use crate::ids::Index;

const LIVE: RowGeneration = RowGeneration(1);

fn meta(index: u64) -> SnapshotMeta {
    SnapshotMeta { index: Index(index), ..SnapshotMeta::default() }
}

fn chunk(view: u64, sequence: u64, last: bool) -> SnapshotFrame {
    let (group, term) = (GroupId(1), Term(2));
    SnapshotFrame::Chunk { group, term, view, meta: meta(9), sequence, rows: Vec::new(), last }
}

fn step(intake: &mut Intake, frame: SnapshotFrame) -> IntakeStep {
    intake.handle(NodeId(1), frame, LIVE, |_, _| SnapshotUse::Wanted)
}

fn offer(intake: &mut Intake, view: u64) -> IntakeStep {
    let offer = Offer { from: NodeId(1), term: Term(2), view, meta: meta(9) };
    intake.offered(&offer, true, LIVE)
}

fn want(view: u64, next: u64, taken: u64) -> IntakeStep {
    IntakeStep::Want { view, next, taken }
}

fn rows_of(step: &IntakeStep) -> Option<RowGeneration> {
    match step {
        IntakeStep::Write { row_generation, .. } => Some(*row_generation),
        _ => None,
    }
}

fn fresh() -> Intake {
    Intake::new(GroupId(1), RowGeneration(0))
}

#[test]
fn chunks_of_two_views_never_mix() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    assert_eq!(rows_of(&step(&mut intake, chunk(7, 0, false))), Some(RowGeneration(2)));
    assert_eq!(offer(&mut intake, 8), want(8, 0, 0));
    assert_eq!(rows_of(&step(&mut intake, chunk(8, 0, false))), Some(RowGeneration(3)));
    assert_eq!(step(&mut intake, chunk(7, 1, true)), IntakeStep::Refuse { view: 7 });
    assert_eq!(intake.stored(RowGeneration(2), 0), None, "a late word about the other view");
    assert_eq!(rows_of(&step(&mut intake, chunk(8, 1, true))), Some(RowGeneration(3)));
    let stored = |taken, install| Some(Stored { from: NodeId(1), view: 8, taken, install });
    assert_eq!(intake.stored(RowGeneration(3), 0), stored(1, None));
    assert_eq!(intake.stored(RowGeneration(3), 1), stored(2, Some(meta(9))));
}

#[test]
fn a_life_of_rows_is_never_used_twice() {
    let mut intake = Intake::new(GroupId(1), RowGeneration(6));
    offer(&mut intake, 7);
    assert_eq!(rows_of(&step(&mut intake, chunk(7, 0, false))), Some(RowGeneration(7)));
    assert_eq!(intake.newest_rows(), RowGeneration(7));
}

#[test]
fn the_end_of_an_earlier_transfer_does_not_end_the_present_one() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    step(&mut intake, chunk(7, 0, true));
    offer(&mut intake, 8);
    step(&mut intake, chunk(8, 0, false));
    intake.ended(RowGeneration(2));
    assert!(rows_of(&step(&mut intake, chunk(8, 1, false))).is_some());
    intake.ended(RowGeneration(3));
    assert_eq!(step(&mut intake, chunk(8, 2, false)), want(8, 0, 0), "it is taken anew");
}

#[test]
fn a_key_that_no_store_can_hold_is_refused() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    let mut frame = chunk(7, 0, true);
    if let SnapshotFrame::Chunk { rows, .. } = &mut frame {
        rows.push((Bytes::from(vec![1; 65_530]), Bytes::new()));
    }
    assert_eq!(step(&mut intake, frame), IntakeStep::Refuse { view: 7 });
}

#[test]
fn a_gap_is_asked_for_once_and_a_repetition_is_ignored() {
    let mut intake = fresh();
    assert_eq!(offer(&mut intake, 7), want(7, 0, 0));
    step(&mut intake, chunk(7, 0, false));
    assert_eq!(step(&mut intake, chunk(7, 2, false)), want(7, 1, 0));
    assert_eq!(step(&mut intake, chunk(7, 3, false)), IntakeStep::Ignore);
    assert!(rows_of(&step(&mut intake, chunk(7, 1, false))).is_some());
    assert_eq!(step(&mut intake, chunk(7, 1, false)), IntakeStep::Ignore);
    assert_eq!(step(&mut intake, chunk(7, 3, false)), want(7, 2, 0), "the next gap");
}

#[test]
fn an_offer_that_comes_again_is_told_where_it_stands() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    step(&mut intake, chunk(7, 0, false));
    step(&mut intake, chunk(7, 1, false));
    intake.stored(RowGeneration(2), 0);
    assert_eq!(offer(&mut intake, 7), want(7, 2, 1));
    assert_eq!(
        rows_of(&step(&mut intake, chunk(7, 2, true))),
        Some(RowGeneration(2)),
        "it goes on"
    );
    assert_eq!(offer(&mut intake, 7), want(7, 3, 1), "all has come in");
    assert_eq!(
        step(&mut intake, chunk(7, 3, true)),
        IntakeStep::Ignore,
        "nothing follows the last"
    );
}

#[test]
fn a_view_that_changes_what_it_stands_for_is_refused() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    let other = Offer { from: NodeId(1), term: Term(3), view: 7, meta: meta(10) };
    assert_eq!(intake.offered(&other, true, LIVE), IntakeStep::Refuse { view: 7 });
}

#[test]
fn a_replica_that_has_forgotten_takes_the_view_anew() {
    let mut intake = Intake::new(GroupId(1), RowGeneration(2));
    assert_eq!(step(&mut intake, chunk(7, 5, false)), want(7, 0, 0));
    assert_eq!(step(&mut intake, chunk(7, 6, false)), IntakeStep::Ignore);
    assert_eq!(rows_of(&step(&mut intake, chunk(7, 0, false))), Some(RowGeneration(3)));
}

#[test]
fn what_is_not_wanted_is_refused_and_newer_state_ends_a_transfer() {
    let mut intake = fresh();
    let never = |intake: &mut Intake, frame| {
        intake.handle(NodeId(1), frame, LIVE, |_, _| SnapshotUse::Never)
    };
    assert_eq!(never(&mut intake, chunk(7, 0, true)), IntakeStep::Refuse { view: 7 });
    offer(&mut intake, 7);
    step(&mut intake, chunk(7, 0, false));
    assert_eq!(never(&mut intake, chunk(7, 1, false)), IntakeStep::Refuse { view: 7 });
    assert_eq!(intake.stored(RowGeneration(2), 0), None, "nothing of it is kept in mind");
    let unwanted = Offer { from: NodeId(1), term: Term(2), view: 7, meta: meta(9) };
    assert_eq!(intake.offered(&unwanted, false, LIVE), IntakeStep::Refuse { view: 7 });
}

#[test]
fn a_chunk_of_an_earlier_term_waits_for_the_next_offer() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    let late = intake.handle(NodeId(1), chunk(7, 0, false), LIVE, |_, _| SnapshotUse::NotNow);
    assert_eq!(late, IntakeStep::Ignore);
    assert_eq!(offer(&mut intake, 7), want(7, 0, 0));
}

#[test]
fn a_flood_is_not_taken() {
    let mut intake = fresh();
    offer(&mut intake, 7);
    let taken = (0..100).filter(|n| rows_of(&step(&mut intake, chunk(7, *n, false))).is_some());
    assert_eq!(taken.count() as u64, limits::SNAPSHOT_WINDOW_CHUNKS + 1);
}
