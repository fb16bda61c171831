//! A disk that forgets or changes what it had taken: never a silent loss, and never a wrong entry.

use super::model::{DIR, Model, append, entry, hard, identity, meta, write};
use crate::ids::{GroupId, Incarnation, Index};
use crate::raft::Membership;
use crate::store::disk::{Disk, File, SimDisk};
use crate::store::wal::{Damage, Log, LogOp, LogOptions, LogWrite, Recovered, Standing};
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

const TINY: LogOptions = LogOptions { segment_bytes: 6 * 4096, background_prepare: false };

fn open(disk: &SimDisk) -> (Log<SimDisk>, Recovered) {
    Log::open(disk.clone(), Path::new(DIR), identity(), TINY).expect("a damaged log opens")
}

fn writes() -> Vec<LogWrite> {
    let born = |group| LogWrite { op: Some(LogOp::Born(Membership::default())), ..write(group) };
    let vote = |group, term| LogWrite { hard_state: Some(hard(term, 1, 0)), ..write(group) };
    vec![
        born(1),
        born(2),
        vote(1, 1),
        append(1, (1..=4).map(|i| entry(i, 1, 600)).collect()),
        append(2, vec![entry(1, 1, 5000)]),
        LogWrite { op: Some(LogOp::Dead), ..write(3) },
        append(1, vec![entry(3, 2, 100), entry(4, 2, 100)]),
        vote(2, 7),
        LogWrite { op: Some(LogOp::Compacted(meta(2, 1))), ..write(1) },
        append(2, vec![entry(2, 2, 300)]),
    ]
}

/// A log of several segments, in which each write is a batch; and what it held after each.
fn small_log(writes_max: usize, close: bool) -> (SimDisk, Vec<Model>) {
    let disk = SimDisk::new();
    let mut models = vec![Model::default()];
    let mut log = open(&disk).0;
    for (number, write) in writes().iter().take(writes_max).enumerate() {
        if number == 7 {
            // The second run begins in a segment of its own.
            log = open(&disk).0;
        }
        log.write(std::slice::from_ref(write)).expect("writes");
        let mut model = models[number].clone();
        model.apply(write);
        models.push(model);
    }
    if close {
        log.close().expect("closes");
    }
    (disk, models)
}

/// A replica of this group dies, and another one is born in its place.
fn anew(group: u32) -> [LogWrite; 2] {
    let ops = [LogOp::Dead, LogOp::Born(Membership::default())];
    ops.map(|op| LogWrite { op: Some(op), ..write(group) })
}

/// A large entry that is not needed any more as soon as it is there: segments fill up and are given up.
fn write_and_forget(log: &mut Log<SimDisk>, group: u32, index: u64) {
    log.write(&[append(group, vec![entry(index, 2, 3000)])]).expect("writes");
    let forget = LogOp::Compacted(meta(index, 2));
    log.write(&[LogWrite { op: Some(forget), ..write(group) }]).expect("writes");
    log.maintain().expect("maintains");
}

fn files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.list(Path::new(DIR)).expect("lists").iter().map(|name| Path::new(DIR).join(name)).collect()
}

/// What a log may say after the disk has changed one piece of it.
fn check(disk: &SimDisk, models: &[Model], closed: bool, what: &str) -> &'static str {
    let (log, recovered) = open(disk);
    let found = Model::of(&log, &recovered);
    let all = models.last().expect("the last");
    let verdict = match &recovered.damage {
        _ if found == *all => "intact",
        Damage::All => "all",
        Damage::Groups(groups) => {
            for (group, model) in &all.groups {
                assert!(
                    groups.contains(group) || found.groups.get(group) == Some(model),
                    "{what}: {group}"
                );
            }
            "groups"
        }
        Damage::None => {
            // Whether the last batch was acknowledged cannot be known; that it is cut off is said.
            assert!(!closed && recovered.torn_tail_bytes > 0, "{what}: a silent loss");
            assert_eq!(found, models[models.len() - 2], "{what}: lost more than the last batch");
            "torn"
        }
    };
    if recovered.damage != Damage::None {
        assert!(!recovered.damaged_places.is_empty(), "{what}");
        drop(log);
        let (_, again) = open(disk);
        assert_eq!(again.damage, recovered.damage, "{what}: damage is not forgotten");
    }
    verdict
}

