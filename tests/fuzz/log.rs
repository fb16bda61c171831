//! The log on a disk whose bytes were changed while it was off.

use super::mutate::Chance;
use bytes::Bytes;
use eraft::ids::{ClusterId, Generation, GroupId, Incarnation, Index, NodeId, ReadyNumber, Term};
use eraft::raft::{Entry, EntryKind, HardState, Membership};
use eraft::store::disk::{Disk, File, SimDisk};
use eraft::store::wal::{
    Damage, Log, LogIdentity, LogOp, LogOptions, LogWrite, OpenError, Recovered,
};
use std::path::Path;

const DIR: &str = "/log";
const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    let identity =
        LogIdentity { cluster: ClusterId([1; 16]), node: NodeId(1), incarnation: Incarnation(77) };
    let options = LogOptions { segment_bytes: 32 * 1024, background_prepare: false };
    Log::open(disk.clone(), Path::new(DIR), identity, options)
}

fn write(group: GroupId) -> LogWrite {
    LogWrite {
        group,
        generation: Generation(1),
        number: ReadyNumber(1),
        entries: Vec::new(),
        hard_state: None,
        op: None,
        must_sync: true,
    }
}

/// Writes a log, flips bits in it, opens it: everything is there, or what is missing is named, or it is at
/// the very end, where a power cut would have left it so.
pub(crate) fn open_damaged(chance: &mut Chance) {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).expect("an empty disk");
    for group in GROUPS {
        let born = LogOp::Born(Membership::of_voters([NodeId(1)]));
        log.write(&[LogWrite { op: Some(born), ..write(group) }]).expect("writes");
    }
    let mut last = [0; 2];
    for _ in 0..chance.below(30) {
        let at = chance.below(2);
        let entries: Vec<Entry> = (0..=chance.below(3))
            .map(|_| {
                last[at] += 1;
                let length = chance.below(3_000);
                let data = Bytes::from(chance.bytes(length));
                Entry { index: Index(last[at]), term: Term(1), kind: EntryKind::Normal, data }
            })
            .collect();
        let hard_state = Some(HardState { term: Term(1), vote: None, commit: Index(0) });
        log.write(&[LogWrite { entries, hard_state, ..write(GROUPS[at]) }]).expect("writes");
        log.maintain().expect("maintains");
    }
    drop(log);
    let before = open(&disk).expect("nothing is wrong yet").1;

    let files = disk.list(Path::new(DIR)).expect("the folder");
    for _ in 0..=chance.below(3) {
        let path = Path::new(DIR).join(&files[chance.below(files.len())]);
        let length = disk.open(&path).and_then(|file| file.length()).expect("a file");
        let offset = chance.number() % length.max(1);
        disk.flip(&path, offset, 1 << chance.below(8)).expect("inside of the file");
    }
    // A log that does not open says why.
    let Ok((log, after)) = open(&disk) else { return };
    for (id, group) in &before.groups {
        let is_damaged = match &after.damage {
            Damage::None => false,
            Damage::Groups(groups) => groups.contains(id),
            Damage::All => true,
        };
        let found = after.groups.get(id);
        let is_short = found.is_none_or(|found| found.last < group.last);
        assert!(
            !is_short || is_damaged || after.torn_tail_bytes > 0,
            "{id} has lost entries, and nobody says so: {after:?}"
        );
        let Some(found) = found.filter(|_| !is_damaged) else { continue };
        if found.last > Index(0) {
            let entries =
                log.reader().read(*id, Index(1), usize::MAX).expect("it is said to be whole");
            assert_eq!(entries.last().map(|entry| entry.index), Some(found.last));
        }
    }
}
