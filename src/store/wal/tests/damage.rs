//! A disk that forgets or changes what it had taken: never a silent loss, and never a wrong entry.

use super::model::{DIR, Model, append, entry, hard, identity, meta, write};
use crate::ids::{GroupId, Index};
use crate::raft::Membership;
use crate::store::disk::{Disk, File, SimDisk};
use crate::store::wal::{Damage, Log, LogOp, LogOptions, LogWrite, Recovered};
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
        log.write(&[append(1, vec![entry(index, 2, 3000)])]).expect("writes");
        log.write(&[LogWrite { op: Some(LogOp::Compacted(meta(index, 2))), ..write(1) }])
            .expect("writes");
        log.maintain().expect("maintains");
    }
    drop(log);
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.damage, damaged);
    log.write(&[LogWrite { op: Some(LogOp::Dead), ..write(2) }]).expect("writes");
    drop(log);
    assert_eq!(open(&disk).1.damage, Damage::None);
}
