//! The log as the core's own conformance suite sees it: the storage of one replica.

use super::model::{open, write};
use crate::ids::{GroupId, Index};
use crate::raft::storage::{Storage, conformance};
use crate::raft::{Entry, HardState, Membership, Restored, SnapshotMeta};
use crate::store::disk::{Crash, SimDisk};
use crate::store::wal::{Log, LogOp, LogWrite};
use std::io;

const GROUP: GroupId = GroupId(1);

struct OneOfMany {
    disk: SimDisk,
    log: Log<SimDisk>,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Storage for OneOfMany {
    type Error = io::Error;

    fn write(
        &mut self,
        restart: Option<&SnapshotMeta>,
        hard_state: Option<&HardState>,
        entries: &[Entry],
    ) -> io::Result<()> {
        let op = restart.cloned().map(LogOp::SnapshotInstalled);
        let hard_state = hard_state.copied();
        let write = LogWrite { op, hard_state, entries: entries.to_vec(), ..write(GROUP.0) };
        self.log.write(&[write]).map(drop).map_err(other)
    }

    fn compact(&mut self, through: &SnapshotMeta) -> io::Result<()> {
        let op = Some(LogOp::Compacted(through.clone()));
        // Synced here, because the suite looks at what a crash leaves.
        self.log.write(&[LogWrite { op, ..write(GROUP.0) }]).map_err(other)?;
        self.log.maintain().map_err(other)
    }

    fn read(&self, from: Index, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let Restored { base, last, .. } = self.restore()?;
        if from <= base.index || from > last {
            return Ok(Vec::new());
        }
        self.log.reader().read(GROUP, from, bytes_max).map_err(other)
    }

    fn restore(&self) -> io::Result<Restored> {
        let group = self.log.recover_group(GROUP, Index(0)).map_err(other)?.ok_or("it was born");
        let group = group.map_err(other)?;
        Ok(Restored {
            hard_state: group.hard_state,
            membership: group.base.membership.clone(),
            applied: group.base.index,
            base: group.base,
            terms: group.terms,
            last: group.last,
            tail: group.tail,
        })
    }
}

#[test]
fn it_conforms_after_power_cuts_as_well() {
    let fresh = || {
        let disk = SimDisk::new();
        let mut log = open(&disk).0;
        let born = LogOp::Born(Membership::default());
        log.write(&[LogWrite { op: Some(born), ..write(GROUP.0) }]).expect("writes");
        OneOfMany { disk, log }
    };
    conformance(fresh, |before| {
        drop(before.log);
        let disk = before.disk.crash(Crash::Drop);
        OneOfMany { log: open(&disk).0, disk }
    });
}
