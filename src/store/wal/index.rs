//! What is where, of all groups. The log's writer changes it, readers look into it.

use super::batch::Recorded;
use super::group::{GroupLog, Ledger, Place};
use super::payload::Change;
use super::segment::Segment;
use super::write::{Damage, Standing};
#[cfg(feature = "controls")]
use crate::controls::{Control, active};
use crate::ids::GroupId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) groups: BTreeMap<GroupId, GroupLog>,
    /// Groups that died here, and the life of the segment that says so.
    pub(super) dead: BTreeMap<GroupId, u64>,
    /// Groups that have lost something and are not dead yet.
    pub(super) damaged: BTreeSet<GroupId>,
    /// Those of them that are in it only because a mark says that something is lost, and their birth does not
    /// come after it.
    pub(super) unborn: BTreeSet<GroupId>,
    /// Something is lost, and nobody knows whose. Of the groups that were known then each is in `damaged`;
    /// those that are not known now may be among the losers.
    pub(super) damaged_all: bool,
    /// It is missing in the log as it is now, and not only in what was given up since.
    pub(super) has_holes: bool,
    /// That was so once: a group that is not known may have lived here.
    pub(super) mended: bool,
    pub(super) ledger: Ledger,
}

impl Index {
    /// Takes in a record that stands in this batch of this life.
    pub(super) fn apply(&mut self, record: &Recorded, life: u64, number: u64) {
        let group = record.group;
        match &record.change {
            Change::Dead => {
                if let Some(mut log) = self.groups.remove(&group) {
                    log.clear(&mut self.ledger);
                }
                self.damaged.remove(&group);
                self.unborn.remove(&group);
                self.dead.insert(group, life);
            }
            Change::Damaged => self.lose(group),
            Change::DamagedAll => self.damaged_all = true,
            Change::Mended { now } => {
                self.mended = true;
                if *now {
                    self.damaged_all = false;
                    // Nobody was damaged at that moment. Their births went with segments that were given up
                    // since, while the mark stood in one that is still needed.
                    for group in std::mem::take(&mut self.unborn) {
                        self.damaged.remove(&group);
                    }
                }
            }
            Change::Cluster(_) | Change::Oldest(_) | Change::End(_) => {}
            change => {
                if matches!(change, Change::Born(_)) {
                    self.dead.remove(&group);
                } else if self.dead.contains_key(&group) {
                    // It was on its way when the replica died.
                    return;
                }
                if self.damaged_all
                    && !self.groups.contains_key(&group)
                    && !matches!(change, Change::Born(_))
                {
                    // Its birth is among what is lost, as long as nobody says that all is well.
                    let is_new = self.damaged.insert(group);
                    if is_new && !self.has_holes {
                        self.unborn.insert(group);
                    }
                }
                let log = self.groups.entry(group).or_default();
                log.apply(change, Place::of(record, life, number), &mut self.ledger);
            }
        }
    }

    /// Something of this group is lost. Who is dead has nothing to lose: whoever is born there is somebody else.
    pub(super) fn lose(&mut self, group: GroupId) {
        if !self.dead.contains_key(&group) {
            self.damaged.insert(group);
            self.unborn.remove(&group);
        }
    }

    /// Something is lost, and nobody knows whose.
    pub(super) fn lose_all(&mut self) {
        (self.damaged_all, self.has_holes) = (true, true);
        self.damaged.extend(self.groups.keys());
        self.unborn.clear();
    }

    /// What the log knows of a group's life here.
    pub(super) fn standing(&self, group: GroupId) -> Standing {
        let is_known = self.groups.contains_key(&group);
        #[cfg(feature = "controls")]
        if !is_known && !self.dead.contains_key(&group) && active(Control::BornAfterDamage) {
            return Standing::Unknown;
        }
        if !is_known && self.dead.contains_key(&group) {
            Standing::Dead
        } else if self.damaged.contains(&group) || (!is_known && self.damaged_all) {
            // Also one of which nothing is left, its birth included.
            Standing::Damaged
        } else if is_known {
            Standing::Alive
        } else if self.mended {
            Standing::Dead
        } else {
            Standing::Unknown
        }
    }

    pub(super) fn damage(&self) -> Damage {
        match (self.damaged_all, self.damaged.is_empty()) {
            (true, _) => Damage::All,
            (false, true) => Damage::None,
            (false, false) => Damage::Groups(self.damaged.clone()),
        }
    }
}

/// The index and the files that it points into. A segment leaves `segments` before its file gets
/// another life, and only after the last reader has let go of it.
#[derive(Debug)]
pub(super) struct Contents<F> {
    pub(super) index: Index,
    pub(super) segments: BTreeMap<u64, Arc<Segment<F>>>,
}

/// What the writer and the readers share. The lock is held for looking up and changing, never for I/O.
#[derive(Debug)]
pub(super) struct Shared<F>(RwLock<Contents<F>>);

impl<F> Shared<F> {
    pub(super) fn new(index: Index, segments: BTreeMap<u64, Arc<Segment<F>>>) -> Self {
        Self(RwLock::new(Contents { index, segments }))
    }

    pub(super) fn look(&self) -> RwLockReadGuard<'_, Contents<F>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) -> RwLockWriteGuard<'_, Contents<F>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
