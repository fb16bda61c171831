//! The power goes off at every step, in every way; and whatever was acknowledged is there.

use super::model::{DIR, Model, SMALL, Work, append, entry, identity, open, write};
use crate::ids::{GroupId, Index};
use crate::store::disk::{Crash, SimDisk};
use crate::store::wal::{Damage, Log, LogError, OpenError};
use std::path::Path;

const BATCHES: usize = 70;

/// What a run of the log came to.
struct Run {
    /// The model after 0, 1, … batches that were handed in.
    models: Vec<Model>,
    /// So many batches were acknowledged as durable.
    acknowledged: usize,
}

/// Opens the log and works until all is done or the disk fails.
fn run(disk: &SimDisk, seed: u64) -> Run {
    let mut work = Work::new(seed);
    let mut run = Run { models: vec![Model::default()], acknowledged: 0 };
    let Ok((mut log, _)) = Log::open(disk.clone(), Path::new(DIR), identity(), SMALL) else {
        return run;
    };
    for number in 1..=BATCHES {
        let batch = work.batch();
        run.models.push(work.model.clone());
        if log.write(&batch).is_err() {
            assert!(matches!(log.write(&batch), Err(LogError::Failed)), "nothing is tried again");
            return run;
        }
        if batch.iter().any(|write| write.must_sync) {
            run.acknowledged = number;
        }
        if number % 4 == 0 && log.maintain().is_err() {
            return run;
        }
    }
    run
}

impl Run {
    /// Opens what the crash left. It must be one of the states since the last acknowledgement; and a
    /// second crash, right after, must change nothing of it.
    fn check(&self, disk: &SimDisk, what: &str) {
        let (log, recovered) = open(disk);
        assert_eq!(recovered.damage, Damage::None, "{what}: {:?}", recovered.damaged_places);
        let found = Model::of(&log, &recovered);
        let possible = &self.models[self.acknowledged..];
        assert!(possible.contains(&found), "{what}: lost something that was acknowledged, or more");
        drop(log);
        let (mut log, recovered) = open(&disk.crash(Crash::Drop));
        assert_eq!(Model::of(&log, &recovered), found, "{what}: went back");
        assert_eq!(recovered.torn_tail_bytes, 0, "{what}");
        log.write(&[append(99, vec![entry(1, 1, 5000)])]).expect("goes on");
    }
}

#[test]
fn the_power_may_go_off_at_any_step() {
    let mut cuts = 0;
    for seed in 1..=3 {
        let whole = SimDisk::new();
        run(&whole, seed);
        for step in 1..=whole.steps() {
            let disk = SimDisk::new();
            disk.cut_power_at(step);
            let run = run(&disk, seed);
            let mixed = (0..4).map(|chance| Crash::Mixed(seed * 1000 + step * 10 + chance));
            for crash in [Crash::Drop, Crash::Keep].into_iter().chain(mixed) {
                run.check(&disk.crash(crash), &format!("seed {seed}, step {step}, {crash:?}"));
            }
            cuts += 1;
        }
    }
    assert!(cuts > 300, "the work was too short: {cuts} steps");
}

#[test]
fn the_power_may_go_off_again_during_recovery() {
    for seed in 11..=12 {
        let whole = SimDisk::new();
        run(&whole, seed);
        for step in (5..=whole.steps()).step_by(7) {
            let disk = SimDisk::new();
            disk.cut_power_at(step);
            let run = run(&disk, seed);
            // The process was killed, so the page cache is still there; or the power was cut.
            for first in [disk.killed(), disk.crash(Crash::Mixed(step))] {
                for second in 1.. {
                    let disk = first.killed();
                    disk.cut_power_at(second);
                    let opened = Log::open(disk.clone(), Path::new(DIR), identity(), SMALL);
                    for crash in [Crash::Drop, Crash::Mixed(second), Crash::Mixed(second + 1000)] {
                        run.check(
                            &disk.crash(crash),
                            &format!("seed {seed}, {step}, {second}, {crash:?}"),
                        );
                    }
                    if opened.is_ok() {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn a_killed_process_is_followed_by_a_power_cut() {
    for seed in 21..=26 {
        let (mut disk, mut work) = (SimDisk::new(), Work::new(seed));
        for round in 0..40 {
            let mut log = open(&disk).0;
            for _ in 0..work.below(8) {
                let batch = work.batch();
                log.write(&batch).expect("writes");
            }
            drop(log);
            // The next one sees the page cache, and what it has seen must not go away.
            disk = disk.killed();
            let (log, recovered) = open(&disk);
            assert_eq!(Model::of(&log, &recovered), work.model);
            drop(log);
            disk = disk.crash(Crash::Mixed(seed * 100 + round));
            let (log, recovered) = open(&disk);
            assert_eq!(recovered.damage, Damage::None, "{:?}", recovered.damaged_places);
            assert_eq!(Model::of(&log, &recovered), work.model, "seed {seed}, round {round}");
        }
    }
}

#[test]
fn a_failed_sync_is_fatal_and_nothing_was_promised() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    log.write(&[append(1, vec![entry(1, 1, 10)])]).expect("writes");
    disk.fail_sync_at(disk.syncs() + 1);
    assert!(matches!(log.write(&[append(1, vec![entry(2, 1, 10)])]), Err(LogError::Io { .. })));
    assert!(matches!(log.write(&[write(1)]), Err(LogError::Failed)), "a second sync would lie");
    assert!(matches!(log.maintain(), Err(LogError::Failed)));
    // The page cache still shows the second entry as written; whoever reads it makes it durable.
    let (log, recovered) = open(&disk.killed());
    assert_eq!(recovered.groups[&GroupId(1)].last, Index(2));
    drop(log);
    let disk = disk.killed();
    drop(open(&disk));
    assert_eq!(open(&disk.crash(Crash::Drop)).1.groups[&GroupId(1)].last, Index(2));
}

#[test]
fn a_full_disk_is_said_to_be_full_and_costs_nothing() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    disk.set_free(Some(SMALL.segment_bytes + 5000));
    let mut written = 0;
    let error = loop {
        match log.write(&[append(1, vec![entry(written + 1, 1, 3000)])]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    let LogError::Io { error, .. } = error else { panic!("{error}") };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(written >= 10);
    drop(log);
    let disk = disk.crash(Crash::Drop);
    disk.set_free(Some(100));
    let full = Log::open(disk.clone(), Path::new(DIR), identity(), SMALL);
    assert!(matches!(full, Err(OpenError::NoSpace { .. })));
    disk.set_free(None);
    let (_, recovered) = open(&disk.crash(Crash::Drop));
    assert_eq!(
        (recovered.groups[&GroupId(1)].last, recovered.damage),
        (Index(written), Damage::None)
    );
}
