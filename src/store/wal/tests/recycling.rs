//! Segments are used again, and nothing that is still needed goes with them, nor does anything that is
//! over come back.

use super::model::{DIR, Model, SMALL, append, entry, hard, meta, open, write};
use crate::ids::{Era, GroupId, Incarnation, Index};
use crate::raft::Membership;
use crate::store::disk::{Crash, Disk, File, SimDisk};
use crate::store::wal::{Log, LogOp, LogWrite, ReadError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Appends to group 1 and compacts it, through many segments.
fn churn(log: &mut Log<SimDisk>, model: &mut Model, from: u64, to: u64) {
    for index in from..=to {
        let compacted = LogOp::Compacted(meta(index.saturating_sub(3), 1));
        let batch = [
            append(1, vec![entry(index, 1, 3000)]),
            LogWrite { op: Some(compacted), must_sync: false, ..write(1) },
        ];
        log.write(&batch).expect("writes");
        log.maintain().expect("maintains");
        batch.iter().for_each(|write| model.apply(write));
    }
}

fn files(disk: &SimDisk) -> usize {
    disk.list(Path::new(DIR)).expect("lists").len()
}

#[test]
fn a_quiet_group_outlives_the_segments_that_it_was_written_to() {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    let quiet = [
        LogWrite { op: Some(LogOp::Born(Membership::default())), ..write(5) },
        LogWrite {
            hard_state: Some(hard(3, 2, 0)),
            ..append(5, (1..=3).map(|i| entry(i, 3, 20)).collect())
        },
        LogWrite { op: Some(LogOp::Compacted(meta(1, 3))), ..write(5) },
        LogWrite { hard_state: Some(hard(9, 1, 0)), ..write(6) },
        LogWrite { op: Some(LogOp::SnapshotInstalled(meta(40, 2))), ..write(7) },
        LogWrite { op: Some(LogOp::Dead), ..write(8) },
    ];
    for write in &quiet {
        log.write(std::slice::from_ref(write)).expect("writes");
        model.apply(write);
    }
    churn(&mut log, &mut model, 1, 200);
    assert!(files(&disk) <= 6, "{} files", files(&disk));
    let life = log.head.life();
    assert!(life > 15, "only {life} lives");
    assert!(log.shared.look().segments.keys().next() > Some(&10));
    let (log, recovered) = open(&disk.crash(Crash::Drop));
    assert_eq!(Model::of(&log, &recovered), model);
}

#[test]
fn who_a_replica_is_lasts_until_it_dies() {
    let era = |number| Era { number, mark: 3 };
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    let reborn = [
        LogWrite { op: Some(LogOp::Dead), ..write(5) },
        LogWrite { op: Some(LogOp::Born(Membership::default())), ..write(5) },
        LogWrite { op: Some(LogOp::Identity(Incarnation(77))), ..write(5) },
        LogWrite { op: Some(LogOp::Born(Membership::default())), ..write(6) },
        LogWrite { op: Some(LogOp::Identity(Incarnation(78))), ..write(6) },
        LogWrite { op: Some(LogOp::LeftBehind(era(2))), ..write(5) },
        LogWrite { op: Some(LogOp::LeftBehind(era(1))), ..write(5) },
        LogWrite { op: Some(LogOp::LeftBehind(era(1))), ..write(6) },
    ];
    log.write(&reborn).expect("writes");
    log.write(&[LogWrite { op: Some(LogOp::Dead), ..write(6) }]).expect("writes");
    log.write(&[LogWrite { op: Some(LogOp::Born(Membership::default())), ..write(6) }])
        .expect("writes");
    churn(&mut log, &mut model, 1, 200);
    assert!(log.shared.look().segments.keys().next() > Some(&10), "all was copied often");
    let (_, recovered) = open(&disk.crash(Crash::Drop));
    let found = |group| {
        let found = &recovered.groups[&GroupId(group)];
        (found.identity, found.left_behind)
    };
    assert_eq!(found(5), (Some(Incarnation(77)), Some(era(2))));
    assert_eq!(found(6), (None, None));
}

#[test]
fn a_large_quiet_group_does_not_hold_the_rest_back_for_ever() {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    let quiet = append(5, (1..=8).map(|i| entry(i, 1, 3000)).collect());
    log.write(std::slice::from_ref(&quiet)).expect("writes");
    model.apply(&quiet);
    churn(&mut log, &mut model, 1, 300);
    assert!(files(&disk) <= 12, "{} files", files(&disk));
    let (log, recovered) = open(&disk.crash(Crash::Drop));
    assert_eq!(Model::of(&log, &recovered), model);
}

#[test]
fn what_is_copied_goes_in_pieces_and_outlives_a_power_cut_between_them() {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    let quiet: Vec<LogWrite> = (10..410).map(|group| append(group, vec![entry(1, 1, 1)])).collect();
    log.write(&quiet).expect("writes");
    quiet.iter().for_each(|write| model.apply(write));
    let first = log.head.life();
    let (mut copied, mut index) = (0, 0);
    while log.shared.look().segments.contains_key(&first) {
        index += 1;
        assert!(index < 300, "it is held for ever");
        let before = log.shared.look().index.ledger.live(first);
        churn(&mut log, &mut model, index, index);
        let after = log.shared.look().index.ledger.live(first);
        if after < before {
            copied += 1;
            let (log, recovered) = open(&disk.crash(Crash::Drop));
            assert_eq!(Model::of(&log, &recovered), model);
        }
    }
    assert!(copied >= 4, "400 runs in {copied} pieces");
    let (log, recovered) = open(&disk.crash(Crash::Drop));
    assert_eq!(Model::of(&log, &recovered), model);
}

#[test]
fn opening_again_and_again_does_not_pile_up_files() {
    let (mut disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    churn(&mut log, &mut model, 1, 20);
    drop(log);
    for round in 0..60 {
        disk = if round % 2 == 0 { disk.killed() } else { disk.crash(Crash::Drop) };
        let (log, recovered) = open(&disk);
        assert_eq!(Model::of(&log, &recovered), model);
    }
    assert!(files(&disk) <= 8, "{} files", files(&disk));
}

#[test]
fn what_a_file_held_in_an_earlier_life_never_comes_back() {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    churn(&mut log, &mut model, 1, 60);
    // Find a point where the head is followed by whole batches of an earlier life.
    let mut index = 60;
    loop {
        index += 1;
        churn(&mut log, &mut model, index, index);
        let mut next = [0; 8];
        log.head.file.read_exact_at(&mut next, log.head_end).expect("reads");
        if next[..4] != [0; 4] && log.head_end < SMALL.segment_bytes / 2 {
            break;
        }
        assert!(index < 100, "no segment is ever used again");
    }
    for disk in [disk.killed(), disk.crash(Crash::Drop)] {
        let (log, recovered) = open(&disk);
        assert_eq!(recovered.torn_tail_bytes, 0);
        assert_eq!(Model::of(&log, &recovered), model);
    }
}

#[test]
fn a_file_is_not_used_again_while_somebody_reads_it() {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    churn(&mut log, &mut model, 1, 10);
    let held = Arc::clone(log.shared.look().segments.values().next().expect("the oldest"));
    churn(&mut log, &mut model, 11, 60);
    assert!(
        log.shared.look().segments.keys().next() > Some(&held.life()),
        "it is not part of the log"
    );
    assert_eq!(log.retiring.len(), 1, "but waits");
    let mut block = [0; 56];
    held.file.read_exact_at(&mut block, 0).expect("reads");
    assert_eq!(block[40..48], held.life().to_le_bytes(), "with its old life");
    drop(held);
    log.maintain().expect("maintains");
    assert!(log.retiring.is_empty());
}

#[test]
fn readers_see_nothing_wrong_while_segments_come_and_go() {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let mut log = open(&disk).0;
    churn(&mut log, &mut model, 1, 5);
    let (stop, reader, reads) = (AtomicBool::new(false), log.reader(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut from = 1;
            while !stop.load(Ordering::Relaxed) {
                match reader.read(GroupId(1), Index(from), 10_000) {
                    Ok(entries) => {
                        for (at, found) in (from..).zip(&entries) {
                            assert_eq!(*found, entry(at, 1, 3000));
                        }
                        reads.fetch_add(entries.len() as u64, Ordering::Relaxed);
                    }
                    Err(ReadError::Compacted { base, .. }) => from = base.0 + 1,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let mut index = 5;
        while reads.load(Ordering::Relaxed) < 3000 && !thread.is_finished() && index < 20_000 {
            churn(&mut log, &mut model, index + 1, index + 50);
            index += 50;
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        thread.join().expect("the reader is content");
    });
    assert!(reads.into_inner() >= 3000);
}
