//! The disks of a machine, which outlive the process on it, and what is found on them after it went down.

use super::chance::{Chance, Digest};
use eraft::codec;
use eraft::ids::GroupId;
use eraft::raft::SnapshotMeta;
use eraft::rows::{RowGeneration, generation_prefix, meta_key, prefix_end};
use eraft::store::disk::{Crash, SimDisk};
use eraft::store::state::{ModelStore, StateStore};

/// How a machine goes down.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    /// It loses its power.
    Power(Crash),
    /// Only the process dies; the page cache survives.
    Process,
}

/// See the module's first lines.
#[derive(Clone, Default)]
pub(crate) struct Disks {
    /// Of the log.
    pub(crate) log: SimDisk,
    /// Of the state.
    pub(crate) state: ModelStore,
}

impl Disks {
    /// Leaves the disks as they are found after this death.
    pub(crate) fn die(&mut self, death: Death, chance: &mut Chance) {
        match death {
            Death::Process => {
                self.log = self.log.killed();
                self.state.crash(usize::MAX);
            }
            Death::Power(crash) => {
                self.log = self.log.crash(crash);
                let writes = self.state.unpersisted();
                self.state.crash(match crash {
                    Crash::Drop => 0,
                    Crash::Keep => writes,
                    Crash::Mixed(_) => chance.below(writes as u64 + 1) as usize,
                });
            }
        }
    }

    /// Which life of a group's rows is its state.
    fn living(&self, group: GroupId) -> RowGeneration {
        let control = self.state.get(&meta_key(group, RowGeneration(0), b"control"));
        let control = control.expect("a store in memory reads").map(|row| {
            codec::decode::<(u32, Option<SnapshotMeta>)>(&row).expect("a control row").0
        });
        RowGeneration(control.unwrap_or(1))
    }

    /// Shows every row of a group's state, keys without the prefix that may differ from node to node.
    pub(crate) fn each_row(&self, group: GroupId, mut show: impl FnMut(&[u8], &[u8])) {
        let from = generation_prefix(group, self.living(group));
        let read = self.state.range(&from, &prefix_end(&from), &mut |key, value| {
            show(&key[from.len()..], value);
            true
        });
        read.expect("a store in memory reads");
    }

    /// A group's state in one number.
    pub(crate) fn digest(&self, group: GroupId) -> u64 {
        let mut digest = Digest::new();
        self.each_row(group, |key, value| {
            digest.bytes(key);
            digest.bytes(value);
        });
        digest.finish()
    }
}
