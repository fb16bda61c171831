//! Round trips, refusals, and reading.

use super::model::{DIR, Model, SMALL, Work, append, entry, hard, identity, meta, open, write};
use crate::ids::{ClusterId, GroupId, Incarnation, Index, NodeId, Term};
use crate::limits;
use crate::raft::{Entry, EntryKind, Membership};
use crate::store::disk::{Crash, SimDisk};
use crate::store::wal::{
    Damage, Log, LogError, LogIdentity, LogOp, LogWrite, OpenError, ReadError,
};
use std::path::Path;

#[test]
fn what_is_written_is_there_after_a_power_cut() {
    let disk = SimDisk::new();
    let (mut log, recovered) = open(&disk);
    assert!(recovered.created && recovered.groups.is_empty());
    let born = Membership::of_voters([NodeId(1)]);
    let batch = [
        LogWrite { op: Some(LogOp::Born(born.clone())), ..write(1) },
        LogWrite {
            hard_state: Some(hard(2, 1, 0)),
            ..append(1, (1..=5).map(|i| entry(i, 2, 50)).collect())
        },
        LogWrite { op: Some(LogOp::Born(born)), hard_state: Some(hard(1, 2, 0)), ..write(2) },
        append(1, vec![entry(4, 3, 60)]),
    ];
    let stats = log.write(&batch).expect("writes");
    assert_eq!((stats.groups, stats.records, stats.bytes), (4, 6, 4096));
    assert!(stats.sync_time.is_some());
    let mut model = Model::default();
    batch.iter().for_each(|write| model.apply(write));

    let (log, recovered) = open(&disk.crash(Crash::Drop));
    assert_eq!(Model::of(&log, &recovered), model);
    assert_eq!((recovered.damage, recovered.torn_tail_bytes), (Damage::None, 0));
    assert!(!recovered.created);
    let group = &recovered.groups[&GroupId(1)];
    assert_eq!(group.terms, [(Index(1), Term(2)), (Index(4), Term(3))]);
    assert_eq!(group.last, Index(4));
}

#[test]
fn the_tail_reaches_back_to_changes_that_the_state_does_not_have() {
    let mut log = open(&SimDisk::new()).0;
    let half = limits::LOG_TAIL_BYTES_MAX / 2;
    for index in 1..=6 {
        let kind = if index == 2 { EntryKind::Membership } else { EntryKind::Normal };
        log.write(&[append(1, vec![Entry { kind, ..entry(index, 1, half) }])]).expect("writes");
    }
    let first = |applied: u64| {
        let found = log.recover_group(GroupId(1), Index(applied)).expect("reads").expect("lives");
        assert!(found.tail.windows(2).all(|pair| pair[0].index.next() == pair[1].index));
        assert_eq!(found.tail.last().map(|entry| entry.index), Some(Index(6)));
        found.tail[0].index.0
    };
    assert_eq!((first(0), first(1)), (2, 2));
    assert!(first(2) > 4, "what was applied is not needed");
}

#[test]
fn random_work_is_remembered_through_many_openings() {
    for seed in 1..=8 {
        let (mut disk, mut work) = (SimDisk::new(), Work::new(seed));
        let mut log = open(&disk).0;
        for round in 0..400 {
            let batch = work.batch();
            log.write(&batch).expect("writes");
            if round % 3 == 0 {
                log.maintain().expect("maintains");
            }
            if round % 10 == 9 {
                match round % 20 {
                    9 => log.close().expect("closes"),
                    _ => drop(log),
                }
                disk = disk.killed();
                let (again, recovered) = open(&disk);
                assert_eq!(Model::of(&again, &recovered), work.model, "seed {seed} round {round}");
                assert_eq!((recovered.damage, recovered.torn_tail_bytes), (Damage::None, 0));
                log = again;
            }
        }
    }
}

#[test]
fn a_write_that_needs_no_sync_gets_none_and_a_later_one_covers_it() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    let syncs = disk.syncs();
    let lazy = LogWrite { must_sync: false, ..append(1, vec![entry(1, 1, 10)]) };
    assert_eq!(log.write(&[lazy]).expect("writes").sync_time, None);
    assert_eq!(disk.syncs(), syncs);
    assert!(open(&disk.crash(Crash::Drop)).1.groups.is_empty());
    // A write of nothing that asks for a sync is a fence.
    let stats = log.write(&[write(2)]).expect("writes");
    assert_eq!((stats.records, stats.sync_time.is_some(), disk.syncs()), (0, true, syncs + 1));
    assert_eq!(open(&disk.crash(Crash::Drop)).1.groups[&GroupId(1)].last, Index(1));
    let stats = log.write(&[write(2)]).expect("writes");
    assert_eq!((stats.sync_time, disk.syncs()), (None, syncs + 1), "there was nothing to sync");
}