#[test]
fn any_flipped_byte_is_noticed_or_does_not_matter() {
    for closed in [true, false] {
        let (disk, models) = small_log(99, closed);
        let mut verdicts = BTreeSet::new();
        let mut flips = 0;
        for path in files(&disk) {
            let file = disk.open(&path).expect("opens");
            let mut bytes = vec![0; file.length().expect("length") as usize];
            file.read_exact_at(&mut bytes, 0).expect("reads");
            for (offset, byte) in bytes.iter().enumerate() {
                // All bytes that say something, and some that do not.
                if *byte == 0 && offset % 97 != 0 && offset % 4096 > 60 {
                    continue;
                }
                let disk = disk.killed();
                disk.flip(&path, offset as u64, 1 << (offset % 8)).expect("flips");
                verdicts.insert(check(
                    &disk,
                    &models,
                    closed,
                    &format!("{path:?} at {offset}, {closed}"),
                ));
                flips += 1;
            }
        }
        assert!(flips > 2000, "{flips}");
        let mut wanted = BTreeSet::from(["intact", "all", "groups"]);
        wanted.extend((!closed).then_some("torn"));
        assert_eq!(verdicts, wanted);
    }
}

#[test]
fn a_lost_page_is_noticed() {
    for size in [512, 4096] {
        let (disk, models) = small_log(99, true);
        for path in files(&disk) {
            let length = disk.open(&path).expect("opens").length().expect("length");
            for offset in (0..length).step_by(size) {
                let disk = disk.killed();
                let file = disk.open(&path).expect("opens");
                file.write_at(&mut [IoSlice::new(&vec![0; size])], offset).expect("writes");
                check(&disk, &models, true, &format!("{path:?}, {size} zeros at {offset}"));
            }
        }
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let mut needed = 0;
    for writes_max in 1..=writes().len() {
        let (disk, models) = small_log(writes_max, true);
        let files = files(&disk);
        // A log of which nothing at all is left looks like a new one; its owner must know better.
        for path in files.iter().filter(|_| files.len() > 1) {
            let disk = disk.killed();
            disk.remove(path).expect("removes");
            let what = format!("{writes_max} writes, without {path:?}");
            needed += u32::from(check(&disk, &models, true, &what) == "all");
        }
    }
    assert!(needed >= 10, "{needed}");
}

#[test]
fn damage_names_the_group_and_stays_until_it_is_dead() {
    let (disk, _) = small_log(99, true);
    // Find the large entry of group 2 by its bytes.
    let wanted = entry(1, 1, 5000);
    let place = files(&disk).into_iter().find_map(|path| {
        let file = disk.open(&path).expect("opens");
        let mut bytes = vec![0; file.length().expect("length") as usize];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        let at = bytes.windows(5000).position(|window| *window == wanted.data[..])?;
        Some((path, at as u64))
    });
    let (path, at) = place.expect("it is somewhere");
    disk.flip(&path, at + 100, 1).expect("flips");
    let (mut log, recovered) = open(&disk);
    let damaged = Damage::Groups(BTreeSet::from([GroupId(2)]));
    assert_eq!(recovered.damage, damaged);
    let place = &recovered.damaged_places[0];
    assert_eq!(Some(place.segment.as_str()), path.file_name().and_then(|name| name.to_str()));
    assert!(place.offset < at && at - place.offset < 100);
    assert_eq!(recovered.groups[&GroupId(2)].last, Index(0), "what comes after a gap is no log");
    assert_eq!(recovered.groups[&GroupId(1)].last, Index(4));

    // Long after the damaged segment was used again, it is still known.
    for index in 5..60 {
        write_and_forget(&mut log, 1, index);
    }
    drop(log);
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.damage, damaged);
    log.write(&[LogWrite { op: Some(LogOp::Dead), ..write(2) }]).expect("writes");
    drop(log);
    assert_eq!(open(&disk).1.damage, Damage::None);
}

