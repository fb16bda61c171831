//! Bits that flip in a log, where it had been synced and where later batches prove that it had been: that is
//! damage, after which a replica must not vote. (In the newest batch nobody can tell a flipped bit from a
//! write that did not make it; that is a limit of any log.)

use super::cluster::Chance;
use eraft::store::disk::{Disk, File, SimDisk};
use std::path::{Path, PathBuf};

/// Batches that have to come after what will be damaged.
const BATCHES: u64 = 4;
/// Batches begin at multiples of this, and are written once.
const BLOCK: usize = 4096;

/// See the module's first lines.
#[derive(Debug, Default)]
pub(crate) struct Bitrot {
    place: Option<Place>,
    /// It was done in this life of the node's process.
    done: Option<u64>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    offset: u64,
    /// What stood around it. If that has changed, a file that was used again has come so far, and there
    /// may stand the newest batch.
    block: Vec<u8>,
    after_batches: u64,
}

impl Bitrot {
    /// Whether something is planned, or was done.
    pub(crate) fn is_on(&self) -> bool {
        self.is_done() || self.place.is_some()
    }

    /// Whether bits were flipped.
    pub(crate) fn is_done(&self) -> bool {
        self.done.is_some()
    }

    /// Whether bits were flipped, and a process that began after that has read them.
    pub(crate) fn is_known(&self, life: u64) -> bool {
        self.done.is_some_and(|done| done < life)
    }

    /// Nothing more is to come.
    pub(crate) fn cancel(&mut self) {
        self.place = None;
    }

    /// Chooses a place, often near to the end. So many batches were written until now.
    pub(crate) fn plan(disk: &SimDisk, batches: u64, chance: &mut Chance) -> Self {
        let place = Place::choose(disk, batches, chance);
        Self { place, done: None }
    }

    /// Flips a bit there as soon as enough has been written after it; answers whether it did so now.
    pub(crate) fn strike(
        &mut self,
        disk: &SimDisk,
        batches: u64,
        life: u64,
        chance: &mut Chance,
    ) -> bool {
        let due = self.place.take_if(|place| batches >= place.after_batches);
        let Some(place) = due else { return false };
        let now = contents(disk, &place.path).unwrap_or_default();
        let same = block(&now, place.offset) == place.block;
        let is_done = same && disk.flip(&place.path, place.offset, 1 << chance.below(8)).is_ok();
        self.done = is_done.then_some(life);
        is_done
    }
}

impl Place {
    fn choose(disk: &SimDisk, batches: u64, chance: &mut Chance) -> Option<Self> {
        let dir = Path::new("/log");
        let names = disk.list(dir).ok().filter(|names| !names.is_empty())?;
        let any = dir.join(&names[chance.below(names.len() as u64) as usize]);
        let newest = names.iter().map(|name| dir.join(name)).max_by_key(|path| life(disk, path));
        let path = newest.filter(|_| chance.below(4) != 0).unwrap_or(any);
        let bytes = contents(disk, &path)?;
        let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
        let from = if chance.below(3) != 0 { used.saturating_sub(9 * 1024) } else { 0 };
        let written = |offset: &u64| bytes[*offset as usize] != 0;
        let offset = (0..64).map(|_| chance.between(from, used)).find(written)?;
        let block = block(&bytes, offset).to_vec();
        Some(Self { path, offset, block, after_batches: batches + BATCHES })
    }
}

/// Which life of a segment's file this is, as its head says.
fn life(disk: &SimDisk, path: &Path) -> u64 {
    let head = contents(disk, path).unwrap_or_default();
    head.get(40..48).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn contents(disk: &SimDisk, path: &Path) -> Option<Vec<u8>> {
    let file = disk.open(path).ok()?;
    let mut bytes = vec![0; usize::try_from(file.length().ok()?).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// The block around this place.
fn block(bytes: &[u8], offset: u64) -> &[u8] {
    let from = offset as usize / BLOCK * BLOCK;
    bytes.get(from..from + BLOCK).unwrap_or_default()
}