#[test]
fn a_log_of_somebody_else_is_refused() {
    let disk = SimDisk::new();
    let unfounded = LogIdentity { cluster: ClusterId::default(), ..identity() };
    let open_as = |identity| Log::open(disk.clone(), Path::new(DIR), identity, SMALL);
    let (mut log, recovered) = open_as(unfounded).expect("a new log");
    assert_eq!(recovered.cluster, ClusterId::default());
    log.set_cluster(ClusterId([1; 16])).expect("sets");
    drop(log);
    for round in 0..3 {
        let recovered = open_as(unfounded).expect("the plan may not have been written yet").1;
        assert_eq!(recovered.cluster, ClusterId([1; 16]), "round {round}");
    }
    open_as(identity()).expect("the same");
    let others = [
        LogIdentity { cluster: ClusterId([2; 16]), ..identity() },
        LogIdentity { node: NodeId(2), ..identity() },
        LogIdentity { incarnation: Incarnation(78), ..identity() },
    ];
    for other in others {
        let steps = disk.steps();
        assert!(matches!(open_as(other), Err(OpenError::OtherIdentity { .. })), "{other:?}");
        assert!(disk.steps() <= steps + 1, "nothing is written (a directory is synced)");
    }
}

#[test]
fn writes_that_make_no_sense_are_refused_and_change_nothing() {
    let (mut log, _) = open(&SimDisk::new());
    log.write(&[append(1, (1..=9).map(|i| entry(i, 1, 10)).collect())]).expect("writes");
    log.write(&[LogWrite { op: Some(LogOp::Compacted(meta(4, 1))), ..write(1) }]).expect("writes");
    let bad = [
        append(1, vec![entry(11, 1, 1)]),
        append(1, vec![entry(4, 1, 1)]),
        append(1, vec![entry(10, 1, 1), entry(12, 1, 1)]),
        append(2, vec![entry(2, 1, 1)]),
    ];
    for bad in bad {
        let good = append(3, vec![entry(1, 1, 1)]);
        assert!(matches!(log.write(&[good, bad]), Err(LogError::Misuse { .. })));
        assert!(log.recover_group(GroupId(3), Index(0)).expect("reads").is_none());
    }
    log.write(&[append(1, vec![entry(10, 1, 1)])]).expect("still takes what makes sense");
}

#[test]
fn a_reader_gives_what_there_is_and_says_what_there_is_not() {
    let (mut log, _) = open(&SimDisk::new());
    for index in 1..=30 {
        log.write(&[append(1, vec![entry(index, 1, 2000)])]).expect("writes");
    }
    let (reader, group) = (log.reader(), GroupId(1));
    let read = |from, bytes| reader.read(group, Index(from), bytes);
    assert_eq!(read(5, 0).expect("reads"), [entry(5, 1, 2000)], "one in any case");
    assert_eq!(
        read(5, 5 * 2032).expect("reads"),
        (5..10).map(|i| entry(i, 1, 2000)).collect::<Vec<_>>()
    );
    assert_eq!(read(29, usize::MAX).expect("reads").len(), 2);
    assert!(read(31, 100).expect("reads").is_empty());
    log.write(&[LogWrite { op: Some(LogOp::Compacted(meta(10, 1))), ..write(1) }]).expect("writes");
    assert!(matches!(read(10, 100), Err(ReadError::Compacted { base: Index(10), .. })));
    assert_eq!(read(11, 100).expect("reads").len(), 1);
    assert!(matches!(reader.read(GroupId(2), Index(1), 100), Err(ReadError::UnknownGroup(_))));
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    let (large, small) = (entry(1, 1, 3 * SMALL.segment_bytes as usize), entry(2, 1, 10));
    log.write(&[append(1, vec![large.clone()])]).expect("writes");
    log.write(&[append(1, vec![small.clone()])]).expect("writes");
    let (log, _) = open(&disk.crash(Crash::Drop));
    assert_eq!(log.reader().read(GroupId(1), Index(1), usize::MAX).expect("reads"), [large, small]);
    drop(log);
    // Also when it is not known to be durable and has to be copied to the fresh segment.
    let (disk, many) = (SimDisk::new(), (1..=3).map(|i| entry(i, i, 40_000)).collect::<Vec<_>>());
    open(&disk).0.write(&[append(1, many.clone())]).expect("writes");
    let (log, _) = open(&disk.killed());
    assert_eq!(log.reader().read(GroupId(1), Index(1), usize::MAX).expect("reads"), many);
}