#[test]
fn who_has_lost_all_it_had_is_not_taken_for_somebody_new() {
    let first = files(&small_log(99, true).0).swap_remove(0);
    // The batch in which group 1 is born, and nothing else.
    for at in 4096..4096 + 512 {
        let disk = SimDisk::new();
        let mut log = open(&disk).0;
        let all = writes();
        for write in [&all[0], &all[1], &all[4]] {
            log.write(std::slice::from_ref(write)).expect("writes");
        }
        drop(log);
        disk.flip(&first, at, 1).expect("flips");
        let (mut log, recovered) = open(&disk);
        if recovered.damage == Damage::None {
            assert_eq!(standing(&log, 1), Standing::Alive, "byte {at}");
            continue;
        }
        assert_eq!(standing(&log, 1), Standing::Damaged, "byte {at}");
        // Whoever is born there after it was let go is well.
        log.write(&anew(1)).expect("writes");
        drop(log);
        assert_eq!(standing(&open(&disk).0, 1), Standing::Alive, "byte {at}");
    }
}

#[test]
fn who_has_lost_its_name_is_not_taken_for_the_one_before() {
    let name = LogOp::Identity(Incarnation(5));
    let steps: [&[LogOp]; 3] = [
        &[LogOp::Born(Membership::default())],
        &[LogOp::Dead],
        &[LogOp::Born(Membership::default()), name],
    ];
    let mut damaged = 0;
    for at in 3 * 4096..3 * 4096 + 512 {
        let disk = SimDisk::new();
        let mut log = open(&disk).0;
        for step in steps {
            let all = step.iter().map(|op| LogWrite { op: Some(op.clone()), ..write(1) });
            log.write(&all.collect::<Vec<_>>()).expect("writes");
        }
        log.write(&[writes().swap_remove(1)]).expect("writes");
        drop(log);
        let first = files(&disk).swap_remove(0);
        disk.flip(&first, at, 1).expect("flips");
        let (log, recovered) = open(&disk);
        damaged += usize::from(recovered.damage != Damage::None);
        match log.standing(GroupId(1)) {
            (Standing::Alive, identity) => {
                assert_eq!(identity, Some(Incarnation(5)), "byte {at}");
            }
            // Silent, or as if it had never been born again.
            (Standing::Damaged | Standing::Dead, _) => {}
            (Standing::Unknown, _) => panic!("byte {at}: nobody remembers it"),
        }
    }
    assert!(damaged > 20, "{damaged} flips were damage: was it the right batch?");
}

/// Flips a byte of the large entry of group 2, in its batch's header, so that nobody knows whose it was.
fn lose_a_batch(disk: &SimDisk) {
    let wanted = entry(1, 1, 5000);
    for path in files(disk) {
        let file = disk.open(&path).expect("opens");
        let mut bytes = vec![0; file.length().expect("length") as usize];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        if let Some(at) = bytes.windows(5000).position(|window| *window == wanted.data[..]) {
            return disk.flip(&path, at as u64 / 4096 * 4096 + 8, 1).expect("flips");
        }
    }
    panic!("it is somewhere");
}

fn standing(log: &Log<SimDisk>, group: u32) -> Standing {
    log.standing(GroupId(group)).0
}

#[test]
fn what_nobody_knows_the_loser_of_is_over_when_all_have_begun_anew() {
    let (disk, _) = small_log(99, true);
    let log = open(&disk).0;
    assert_eq!([1, 2, 3, 9].map(|group| standing(&log, group)), {
        use Standing::{Alive, Dead, Unknown};
        [Alive, Alive, Dead, Unknown]
    });
    drop(log);
    lose_a_batch(&disk);
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.damage, Damage::All);
    assert_eq!([1, 2, 9].map(|group| standing(&log, group)), [Standing::Damaged; 3]);
    assert_eq!(standing(&log, 3), Standing::Dead);

    let anew = |group| {
        let name = LogOp::Identity(Incarnation(5));
        [&anew(group)[..], &[LogWrite { op: Some(name), ..write(group) }]].concat()
    };
    log.write(&anew(1)).expect("writes");
    assert!(!log.mend().expect("it can be asked"), "group 2 is not born anew");
    for _ in 0..3 {
        drop(log);
        let opened = open(&disk);
        assert_eq!(opened.1.damage, Damage::All);
        log = opened.0;
        assert_eq!(log.standing(GroupId(1)), (Standing::Alive, Some(Incarnation(5))));
        assert_eq!([2, 9].map(|group| standing(&log, group)), [Standing::Damaged; 2]);
    }
    log.write(&anew(2)).expect("writes");
    log.write(&anew(9)).expect("writes");
    assert!(log.mend().expect("writes"));
    for _ in 0..3 {
        drop(log);
        let opened = open(&disk);
        assert_eq!(opened.1.damage, Damage::None);
        log = opened.0;
        assert_eq!([1, 2, 9].map(|group| standing(&log, group)), [Standing::Alive; 3]);
        // It may have lived here: whoever is born under its name is somebody else.
        assert_eq!(standing(&log, 8), Standing::Dead);
    }
    // The damaged segments are used again, and it is not forgotten that they were there.
    for index in 1..120 {
        write_and_forget(&mut log, 1, index);
    }
    assert!(files(&disk).len() <= 10, "{} files", files(&disk).len());
    drop(log);
    let (log, recovered) = open(&disk);
    assert_eq!((recovered.damage, standing(&log, 8)), (Damage::None, Standing::Dead));
}

