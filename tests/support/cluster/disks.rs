//! The disks of a machine, which outlive the process on it, and what is found on them after it went down.

use super::chance::Chance;
use super::trace::Digest;
use bytes::Bytes;
use eraft::codec;
use eraft::ids::{Bucket, Epoch, GroupId, Incarnation, NodeId};
use eraft::kv::Machine;
use eraft::raft::{Membership, SnapshotMeta};
use eraft::rows::{RowGeneration, Rows, generation_prefix, home, meta_key, prefix_end};
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
    /// How often they were replaced by empty ones.
    pub(crate) life: u64,
}

impl Disks {
    /// Which life of a machine's disks these are.
    pub(crate) fn incarnation(&self, node: NodeId) -> Incarnation {
        Incarnation(u64::from(node.0) + 1_000 * self.life)
    }

    /// Empty ones in their place.
    pub(crate) fn replaced(&self) -> Self {
        Self { life: self.life + 1, ..Self::default() }
    }

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
            codec::decode::<(u32, Option<SnapshotMeta>, Membership)>(&row).expect("a control row").0
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

    /// The same without the rows that the group has forgotten: those may be there or not.
    pub(crate) fn digest_of_living(&self, group: GroupId) -> u64 {
        let living = self.living(group);
        let prefix = generation_prefix(group, living);
        let machine =
            Machine::open(group, living, &Stored(&self.state)).expect("a state that opens");
        let Some(machine) = machine else { return self.digest(group) };
        let (epochs, marks) = (machine.live_epochs(), machine.live_marks());
        let mut digest = Digest::new();
        self.each_row(group, |key, value| {
            let home = home(&[&prefix, key].concat()).expect("a row's key");
            let is_old = |(bucket, epoch): (Bucket, Epoch)| epoch < epochs[usize::from(bucket.0)];
            if !home.bucket.is_some_and(is_old)
                && !home.marks.is_some_and(|one| marks.forgotten(one))
            {
                digest.bytes(key);
                digest.bytes(value);
            }
        });
        digest.finish()
    }
}

/// The rows that are in the store, to be read.
struct Stored<'a>(&'a ModelStore);

impl Rows for Stored<'_> {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.get(key).expect("a store in memory reads")
    }

    fn range(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.0.range(from, to, each).expect("a store in memory reads");
    }

    fn put(&mut self, _: Vec<u8>, _: Bytes) {
        unreachable!("it is only read");
    }

    fn delete(&mut self, _: Vec<u8>) {
        unreachable!("it is only read");
    }
}