#[test]
fn whose_birth_was_given_up_after_the_log_was_mended_is_not_taken_for_damaged() {
    let (disk, _) = small_log(99, true);
    lose_a_batch(&disk);
    let mut log = open(&disk).0;
    for group in [1, 2] {
        log.write(&anew(group)).expect("writes");
    }
    drop(log);
    // The segment that begins here says again that something is lost, and of group 1 it holds nothing but an
    // entry, for which it stays when the ones before are given up.
    let mut log = open(&disk).0;
    log.write(&[append(1, vec![entry(1, 1, 2000)])]).expect("writes");
    assert!(log.mend().expect("writes"));
    for index in 1..30 {
        write_and_forget(&mut log, 2, index);
        let (again, recovered) = open(&disk.killed());
        assert_eq!(recovered.damage, Damage::None, "entry {index}");
        assert_eq!([1, 2].map(|group| standing(&again, group)), [Standing::Alive; 2]);
        assert_eq!(recovered.groups[&GroupId(1)].last, Index(1), "entry {index}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside_when_the_log_is_whole_again() {
    let (disk, _) = small_log(99, true);
    let all = files(&disk);
    let first = all.first().expect("a segment");
    for copy in [0, 512] {
        disk.flip(first, copy + 40, 1).expect("flips");
    }
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.damage, Damage::All);
    for group in [1, 2] {
        log.write(&anew(group)).expect("writes");
    }
    assert!(log.mend().expect("writes"));
    for index in 1..120 {
        write_and_forget(&mut log, 1, index);
    }
    drop(log);
    let (log, recovered) = open(&disk);
    assert_eq!(recovered.damage, Damage::None);
    assert_eq!([1, 2, 8].map(|group| standing(&log, group)), {
        use Standing::{Alive, Dead};
        [Alive, Alive, Dead]
    });
    assert!(files(&disk).iter().any(|path| path.extension().is_some_and(|end| end == "damaged")));
}

#[test]
fn damage_after_the_log_was_mended_is_noticed() {
    let (disk, _) = small_log(99, true);
    lose_a_batch(&disk);
    let mut log = open(&disk).0;
    for group in [1, 2] {
        log.write(&anew(group)).expect("writes");
    }
    assert!(log.mend().expect("writes"));
    log.write(&[append(2, vec![entry(1, 1, 5000)])]).expect("writes");
    log.write(&[append(1, vec![entry(1, 1, 50)])]).expect("writes");
    log.close().expect("closes");
    // The newest of the two copies: the older one stands in what was lost before.
    let wanted = entry(1, 1, 5000);
    let mut places = Vec::new();
    for path in files(&disk) {
        let file = disk.open(&path).expect("opens");
        let mut bytes = vec![0; file.length().expect("length") as usize];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        let found = bytes.windows(5000).enumerate().filter(|(_, w)| **w == wanted.data[..]);
        places.extend(found.map(|(at, _)| (path.clone(), at as u64)));
    }
    let mut verdicts = Vec::new();
    for (path, at) in places {
        let disk = disk.killed();
        disk.flip(&path, at / 4096 * 4096 + 8, 1).expect("flips");
        verdicts.push(open(&disk).1.damage == Damage::All);
    }
    assert!(verdicts.contains(&true), "{verdicts:?}");
}
